// The list of alerts: rows in order, with a limit, a search, a pause, and equal alerts folded. Used by main.js.

import { element } from "./element.js";
import { isNewer } from "./filter.js";
import { Folds } from "./folds.js";
import { Row } from "./row.js";
import { absolute, timeOf } from "./time.js";
import { Viewport } from "./viewport.js";
import { Waiting } from "./waiting.js";

/** Maximum number of rows in the list, and of alerts that wait for it; beyond it the oldest are dropped. */
export const MAX_ROWS = 2000;
/** Time for new rows in one step, in milliseconds, and for a page that nobody looks at; and how many come at least. */
const BUDGET_MS = 8;
const HIDDEN_BUDGET_MS = 100;
const MIN_STEP = 50;
/** Time between two batches of new rows, in milliseconds. */
const PAUSE_MS = 24;
/** In larger batches, rows neither fade in nor are they read out one by one. */
const LARGE_BATCH = 10;

export class List {
  #log;
  #rows;
  #now;
  #href;
  #changed;
  #viewport;
  /** The row of each element. */
  #of = new Map();
  #folds = new Folds();
  #epoch = 0;
  #search = "";
  #waiting = new Waiting(MAX_ROWS);
  #timer = null;
  #hushed = null;
  #divider = element("li", { class: "row divider" }, "New since you looked");
  #seen = "";
  #isAway = false;
  /** Number of alerts added out of sight while the list is scrolled away from the newest. */
  unseen = 0;
  /** Whether no older alerts than that of the oldest row are stored. */
  complete = false;
  /** The oldest and newest id in the list: history continues before the one, and the other was seen last. */
  oldest = "";
  newest = "";

