// The live page: joins the forms, the stream, the list and what draws attention. The key is held in a variable, and in
// the tab's session storage only where its owner asks for that.

import { Api } from "./api.js";
import { Notifications, Sound } from "./attention.js";
import { List, MAX_ROWS } from "./list.js";
import { Follower } from "./stream.js";

const $ = (id) => document.getElementById(id);
const KEPT = "alertd.key";
const THEME = "alertd.theme";
const PATTERN = /^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$/;
const WORDS = {
  off: () => "Not connected",
  connecting: () => "Connecting",
  behind: ({ seconds }) => (seconds ? `Behind by ${seconds} s` : "Catching up"),
  silent: ({ seconds }) => `Nothing heard for ${seconds} s`,
  live: () => "Live",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  refused: () => "Key refused",
  denied: () => "No permission",
  failed: () => "Stopped",
};

let api = null;
let key = "";
let filter = { topics: ["*"], level: "info" };
let follower = null;
let state = { name: "off" };
let news = 0;
/** Where history goes on: behind which row, and with which cursor. */
let past = null;
let loading = false;

const sound = new Sound();
const notifications = new Notifications();
const list = new List($("log"), $("rows"), () => api?.now() ?? Date.now(), show);

/** Storage may be forbidden in a browser; then nothing is kept. */
function stored(storage, name, value) {
  try {
    if (value === undefined) return window[storage].getItem(name) ?? "";
    if (value) window[storage].setItem(name, value);
    else window[storage].removeItem(name);
  } catch {
    // As if nothing were kept.
  }
  return "";
}

/** Topics as typed: separated by commas or spaces. Throws what is wrong with them. */
function topicsOf(text) {
  const topics = [...new Set(text.split(/[\s,]+/).filter(Boolean))];
  if (topics.length === 0) throw new Error("Name at least one topic, or * for all.");
  if (topics.length > 64) throw new Error("At most 64 topics: use a pattern such as ops.*");
  const wrong = topics.find((topic) => !PATTERN.test(topic) || topic.replace(/\.\*$/, "").length > 128);
  if (wrong) throw new Error(`"${wrong}" is no topic: a topic is like ops.db, a pattern like ops.* or *`);
  return topics;
}

