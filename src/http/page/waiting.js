// What waits to be shown in the list: what came since the last step, and what is held while the list is paused. Used by list.js.

/** Retractions that are remembered for pages of history that were asked for before them. */
const MAX_RETRACTED = 1000;

export class Waiting {
  #max;
  #held = [];
  #retracted = new Set();
  /** What is shown next, in order. */
  queue = [];
  /** Alerts that are held by the pause. */
  held = 0;
  paused = false;

  /** `max` is the number of alerts that wait; beyond it the oldest are dropped. */
  constructor(max) {
    this.#max = max;
  }

  clear() {
    this.queue = [];
    this.#held = [];
    this.held = 0;
  }

  /** Takes an alert or a gap. */
  add(item) {
    const line = this.paused ? this.#held : this.queue;
    line.push(item);
    if (this.paused) this.held += item.alert ? 1 : 0;
    if (line.length > this.#max) {
      line.shift();
      // What the list has is older than what was dropped: both go, so that there is no hole.
      line.isCut = true;
    }
  }

  pause(paused) {
    this.paused = paused;
    if (paused) return;
    const [before, isCut] = [this.#held.isCut ? [] : this.queue, this.#held.isCut || this.queue.isCut];
    this.queue = Object.assign([...before, ...this.#held], { isCut });
    this.#held = [];
    this.held = 0;
  }

  /** Whether alerts were dropped since the last call. */
  uncut() {
    const isCut = Boolean(this.queue.isCut);
    this.queue.isCut = false;
    return isCut;
  }

  /** Takes an alert out that was retracted. */
  retract(id) {
    this.#retracted.add(id);
    if (this.#retracted.size > MAX_RETRACTED) this.#retracted.delete(this.#retracted.values().next().value);
    for (const line of [this.queue, this.#held]) {
      const at = line.findIndex(({ alert }) => alert?.id === id);
      if (at < 0) continue;
      line.splice(at, 1);
      if (line === this.#held) this.held -= 1;
    }
  }
  isRetracted(id) {
    return this.#retracted.has(id);
  }
}
