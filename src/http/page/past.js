// Where earlier history continues, and its pages when the list is scrolled to its old end. Used by main.js.

const $ = (id) => document.getElementById(id);
/** Distance from the old end, in pixels, at which the next page is loaded. */
const NEAR_PX = 80;
/** Pages that are loaded without a word of the user, where folded alerts leave the list short. */
const MAX_UNASKED = 10;

export class Past {
  #list;
  /** The requests and the filter of the current subscription. */
  #api = null;
  #filter = null;
  /** The oldest alert of the list, and the cursor of the page before it. */
  #end = null;
  #isLoading = false;
  #unasked = 0;

  constructor(list) {
    this.#list = list;
    $("earlier").addEventListener("click", () => this.#load());
    $("log").addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = $("log");
      const distance = list.newestFirst ? scrollHeight - clientHeight - scrollTop : scrollTop;
      if (distance < NEAR_PX && scrollHeight > clientHeight) this.#load();
    });
  }

  /** Whether the first page is there. */
  get isLoaded() {
    return this.#end !== null;
  }

  /** For another subscription, or none. */
  begin(api, filter) {
    this.#api = api;
    this.#filter = filter;
    this.#end = null;
    this.#unasked = 0;
  }

  take({ alerts, next }) {
    this.#list.complete = next === null;
    this.#list.prepend(alerts);
    this.#end = { oldest: this.#list.oldest, next };
    const { scrollHeight, clientHeight } = $("log");
    if (clientHeight > 0 && scrollHeight <= clientHeight && this.#unasked++ < MAX_UNASKED) setTimeout(() => this.#load());
  }

  async #load() {
    const [asked, list, end] = [this.#api, this.#list, this.#end];
    // A page may be empty although there is one before it; and the list may have dropped its oldest rows.
    const before = end?.oldest === list.oldest ? end?.next : list.oldest;
    if (!asked || this.#isLoading || list.complete || list.isFull || !before) return;
    this.#isLoading = true;
    $("past-text").textContent = "Loading…";
    try {
      const page = await asked.history(this.#filter, before);
      if (asked === this.#api) this.take(page);
    } catch (problem) {
      if (asked === this.#api) $("past-text").textContent = `Cannot load: ${problem.message}`;
    } finally {
      this.#isLoading = false;
    }
  }
}
