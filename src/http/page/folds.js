// Which rows of the list equal alerts are folded into. Used by list.js.

import { foldKey } from "./row.js";

export class Folds {
  /** For each content the row with its newest alert, and that with its oldest. */
  #newest = new Map();
  #oldest = new Map();

  clear() {
    this.#newest.clear();
    this.#oldest.clear();
  }

  /** The row that takes a new alert, if there is one. */
  takeNewer(alert, epoch, now) {
    const row = this.#newest.get(foldKey(alert, epoch));
    return row?.takeNewer(alert, now) ? row : undefined;
  }

  /** The same for an alert of history, which is older than the rows. */
  takeOlder(alert, epoch, now) {
    const row = this.#oldest.get(foldKey(alert, epoch));
    return row?.takeOlder(alert, now) ? row : undefined;
  }

  /** A row that was made for a new alert, or for one of history. */
  enter(row, isNew) {
    if (!row.key) return;
    if (isNew || !this.#newest.has(row.key)) this.#newest.set(row.key, row);
    if (!isNew || !this.#oldest.has(row.key)) this.#oldest.set(row.key, row);
  }

  leave(row) {
    for (const rows of [this.#newest, this.#oldest]) if (rows.get(row.key) === row) rows.delete(row.key);
  }
}
