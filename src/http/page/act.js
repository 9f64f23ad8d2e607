// The dialog in which an incident is acknowledged or resolved, with a note for others. Used by unresolved.js.

import { complain } from "./signin.js";

const $ = (id) => document.getElementById(id);

const WORDS = {
  acknowledge: { title: "Acknowledge", hint: "Everybody sees that you take care of it, and its alerts no longer sound or notify." },
  resolve: { title: "Resolve", hint: "Everybody sees that it is over. The next warning or error of it opens it anew." },
};

export class Act {
  #incident = null;
  #action = "";
  /** The requests with the current key. */
  api = null;

  /** `closed` is called with the incident after the dialog was closed. */
  constructor(closed) {
    $("act").addEventListener("close", () => closed(this.#incident));
    $("act-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  open(incident, action) {
    const { title, hint } = WORDS[action];
    [this.#incident, this.#action] = [incident, action];
    $("act-title").textContent = `${title} an incident`;
    $("act-incident").textContent = `${incident.incident} on ${incident.topic}`;
    $("act-hint").textContent = hint;
    $("act-do").textContent = title;
    $("act-note").value = "";
    complain("act-error", "");
    $("act").showModal();
  }

  async #send() {
    const incident = this.#incident;
    complain("act-error", "");
    try {
      await this.api.act(incident, this.#action, $("act-note").value.trim());
      if (incident === this.#incident) $("act").close();
    } catch (problem) {
      const unknown = "It may or may not be done; doing it again does no harm";
      const word = problem.status === 403 ? "Not permitted" : "Not done";
      complain("act-error", `${problem.isTransient && problem.status !== 429 ? unknown : word}: ${problem.message}`);
    }
  }
}
