// What the browser keeps for the page. If it forbids storage, nothing is kept, and the page works all the same.

/** A value in `sessionStorage` (this tab) or `localStorage` (this device); "" if there is none. */
export function stored(storage, name) {
  try {
    return window[storage].getItem(name) ?? "";
  } catch {
    return "";
  }
}

/** Keeps a value; an empty one is removed. */
export function store(storage, name, value) {
  try {
    if (value) window[storage].setItem(name, value);
    else window[storage].removeItem(name);
  } catch {
    // Storage is forbidden or full.
  }
}
