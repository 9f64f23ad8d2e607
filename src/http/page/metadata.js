// The metadata of an alert as short pairs of name and text, flattened one level. Used by row.js and detail.js.

/** Pairs that a row shows, and the characters of a value there; the rest is behind "more". */
export const SHOWN_PAIRS = 6;
export const SHOWN_CHARACTERS = 120;
/** Pairs that are shown at all. */
const MAX_PAIRS = 200;

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isPlain = (value) => typeof value !== "object" || value === null;

function text(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length > 0 && value.every(isPlain)) return value.map(String).join(", ");
  return JSON.stringify(value);
}

/** The title that a sender put into metadata, unless it only repeats the message. */
export function titleOf({ message, metadata }) {
  const title = typeof metadata?.title === "string" ? metadata.title.trim() : "";
  return title === message.trim() ? "" : title;
}

/** The tags that a sender put into metadata. */
export function tagsOf({ metadata }) {
  const tags = metadata?.tags;
  return Array.isArray(tags) && tags.every((tag) => typeof tag === "string") ? tags.slice(0, 20) : [];
}

/** Names and texts; title and tags are shown elsewhere. `left` is the number of pairs beyond the limit. */
export function pairsOf(alert) {
  const pairs = [];
  for (const [name, value] of Object.entries(alert.metadata ?? {})) {
    if (name === "title" && typeof value === "string") continue;
    if (name === "tags" && tagsOf(alert).length > 0) continue;
    if (isObject(value) && Object.keys(value).length > 0) {
      for (const [inner, one] of Object.entries(value)) pairs.push([`${name}.${inner}`, text(one)]);
    } else {
      pairs.push([name, text(value)]);
    }
  }
  return { pairs: pairs.slice(0, MAX_PAIRS), left: Math.max(0, pairs.length - MAX_PAIRS) };
}

/** A text of at most so many characters, with a mark where it was cut. */
export function cut(value, characters = SHOWN_CHARACTERS) {
  return value.length > characters ? `${value.slice(0, characters - 1).replace(/[\ud800-\udbff]$/, "")}…` : value;
}
