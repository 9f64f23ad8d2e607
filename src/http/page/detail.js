// The dialog with one alert, whole: what the link of an alert leads to, also long after the list has dropped it. Whoever may
// publish can take an alert back here. Used by main.js.

import { element } from "./element.js";
import { link, address } from "./links.js";
import { pairsOf } from "./metadata.js";
import { words, badge } from "./row.js";
import { hasScope } from "./scopes.js";

const $ = (id) => document.getElementById(id);

const RETRACT = "Retract";
const CONFIRM = "Retract it for everybody";

/** All metadata, as a list of names and texts. */
function everything(alert) {
  const { pairs, left } = pairsOf(alert);
  const made = element("dl", { class: "metadata whole" });
  for (const [name, text] of pairs) {
    const href = address(text);
    made.append(element("div", {}, element("dt", {}, name), element("dd", {}, href ? link(href, text) : text)));
  }
  if (pairs.length === 0) return [];
  return left > 0 ? [made, element("p", { class: "hint" }, `${left} further values are not shown.`)] : [made];
}

export class Detail {
  #shown = "";
  #abort = null;
  #api = null;
  /** What is shown; null if there is nothing to take back. */
  #alert = null;

  /** `closed` is called when the user closes the dialog. */
  constructor(closed) {
    $("detail").addEventListener("close", () => {
      this.#abort?.abort();
      this.#shown = "";
      closed();
    });
    $("detail-copy").addEventListener("click", () => this.#copy());
    $("detail-retract").addEventListener("click", () => this.#retract());
  }

  /** Shows the alert with this id, or closes the dialog if there is none. */
  async show(api, filter, id) {
    if (id === this.#shown) return;
    this.#abort?.abort();
    if (!id) {
      $("detail").close();
      return;
    }
    this.#shown = id;
    this.#api = api;
    this.#offer(null);
    const { signal } = (this.#abort = new AbortController());
    $("detail-body").replaceChildren(element("p", { class: "hint" }, "Loading…"));
    $("detail-done").textContent = "";
    if (!$("detail").open) $("detail").showModal();
    let parts;
    try {
      const alert = await api.one(filter, id, signal);
      if (alert && !signal.aborted) this.#offer(alert);
      parts = alert ? this.#parts(alert) : [element("p", {}, `No alert ${id} is stored on ${filter.topics.join(", ")}.`)];
    } catch (problem) {
      parts = [element("p", { class: "error" }, `Cannot load the alert: ${problem.message}.`)];
    }
    if (!signal.aborted) $("detail-body").replaceChildren(...parts);
  }

  #parts(alert) {
    const level = element("p", { class: alert.level }, badge(alert.level, { disabled: true }), " ", element("code", {}, alert.topic));
    const time = element("time", { datetime: alert.received_at }, new Date(alert.received_at).toString());
    const id = element("p", { class: "hint" }, time, element("br"), `id ${alert.id}`);
    return [level, ...words(alert), ...everything(alert), id];
  }

  /** Shows the button for an alert if the key may use it; the server knows whose alert it is. */
  async #offer(alert) {
    this.#alert = alert;
    const button = $("detail-retract");
    button.hidden = true;
    button.textContent = RETRACT;
    if (!alert) return;
    try {
      const api = this.#api;
      const may = (await hasScope(api, "publish")) || (await hasScope(api, "admin"));
      if (alert === this.#alert) button.hidden = !may;
    } catch {
      // Without an answer there is no button; it comes when the alert is opened again.
    }
  }

  async #retract() {
    const [alert, button, done] = [this.#alert, $("detail-retract"), $("detail-done")];
    if (button.textContent === RETRACT) {
      // Nobody can undo it, so that one click is not enough.
      button.textContent = CONFIRM;
      done.textContent = "Its text will be removed from the server; whoever has received it still has it.";
      return;
    }
    try {
      await this.#api.retract(alert);
      this.retract(alert.id);
    } catch (problem) {
      if (alert !== this.#alert) return;
      button.textContent = RETRACT;
      done.textContent = `${problem.status === 403 ? "Not permitted" : "Not retracted"}: ${problem.message}.`;
    }
  }

  /** An alert was taken back. */
  retract(id) {
    if (id !== this.#shown) return;
    this.#abort.abort();
    this.#offer(null);
    $("detail-body").replaceChildren(element("p", {}, "This alert was retracted."));
    $("detail-done").textContent = "";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      $("detail-done").textContent = "Copied.";
    } catch {
      $("detail-done").textContent = "Not copied: copy the address of this page.";
    }
  }
}
