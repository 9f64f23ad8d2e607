// The visible part of the list. It follows the newest row until the user scrolls away, and again when they are back; while it
// does not follow, the rows on screen stay where they are, whatever is added, removed or laid out anew. Used by list.js.

/** Distance from the newest row, in pixels, within which the list counts as scrolled to it. */
const NEAR_PX = 48;

export class Viewport {
  #log;
  #rows;
  #moved;
  #top = 0;
  /** The first row on screen, and where it is. */
  #anchor = null;
  isFollowing = true;
  newestFirst = false;

  /** `log` scrolls, `rows` contains the rows, `moved` is called when the list begins to follow. */
  constructor(log, rows, moved) {
    this.#log = log;
    this.#rows = rows;
    this.#moved = moved;
    log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Another size of the window, another zoom, and rows whose size is known only once they are on screen.
    const observer = new ResizeObserver(() => this.#settle());
    observer.observe(log);
    observer.observe(rows);
  }

  /** Changes rows with `change`. The observer sees to it that the list follows, once for each frame. */
  change(change) {
    if (this.isFollowing) {
      change();
      return;
    }
    if (!this.#anchor?.row.isConnected) this.#remember();
    change();
    this.#settle();
  }

  toNewest() {
    this.isFollowing = true;
    this.#settle();
  }

  #settle() {
    const log = this.#log;
    if (log.clientHeight === 0) return;
    if (this.isFollowing) {
      log.scrollTop = this.newestFirst ? 0 : log.scrollHeight;
    } else if (this.#anchor?.row.isConnected) {
      const moved = this.#anchor.row.offsetTop - log.scrollTop - this.#anchor.distance;
      if (Math.abs(moved) >= 1) log.scrollTop += moved;
    }
    this.#top = log.scrollTop;
    if (!this.isFollowing) this.#remember();
  }

  get #isAtNewest() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    return (this.newestFirst ? scrollTop : scrollHeight - scrollTop - clientHeight) < NEAR_PX;
  }

  #scrolled() {
    const top = this.#log.scrollTop;
    const isAway = this.newestFirst ? top > this.#top : top < this.#top;
    this.#top = top;
    if (this.#isAtNewest) {
      if (!this.isFollowing) {
        this.isFollowing = true;
        this.#moved();
      }
      return;
    }
    // A scroll in the other direction is not the user's: rows were laid out anew.
    if (isAway) this.isFollowing = false;
    if (!this.isFollowing) this.#remember();
  }

  #remember() {
    const top = this.#log.scrollTop;
    this.#anchor = null;
    for (const row of this.#rows.children) {
      if (row.hidden || row.offsetTop + row.offsetHeight <= top) continue;
      this.#anchor = { row, distance: row.offsetTop - top };
      return;
    }
  }
}
