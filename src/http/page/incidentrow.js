// What the page shows of one incident. Its elements stay the same while the incident changes, so that one of them can keep
// the focus. Used by unresolved.js.

import { LEVELS } from "./address.js";
import { element } from "./element.js";
import { keyOf } from "./incident.js";
import { absolute, relative } from "./time.js";

function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

/** Who takes care of it, and the last note. */
function taken({ state, acknowledged_by, acknowledged_at, note }, now) {
  const who = state === "acknowledged" ? `Acknowledged by ${acknowledged_by}, ${relative(now - Date.parse(acknowledged_at))}` : "";
  return [who, note].filter(Boolean).join(": ");
}

/** The button for an action. */
function button(action, text) {
  return element("button", { type: "button", class: "small", "data-action": action }, text);
}

export class IncidentRow {
  #level = element("span", { class: "level" }, element("span", { class: "shape", "aria-hidden": "true" }), element("span"));
  #time = element("time", {}, element("span", { class: "absolute" }), element("span", { class: "relative" }));
  #link = element("a", { class: "time", title: "Link to the last alert" }, this.#time);
  #topic = element("button", { type: "button", class: "topic" });
  #name = element("p", { class: "name", dir: "auto" });
  #count = element("span", { class: "repeats" });
  #title = element("p", { class: "title", dir: "auto" });
  #message = element("p", { class: "message", dir: "auto" });
  #taken = element("p", { class: "taken", dir: "auto" });
  #actions = element("div", { class: "actions" });
  element = element(
    "li",
    {},
    this.#level,
    this.#link,
    this.#topic,
    element("div", { class: "content" }, this.#count, this.#name, this.#title, this.#message, this.#taken),
    this.#actions,
  );
  incident;

  /** `href` is the address of its last alert. */
  show(incident, { href, mayAct, now }) {
    this.incident = incident;
    const { topic, incident: name, state, level, count, message, title, opened_at, alert } = incident;
    const opened = new Date(opened_at);
    this.element.className = `incident ${LEVELS.includes(level) ? level : "info"} ${state}`;
    this.element.dataset.id = alert ?? "";
    this.element.dataset.key = keyOf(incident);
    say(this.#level.lastElementChild, level);
    if (alert) this.#link.href = href;
    else this.#link.removeAttribute("href");
    this.#time.dateTime = opened_at;
    say(this.#time.firstElementChild, absolute(opened, now));
    say(this.#time.lastElementChild, relative(now - opened));
    say(this.#topic, topic);
    this.#topic.dataset.topic = topic;
    this.#topic.title = `Only the topic ${topic}`;
    say(this.#name, name);
    say(this.#count, count > 1 ? `×${count}` : "");
    say(this.#title, title === message ? "" : title ?? "");
    say(this.#message, message ?? "");
    say(this.#taken, taken(incident, now));
    this.#act(mayAct);
  }

  #act(mayAct) {
    const { topic, incident: name, state } = this.incident;
    if (mayAct && !this.#actions.firstChild) {
      this.#actions.append(button("acknowledge", "Acknowledge"), button("resolve", "Resolve"));
    } else if (!mayAct) this.#actions.replaceChildren();
    for (const made of this.#actions.children) {
      made.setAttribute("aria-label", `${made.textContent} ${name} on ${topic}`);
      made.hidden = state === "acknowledged" && made.dataset.action === "acknowledge";
    }
  }

  /** Where the focus goes when what had it is gone. */
  focus() {
    const next = this.#actions.querySelector("button:not([hidden])") ?? this.#topic;
    next.focus({ preventScroll: true });
  }
}