  /**
   * `log` scrolls, `rows` contains the rows, `now` is the server's clock, `href` gives the address of an alert, and
   * `changed` is called after each change.
   */
  constructor(log, rows, now, href, changed) {
    this.#log = log;
    this.#rows = rows;
    this.#now = now;
    this.#href = href;
    this.#changed = changed;
    this.#viewport = new Viewport(log, rows, () => {
      this.unseen = 0;
      changed();
    });
    setInterval(() => this.#age(), 5000);
    log.addEventListener("focusin", ({ target }) => this.#select(target.closest(".row")));
  }

  /** Alerts in the list, and those of them that match the search. */
  get size() {
    return this.#count(() => true);
  }

  get visible() {
    return this.#count((row) => !row.element.hidden);
  }

  get isFull() {
    return this.#of.size >= MAX_ROWS;
  }

  get isSettled() {
    return this.#waiting.queue.length === 0;
  }

  /** Whether new alerts are held, and how many are. */
  get paused() {
    return this.#waiting.paused;
  }

  get held() {
    return this.#waiting.held;
  }

  #count(counts) {
    let number = 0;
    for (const row of this.#of.values()) if (counts(row)) number += row.count;
    return number;
  }

  clear() {
    this.#empty();
    this.#waiting.clear();
    this.unseen = 0;
    this.#seen = this.newest = "";
    this.#viewport.isFollowing = true;
    this.#changed();
  }

  #empty() {
    this.#rows.replaceChildren();
    this.#of.clear();
    this.#folds.clear();
    this.oldest = "";
    this.complete = false;
  }

  add(alert) {
    this.#take({ alert, isAway: this.#isAway });
  }

  gap(gap) {
    this.#take({ gap });
  }

  #take(item) {
    this.#waiting.add(item);
    if (this.paused) this.#changed();
    else this.#timer ??= setTimeout(() => this.#flush(), PAUSE_MS);
  }

  /** An alert was taken back: nothing of it stays, whether it is shown or waits to be. */
  retract(id) {
    this.#waiting.retract(id);
    const row = [...this.#of.values()].find((one) => one.remove(id, this.#now()));
    if (row?.count === 0) this.#viewport.change(() => this.#drop(row));
    this.#changed();
  }

  pause(paused) {
    this.#waiting.pause(paused);
    if (!paused) this.#flush();
    this.#changed();
  }

  /** Takes what came, as much as fits into a frame, and the rest later. */
  #flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const { queue } = this.#waiting;
    if (queue.length === 0) return;
    if (this.#waiting.uncut()) this.#empty();
    const isLarge = queue.length > LARGE_BATCH;
    if (isLarge) this.#hush();
    const end = performance.now() + (document.hidden ? HIDDEN_BUDGET_MS : BUDGET_MS);
    this.#viewport.change(() => {
      let done = 0;
      while (done < queue.length && (done < MIN_STEP || performance.now() < end)) this.#arrive(queue[done++], isLarge);
      queue.splice(0, done);
      this.#trim();
    });
    if (queue.length > 0) this.#timer = setTimeout(() => this.#flush(), PAUSE_MS);
    this.#changed();
  }

  #arrive({ alert, gap, isAway }, isLarge) {
    if (gap) {
      this.#epoch += 1;
      this.#put(this.#gap(gap));
      return;
    }
    if (isAway && !this.#divider.isConnected && this.#of.size > 0) this.#put(this.#divider);
    this.newest = alert.id;
    this.oldest ||= alert.id;
    if (!this.#viewport.isFollowing) this.unseen += 1;
    const same = this.#folds.takeNewer(alert, this.#epoch, this.#now());
    if (same) {
      if (same.element !== this.#newestElement) this.#move(same.element);
      return;
    }
    const row = this.#row(alert, this.#epoch, true);
    if (!isLarge) row.element.classList.add("fresh");
    this.#put(row.element);
  }

  get #newestElement() {
    return this.newestFirst ? this.#rows.firstElementChild : this.#rows.lastElementChild;
  }

  get #oldestElement() {
    return this.newestFirst ? this.#rows.lastElementChild : this.#rows.firstElementChild;
  }

  get #oldestRow() {
    let at = this.#oldestElement;
    while (at && !this.#of.has(at)) at = this.newestFirst ? at.previousElementSibling : at.nextElementSibling;
    return this.#of.get(at);
  }

  #put(made) {
    if (this.newestFirst) this.#rows.prepend(made);
    else this.#rows.append(made);
  }

  #putOldest(made) {
    if (this.newestFirst) this.#rows.append(made);
    else this.#rows.prepend(made);
  }

  /** To the newest end; the selection stays in the row. */
  #move(moved) {
    const selected = moved.contains(document.activeElement) ? document.activeElement : null;
    this.#put(moved);
    selected?.focus({ preventScroll: true });
  }

  #row(alert, epoch, isNew) {
    const row = new Row(alert, epoch, this.#now(), this.#href);
    row.element.hidden = !this.#matches(row);
    this.#of.set(row.element, row);
    this.#folds.enter(row, isNew);
    return row;
  }

  /** Inserts a page of history, oldest first, at the old end, without moving the visible rows. */
  prepend(alerts) {
    this.#hush();
    this.newest ||= alerts.at(-1)?.id ?? "";
    this.#viewport.change(() => {
      for (const alert of alerts.toReversed()) {
        if (this.#waiting.isRetracted(alert.id)) continue;
        const last = this.#oldestRow;
        const isBoundary = this.#seen && last && isNewer(last.id, this.#seen) && !isNewer(alert.id, this.#seen);
        if (isBoundary && !this.#divider.isConnected) this.#putOldest(this.#divider);
        const epoch = last?.epoch ?? this.#epoch;
        if (this.#folds.takeOlder(alert, epoch, this.#now())) continue;
        this.#putOldest(this.#row(alert, epoch, false).element);
      }
    });
    this.oldest = alerts[0]?.id ?? this.oldest;
    this.#changed();
  }

  /** Keeps screen readers from announcing history and large batches. */
  #hush() {
    this.#log.setAttribute("aria-live", "off");
    clearTimeout(this.#hushed);
    this.#hushed = setTimeout(() => this.#log.setAttribute("aria-live", "polite"), 300);
  }

  #trim() {
    while (this.#rows.childElementCount > MAX_ROWS) {
      const gone = this.#oldestElement;
      const row = this.#of.get(gone);
      if (row) this.#drop(row);
      else gone.remove();
      this.complete = false;
      this.oldest = this.#oldestRow?.id ?? "";
    }
  }

  #drop(row) {
    this.#folds.leave(row);
    this.#of.delete(row.element);
    row.element.remove();
  }

  #gap({ requested, oldest }) {
    const told = (time) => absolute(time, this.#now());
    const [from, to] = [timeOf(requested), timeOf(oldest)];
    let where = "Alerts";
    if (from && to && from < to) where = `Alerts from ${told(from)} to ${told(to)}`;
    else if (from) where = `Alerts since ${told(from)}`;
    else if (to) where = `Alerts before ${told(to)}`;
    return this.#notice(`Gap: ${where} may be missing here, because they are no longer stored.`, "gap");
  }

  /** A row that is not an alert. */
  #notice(text, className) {
    const shape = element("span", { class: "shape", "aria-hidden": "true" });
    return element("li", { class: `row notice ${className}`, ".tabIndex": -1 }, shape, element("p", {}, text));
  }

  #age() {
    const now = this.#now();
    for (const row of this.#of.values()) row.tell(now);
  }

  #matches(row) {
    return this.#search === "" || row.matches(this.#search);
  }

  search(text) {
    this.#search = text.trim().toLowerCase();
    this.#viewport.change(() => {
      for (const row of this.#of.values()) row.element.hidden = !this.#matches(row);
    });
    this.toNewest();
    this.#changed();
  }

  /** What comes from now on is new to the user, who has seen all up to this id. */
  leave(seen = this.newest) {
    this.#seen = seen;
    this.#isAway = true;
    this.#viewport.change(() => this.#divider.remove());
  }

  /** The user looks again. */
  look(seen = this.#seen) {
    this.#seen = seen;
    this.#isAway = false;
  }

  get newestFirst() {
    return this.#viewport.newestFirst;
  }

  set newestFirst(newestFirst) {
    if (newestFirst === this.newestFirst) return;
    this.#viewport.newestFirst = newestFirst;
    this.#rows.replaceChildren(...[...this.#rows.children].reverse());
    this.toNewest();
    this.#changed();
  }

  toNewest() {
    this.#viewport.toNewest();
    this.unseen = 0;
  }

  /** Moves the selection by `step` rows. Without a selection it begins at the newest. */
  select(step) {
    const rows = [...this.#rows.children].filter((row) => !row.hidden && row !== this.#divider);
    const at = rows.indexOf(document.activeElement?.closest("#rows > .row"));
    const newest = this.newestFirst ? 0 : rows.length - 1;
    const next = rows[at < 0 ? newest : Math.min(rows.length - 1, Math.max(0, at + step))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  }

  /** Only the controls of the selected row are reached by the Tab key. */
  #select(selected) {
    for (const control of this.#rows.querySelectorAll("[data-reached]")) {
      control.tabIndex = -1;
      delete control.dataset.reached;
    }
    for (const control of selected?.querySelectorAll("[tabindex]") ?? []) {
      control.tabIndex = 0;
      control.dataset.reached = "";
    }
  }
}
