// Light or dark: what the system says, or what the user chose on this device. Used by main.js.

import { store, stored } from "./storage.js";

const STORED_THEME = "alertd.theme";
const scheme = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : scheme.matches;
}

/** Lets a button change the theme. */
export function theme(button) {
  const tell = () => button.setAttribute("aria-label", isDark() ? "Theme: change to light" : "Theme: change to dark");
  const set = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    tell();
  };
  button.addEventListener("click", () => {
    const name = isDark() ? "light" : "dark";
    store("localStorage", STORED_THEME, name);
    set(name);
  });
  scheme.addEventListener("change", tell);
  set(stored("localStorage", STORED_THEME));
}
