// The dialog that publishes a test alert. Used by main.js.

import { TOPIC_PATTERN } from "./topic.js";
import { complain } from "./signin.js";

const $ = (id) => document.getElementById(id);

export class TestAlert {
  #api;
  /** Kept until the alert is stored, so that a retry does not store it twice. */
  #idempotencyKey = "";

  /** `api` gives the requests with the current key. */
  constructor(api) {
    this.#api = api;
    for (const id of ["test-topic", "test-level", "test-message"]) {
      $(id).addEventListener("input", () => (this.#idempotencyKey = ""));
    }
    $("test-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
  }

  open({ topics }) {
    const exact = topics.find((topic) => !topic.includes("*"));
    const below = topics.find((topic) => topic.endsWith(".*"));
    $("test-topic").value = exact ?? below?.replace(/\*$/, "test") ?? "default";
    $("test-done").textContent = "";
    complain("test-error", "");
    $("test").showModal();
  }

  async #publish() {
    const topic = $("test-topic").value.trim();
    $("test-done").textContent = "";
    complain("test-error", "");
    if (!TOPIC_PATTERN.test(topic) || topic.includes("*")) {
      complain("test-error", `"${topic}" is not a topic: a topic is like ops.db`);
      return;
    }
    this.#idempotencyKey ||= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("-");
    try {
      const alert = { message: $("test-message").value, level: $("test-level").value };
      const { id } = await this.#api().publish(topic, alert, this.#idempotencyKey);
      this.#idempotencyKey = "";
      $("test-done").textContent = `Stored as ${id}.`;
    } catch (problem) {
      const word = problem.status === 403 ? "Not permitted" : "Not stored";
      const unknown = "The alert may or may not be stored; publish again, and it is stored only once";
      complain("test-error", `${problem.isTransient && problem.status !== 429 ? unknown : word}: ${problem.message}`);
    }
  }
}
