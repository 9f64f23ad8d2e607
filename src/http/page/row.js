// A row of the list: an alert, and the equal ones that were folded into it. The content of alerts is inserted as text and
// never parsed as HTML. Used by list.js.

import { element } from "./element.js";
import { LEVELS } from "./address.js";
import { isNewer } from "./filter.js";
import { address, link, linked } from "./links.js";
import { SHOWN_CHARACTERS, SHOWN_PAIRS, cut, pairsOf, tagsOf, titleOf } from "./metadata.js";
import { split } from "./tags.js";
import { absolute, relative } from "./time.js";

/** An equal alert within this time of the last one is folded into its row, in milliseconds. */
const FOLD_MS = 3_600_000;
/** Ids that are kept of the alerts in a row; an alert beyond them counts even after its retraction. */
const MAX_KNOWN = 1000;
/** Longer alerts are not folded, so that comparing them costs nothing. */
const MAX_FOLD_KEY = 8192;

/** Equal for alerts of one epoch that differ only in id and time; "" for those that are not folded. */
export function foldKey({ topic, level, message, metadata }, epoch) {
  const key = JSON.stringify([epoch, topic, level, message, metadata ?? {}]);
  return key.length > MAX_FOLD_KEY ? "" : key;
}

/** A control of a row, which is reached by the keyboard only while its row is selected: a list has thousands of them. */
function control(name, attributes, ...children) {
  return element(name, { tabindex: "-1", ...attributes }, ...children);
}

function value(text, isWhole) {
  const shown = isWhole ? text : cut(text);
  const href = address(text);
  if (href) return link(href, shown);
  const title = isWhole || shown === text ? `Search for ${cut(text)}` : text.slice(0, 1000);
  return control("button", { type: "button", class: "value", "data-search": text.slice(0, SHOWN_CHARACTERS), title }, shown);
}

function list(pairs, isWhole) {
  const made = element("dl", { class: "metadata" });
  for (const [name, text] of pairs) {
    const shown = isWhole ? name : cut(name, 40);
    made.append(element("div", {}, element("dt", { title: name }, shown), element("dd", {}, value(text, isWhole))));
  }
  return made;
}

/** The metadata of an alert: the first pairs, and all of them, whole, behind "more". */
export function metadata(alert) {
  const { pairs, left } = pairsOf(alert);
  if (pairs.length === 0) return [];
  const made = [list(pairs.slice(0, SHOWN_PAIRS), false)];
  const hidden = pairs.length - SHOWN_PAIRS;
  const isCut = pairs.slice(0, SHOWN_PAIRS).some(([name, text]) => cut(text) !== text || cut(name, 40) !== name);
  if (hidden <= 0 && !isCut) return made;
  const words = hidden > 0 ? `${hidden + left} more` : "whole values";
  const more = element("details", { class: "more" }, control("summary", {}, words));
  // Filled when it is opened first: most never are.
  more.addEventListener(
    "toggle",
    () => {
      more.append(list(pairs, true));
      for (const button of more.querySelectorAll("[tabindex]")) button.tabIndex = 0;
      if (left > 0) more.append(element("p", { class: "hint" }, `${left} further values are not shown.`));
    },
    { once: true },
  );
  return [...made, more];
}

/** Title, if there is one, and message, with tags and links. */
export function words(alert) {
  const [title, { emoji, words: tags }] = [titleOf(alert), split(tagsOf(alert))];
  const signs = emoji.map(([sign, tag]) => element("span", { role: "img", "aria-label": tag, title: tag }, sign));
  const made = [];
  if (title) made.push(element("p", { class: "title", dir: "auto" }, ...linked(title)));
  made.push(element("p", { class: "message", dir: "auto" }, ...linked(alert.message)));
  if (signs.length > 0) {
    const place = element("span", { class: "signs" }, ...signs);
    if (title) made[0].prepend(place, " ");
    else made.unshift(place);
  }
  if (tags.length > 0) {
    const button = (tag) => control("button", { type: "button", class: "tag", "data-search": tag, title: `Search for ${tag}` }, tag);
    made.push(element("p", { class: "tags" }, ...tags.map(button)));
  }
  return made;
}

export function badge(level, attributes = {}) {
  const shape = element("span", { class: "shape", "aria-hidden": "true" });
  return control("button", { type: "button", class: "level", ...attributes }, shape, element("span", {}, level));
}

export class Row {
  #href;
  #time;
  #repeats = null;
  #text;
  /** The newest of the alerts. */
  alert;
  count = 1;
  /** The times of the alerts in it, by their ids. */
  #received = new Map();
  key;
  /** Counts gaps: alerts on different sides of one are not folded. */
  epoch;
  firstId;
  element;
  #first;
  #last;

