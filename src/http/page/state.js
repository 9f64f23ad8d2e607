// The line that says how the connection is. Used by main.js.

const TEXTS = {
  off: () => "Not connected",
  offline: () => "Offline",
  connecting: () => "Connecting",
  behind: ({ seconds }) => (seconds ? `Behind by ${seconds} s` : "Catching up"),
  silent: ({ seconds }) => `No data for ${seconds} s`,
  live: () => "Live",
  paused: () => "Paused",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  refused: () => "Key refused",
  denied: () => "No permission",
  failed: () => "Stopped",
};

const $ = (id) => document.getElementById(id);

export class State {
  #state = { name: "off" };
  #isPaused = false;

  get name() {
    return this.#shown.name;
  }

  get text() {
    const shown = this.#shown;
    return TEXTS[shown.name](shown);
  }

  /** A paused list is not live, whatever its stream is. */
  get #shown() {
    return this.#isPaused && this.#state.name === "live" ? { name: "paused" } : this.#state;
  }

  set(state) {
    this.#state = state;
    this.#tell();
  }

  pause(isPaused) {
    this.#isPaused = isPaused;
    this.#tell();
  }

  #tell() {
    const [{ name, why }, text] = [this.#shown, this.text];
    // Screen readers announce a countdown once, not each second.
    if (name !== $("state").dataset.state) $("said").textContent = text.replace(/ in \d+ s$/, "");
    $("state").dataset.state = name;
    // The reason of a temporary refusal by the server.
    $("why").textContent = why ?? "";
    if ($("state-text").textContent !== text) $("state-text").textContent = text;
    $("hurry").hidden = name !== "waiting";
  }
}
