// What draws attention to errors: a sound and notifications, each only after the user turned it on, and the number of errors
// that nobody has seen in title and icon of the tab. Used by main.js.

import { store, stored } from "./storage.js";
import { clock } from "./time.js";

const STORED_NOTIFY = "alertd.notify";
/** Time between two signals of one storm of errors: doubled after each, up to the maximum; in milliseconds. */
const MIN_INTERVAL_MS = 2000;
const MAX_INTERVAL_MS = 300_000;
/** Without an error for so long, a storm is over, in milliseconds. */
const QUIET_MS = 60_000;
/** The largest number for which there is an icon. */
const MAX_ICON = 9;

/** When an error may be told: the first one of a storm at once, the others together and ever more rarely. */
export class Pace {
  #interval = MIN_INTERVAL_MS;
  #told = -Infinity;
  #error = -Infinity;
  /** Whether the last error was the first of a storm. */
  isFirst = true;

  /** Takes an error, and returns the time until it may be told, in milliseconds. */
  error(now) {
    this.isFirst = now - this.#error > QUIET_MS;
    this.#error = now;
    if (this.isFirst) {
      this.#interval = MIN_INTERVAL_MS;
      this.#told = -Infinity;
    }
    return Math.max(0, this.#told + this.#interval - now);
  }

  told(now) {
    if (this.#told > -Infinity) this.#interval = Math.min(MAX_INTERVAL_MS, 2 * this.#interval);
    this.#told = now;
  }
}

/** Two short tones, generated here instead of loaded from a file. */
export class Sound {
  #context = null;
  #pace = new Pace();
  on = false;

  /** Must be called on a click, because browsers forbid sound before one. */
  async toggle() {
    this.on = !this.on;
    if (!this.on) return "Sound is off.";
    try {
      this.#context ??= new AudioContext();
      await this.#context.resume();
      this.#play();
      return "Sound on error is on.";
    } catch {
      this.on = false;
      return "This browser cannot play sound.";
    }
  }

  error() {
    if (!this.on || this.#pace.error(performance.now()) > 0) return;
    this.#pace.told(performance.now());
    this.#play();
  }

  #play() {
    const begin = this.#context.currentTime + 0.02;
    for (const [pitch, at] of [[880, 0], [660, 0.18]]) {
      const tone = this.#context.createOscillator();
      const volume = this.#context.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0, begin + at);
      volume.gain.linearRampToValueAtTime(0.2, begin + at + 0.01);
      volume.gain.exponentialRampToValueAtTime(0.001, begin + at + 0.16);
      tone.connect(volume).connect(this.#context.destination);
      tone.start(begin + at);
      tone.stop(begin + at + 0.17);
    }
  }
}

/** Notifications of the browser. A storm of errors is one notification, whose number grows without a further signal. */
export class Notifications {
  #pace = new Pace();
  #errors = 0;
  #since = null;
  #newest = null;
  #isFirst = true;
  #timer = null;
  #isQuiet;
  on = false;

  /** `isQuiet` tells whether an alert needs nobody any more, as when its incident was acknowledged since it came. */
  constructor(isQuiet) {
    this.#isQuiet = isQuiet;
    this.on = stored("localStorage", STORED_NOTIFY) === "on" && "Notification" in window && Notification.permission === "granted";
  }

  async toggle() {
    const words = await this.#toggle();
    store("localStorage", STORED_NOTIFY, this.on ? "on" : "");
    return words;
  }

  async #toggle() {
    if (this.on) {
      this.on = false;
      return "Notifications are off.";
    }
    if (!("Notification" in window)) return "This browser does not support notifications, or only over HTTPS.";
    const permission = await Notification.requestPermission();
    this.on = permission === "granted";
    if (this.on) return "Notifications on error are on.";
    return permission === "denied"
      ? "The browser blocks notifications of this page: allow them in its settings."
      : "Notifications were not allowed.";
  }

  error(alert) {
    if (!this.on) return;
    const wait = this.#pace.error(performance.now());
    if (this.#pace.isFirst) {
      this.#errors = 0;
      this.#since = new Date();
      this.#isFirst = true;
    }
    this.#errors += 1;
    this.#newest = alert;
    if (this.#timer === null) this.#timer = setTimeout(() => this.#show(), wait);
  }

  #show() {
    this.#timer = null;
    if (this.#isQuiet(this.#newest)) return;
    this.#pace.told(performance.now());
    const [{ topic, message }, errors] = [this.#newest, this.#errors];
    const title = errors > 1 ? `${errors} errors since ${clock(this.#since)}` : `Error: ${topic}`;
    const body = errors > 1 ? `${topic}: ${message}` : message;
    // With one tag, the browser shows the notification in the place of the one before.
    const options = { body: body.slice(0, 300), tag: "alertd", renotify: this.#isFirst, icon: "page/icon.svg" };
    this.#isFirst = false;
    try {
      const shown = new Notification(title, options);
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // Some browsers on phones permit notifications only from service workers.
      this.on = false;
    }
  }
}

/** Lets a button turn sound or notifications on and off. `told` is called with words for the user. */
export function toggles(button, what, told) {
  button.setAttribute("aria-pressed", what.on);
  button.addEventListener("click", async () => {
    button.title = await what.toggle();
    button.setAttribute("aria-pressed", what.on);
    told(button.title);
  });
}

/** Errors that arrived while the tab was hidden: their number is in the title and in the icon of the tab. */
export class Unseen {
  #icon = document.querySelector("link[rel=icon]");
  errors = 0;

  error() {
    this.errors += 1;
    this.#show();
  }

  look() {
    if (this.errors === 0) return;
    this.errors = 0;
    this.#show();
  }

  #show() {
    const number = this.errors > MAX_ICON ? "more" : this.errors;
    const href = this.errors === 0 ? "page/icon.svg" : `page/icon-${number}.svg`;
    if (this.#icon.getAttribute("href") !== href) this.#icon.setAttribute("href", href);
  }
}