  /** `href` gives the address of an alert, by its id. */
  constructor(alert, epoch, now, href) {
    this.alert = alert;
    this.epoch = epoch;
    this.key = foldKey(alert, epoch);
    this.firstId = alert.id;
    this.#received.set(alert.id, alert.received_at);
    this.#href = href;
    this.#first = this.#last = new Date(alert.received_at);
    const level = LEVELS.includes(alert.level) ? alert.level : "info";
    const time = element("time", {}, element("span", { class: "absolute" }), element("span", { class: "relative" }));
    this.#time = control("a", { class: "time" }, time);
    const topic = { type: "button", class: "topic", "data-topic": alert.topic, title: `Only the topic ${alert.topic}` };
    this.element = element(
      "li",
      { class: `row alert ${level}`, ".tabIndex": -1 },
      badge(level, { "data-level": level, title: level === "error" ? "Only errors" : `Level ${level} and above` }),
      this.#time,
      control("button", topic, alert.topic),
      element("div", { class: "content" }, ...words(alert), ...metadata(alert)),
    );
    for (const anchor of this.element.querySelectorAll("a")) anchor.tabIndex = -1;
    const { pairs } = pairsOf(alert);
    const all = [alert.topic, level, titleOf(alert), alert.message, ...tagsOf(alert), ...pairs.flat()];
    this.#text = all.join("\n").toLowerCase();
    this.#stamp(now);
  }

  get id() {
    return this.alert.id;
  }

  matches(search) {
    return this.#text.includes(search);
  }

  /** Folds a newer alert into this row, if it comes soon enough after the last one. */
  takeNewer(alert, now) {
    const received = new Date(alert.received_at);
    if (received - this.#last > FOLD_MS) return false;
    this.alert = alert;
    this.#last = received;
    this.#fold(alert, now);
    return true;
  }

  /** The same for an older one. One that was counted before is not counted again. */
  takeOlder(alert, now) {
    if (!isNewer(this.firstId, alert.id)) return true;
    const received = new Date(alert.received_at);
    if (this.#first - received > FOLD_MS) return false;
    this.firstId = alert.id;
    this.#first = received;
    this.#fold(alert, now);
    return true;
  }

  /** Takes an alert out of this row. Returns false if the row does not have it. */
  remove(id, now) {
    if (!this.#received.delete(id)) return false;
    this.count -= 1;
    const left = [...this.#received.keys()].sort((one, other) => (isNewer(one, other) ? 1 : -1));
    const [oldest, newest] = [left[0], left.at(-1)];
    if (id === this.alert.id && newest) {
      const received_at = this.#received.get(newest);
      this.alert = { ...this.alert, id: newest, received_at };
      this.#last = new Date(received_at);
    }
    if (id === this.firstId && oldest) {
      this.firstId = oldest;
      this.#first = new Date(this.#received.get(oldest));
    }
    if (this.count === 1 && this.#repeats) {
      this.#repeats.remove();
      this.#repeats = null;
    }
    if (this.count > 0) this.#stamp(now);
    return true;
  }

  #fold({ id, received_at }, now) {
    this.count += 1;
    if (this.#received.size < MAX_KNOWN) this.#received.set(id, received_at);
    if (!this.#repeats) {
      this.#repeats = element("p", { class: "repeats" });
      this.element.querySelector(".content").prepend(this.#repeats);
    }
    this.#stamp(now);
  }

  #stamp(now) {
    this.element.dataset.id = this.id;
    this.#time.href = this.#href(this.id);
    this.#time.title = `${this.#last.toString()}\n${this.alert.received_at}\nLink to this alert`;
    this.#time.firstElementChild.dateTime = this.alert.received_at;
    this.tell(now);
  }

  /** Brings the shown times up to date. */
  tell(now) {
    const [first, second] = this.#time.firstElementChild.children;
    const texts = [absolute(this.#last, now), relative(now - this.#last)];
    if (first.textContent !== texts[0]) first.textContent = texts[0];
    if (second.textContent !== texts[1]) second.textContent = texts[1];
    if (!this.#repeats) return;
    const [begin, end] = [absolute(this.#first, now), absolute(this.#last, now)];
    const repeats = `×${this.count} ${begin === end ? `at ${begin}` : `from ${begin} to ${end}`}`;
    if (this.#repeats.textContent !== repeats) this.#repeats.textContent = repeats;
  }
}
