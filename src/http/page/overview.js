// What the page says about the whole: errors and warnings of the last hour, how many alerts the list shows and why not more.
// Used by main.js.

import { MAX_ROWS } from "./list.js";

const $ = (id) => document.getElementById(id);

const many = (number, one, more) => (number === 1 ? one : `${number} ${more}`);

/** The counts of the last hour, and which of them is the level of the list. */
export function tellHour(summary, { topics, level }) {
  const { error, warn, isMore } = summary?.isKnown ? summary.numbers : { error: 0, warn: 0, isMore: {} };
  for (const [id, number, own] of [["errors", error, "error"], ["warnings", warn, "warn"]]) {
    $(`${id}-number`).textContent = summary?.isKnown ? `${number}${isMore[own] ? "+" : ""}` : "–";
    $(`${id}-word`).textContent = number === 1 && !isMore[own] ? id.slice(0, -1) : id;
    $(id).setAttribute("aria-pressed", level === own);
    $(id).classList.toggle("none", number === 0);
  }
  const isGood = summary?.isKnown && error + warn === 0;
  const where = topics.includes("*") ? "" : " on these topics";
  $("overview").dataset.health = isGood ? "good" : "other";
  $("overview-text").textContent = `${isGood ? "All quiet" : ""} in the last hour${where}`.trim();
}

/** The number of alerts in the list, and what there is to say at its ends. `isLoaded`: the first page is there. */
export function tellList(list, isLoaded) {
  const [size, visible, arrow] = [list.size, list.visible, list.newestFirst ? "↑" : "↓"];
  const all = many(size, "1 alert", "alerts");
  $("count").textContent = visible === size ? all : `${visible} of ${all}`;
  $("unseen").hidden = list.unseen === 0;
  $("unseen").textContent = `${many(list.unseen, "1 new alert", "new alerts")} ${arrow}`;
  $("pause").classList.toggle("active", list.paused);
  $("pause").lastElementChild.textContent = list.paused ? `Resume (${list.held})` : "Pause";
  $("empty").hidden = visible > 0 || !isLoaded;
  const none = list.complete ? "No alerts yet. New alerts appear here." : "No matching alerts among the newest ones.";
  $("empty").textContent = size > 0 ? "No alert in the list matches the search." : none;
  $("earlier").hidden = list.complete || list.isFull || !isLoaded;
  $("past-text").textContent = list.complete && size ? "These are the oldest stored alerts." : "";
  if (list.isFull) $("past-text").textContent = `The list is limited to ${MAX_ROWS} rows: narrow topics or level to see earlier ones.`;
}

/** Where the list begins: the newest at the bottom, or at the top. */
export function tellOrder(isNewestFirst) {
  $("order").setAttribute("aria-pressed", isNewestFirst);
  $("log").setAttribute("aria-label", isNewestFirst ? "Alerts, newest first" : "Alerts, newest last");
  if (isNewestFirst) $("log").append($("past"));
  else $("log").prepend($("past"));
}
