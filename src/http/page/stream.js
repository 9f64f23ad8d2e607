// Follows the stream with fetch: parses Server-Sent Events, resumes after the last event when the connection breaks, and
// reports its state. Used by worker.js, and by share.js in browsers without shared workers.

import { Problem, query } from "./api.js";

/** A longer line does not come from alertd. */
const MAX_LINE = 1 << 20;
/** Reconnect delay until the server sends one, and its maximum, in milliseconds. */
const DEFAULT_RETRY_MS = 3000;
const MAX_RETRY_MS = 30_000;
/** Time limit for the head of an answer, in milliseconds. */
const HEAD_TIMEOUT_MS = 20_000;
/** The server's default heartbeat, in milliseconds. If longer silences occur, they are taken as its heartbeat. */
const DEFAULT_HEARTBEAT_MS = 8000;
/** What a heartbeat may be late before the page says so, and how long the server may take to show that it is there. */
const LATE_MS = 2000;
const CHECK_TIMEOUT_MS = 5000;
/** An alert that is older than this on arrival shows that the stream is behind, in milliseconds. */
const MAX_DELAY_MS = 5000;
/** Time between two connections of a stream that has none of its own, in milliseconds. */
const BRIEF_PAUSE_MS = 5000;

const NO_ANSWER =
  "No answer. A browser opens only six HTTP/1.1 connections to a server: if other tabs use them, close some, or use HTTPS.";
const BRIEF =
  "New alerts are loaded every few seconds, because this browser opens only six HTTP/1.1 connections to a server. With one key in all tabs, or over HTTPS, they come at once.";

/** A connection that stays open as long as it is wanted. */
const ownConnection = () => ({ isBrief: false, release() {} });

/** The end of a request that was not answered in time. */
function noAnswer() {
  return new Problem(0, "the server did not answer", 0, NO_ANSWER);
}

/** Parses a stream of text into events; lines and events may be cut anywhere. */
export class Parser {
  #emit;
  #rest = "";
  #begun = false;
  #afterReturn = false;
  #data = [];
  #name = "";
  #id = "";

  constructor(emit) {
    this.#emit = emit;
  }

  feed(piece) {
    let text = piece;
    if (!this.#begun && text) {
      this.#begun = true;
      if (text.startsWith("\ufeff")) text = text.slice(1);
    }
    // The second character of a line break whose first one ended the previous piece.
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (piece) this.#afterReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    if (this.#rest.length > MAX_LINE) throw new Problem(0, "the stream has a line without end");
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      const event = { name: this.#name, id: this.#id, data: this.#data.join("\n"), has: this.#data.length > 0 };
      this.#data = [];
      this.#name = "";
      if (event.has) this.#emit(event);
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#emit({ name: "retry", data: value });
  }
}

/**
 * A subscription that runs until it is stopped or refused. `tell` has a function for each event: `state`, `page` (the first
 * page of history), `alert`, `incident` (a transition), `retract`, `gap`, `refused`, and if it wants `cursor`. It begins at `cursor`, or with a page of history.
 * `connect` takes a connection: a brief one is released when the stream is live, and taken again after a pause.
 */
export class Follower {
  #api;
  #tell;
  #connect;
  #cursor;
  #since = "";
  #retry = DEFAULT_RETRY_MS;
  #heartbeat = DEFAULT_HEARTBEAT_MS;
  #failures = 0;
  #bye = "";
  #isCaughtUp = false;
  #isReopened = false;
  #state = { name: "" };
  #stopped = false;
  #abort = null;
  #wake = null;
  #isChecking = false;

  /** Applies from the next connection on. */
  filter;

  constructor(api, filter, tell, { cursor = "", connect = ownConnection } = {}) {
    this.#api = api;
    this.filter = filter;
    this.#tell = tell;
    this.#cursor = cursor;
    this.#connect = connect;
    this.#run();
  }

