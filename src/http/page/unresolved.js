// The board of unresolved incidents: how many there are, and the worst of them, with buttons for those who may act. Used by
// main.js.

import { Act } from "./act.js";
import { compare, keyOf } from "./incident.js";
import { IncidentRow } from "./incidentrow.js";
import { Incidents } from "./incidents.js";
import { hasScope } from "./scopes.js";

/** Incidents that are shown, and those on a wall, where nobody scrolls. */
const SHOWN = 30;
const SHOWN_ON_WALL = 5;
/** Time between a change and its display, so that a storm of changes is displayed once; and between updates of ages. */
const DELAY_MS = 50;
const AGE_MS = 5000;

const $ = (id) => document.getElementById(id);

/** How many incidents there are, in words. */
function summary(all, isMore, where) {
  const acknowledged = all.filter(({ state }) => state === "acknowledged").length;
  const open = all.length - acknowledged;
  if (all.length === 0) return `no unresolved incidents${where}`;
  const be = (number) => `${number}${isMore ? "+" : ""} ${number === 1 ? "incident is" : "incidents are"}`;
  if (open === 0) return `${be(acknowledged)} acknowledged${where}`;
  return `${be(open)} open${acknowledged > 0 ? `, ${acknowledged} acknowledged` : ""}${where}`;
}

/** A transition as a sentence. */
function sentence({ topic, incident, state, by }) {
  const what = state === "open" ? "reopened" : state;
  return `${incident} on ${topic} ${what}${by === null ? " because its time to live passed" : ` by ${by}`}.`;
}

export class Unresolved {
  #now;
  #wall;
  #href;
  #key = "";
  /** Whether the key may act; null while that is not known. */
  #mayAct = null;
  #isAsking = false;
  #api = null;
  #filter = null;
  #incidents = null;
  #rows = new Map();
  #timer = null;
  /** Transitions that were not announced yet: how many, and the last one in words. */
  #transitions = 0;
  #last = "";
  #act = new Act((incident) => this.#closed(incident));

  /** `now` is the server's clock, `wall` tells whether the page is on a wall, `href` gives the address of an alert. */
  constructor(now, wall, href) {
    this.#now = now;
    this.#wall = wall;
    this.#href = href;
    $("incident-rows").addEventListener("click", ({ target }) => {
      const action = target.closest("[data-action]")?.dataset.action;
      if (action) this.#act.open(this.#rows.get(target.closest(".incident").dataset.key).incident, action);
    });
    setInterval(() => this.show(), AGE_MS);
  }

  /** For another subscription. */
  begin(api, key, filter) {
    this.end();
    // A key covers the same topics for each of its scopes.
    if (key !== this.#key) this.#mayAct = null;
    this.#key = key;
    this.#api = this.#act.api = api;
    this.#filter = filter;
    this.#incidents = new Incidents(api, filter, () => this.#changed());
  }

  end() {
    this.#incidents?.stop();
    this.#incidents = null;
    this.#transitions = 0;
    $("act").close();
    this.show();
  }

  /** Takes the name of the stream's state. */
  connection(name) {
    this.#incidents?.connection(name);
  }

  /** The stream left something out. */
  gap() {
    this.#incidents.load();
  }

  alert(alert) {
    this.#incidents.alert(alert);
  }

  retract(retraction) {
    this.#incidents.retract(retraction);
  }

  transition(transition) {
    this.#transitions += this.#incidents.isCurrent ? 1 : 0;
    this.#last = sentence(transition);
    this.#incidents.transition(transition);
  }

  /** Whether nobody needs to be called for an alert: somebody takes care of its incident, or it is over. */
  isQuiet(alert) {
    if (!alert.occurrence) return false;
    return alert.status === "resolved" || this.#incidents?.get(keyOf(alert))?.state === "acknowledged";
  }

  #changed() {
    this.#timer ??= setTimeout(() => this.show(), DELAY_MS);
  }

  show() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const incidents = this.#incidents;
    $("incidents").hidden = !incidents?.isKnown;
    const all = incidents?.isKnown ? incidents.all.sort(compare) : [];
    const shown = all.slice(0, this.#wall.isOn ? SHOWN_ON_WALL : SHOWN);
    this.#place(shown);
    if (!incidents?.isKnown) return;
    const words = summary(all, incidents.isMore, this.#filter.topics.includes("*") ? "" : " on these topics");
    const isGood = all.length === 0 && incidents.isCurrent;
    const told = incidents.isCurrent ? words : `Last known: ${words}`;
    $("incidents").dataset.health = isGood ? "good" : "other";
    $("incidents-title").textContent = isGood ? `All is well: ${words}` : told;
    const more = all.length - shown.length;
    $("incidents-more").textContent = more > 0 ? `and ${more}${incidents.isMore ? "+" : ""} more` : "";
    this.#announce(words);
    if (shown.length > 0 && !this.#wall.isOn) this.#ask();
  }

  /** Puts the rows of these incidents in their places. The focus stays where it is, or as near as possible. */
  #place(shown) {
    const place = $("incident-rows");
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    const index = [...place.children].indexOf(focused?.closest(".incident"));
    const rows = new Map(shown.map((incident) => [keyOf(incident), this.#rows.get(keyOf(incident)) ?? new IncidentRow()]));
    for (const [key, row] of this.#rows) if (!rows.has(key)) row.element.remove();
    this.#rows = rows;
    shown.forEach((incident, at) => {
      const row = rows.get(keyOf(incident));
      row.show(incident, { href: this.#href(incident.alert), mayAct: this.#mayAct, now: this.#now() });
      if (place.children[at] !== row.element) place.insertBefore(row.element, place.children[at] ?? null);
    });
    if (focused) this.#focus(focused, index);
  }

  #focus(focused, index) {
    if (focused.checkVisibility()) focused.focus({ preventScroll: true });
    else this.#focusRow(focused.closest(".incident"), index);
  }

  #focusRow(item, index) {
    const place = $("incident-rows");
    const next = item?.isConnected ? item : place.children[Math.min(index, place.childElementCount - 1)];
    if (next) this.#rows.get(next.dataset.key).focus();
    else $("incidents-title").focus({ preventScroll: true });
  }

  /** The browser gives the focus back to the button that opened the dialog, unless it is gone. */
  #closed(incident) {
    if (!$("incident-rows").contains(document.activeElement)) this.#focusRow(this.#rows.get(keyOf(incident))?.element, 0);
  }

  #announce(words) {
    if (this.#transitions === 0) return;
    const told = this.#transitions === 1 ? this.#last : `${this.#transitions} changes of incidents.`;
    $("incidents-said").textContent = `${told} Now ${words}.`;
    this.#transitions = 0;
  }

  /** Finds out whether the key may act, once there is something to act on. */
  async #ask() {
    if (this.#mayAct !== null || this.#isAsking) return;
    this.#isAsking = true;
    const key = this.#key;
    try {
      const mayAct = await hasScope(this.#api, "publish");
      if (key === this.#key) this.#mayAct = mayAct;
      this.#changed();
    } catch {
      // Asked again when the ages are shown next.
    } finally {
      this.#isAsking = false;
    }
  }
}
