// Addresses in texts as links: only http and https, opened without access to this page. Used by row.js and detail.js.

import { element } from "./element.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`{}|\\^]+/gi;
/** Further addresses of one text stay text. */
const MAX_LINKS = 20;

/** The address without the punctuation that ends the sentence around it. */
function trimmed(address) {
  let text = address.replace(/[.,;:!?*]+$/, "");
  for (const [open, close] of ["()", "[]"]) {
    if (text.endsWith(close) && !text.includes(open)) text = text.slice(0, -1);
  }
  return text;
}

/** An http or https address, or null. */
export function address(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url && /^https?:$/.test(url.protocol) && url.hostname ? url.href : null;
}

export function link(href, text) {
  return element("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}

/** The parts of a text: strings, and links in the places of addresses. */
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = trimmed(match[0]);
    const href = address(shown);
    if (!href) continue;
    parts.push(text.slice(end, match.index), link(href, shown));
    end = match.index + shown.length;
    if (parts.length >= 2 * MAX_LINKS) break;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}