function complain(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

function show() {
  $("pause").classList.toggle("active", list.paused);
  $("pause").lastElementChild.textContent = list.paused ? `Resume (${list.held})` : "Pause";
  const visible = list.visible;
  const all = list.size === 1 ? "1 alert" : `${list.size} alerts`;
  $("count").textContent = visible === list.size ? all : `${visible} of ${all}`;
  $("unseen").hidden = list.unseen === 0;
  $("unseen").textContent = list.unseen === 1 ? "1 new alert ↓" : `${list.unseen} new alerts ↓`;
  $("empty").hidden = visible > 0 || !past;
  const none = list.complete ? "No alerts yet. They appear here as they come in." : "No alerts among the newest that were looked through.";
  $("empty").textContent = list.size > 0 ? "Nothing that is shown matches the search." : none;
  const full = list.size >= MAX_ROWS;
  $("earlier").hidden = list.complete || full || !past;
  $("past-text").textContent = list.complete && list.size ? "This is the beginning of what is retained." : "";
  if (full) $("past-text").textContent = `${MAX_ROWS} alerts are shown: narrow topics or level to see further back.`;
  document.title = `${news && document.hidden ? `(${news}) ` : ""}alertd: ${WORDS[state.name](state).toLowerCase()}`;
}

function setState(next) {
  const words = WORDS[next.name](next);
  // A countdown is for the eyes: it is read out once, not each second.
  if (next.name !== state.name) $("said").textContent = words.replace(/ in \d+ s$/, "");
  state = next;
  $("state").dataset.state = next.name;
  // Where the server said no for now, it said why.
  $("why").textContent = next.why ?? "";
  $("state-text").textContent = words;
  $("hurry").hidden = next.name !== "waiting";
  show();
}

function watch() {
  follower?.stop();
  api = new Api(key);
  past = null;
  list.clear();
  $("banner").hidden = true;
  complain("filter-error", "");
  $("topics").value = filter.topics.join(", ");
  $("level").value = filter.level;
  history.replaceState(null, "", `#${new URLSearchParams({ topics: filter.topics.join(","), level: filter.level })}`);
  open(true);
  follower = new Follower(api, filter, {
    state: setState,
    page: prepend,
    alert(alert) {
      list.add(alert);
      if (document.hidden) news += 1;
      if (alert.level !== "error") return;
      sound.error();
      notifications.error(alert);
    },
    gap: (gap) => list.gap(gap),
    refused,
  });
}

function prepend({ alerts, next }) {
  past = { oldest: alerts[0]?.id ?? list.oldest, next };
  list.complete = next === null;
  list.prepend(alerts);
}

/** The server's no, in its own words. What is on the screen stays there. */
function refused({ status, message }) {
  const name = { 401: "refused", 403: "denied" }[status] ?? "failed";
  setState({ name });
  const ended = list.size > 0 ? "It was revoked or has expired." : "It was mistyped, or it was revoked or has expired.";
  const text = `${WORDS[name]()}. ${status === 401 ? ended : `${message[0].toUpperCase()}${message.slice(1)}.`}`;
  if (status === 401) stored("sessionStorage", KEPT, "");
  if (list.size > 0) {
    $("banner-text").textContent = text;
    $("banner").hidden = false;
    return;
  }
  enter(text);
}

function open(board) {
  for (const id of ["board", "board-tools", "leave"]) $(id).hidden = !board;
  $("door").hidden = board;
}

/** Shows the form for a key. */
function enter(text) {
  open(false);
  complain("door-error", text);
  $("door-topics").value = filter.topics.join(", ");
  $("door-level").value = filter.level;
  $("plain").hidden = window.isSecureContext;
  $("key").focus();
  $("key").select();
}

function leave() {
  follower?.stop();
  follower = null;
  api = null;
  key = "";
  stored("sessionStorage", KEPT, "");
  $("key").value = "";
  $("keep").checked = false;
  if (list.paused) list.pause(false);
  list.clear();
  setState({ name: "off" });
  enter("");
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = $("key").value.trim();
  try {
    if (!typed) throw new Error("Enter a key.");
    if (!/^[\x21-\x7e]+$/.test(typed)) throw new Error("A key has no spaces and no special characters.");
    filter = { topics: topicsOf($("door-topics").value), level: $("door-level").value };
  } catch (error) {
    complain("door-error", error.message);
    return;
  }
  complain("door-error", "");
  key = typed;
  stored("sessionStorage", KEPT, $("keep").checked ? key : "");
  watch();
  $("log").focus();
});

function refine(event) {
  event.preventDefault();
  try {
    const wanted = { topics: topicsOf($("topics").value), level: $("level").value };
    complain("filter-error", "");
    // After a refusal the same may be tried again.
    if (JSON.stringify(wanted) === JSON.stringify(filter) && $("banner").hidden) return;
    filter = wanted;
  } catch (error) {
    complain("filter-error", error.message);
    return;
  }
  watch();
}
$("filter").addEventListener("submit", refine);
$("topics").addEventListener("change", refine);
$("level").addEventListener("change", refine);
$("search").addEventListener("input", () => list.search($("search").value));

async function earlier() {
  const asked = api;
  // A page may be empty and still have one before it; the list may also have let go of its oldest rows.
  const before = past?.oldest === list.oldest ? past?.next : list.oldest;
  if (!asked || loading || list.complete || list.size >= MAX_ROWS || !before) return;
  loading = true;
  $("past-text").textContent = "Loading…";
  try {
    const page = await asked.history(filter, before);
    if (asked === api) prepend(page);
  } catch (problem) {
    if (asked === api) $("past-text").textContent = `Cannot load: ${problem.message}`;
  } finally {
    loading = false;
  }
}
$("earlier").addEventListener("click", earlier);
$("log").addEventListener("scroll", () => {
  if ($("log").scrollTop < 80 && $("log").scrollHeight > $("log").clientHeight) earlier();
});

