// Keys of the page, which work where nothing is typed. Used by main.js.

const $ = (id) => document.getElementById(id);

/** `actions` are called by the names of keys while the board is open; `escape` is for the Escape key, typing or not. */
export function listen(actions, escape) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const isOpen = !$("board").hidden;
    if (event.key === "Escape" && isOpen) {
      escape(event.target);
      return;
    }
    if (typing) return;
    const isHelp = event.key === "?";
    const inList = event.target.closest("#log");
    const row = event.target.matches(".row");
    const name = { ArrowDown: inList && "j", ArrowUp: inList && "k", Enter: row && "Enter" }[event.key] ?? event.key;
    const action = isHelp || isOpen ? actions[name] : undefined;
    if (!action) return;
    event.preventDefault();
    action(event.target);
  });
}
