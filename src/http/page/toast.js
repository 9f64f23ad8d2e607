// A short message that goes away by itself. Used by main.js.

const SHOWN_MS = 5000;
let timer = null;

export function toast(words) {
  const place = document.getElementById("toast");
  place.textContent = words;
  place.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (place.hidden = true), SHOWN_MS);
}
