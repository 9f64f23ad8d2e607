// The live page: connects the forms, the stream, the list, sounds and notifications. The key is kept in a variable, and in
// the session storage of the tab only if the user asks for that.

import { Api } from "./api.js";
import { Notifications, Sound } from "./attention.js";
import { List, MAX_ROWS } from "./list.js";
import { Subscription } from "./share.js";
import { TOPIC_PATTERN } from "./topic.js";

const $ = (id) => document.getElementById(id);
const STORED_KEY = "alertd.key";
const STORED_THEME = "alertd.theme";
const STATE_TEXTS = {
  off: () => "Not connected",
  connecting: () => "Connecting",
  behind: ({ seconds }) => (seconds ? `Behind by ${seconds} s` : "Catching up"),
  silent: ({ seconds }) => `No data for ${seconds} s`,
  live: () => "Live",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  refused: () => "Key refused",
  denied: () => "No permission",
  failed: () => "Stopped",
};

let api = null;
let key = "";
let filter = { topics: ["*"], level: "info" };
let subscription = null;
let state = { name: "off" };
let news = 0;
/** Where earlier history continues: the oldest row, and the cursor of the page before it. */
let past = null;
let loading = false;

const sound = new Sound();
const notifications = new Notifications();
const list = new List($("log"), $("rows"), () => api?.now() ?? Date.now(), show);

/** Reads or writes a stored value. If the browser forbids storage, nothing is stored. */
function stored(storage, name, value) {
  try {
    if (value === undefined) return window[storage].getItem(name) ?? "";
    if (value) window[storage].setItem(name, value);
    else window[storage].removeItem(name);
  } catch {
    // Storage is forbidden.
  }
  return "";
}

/** Parses topics separated by commas or spaces. Throws an error with a text for the user. */
function topicsOf(text) {
  const topics = [...new Set(text.split(/[\s,]+/).filter(Boolean))];
  if (topics.length === 0) throw new Error("Enter at least one topic, or * for all.");
  if (topics.length > 64) throw new Error("At most 64 topics: use a pattern such as ops.*");
  const wrong = topics.find((topic) => !TOPIC_PATTERN.test(topic) || topic.replace(/\.\*$/, "").length > 128);
  if (wrong) throw new Error(`"${wrong}" is not a topic: a topic is like ops.db, a pattern like ops.* or *`);
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
  const none = list.complete ? "No alerts yet. New alerts appear here." : "No matching alerts among the newest ones.";
  $("empty").textContent = list.size > 0 ? "No alert in the list matches the search." : none;
  const full = list.size >= MAX_ROWS;
  $("earlier").hidden = list.complete || full || !past;
  $("past-text").textContent = list.complete && list.size ? "These are the oldest stored alerts." : "";
  if (full) $("past-text").textContent = `The list is limited to ${MAX_ROWS} alerts: narrow topics or level to see earlier ones.`;
  document.title = `${news && document.hidden ? `(${news}) ` : ""}alertd: ${STATE_TEXTS[state.name](state).toLowerCase()}`;
}

function setState(next) {
  const words = STATE_TEXTS[next.name](next);
  // Screen readers announce a countdown once, not each second.
  if (next.name !== state.name) $("said").textContent = words.replace(/ in \d+ s$/, "");
  state = next;
  $("state").dataset.state = next.name;
  // The reason of a temporary refusal by the server.
  $("why").textContent = next.why ?? "";
  $("state-text").textContent = words;
  $("hurry").hidden = next.name !== "waiting";
  show();
}