$("pause").addEventListener("click", () => list.pause(!list.paused));
$("hurry").addEventListener("click", () => follower?.hurry());
window.addEventListener("online", () => follower?.hurry());
$("leave").addEventListener("click", leave);
$("banner-key").addEventListener("click", () => enter(""));
$("unseen").addEventListener("click", () => {
  list.toEnd();
  show();
  $("log").focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) news = 0;
  show();
});

for (const [id, what] of [["sound", sound], ["notify", notifications]]) {
  $(id).addEventListener("click", async () => {
    const words = await what.toggle();
    $(id).setAttribute("aria-pressed", what.on);
    $(id).title = words;
    toast(words);
  });
}

let toasting = null;
function toast(words) {
  $("toast").textContent = words;
  $("toast").hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => ($("toast").hidden = true), 5000);
}

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  $("theme").setAttribute("aria-label", dark() ? "Theme: change to light" : "Theme: change to dark");
}
$("theme").addEventListener("click", () => {
  const name = dark() ? "light" : "dark";
  stored("localStorage", THEME, name);
  theme(name);
});

$("help-open").addEventListener("click", () => $("help").showModal());
$("test-open").addEventListener("click", () => {
  const exact = filter.topics.find((topic) => !topic.includes("*"));
  const below = filter.topics.find((topic) => topic.endsWith(".*"));
  $("test-topic").value = exact ?? below?.replace(/\*$/, "test") ?? "default";
  $("test-done").textContent = "";
  complain("test-error", "");
  $("test").showModal();
});
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

let idempotencyKey = "";
for (const id of ["test-topic", "test-level", "test-message"]) {
  $(id).addEventListener("input", () => (idempotencyKey = ""));
}
$("test-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const topic = $("test-topic").value.trim();
  $("test-done").textContent = "";
  complain("test-error", "");
  if (!PATTERN.test(topic) || topic.includes("*")) {
    complain("test-error", `"${topic}" is no topic: a topic is like ops.db`);
    return;
  }
  // The same for another try at the same alert: should the first have been stored, it is not stored again.
  idempotencyKey ||= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("-");
  try {
    const alert = { message: $("test-message").value, level: $("test-level").value };
    const { id } = await api.publish(topic, alert, idempotencyKey);
    idempotencyKey = "";
    $("test-done").textContent = `Stored as ${id}.`;
  } catch (problem) {
    const word = problem.status === 403 ? "Not permitted" : "Not stored";
    const unknown = "It is not known whether it was stored; publish again, and it is stored once";
    complain("test-error", `${problem.passes && problem.status !== 429 ? unknown : word}: ${problem.message}`);
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && !$("board").hidden) {
    if (event.target === $("search")) {
      $("search").value = "";
      list.search("");
    }
    list.toEnd();
    $("log").focus();
    show();
    return;
  }
  if (typing) return;
  const inList = event.target.closest("#log");
  const actions = { "?": () => $("help").showModal() };
  if (!$("board").hidden) {
    actions["/"] = () => $("search").focus();
    actions.p = () => list.pause(!list.paused);
    actions.j = () => list.select(1);
    actions.k = () => list.select(-1);
    if (inList) [actions.ArrowDown, actions.ArrowUp] = [actions.j, actions.k];
  }
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
});

theme(stored("localStorage", THEME));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme());
const address = new URLSearchParams(location.hash.slice(1));
try {
  if (address.has("topics")) filter.topics = topicsOf(address.get("topics"));
  if (["info", "warn", "error"].includes(address.get("level"))) filter.level = address.get("level");
} catch {
  // A mistyped address: all topics, as without one.
}
key = stored("sessionStorage", KEPT);
if (key) {
  $("keep").checked = true;
  $("key").value = key;
  watch();
} else enter("");
