// Notifications and a sound for alerts of level error, each only after the user turned it on.

/** Minimum time between two sounds or notifications, in milliseconds. */
const MIN_INTERVAL = 2000;

/** Two short tones, generated here instead of loaded from a file. */
export class Sound {
  #context = null;
  #last = -Infinity;
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
    if (!this.on || performance.now() - this.#last < MIN_INTERVAL) return;
    this.#last = performance.now();
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

/** Notifications of the browser; several errors in a short time become one notification with their number. */
export class Notifications {
  #held = [];
  #timer = null;
  #last = -Infinity;
  on = false;

  async toggle() {
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
    this.#held = [...this.#held.slice(-99), alert];
    const wait = this.#last + MIN_INTERVAL - performance.now();
    if (this.#timer === null) this.#timer = setTimeout(() => this.#show(), Math.max(0, wait));
  }

  #show() {
    const alerts = this.#held.splice(0);
    this.#timer = null;
    this.#last = performance.now();
    const newest = alerts.at(-1);
    const title = alerts.length > 1 ? `${alerts.length} errors` : `Error: ${newest.topic}`;
    const body = alerts.length > 1 ? `${newest.topic}: ${newest.message}` : newest.message;
    try {
      const shown = new Notification(title, { body: body.slice(0, 300), tag: newest.id, icon: "page/icon.svg" });
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
