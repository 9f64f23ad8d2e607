// The view for a screen on a wall: large, newest first, without controls, and the screen stays on. Used by main.js.

import { clock } from "./time.js";

const $ = (id) => document.getElementById(id);

export class Wall {
  #lock = null;
  #timer = null;
  #now;
  isOn = false;

  /** `now` is the server's clock. */
  constructor(now) {
    this.#now = now;
    document.addEventListener("visibilitychange", () => this.#wake());
  }

  set(isOn) {
    this.isOn = isOn;
    document.documentElement.classList.toggle("wall", isOn);
    $("wall-clock").hidden = !isOn;
    $("wall-leave").hidden = !isOn;
    clearInterval(this.#timer);
    if (isOn) {
      this.#tick();
      this.#timer = setInterval(() => this.#tick(), 1000);
    }
    this.#wake();
  }

  #tick() {
    $("wall-clock").textContent = clock(new Date(this.#now()));
  }

  /** Keeps the screen on, where the browser can and only over HTTPS; it forgets that whenever the tab is hidden. */
  async #wake() {
    try {
      if (this.isOn && !document.hidden) {
        this.#lock ??= await navigator.wakeLock?.request("screen");
        this.#lock?.addEventListener("release", () => (this.#lock = null), { once: true });
      } else if (!this.isOn) {
        await this.#lock?.release();
      }
    } catch {
      // The battery is low, or the browser does not permit it: the screen does what the device says.
    }
  }
}
