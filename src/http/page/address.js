// The address of the page: topics, level, search, view and the alert that is shown; never the key. What comes behind `#` is
// the page's own; the same names behind `?` are taken too, as people and scripts write them. Used by main.js and list.js.

import { TOPIC_PATTERN } from "./topic.js";

export const LEVELS = ["info", "warn", "error"];
const MAX_TOPICS = 64;
const MAX_SEARCH = 200;

/** Parses topics separated by commas or spaces. Throws an error with a text for the user. */
export function topicsOf(text) {
  const topics = [...new Set(text.split(/[\s,]+/).filter(Boolean))];
  if (topics.length === 0) throw new Error("Enter at least one topic, or * for all.");
  if (topics.length > MAX_TOPICS) throw new Error(`At most ${MAX_TOPICS} topics: use a pattern such as ops.*`);
  const wrong = topics.find((topic) => !TOPIC_PATTERN.test(topic) || topic.replace(/\.\*$/, "").length > 128);
  if (wrong) throw new Error(`"${wrong}" is not a topic: a topic is like ops.db, a pattern like ops.* or *`);
  return topics;
}

export function isSame(filter, other) {
  return JSON.stringify(filter) === JSON.stringify(other);
}

/** What an address asks for. `problem` says what is wrong in it; then the filter is the usual one. */
export function read({ search, hash }) {
  const [query, own] = [new URLSearchParams(search), new URLSearchParams(hash.slice(1))];
  const from = ["topics", "topic", "level", "q"].some((name) => own.has(name)) ? own : query;
  const all = (...names) => names.flatMap((name) => from.getAll(name));
  const wanted = {
    filter: { topics: ["*"], level: "info" },
    hasTopics: false,
    search: (all("q")[0] ?? "").slice(0, MAX_SEARCH),
    isWall: own.has("wall") || query.has("wall"),
    alert: /^\d+-\d+$/.test(own.get("alert") ?? "") ? own.get("alert") : "",
    problem: "",
  };
  const [topics, level] = [all("topics", "topic").join(","), all("level")[0]];
  try {
    if (topics) wanted.filter.topics = topicsOf(topics);
    wanted.hasTopics = Boolean(topics);
    if (level && !LEVELS.includes(level)) throw new Error(`"${level}" is not a level: a level is info, warn or error`);
    if (level) wanted.filter.level = level;
  } catch (error) {
    wanted.problem = `The address of this page: ${error.message}`;
  }
  return wanted;
}

/** The part of an address behind and with `#`. */
export function write({ filter: { topics, level }, search = "", isWall = false, alert = "" }) {
  const parameters = new URLSearchParams({ topics: topics.join(","), level });
  if (search) parameters.set("q", search);
  if (alert) parameters.set("alert", alert);
  return `#${isWall ? "wall&" : ""}${parameters}`;
}
