// The unresolved incidents of the topics that the page follows: asked of the server when the stream is live again after an
// interruption, and kept up to date by what the stream says. Used by unresolved.js.

import { afterAlert, afterTransition, keyOf, shortened } from "./incident.js";

/** Pages of incidents that are loaded; beyond them their number is a lower bound. */
const MAX_PAGES = 10;
/** Events that arrive during a load; beyond them the incidents are loaded again. */
const MAX_HELD = 5000;
/** Until the next load, in milliseconds: repeats that are only counted are not in the stream. */
const AGAIN_MS = 60_000;
/** The same where the stream leaves out alerts of some levels, and after a failure. */
const SOON_MS = 10_000;
/** States of the stream in which it tells what happens. */
const LIVE = ["live", "behind"];

export class Incidents {
  #api;
  #filter;
  #changed;
  #all = new Map();
  #held = null;
  #isLoading = false;
  #isWanted = false;
  #isLive = false;
  #isStopped = false;
  #timer = null;
  /** Whether they were loaded, and whether they are those of now. */
  isKnown = false;
  isCurrent = false;
  /** Whether there are more than were loaded. */
  isMore = false;

  /** `changed` is called after each change. */
  constructor(api, filter, changed) {
    this.#api = api;
    this.#filter = filter;
    this.#changed = changed;
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  get(key) {
    return this.#all.get(key);
  }

  get all() {
    return [...this.#all.values()];
  }

  /** Takes the name of the stream's state. */
  connection(name) {
    if (name === "live" && !this.#isLive) {
      this.#isLive = true;
      this.load();
    } else if (!LIVE.includes(name) && this.#isLive) {
      this.#isLive = this.isCurrent = false;
      this.#changed();
    }
  }

  /** Loads the incidents, and again if this is called meanwhile. */
  async load() {
    this.#isWanted = true;
    if (this.#isLoading) return;
    this.#isLoading = true;
    clearTimeout(this.#timer);
    let isLoaded;
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      isLoaded = await this.#loadOnce();
    }
    this.#isLoading = false;
    if (this.#isStopped) return;
    const isWhole = isLoaded && this.#filter.level === "info";
    this.#timer = setTimeout(() => this.load(), isWhole ? AGAIN_MS : SOON_MS);
    this.#changed();
  }

  /** Returns whether they were loaded. What the stream said meanwhile may be newer, and is applied to them. */
  async #loadOnce() {
    const held = (this.#held = []);
    try {
      const loaded = await this.#pages();
      this.#held = null;
      if (this.#isStopped) return false;
      this.#all = loaded;
      this.isKnown = true;
      this.isCurrent = this.#isLive;
      for (const [after, event] of held) this.#apply(after, event);
      return true;
    } catch {
      // The stream tells the user what is wrong; the next load may succeed.
      return false;
    } finally {
      this.#held = null;
    }
  }

  async #pages() {
    const loaded = new Map();
    let [next, pages] = [null, 0];
    do {
      const page = await this.#api.incidents(this.#filter, next);
      for (const incident of page.incidents) loaded.set(keyOf(incident), shortened(incident));
      next = page.next;
    } while (next && ++pages < MAX_PAGES);
    this.isMore = Boolean(next);
    return loaded;
  }

  /** Takes an alert, which may have a place in an incident. */
  alert(alert) {
    if (alert.occurrence) this.#take(afterAlert, alert);
  }

  transition(transition) {
    this.#take(afterTransition, transition);
  }

  /** An alert was taken back: its text goes at once, and the server knows what is now the last alert of its incident. */
  retract({ alert: id }) {
    for (const [key, incident] of this.#all) {
      if (incident.alert === id) this.#all.set(key, { ...incident, alert: null, message: null, title: null });
    }
    this.#changed();
    this.load();
  }

  #take(after, event) {
    if (this.#held?.length < MAX_HELD) this.#held.push([after, event]);
    else if (this.#held) this.#isWanted = true;
    // Before the first load: it will have this.
    if (this.isKnown) this.#apply(after, event);
  }

  #apply(after, event) {
    const key = keyOf(event);
    const incident = after(this.#all.get(key), event);
    if (incident) this.#all.set(key, incident);
    else if (incident === null) this.#all.delete(key);
    // What is held is applied again after the load that is going on.
    else if (!this.isMore && !this.#held) this.load();
    this.#changed();
  }
}