function watch() {
  subscription?.stop();
  api = new Api(key);
  past = null;
  list.clear();
  $("banner").hidden = true;
  complain("filter-error", "");
  $("topics").value = filter.topics.join(", ");
  $("level").value = filter.level;
  history.replaceState(null, "", `#${new URLSearchParams({ topics: filter.topics.join(","), level: filter.level })}`);
  open(true);
  subscription = new Subscription(api, key, filter, {
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

/** Shows why the server refused the request for good. Alerts in the list remain visible. */
function refused({ status, message }) {
  const name = { 401: "refused", 403: "denied" }[status] ?? "failed";
  setState({ name });
  const ended = list.size > 0 ? "It was revoked or has expired." : "It was mistyped, or it was revoked or has expired.";
  const text = `${STATE_TEXTS[name]()}. ${status === 401 ? ended : `${message[0].toUpperCase()}${message.slice(1)}.`}`;
  if (status === 401) stored("sessionStorage", STORED_KEY, "");
  if (list.size > 0) {
    $("banner-text").textContent = text;
    $("banner").hidden = false;
    return;
  }
  enter(text);
}

function open(board) {
  for (const id of ["board", "board-tools", "leave"]) $(id).hidden = !board;
  $("sign-in").hidden = board;
}

/** Shows the form for a key. */
function enter(text) {
  open(false);
  complain("sign-in-error", text);
  $("sign-in-topics").value = filter.topics.join(", ");
  $("sign-in-level").value = filter.level;
  $("plain").hidden = window.isSecureContext;
  $("key").focus();
  $("key").select();
}

function leave() {
  subscription?.stop();
  subscription = null;
  api = null;
  key = "";
  stored("sessionStorage", STORED_KEY, "");
  $("key").value = "";
  $("keep").checked = false;
  if (list.paused) list.pause(false);
  list.clear();
  setState({ name: "off" });
  enter("");
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = $("key").value.trim();
  try {
    if (!typed) throw new Error("Enter a key.");
    if (!/^[\x21-\x7e]+$/.test(typed)) throw new Error("A key has no spaces and no special characters.");
    filter = { topics: topicsOf($("sign-in-topics").value), level: $("sign-in-level").value };
  } catch (error) {
    complain("sign-in-error", error.message);
    return;
  }
  complain("sign-in-error", "");
  key = typed;
  stored("sessionStorage", STORED_KEY, $("keep").checked ? key : "");
  watch();
  $("log").focus();
});

function refine(event) {
  event.preventDefault();
  try {
    const wanted = { topics: topicsOf($("topics").value), level: $("level").value };
    complain("filter-error", "");
    // After a refusal, the same filter may be tried again.
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
  // A page may be empty although there is one before it; and the list may have dropped its oldest rows.
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
$("hurry").addEventListener("click", () => subscription?.hurry());
window.addEventListener("online", () => subscription?.hurry());
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
  stored("localStorage", STORED_THEME, name);
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
  if (!TOPIC_PATTERN.test(topic) || topic.includes("*")) {
    complain("test-error", `"${topic}" is not a topic: a topic is like ops.db`);
    return;
  }
  // Kept until the alert is stored, so that a retry does not store it twice.
  idempotencyKey ||= [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("-");
  try {
    const alert = { message: $("test-message").value, level: $("test-level").value };
    const { id } = await api.publish(topic, alert, idempotencyKey);
    idempotencyKey = "";
    $("test-done").textContent = `Stored as ${id}.`;
  } catch (problem) {
    const word = problem.status === 403 ? "Not permitted" : "Not stored";
    const unknown = "The alert may or may not be stored; publish again, and it is stored only once";
    complain("test-error", `${problem.isTransient && problem.status !== 429 ? unknown : word}: ${problem.message}`);
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

theme(stored("localStorage", STORED_THEME));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme());
const address = new URLSearchParams(location.hash.slice(1));
try {
  if (address.has("topics")) filter.topics = topicsOf(address.get("topics"));
  if (["info", "warn", "error"].includes(address.get("level"))) filter.level = address.get("level");
} catch {
  // The address is invalid: use all topics.
}
key = stored("sessionStorage", STORED_KEY);
if (key) {
  $("keep").checked = true;
  $("key").value = key;
  watch();
} else enter("");
