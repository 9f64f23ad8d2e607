// The newest alert that the user has seen for each filter, kept on this device, so that the next visit shows what is new.
// Used by main.js.

import { store, stored } from "./storage.js";

const NAME = "alertd.seen";
/** Filters that are remembered; beyond them the oldest is forgotten. */
const MAX_FILTERS = 20;

function all() {
  try {
    const pairs = JSON.parse(stored("localStorage", NAME) || "[]");
    return Array.isArray(pairs) ? pairs.filter((pair) => Array.isArray(pair) && pair.every((part) => typeof part === "string")) : [];
  } catch {
    return [];
  }
}

const nameOf = ({ topics, level }) => `${level} ${topics.join(",")}`;

/** The id that was seen last with this filter, or "". */
export function seen(filter) {
  const id = all().find(([name]) => name === nameOf(filter))?.[1] ?? "";
  return /^\d+-\d+$/.test(id) ? id : "";
}

export function see(filter, id) {
  if (!id) return;
  const others = all().filter(([name]) => name !== nameOf(filter));
  store("localStorage", NAME, JSON.stringify([...others.slice(1 - MAX_FILTERS), [nameOf(filter), id]]));
}
