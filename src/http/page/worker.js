// The shared worker of all tabs of the live page. Tabs with the same key share one stream, whose filter covers theirs; each
// gets the alerts that pass its own filter and are newer than its cursor. The browser ends the worker with the last tab.

import { Api } from "./api.js";
import { MAX_TOPICS, covers, isNewer, matches, union } from "./filter.js";
import { MAX_MISSED, PING_MS } from "./share.js";
import { Follower } from "./stream.js";

/**
 * The streams that stay open over HTTP/1.1. Of the six connections that a browser opens to a host, one is for streams in
 * turn, and one for pages and other requests.
 */
const MAX_STREAMS = 4;

/** The address of the page, which a proxy may serve below any path. */
const base = new URL("..", location.href).href;
const members = new Set();
/** The streams that are live, or were until their connection broke, and that others may join. */
const shared = new Set();

/** The connections for streams. */
class Connections {
  #streams = 0;
  #turn = Promise.resolve();

  /** Takes a connection: one that stays open if possible, or one that is brief, when its turn comes. */
  async take(isBrief) {
    const protocols = performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol);
    const isMultiplexed = protocols.some((protocol) => /^h[23]/.test(protocol));
    if (!isBrief && (isMultiplexed || this.#streams < MAX_STREAMS)) {
      this.#streams += 1;
      return { isBrief: false, release: () => (this.#streams -= 1) };
    }
    const before = this.#turn;
    let release;
    this.#turn = new Promise((resolve) => (release = resolve));
    await before;
    return { isBrief: true, release };
  }
}
const connections = new Connections();

/** A tab. */
class Member {
  #port;
  #join = 0;
  #missed = 0;
  #stream = null;
  key = "";
  filter = null;
  /** The newest id that the tab was sent, or that its filter keeps from it. */
  cursor = "";

  constructor(port) {
    this.#port = port;
    port.onmessage = ({ data }) => this.#take(data);
    // A tab that is closed, in browsers that tell; elsewhere the missing signs of life do.
    port.onclose = () => this.#leave();
  }

  #take({ type, ...more }) {
    this.#missed = 0;
    if (type === "join") this.#enter(more);
    else if (type === "leave") this.#leave();
    else if (type === "hurry") this.#stream?.hurry();
    else if (type === "check") this.#stream?.check();
  }

  #enter({ join, key, filter, cursor }) {
    this.#leave();
    members.add(this);
    this.#join = join;
    Object.assign(this, { key, filter, cursor });
    this.follow(new Stream(this));
  }

  #leave() {
    members.delete(this);
    this.#stream?.remove(this);
    this.#stream = null;
  }

  /** Takes part in a stream. */
  follow(stream) {
    this.#stream = stream;
  }

  tell(type, value, skew) {
    this.#port.postMessage({ type, join: this.#join, value, skew });
  }

  /** Asks for a sign of life. A tab that is gone, or frozen, is dropped, so that nothing piles up for it. */
  ping() {
    if (this.#missed++ < MAX_MISSED) {
      this.tell("ping", this.cursor);
      return;
    }
    this.tell("dropped");
    this.#leave();
  }
}

/** A stream: that of one tab until it is live; then it joins the stream of other tabs with its key, or is such a one. */
class Stream {
  #api;
  #follower;
  #filter;
  #members;
  #state = { name: "" };
  /** Whether it connects again only for a new member: the others need not know. */
  #isWidening = false;
  key;

  constructor(member) {
    this.key = member.key;
    this.#api = new Api(member.key, base);
    this.#filter = member.filter;
    this.#members = new Set([member]);
    const connect = () => connections.take(Boolean(this.#partner()));
    this.#follower = new Follower(this.#api, this.#filter, this, { cursor: member.cursor, connect });
  }

  hurry() {
    this.#follower.hurry();
  }

  check() {
    this.#follower.check();
  }

  remove(member) {
    this.#members.delete(member);
    if (this.#members.size === 0) {
      this.#follower.stop();
      shared.delete(this);
      return;
    }
    // From the next connection on.
    this.#filter = this.#follower.filter = this.#union();
  }

  #union(...more) {
    return union([...this.#members, ...more].map((member) => member.filter));
  }

  /** The stream of others that this one is going to join. */
  #partner() {
    if (shared.has(this)) return undefined;
    return [...shared].find((one) => one.key === this.key && one.#union(...this.#members).topics.length <= MAX_TOPICS);
  }

  #settle() {
    const partner = this.#partner();
    if (!partner) {
      shared.add(this);
      return;
    }
    this.#follower.stop();
    for (const member of this.#members) partner.#admit(member);
  }

  /** Takes a member at its cursor: what this stream has delivered since is delivered again, to this member alone. */
  #admit(member) {
    member.follow(this);
    this.#members.add(member);
    const isLive = this.#state.name === "live";
    if (isLive && covers(this.#filter, member.filter) && !isNewer(this.#follower.cursor, member.cursor)) return;
    this.#filter = this.#union();
    this.#isWidening = isLive;
    const cursors = [...this.#members].map((one) => one.cursor);
    this.#follower.reopen(this.#filter, cursors.reduce((oldest, one) => (isNewer(oldest, one) ? one : oldest)));
  }

  #tell(type, value) {
    for (const member of this.#members) member.tell(type, value, this.#api.skew);
  }

  // What its follower reports.

  state(state) {
    this.#state = state;
    if (this.#isWidening && ["connecting", "behind"].includes(state.name)) return;
    this.#isWidening = false;
    this.#tell("state", state);
    if (state.name === "live" && !shared.has(this)) this.#settle();
  }

  page(page) {
    this.#tell("page", page);
  }

  alert(alert) {
    for (const member of this.#members) {
      if (!isNewer(alert.id, member.cursor)) continue;
      member.cursor = alert.id;
      if (matches(member.filter, alert)) member.tell("alert", alert, this.#api.skew);
    }
  }

  incident(transition) {
    this.#tellChange("incident", transition);
  }

  retract(retraction) {
    this.#tellChange("retract", retraction);
  }

  /** A record that is not an alert: the level of a filter does not hide it. */
  #tellChange(type, change) {
    for (const member of this.#members) {
      if (!isNewer(change.id, member.cursor)) continue;
      member.cursor = change.id;
      if (matches(member.filter, { ...change, level: "error" })) member.tell(type, change, this.#api.skew);
    }
  }

  cursor(id) {
    for (const member of this.#members) if (isNewer(id, member.cursor)) member.cursor = id;
  }

  gap(gap) {
    for (const member of this.#members) {
      // The log is another one, which begins anew.
      const isOther = isNewer(member.cursor, gap.head);
      if (!isOther && gap.oldest && !isNewer(gap.oldest, member.cursor)) continue;
      member.tell("gap", { ...gap, requested: member.cursor || gap.requested });
      if (isOther) member.cursor = "0-0";
    }
  }

  refused({ status, message, topics }) {
    shared.delete(this);
    const isForAll = status === 401 || this.#members.size === 1;
    for (const member of this.#members) {
      // A key that was narrowed may still do what some of them ask for.
      member.follow(isForAll ? null : new Stream(member));
      if (isForAll) member.tell("refused", { status, message, topics });
    }
  }
}

addEventListener("connect", ({ ports: [port] }) => new Member(port));
setInterval(() => members.forEach((member) => member.ping()), PING_MS);
