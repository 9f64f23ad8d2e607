// How many errors and warnings there were in the last hour: the number at the start comes from the history, and each alert
// of the stream adds to it. Kept as one count for each minute. Used by main.js.

import { isNewer } from "./filter.js";

const MINUTE_MS = 60_000;
const MINUTES = 60;
/** Pages of history that are counted; beyond them the number is a lower bound. */
const MAX_PAGES = 5;
const PAGE = 1000;
/** Alerts that arrive while the history is counted; beyond them the history is counted again. */
const MAX_HELD = 5000;
/** Until the next count where the stream leaves out warnings, or after a failure, in milliseconds. */
const AGAIN_MS = 60_000;

export class Summary {
  #api;
  #filter;
  #changed;
  /** For each minute: errors and warnings. */
  #minutes = new Map();
  #held = null;
  #isMore = { error: false, warn: false };
  #timer = null;
  #isStopped = false;
  /** Whether the numbers are known. */
  isKnown = false;

  /** `changed` is called after the history was counted. */
  constructor(api, filter, changed) {
    this.#api = api;
    this.#filter = filter;
    this.#changed = changed;
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Counts the history. */
  async count() {
    if (this.#held || this.#isStopped) return;
    clearTimeout(this.#timer);
    const held = (this.#held = []);
    let isGood = false;
    try {
      const minutes = new Map();
      // Each by itself, so that a flood of warnings does not keep errors from being counted.
      const [newest, isMore] = [{}, {}];
      for (const level of ["error", "warn"]) [newest[level], isMore[level]] = await this.#history(level, minutes);
      isGood = held.length < MAX_HELD;
      if (this.#isStopped) return;
      this.#minutes = minutes;
      this.#isMore = isMore;
      this.isKnown = true;
      for (const alert of held) if (isNewer(alert.id, newest[alert.level])) this.#enter(this.#minutes, alert);
    } catch {
      // The stream tells the user what is wrong; the next count may succeed.
      if (this.#isStopped) return;
      for (const alert of held) this.#enter(this.#minutes, alert);
    } finally {
      this.#held = null;
    }
    if (!isGood || this.#filter.level === "error") this.#timer = setTimeout(() => this.count(), AGAIN_MS);
    this.#changed();
  }

  /** Counts the alerts of one level. Returns the newest id that was read, and whether there are more. */
  async #history(level, minutes) {
    let [since, newest, pages] = ["1h", "", 0];
    while (since && pages++ < MAX_PAGES) {
      const page = await this.#api.page({ ...this.#filter, level }, { since, limit: PAGE });
      for (const alert of page.alerts) if (alert.level === level) this.#enter(minutes, alert);
      newest = page.alerts.at(-1)?.id ?? newest;
      since = page.next;
    }
    return [newest, Boolean(since)];
  }

  add(alert) {
    if (alert.level === "info") return;
    if (this.#held) {
      if (this.#held.length < MAX_HELD) this.#held.push(alert);
    } else {
      this.#enter(this.#minutes, alert);
    }
  }

  #enter(minutes, { level, received_at }) {
    const minute = Math.floor(Date.parse(received_at) / MINUTE_MS);
    const counts = minutes.get(minute) ?? { error: 0, warn: 0 };
    if (level in counts) counts[level] += 1;
    minutes.set(minute, counts);
  }

  /** The numbers of the last hour, and whether there are more. */
  get numbers() {
    const first = Math.floor(this.#api.now() / MINUTE_MS) - MINUTES;
    const numbers = { error: 0, warn: 0, isMore: this.#isMore };
    for (const [minute, { error, warn }] of this.#minutes) {
      if (minute <= first) {
        this.#minutes.delete(minute);
        continue;
      }
      numbers.error += error;
      numbers.warn += warn;
    }
    return numbers;
  }
}
