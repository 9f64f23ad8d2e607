// Requests to alertd with one key, and their errors. Used by the stream, the history, the incidents and the test alert.

/** Time limit for a page of incidents, in milliseconds: until it is there, what the stream says of them is held. */
const LOAD_TIMEOUT_MS = 20_000;

/**
 * Why a request failed; `status` is 0 if there was no answer. `hint` is shown to the user during the next pause. `topics` are
 * those of a key that does not cover the wanted ones.
 */
export class Problem extends Error {
  constructor(status, detail, retryAfter, hint, topics = []) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
    this.hint = hint;
    this.topics = topics;
  }

  /** Whether the same request may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** The query parameters for topic patterns and the lowest level. */
export function query({ topics, level }, more = {}) {
  const parameters = new URLSearchParams(topics.map((topic) => ["topic", topic]));
  parameters.set("level", level);
  for (const [name, value] of Object.entries(more)) parameters.set(name, value);
  return parameters;
}

export class Api {
  #key;
  #base;
  /** The server's clock minus that of the browser, in milliseconds: ages are by the server's clock, like the alerts' times. */
  skew = 0;

  /** `base` is the address of the page; within the page it is empty. */
  constructor(key, base = "") {
    this.#key = key;
    this.#base = base;
  }

  now() {
    return Date.now() + this.skew;
  }

  /** Returns a successful answer, or throws. Paths are relative to the page, which a proxy may serve below another path. */
  async send(path, { headers = {}, ...options } = {}) {
    let answer;
    try {
      answer = await fetch(this.#base + path, {
        cache: "no-store",
        redirect: "error",
        ...options,
        headers: { ...headers, Authorization: `Bearer ${this.#key}` },
      });
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Problem(0, `the server cannot be reached (${error.message})`);
    }
    const date = Date.parse(answer.headers.get("Date") ?? "");
    // The header has whole seconds, so a small difference is not skew.
    if (Number.isFinite(date)) this.skew = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
    if (answer.ok) return answer;
    let [detail, topics] = [`the server answered ${answer.status}`, []];
    try {
      const problem = await answer.json();
      if (typeof problem.detail === "string") detail = problem.detail;
      if (Array.isArray(problem.topics)) topics = problem.topics.map(String);
    } catch {
      // The answer of a proxy has no problem document.
    }
    throw new Problem(answer.status, detail, Number(answer.headers.get("Retry-After")) || 0, undefined, topics);
  }

  /** A page of history, oldest first, with the query's other parameters in `more`. */
  async page(filter, more, signal) {
    const answer = await this.send(`alerts?${query(filter, more)}`, { headers: { Accept: "application/json" }, signal });
    return answer.json();
  }

  /** The newest alerts, or those right before an id. */
  history(filter, before, signal) {
    return this.page(filter, before ? { limit: 100, before } : { limit: 100 }, signal);
  }

  /** The alert with an id, or null. */
  async one({ topics }, id, signal) {
    const [ms, sequence] = id.split("-");
    const page = await this.page({ topics, level: "info" }, { limit: 1, before: `${ms}-${BigInt(sequence) + 1n}` }, signal);
    return page.alerts.find((alert) => alert.id === id) ?? null;
  }

  /** A page of the unresolved incidents, that which changed last first, with the cursor of the page before it. */
  async incidents({ topics }, before) {
    const parameters = new URLSearchParams(topics.map((topic) => ["topic", topic]));
    parameters.set("limit", 1000);
    if (before) parameters.set("after", before);
    const options = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(LOAD_TIMEOUT_MS) };
    return (await this.send(`incidents?${parameters}`, options)).json();
  }

  /** Acknowledges or resolves an incident: `action` is `acknowledge` or `resolve`. */
  async act({ topic, incident }, action, note) {
    const body = JSON.stringify(note ? { note } : {});
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    await this.send(`incidents/${[topic, incident, action].map(encodeURIComponent).join("/")}`, options);
  }

  /** Takes an alert back. */
  async retract({ topic, id }) {
    await this.send(`alerts/${[topic, id].map(encodeURIComponent).join("/")}`, { method: "DELETE" });
  }

  /** Publishes an alert. With the same idempotency key it is stored only once. */
  async publish(topic, alert, idempotencyKey) {
    const answer = await this.send(`alerts/${encodeURIComponent(topic)}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey },
      body: JSON.stringify(alert),
    });
    return (await answer.json()).alert;
  }
}
