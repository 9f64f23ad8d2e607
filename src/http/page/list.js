// The list of alerts: rows in order, the oldest at the top, with a limit, a search and a pause. The content of alerts is
// inserted as text and never parsed as HTML. Used by main.js only.

import { element } from "./element.js";

/** Maximum number of rows in the list, and of rows held during a pause; beyond it the oldest are dropped. */
export const MAX_ROWS = 2000;
/** Distance from the end, in pixels, within which the list counts as scrolled to its end. */
const NEAR_END_PX = 48;

const LEVELS = ["info", "warn", "error"];

const two = (number) => String(number).padStart(2, "0");

/** Local time, with the date unless it is today's. */
function absolute(time, now) {
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  if (time.toDateString() === new Date(now).toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

function relative(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds - (seconds % 5)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

export class List {
  #log;
  #rows;
  #now;
  #changed;
  #held = [];
  #heldCount = 0;
  #search = "";
  #texts = new WeakMap();
  #times = new Map();
  #queue = [];
  #timer = null;
  #hushed = null;
  paused = false;
  /** Number of alerts added below the visible part while the list is scrolled up. */
  unseen = 0;
  /** Whether no older alerts than that of the first row are stored. */
  complete = false;

  /** `log` scrolls, `rows` contains the rows, `now` is the server's clock, `changed` is called after each change. */
  constructor(log, rows, now, changed) {
    this.#log = log;
    this.#rows = rows;
    this.#now = now;
    this.#changed = changed;
    log.addEventListener("scroll", () => {
      if (this.unseen && this.#atEnd()) {
        this.unseen = 0;
        changed();
      }
    });
    setInterval(() => this.#age(), 5000);
  }

  get size() {
    return this.#times.size;
  }

  get visible() {
    let number = 0;
    for (const row of this.#times.keys()) if (!row.hidden) number += 1;
    return number;
  }

  get held() {
    return this.#heldCount;
  }

  /** The id of the oldest alert in the list, before which history continues. */
  get oldest() {
    return this.#rows.querySelector(".alert")?.dataset.id;
  }

  clear() {
    this.#rows.replaceChildren();
    this.#times.clear();
    this.#queue = [];
    this.#held = [];
    this.#heldCount = 0;
    this.unseen = 0;
    this.complete = false;
    this.#changed();
  }

  add(alert) {
    this.#take({ alert });
  }

  gap(gap) {
    this.#take({ gap });
  }

  #take(item) {
    if (this.paused) {
      this.#held.push(item);
      this.#heldCount += item.alert ? 1 : 0;
      if (this.#held.length > MAX_ROWS) this.#held.shift();
      this.#changed();
      return;
    }
    this.#queue.push(item);
    if (this.#queue.length > MAX_ROWS) this.#queue.shift();
    // Several at a time, so that a replay does not lay out the page for each alert.
    this.#timer ??= setTimeout(() => this.#flush(), 30);
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) {
      this.#queue.push(...this.#held.splice(0));
      this.#heldCount = 0;
      this.#flush();
    }
    this.#changed();
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const items = this.#queue.splice(0);
    if (items.length === 0) return;
    if (items.length > 10) this.#hush();
    const follow = this.#atEnd();
    this.#rows.append(...items.map((item) => (item.alert ? this.#row(item.alert, true) : this.#gap(item.gap))));
    this.#trim();
    if (follow) this.toEnd();
    else this.unseen += items.filter((item) => item.alert).length;
    this.#changed();
  }

  /** Inserts a page of history at the top, without moving the visible rows. */
  prepend(alerts) {
    const [first, before] = [this.#rows.firstElementChild, this.#log.scrollHeight];
    this.#hush();
    this.#rows.prepend(...alerts.map((alert) => this.#row(alert, false)));
    if (first) this.#log.scrollTop += this.#log.scrollHeight - before;
    else this.toEnd();
    this.#changed();
  }

  /** Keeps screen readers from announcing history and large batches. */
  #hush() {
    this.#log.setAttribute("aria-live", "off");
    clearTimeout(this.#hushed);
    this.#hushed = setTimeout(() => this.#log.setAttribute("aria-live", "polite"), 300);
  }

  #trim() {
    const before = this.#log.scrollHeight;
    while (this.#rows.childElementCount > MAX_ROWS) {
      this.#times.delete(this.#rows.firstElementChild);
      this.#rows.firstElementChild.remove();
      this.complete = false;
    }
    const gone = before - this.#log.scrollHeight;
    if (gone > 0) this.#log.scrollTop -= gone;
  }

  #row(alert, fresh) {
    const level = LEVELS.includes(alert.level) ? alert.level : "info";
    const row = element("li", { class: `row alert ${level}${fresh ? " fresh" : ""}` });
    row.dataset.id = alert.id;
    row.tabIndex = -1;
    const badge = element("span", { class: "level" });
    badge.append(element("span", { class: "shape" }), element("span", {}, level));
    badge.firstElementChild.setAttribute("aria-hidden", "true");
    const received = new Date(alert.received_at);
    const time = element("time", { class: "time" });
    time.dateTime = alert.received_at;
    time.title = `${received.toString()}\n${alert.received_at}`;
    time.append(element("span", { class: "absolute" }), element("span", { class: "relative" }));
    const content = element("div", { class: "content" });
    const message = element("p", { class: "message" }, alert.message);
    message.dir = "auto";
    content.append(message);
    const entries = Object.entries(alert.metadata ?? {});
    if (entries.length) {
      const list = element("dl", { class: "metadata" });
      for (const [name, value] of entries) {
        const pair = element("div");
        pair.append(element("dt", {}, name), element("dd", {}, shown(value)));
        list.append(pair);
      }
      content.append(list);
    }
    row.append(badge, time, element("span", { class: "topic" }, alert.topic), content);
    const words = [alert.topic, level, alert.message, ...entries.flatMap(([name, value]) => [name, shown(value)])];
    this.#texts.set(row, words.join("\n").toLowerCase());
    this.#times.set(row, received);
    this.#tell(row, received, this.#now());
    row.hidden = !this.#matches(row);
    return row;
  }

  #gap(gap) {
    const oldest = gap.oldest ? ` The oldest stored alert is ${gap.oldest}.` : "";
    const text = `Gap: alerts after ${gap.requested} may be missing here, because they are no longer stored.${oldest}`;
    return this.notice(text, "gap");
  }

  /** A row that is not an alert. */
  notice(text, className) {
    const row = element("li", { class: `row notice ${className}` });
    row.tabIndex = -1;
    row.append(element("span", { class: "shape" }), element("p", {}, text));
    row.firstElementChild.setAttribute("aria-hidden", "true");
    return row;
  }

  #tell(row, received, now) {
    const [first, second] = row.querySelector("time").children;
    const texts = [absolute(received, now), relative(now - received)];
    if (first.textContent !== texts[0]) first.textContent = texts[0];
    if (second.textContent !== texts[1]) second.textContent = texts[1];
  }

  #age() {
    const now = this.#now();
    for (const [row, received] of this.#times) this.#tell(row, received, now);
  }

  #matches(row) {
    return this.#search === "" || (this.#texts.get(row) ?? "").includes(this.#search);
  }

  search(text) {
    this.#search = text.trim().toLowerCase();
    for (const row of this.#times.keys()) row.hidden = !this.#matches(row);
    this.toEnd();
    this.#changed();
  }

  #atEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END_PX;
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.unseen = 0;
  }

  /** Moves the selection by `step` rows. Without a selection it begins at the end. */
  select(step) {
    const rows = [...this.#rows.children].filter((row) => !row.hidden);
    const at = rows.indexOf(document.activeElement);
    const next = at < 0 ? rows.length - 1 : Math.min(rows.length - 1, Math.max(0, at + step));
    rows[next]?.focus({ preventScroll: true });
    rows[next]?.scrollIntoView({ block: "nearest" });
  }
}
