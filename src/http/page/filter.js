// Filters and ids, compared as the server compares them. Used by worker.js.

const LEVELS = ["info", "warn", "error"];
/** The server takes no more topics for one stream. */
export const MAX_TOPICS = 64;

/** Whether a pattern matches each topic that `other`, a topic or a pattern, matches. */
function isWider(pattern, other) {
  return pattern === "*" || pattern === other || (pattern.endsWith(".*") && other.startsWith(pattern.slice(0, -1)));
}

/** Whether each alert that passes the filter `other` passes this one too. */
export function covers({ topics, level }, other) {
  if (LEVELS.indexOf(level) > LEVELS.indexOf(other.level)) return false;
  return other.topics.every((topic) => topics.some((pattern) => isWider(pattern, topic)));
}

/** Whether an alert passes a filter. */
export function matches(filter, { topic, level }) {
  return covers(filter, { topics: [topic], level });
}

/** The narrowest filter that covers all these. */
export function union(filters) {
  const topics = [...new Set(filters.flatMap((filter) => filter.topics))];
  return {
    topics: topics.filter((topic) => !topics.some((other) => other !== topic && isWider(other, topic))),
    level: LEVELS.find((level) => filters.some((filter) => filter.level === level)),
  };
}

/** Whether an id is greater than another. The empty one is the smallest. */
export function isNewer(id, other) {
  if (!id || !other) return Boolean(id);
  const [[ms, sequence], [otherMs, otherSequence]] = [id, other].map((one) => one.split("-").map(BigInt));
  return ms === otherMs ? sequence > otherSequence : ms > otherMs;
}
