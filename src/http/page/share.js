// The subscription of a tab. All tabs share the streams of one worker (worker.js), because a browser opens at most six
// HTTP/1.1 connections to a host. Used by main.js.

import { Follower } from "./stream.js";
import { VERSION } from "./version.js";

/** Interval of signs of life between worker and tab, in milliseconds, and after how many missing ones the other is gone. */
export const PING_MS = 4000;
export const MAX_MISSED = 4;

const ALONE =
  "This browser cannot share a stream between tabs. Over HTTP/1.1 it opens only six connections to a server: keep fewer tabs open, or use HTTPS.";

/** The connection to the worker, shared by all subscriptions of the tab, one after the other. */
let worker = null;
let cannotShare = false;
let policy = null;
let joins = 0;

function start() {
  const url = "page/worker.js";
  // The Content-Security-Policy takes a worker's address from this policy only, which knows no other.
  policy ??= window.trustedTypes?.createPolicy("alertd", { createScriptURL: () => url });
  // With the version in its name, a page that was loaded after an upgrade does not meet the worker of older pages.
  return new SharedWorker(policy?.createScriptURL(url) ?? url, { type: "module", name: `alertd ${VERSION}` });
}

/**
 * A subscription that runs until it is stopped or refused; `tell` is that of a Follower. A tab that the worker no longer
 * counts, because it was frozen, or whose worker is gone, joins again at its cursor.
 */
export class Subscription {
  #api;
  #key;
  #filter;
  #tell;
  #tellState;
  #cursor = "";
  /** The number of the current join: messages for earlier ones may still arrive. */
  #join = 0;
  #missed = 0;
  #isAnswered = false;
  #timer = null;
  #alone = null;
  #ended = new AbortController();
  /** The last state of the stream, which the user is not told of while the browser is offline. */
  #state = null;
  #isOffline = false;

  constructor(api, key, filter, tell) {
    this.#api = api;
    this.#key = key;
    this.#filter = filter;
    this.#tell = { ...tell, state: (state) => this.#setState(state) };
    this.#tellState = tell.state;
    this.#enter();
    const { signal } = this.#ended;
    addEventListener("offline", () => this.#check(), { signal });
    addEventListener("online", () => this.#online(), { signal });
    addEventListener("pagehide", () => this.#leave(), { signal });
    // The page comes back from the browser's cache.
    addEventListener("pageshow", ({ persisted }) => persisted && this.#enter(), { signal });
  }

  stop() {
    this.#ended.abort();
    this.#leave();
  }

  /** Ends the wait before the next attempt. */
  hurry() {
    this.#ask("hurry");
  }

  /** `hurry` or `check` of the follower. */
  #ask(what) {
    if (this.#alone) this.#alone[what]();
    else worker?.port.postMessage({ type: what });
  }

  /** The browser has no network. A server on the same machine can be reached all the same. */
  async #check() {
    this.#ask("check");
    try {
      await this.#api.send("livez", { signal: AbortSignal.timeout(PING_MS) });
    } catch {
      if (navigator.onLine || this.#ended.signal.aborted) return;
      this.#isOffline = true;
      this.#tellState({ name: "offline", why: "The browser has no network. The page continues where it stopped." });
    }
  }

  #online() {
    if (this.#isOffline && this.#state) this.#tellState(this.#state);
    this.#isOffline = false;
    this.#ask("check");
    this.hurry();
  }

  #setState(state) {
    this.#state = state;
    if (!this.#isOffline) this.#tellState(state);
  }

  #enter() {
    this.#leave();
    if (cannotShare) {
      this.#followAlone();
      return;
    }
    try {
      worker ??= start();
    } catch {
      this.#giveUp();
      return;
    }
    this.#join = ++joins;
    this.#missed = 0;
    this.#isAnswered = false;
    // The script could not be loaded.
    worker.onerror = () => this.#giveUp();
    worker.port.onmessage = ({ data }) => this.#take(data);
    worker.port.postMessage({
      type: "join",
      join: this.#join,
      key: this.#key,
      filter: this.#filter,
      cursor: this.#cursor,
    });
    this.#timer = setInterval(() => this.#tick(), PING_MS);
  }

  #leave() {
    clearInterval(this.#timer);
    this.#alone?.stop();
    this.#alone = null;
    if (this.#join) worker?.port.postMessage({ type: "leave" });
    this.#join = 0;
  }

  #tick() {
    if (this.#missed++ < MAX_MISSED) return;
    if (!this.#isAnswered) {
      this.#giveUp();
      return;
    }
    worker = null;
    this.#enter();
  }

  #giveUp() {
    cannotShare = true;
    this.#leave();
    if (!this.#ended.signal.aborted) this.#followAlone();
  }

  #followAlone() {
    const isMultiplexed = /^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol);
    const state = (next) => this.#tell.state(isMultiplexed ? next : { ...next, why: next.why || ALONE });
    const cursor = (id) => (this.#cursor = id);
    this.#alone = new Follower(this.#api, this.#filter, { ...this.#tell, state, cursor }, { cursor: this.#cursor });
  }

  #take({ type, join, value, skew }) {
    if (join !== this.#join) return;
    this.#missed = 0;
    this.#isAnswered = true;
    if (skew !== undefined) this.#api.skew = skew;
    if (type === "ping") {
      // The cursor of everything that was sent before.
      this.#cursor = value || this.#cursor;
      worker.port.postMessage({ type: "pong" });
    } else if (type === "dropped") {
      this.#enter();
    } else {
      if (["alert", "incident", "retract"].includes(type)) this.#cursor = value.id;
      if (type === "page") this.#cursor = value.alerts.at(-1)?.id ?? "";
      this.#tell[type](value);
    }
  }
}