  get cursor() {
    return this.#cursor;
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  /** Ends the wait before the next attempt. */
  hurry() {
    this.#wake?.();
  }

  /** Asks whether the server can be reached, and connects again if not: a lost network does not end a connection. */
  async check() {
    const asked = this.#abort;
    if (this.#isChecking || !asked || asked.signal.aborted) return;
    this.#isChecking = true;
    try {
      await this.#api.send("livez", { signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
    } catch (problem) {
      if (problem.status === 0) asked.abort(new Problem(0, problem.message, 0, "The server cannot be reached."));
    } finally {
      this.#isChecking = false;
    }
  }

  /** Connects again at once, with another filter and from this cursor. */
  reopen(filter, cursor) {
    this.filter = filter;
    this.#cursor = cursor;
    this.#isReopened = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  #to(name, more = {}) {
    if (this.#stopped) return;
    this.#state = { name, ...more };
    this.#tell.state(this.#state);
  }

  async #run() {
    while (!this.#stopped) {
      this.#to("connecting");
      let problem;
      this.#bye = "";
      this.#isReopened = false;
      try {
        if (!this.#cursor && !this.#since) await this.#begin();
        await this.#read();
        problem = new Problem(0, this.#bye ? `the server ended the stream (${this.#bye})` : "the connection broke");
      } catch (error) {
        problem = error instanceof Problem ? error : new Problem(0, String(error.message ?? error));
      }
      if (this.#stopped) return;
      if (this.#isReopened) continue;
      if (!problem.isTransient) {
        this.#tell.refused(problem);
        return;
      }
      await this.#pause(problem);
    }
  }

  /** Loads the newest page of history. The stream continues after it. */
  async #begin() {
    const abort = (this.#abort = new AbortController());
    const load = async (before) => {
      const timer = setTimeout(() => abort.abort(noAnswer()), HEAD_TIMEOUT_MS);
      try {
        return await this.#api.history(this.filter, before, abort.signal);
      } finally {
        clearTimeout(timer);
      }
    };
    let [page, pages] = [await load(null), 1];
    // A page may be empty although there is one before it, because the server limits how much it scans for one.
    while (page.alerts.length === 0 && page.next && pages++ < 5) page = await load(page.next);
    if (this.#stopped) return;
    this.#cursor = page.alerts.at(-1)?.id ?? "";
    // No alert of this subscription is newer than `next`, or in the log at all.
    this.#since = this.#cursor ? "" : page.next ?? "all";
    this.#tell.page(page);
  }

  async #read() {
    const abort = (this.#abort = new AbortController());
    const connection = await this.#connect();
    try {
      if (!this.#stopped) await this.#follow(abort, connection.isBrief);
    } finally {
      abort.abort();
      connection.release();
    }
  }

  async #follow(abort, isBrief) {
    const headers = { Accept: "text/event-stream" };
    if (this.#cursor) headers["Last-Event-ID"] = this.#cursor;
    const parameters = query(this.filter, this.#cursor ? {} : { since: this.#since });
    this.#isCaughtUp = false;
    let heard = Date.now();
    let open = false;
    const watch = setInterval(() => {
      const silent = Date.now() - heard;
      if (silent > (open ? 6 * this.#heartbeat : HEAD_TIMEOUT_MS)) abort.abort(open ? undefined : noAnswer());
      else if (open && silent > 1.25 * this.#heartbeat + LATE_MS) {
        this.#to("silent", { seconds: Math.round(silent / 1000) });
        this.check();
      }
    }, 1000);
    try {
      const answer = await this.#api.send(`alerts?${parameters}`, { headers, signal: abort.signal });
      open = true;
      heard = Date.now();
      this.#to("behind");
      const parser = new Parser((event) => this.#event(event, Date.now() - heard));
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        // A piece that arrived before the abort is none of a stream that was reopened.
        if (done || this.#stopped || abort.signal.aborted) return;
        parser.feed(value);
        heard = Date.now();
        if (isBrief && this.#isCaughtUp) throw new Problem(0, BRIEF, BRIEF_PAUSE_MS / 1000, BRIEF);
      }
    } finally {
      clearInterval(watch);
    }
  }

  #event({ name, id, data }, silence) {
    if (this.#stopped) return;
    if (name === "retry") {
      this.#retry = Number(data);
      return;
    }
    const value = JSON.parse(data);
    // The cursor moves only after the event is handled.
    if (name === "") {
      this.#cursor = id;
      this.#tell.alert(value);
      const late = this.#api.now() - Date.parse(value.received_at);
      // Before the seam all alerts are old; after it, an old alert shows that the stream is behind.
      if (this.#state.name !== "behind" || this.#state.seconds !== undefined) {
        const seconds = Math.round(late / 1000);
        if (late <= MAX_DELAY_MS) this.#live();
        else if (this.#state.seconds !== seconds) this.#to("behind", { seconds });
      }
    } else if (name === "incident") {
      this.#cursor = id;
      this.#tell.incident(value);
    } else if (name === "retract") {
      this.#cursor = id;
      this.#tell.retract(value);
    } else if (name === "cursor") {
      this.#heartbeat = Math.max(this.#heartbeat, silence);
      if (!id || value.id === null) return;
      this.#cursor = id;
      this.#failures = 0;
      this.#isCaughtUp = true;
      this.#tell.cursor?.(id);
      this.#live();
    } else if (name === "gap") {
      this.#tell.gap(value);
    } else if (name === "bye") {
      this.#bye = String(value.reason);
    }
  }

  #live() {
    if (this.#state.name !== "live") this.#to("live");
  }

  /** Waits at least as long as the server asks, and longer after each failure. Reports the remaining seconds. */
  async #pause(problem) {
    const requested = Math.max(this.#retry, (problem.retryAfter ?? 0) * 1000);
    const backoff = Math.min(MAX_RETRY_MS, this.#retry * 2 ** Math.min(this.#failures, 6));
    // The next answer tells whether the key is really invalid, so do not wait for it.
    const delay = ["revoked", "expired"].includes(this.#bye) ? 250 : Math.max(requested, backoff);
    this.#failures += 1;
    const until = Date.now() + delay;
    let hurried = false;
    while (!this.#stopped && !hurried && Date.now() < until) {
      const why = problem.hint ?? (problem.status === 0 ? "" : problem.message);
      this.#to("waiting", { seconds: Math.ceil((until - Date.now()) / 1000), why });
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.min(1000, until - Date.now()));
        this.#wake = () => {
          hurried = true;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = null;
  }
}
