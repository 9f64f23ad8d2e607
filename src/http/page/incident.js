// One incident: what an alert or a transition of the stream makes of it, as the server decides it, and which of two is worse.
// It has the members that the API gives it. Used by incidents.js, unresolved.js and incidentrow.js.

import { LEVELS } from "./address.js";
import { isNewer } from "./filter.js";
import { cut, titleOf } from "./metadata.js";

/** The characters that are kept of a text, because there may be thousands of incidents. */
const KEPT_CHARACTERS = 400;

/** What identifies an incident, as text. */
export function keyOf({ topic, incident }) {
  return JSON.stringify([topic, incident]);
}

function kept(text) {
  return text ? cut(text, KEPT_CHARACTERS) : null;
}

/** An incident of the API, with texts of bounded length. */
export function shortened(incident) {
  return { ...incident, message: kept(incident.message), title: kept(incident.title) };
}

/**
 * Whether an incident already has what an alert or a transition says. Of the transitions after its last alert this is not
 * known, but they may be applied again: the last of them decides.
 */
function has(incident, { occurrence, id }) {
  return occurrence < incident.occurrence || (incident.alert !== null && !isNewer(id, incident.alert));
}

function opened({ topic, incident, occurrence, received_at }) {
  const nobody = { acknowledged_by: null, acknowledged_at: null, note: null };
  return { topic, incident, occurrence, state: "open", level: "info", opened_at: received_at, ...nobody };
}

/** The incident after an alert that has a place in it: null if it is resolved, undefined if only the server knows. */
export function afterAlert(incident, alert) {
  if (incident && has(incident, alert)) return incident;
  const { id, status, occurrence, count, level, message, received_at } = alert;
  if (status === "resolved") return null;
  const isKnown = incident?.occurrence === occurrence;
  // A reminder.
  if (isKnown && count === incident.count) return incident;
  if (!isKnown && count > 1) return undefined;
  const before = isKnown ? incident : opened(alert);
  const isWorse = LEVELS.indexOf(level) > LEVELS.indexOf(before.level);
  return {
    ...before,
    ...(isWorse ? { state: "open", acknowledged_by: null, acknowledged_at: null } : {}),
    level: level === "info" ? before.level : level,
    count,
    alert: id,
    message: kept(message),
    title: kept(titleOf(alert)),
    updated_at: received_at,
  };
}

/** The same after a transition. */
export function afterTransition(incident, transition) {
  if (incident && has(incident, transition)) return incident;
  const { state, occurrence, count, by, note, time } = transition;
  if (state === "resolved") return null;
  if (incident?.occurrence !== occurrence) return undefined;
  const [acknowledged_by, acknowledged_at] = state === "acknowledged" ? [by, time] : [null, null];
  return { ...incident, state, count, note, acknowledged_by, acknowledged_at, updated_at: time };
}

/** Whether an incident changed after another one: in one millisecond, the one whose last alert is newer. */
function isLater(one, other) {
  return one.updated_at === other.updated_at ? isNewer(one.alert, other.alert) : one.updated_at > other.updated_at;
}

/** Orders incidents: open before acknowledged, then a higher level, then a newer change. */
export function compare(one, other) {
  const isAcknowledged = ({ state }) => Number(state === "acknowledged");
  const level = (incident) => LEVELS.indexOf(incident.level);
  return isAcknowledged(one) - isAcknowledged(other) || level(other) - level(one) || (isLater(one, other) ? -1 : 1);
}
