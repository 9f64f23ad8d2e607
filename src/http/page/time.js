// Times as people read them: local, with the date only where it is needed. Used by row.js, list.js, detail.js and wall.js.

const two = (number) => String(number).padStart(2, "0");

/** Hours, minutes and seconds. */
export function clock(time) {
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Local time, with the date unless it is today's. */
export function absolute(time, now) {
  if (time.toDateString() === new Date(now).toDateString()) return clock(time);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(time)}`;
}

export function relative(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds - (seconds % 5)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The time in an id, or null for the id before all others. */
export function timeOf(id) {
  const ms = Number.parseInt(id ?? "", 10);
  return ms > 0 ? new Date(ms) : null;
}
