// The live page: connects the forms, the address, the stream, the list and what draws attention. The key is in a variable;
// signin.js says where else it is kept if the user asks for that.

import { Api } from "./api.js";
import { isSame, read, topicsOf, write } from "./address.js";
import { Notifications, Sound, Unseen, toggles } from "./attention.js";
import { Detail } from "./detail.js";
import { listen } from "./keyboard.js";
import { List } from "./list.js";
import { tellHour, tellList, tellOrder } from "./overview.js";
import { Past } from "./past.js";
import { TestAlert } from "./publish.js";
import { see, seen } from "./seen.js";
import { Subscription } from "./share.js";
import { SignIn, complain, forgetKey, keptKey } from "./signin.js";
import { State } from "./state.js";
import { store, stored } from "./storage.js";
import { Summary } from "./summary.js";
import { theme } from "./theme.js";
import { toast } from "./toast.js";
import { Unresolved } from "./unresolved.js";
import { Wall } from "./wall.js";

const $ = (id) => document.getElementById(id);
const STORED_ORDER = "alertd.order";
const MAX_TOPICS = 64;

let api = null;
let key = "";
let { filter, search } = read(location);
let subscription = null;
let summary = null;
let showing = null;
/** Counts changes of the filter, so that a slow answer does not undo a later one. */
let changes = 0;

const now = () => api?.now() ?? Date.now();
const list = new List($("log"), $("rows"), now, (alert) => write({ filter, alert }), show);
const past = new Past(list);
const state = new State();
const sound = new Sound();
const unseen = new Unseen();
const wall = new Wall(now);
const unresolved = new Unresolved(now, wall, (alert) => write({ filter, alert }));
const notifications = new Notifications((alert) => unresolved.isQuiet(alert));
const detail = new Detail(() => read(location).alert && go({}, "replaceState"));
const testAlert = new TestAlert(() => api);
const signIn = new SignIn((typed, wanted) => {
  key = typed;
  filter = wanted;
  watch();
  $("log").focus({ preventScroll: true });
});

/** Shows all numbers, a little later, so that a storm of changes is shown once. */
function show() {
  showing ??= setTimeout(() => {
    showing = null;
    tellList(list, past.isLoaded);
    tellHour(summary, filter);
    document.title = `${unseen.errors > 0 ? `(${unseen.errors}) ` : ""}alertd: ${state.text.toLowerCase()}`;
  }, 20);
}

function setState(next) {
  state.set(next);
  unresolved.connection(next.name);
  show();
}

/** Changes the address; with `pushState`, the browser's button leads back. */
function go(more, how = "pushState") {
  const hash = write({ filter, search, isWall: wall.isOn, ...more });
  if (hash !== location.hash) history[how](null, "", hash);
}

function watch() {
  subscription?.stop();
  summary?.stop();
  api = new Api(key);
  past.begin(api, filter);
  list.clear();
  if (document.hidden) list.leave(seen(filter));
  else list.look(seen(filter));
  $("banner").hidden = true;
  complain("filter-error", "");
  const { alert } = read(location);
  tellFilter();
  go({ alert }, "replaceState");
  open(true);
  unresolved.begin(api, key, filter);
  const counted = (summary = new Summary(api, filter, show));
  subscription = new Subscription(api, key, filter, {
    state: setState,
    page(page) {
      past.take(page);
      counted.count();
    },
    alert: arrive,
    incident: (transition) => unresolved.transition(transition),
    retract(retraction) {
      list.retract(retraction.alert);
      detail.retract(retraction.alert);
      unresolved.retract(retraction);
    },
    gap(gap) {
      list.gap(gap);
      unresolved.gap();
      counted.count();
    },
    refused,
  });
  detail.show(api, filter, alert);
  show();
}

function tellFilter() {
  $("topics").value = filter.topics.join(", ");
  $("level").value = filter.level;
}

function arrive(alert) {
  list.add(alert);
  summary.add(alert);
  unresolved.alert(alert);
  if (alert.level !== "error") return;
  if (document.hidden) unseen.error();
  if (unresolved.isQuiet(alert)) return;
  sound.error();
  notifications.error(alert);
}

/** Shows why the server refused the request for good. Alerts in the list remain visible. */
function refused({ status, message, topics = [] }) {
  if (status === 403 && topics.length > 0 && list.size === 0 && isSame(filter.topics, ["*"])) {
    filter = { ...filter, topics: topics.slice(0, MAX_TOPICS) };
    toast(`This key may read ${topics.join(", ")}.`);
    watch();
    return;
  }
  setState({ name: { 401: "refused", 403: "denied" }[status] ?? "failed" });
  const ended = list.size > 0 ? "It was revoked or has expired." : "It was mistyped, or it was revoked or has expired.";
  const text = `${state.text}. ${status === 401 ? ended : `${message[0].toUpperCase()}${message.slice(1)}.`}`;
  if (status === 401) forgetKey(key);
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

function enter(text) {
  open(false);
  signIn.open({ filter, isWall: wall.isOn }, text);
}

function leave() {
  subscription?.stop();
  summary?.stop();
  unresolved.end();
  subscription = summary = api = null;
  past.begin(null, null);
  key = "";
  signIn.clear();
  pause(false);
  list.clear();
  setState({ name: "off" });
  enter("");
}

/** Watches with another filter, if the key covers it; otherwise says so at the filter, and everything stays. */
async function change(wanted, { hasTopics = true, how = "pushState" } = {}) {
  const number = ++changes;
  complain("filter-error", "");
  // After a refusal, the same filter may be tried again.
  if (isSame(wanted, filter) && $("banner").hidden) return;
  let { topics } = wanted;
  try {
    await api.page(wanted, { limit: 1 });
  } catch (problem) {
    if (number !== changes) return;
    const own = hasTopics ? [] : problem.topics.slice(0, MAX_TOPICS);
    if (own.length > 0) topics = own;
    else if (!problem.isTransient && problem.status !== 401) {
      complain("filter-error", `${problem.message[0].toUpperCase()}${problem.message.slice(1)}.`);
      return;
    }
  }
  if (number !== changes || !subscription) return;
  if (isSame({ ...wanted, topics }, filter) && $("banner").hidden) {
    go({}, how);
    return;
  }
  see(filter, list.newest);
  filter = { ...wanted, topics };
  go({ alert: read(location).alert }, how);
  watch();
}

function refine(event) {
  event?.preventDefault();
  try {
    change({ topics: topicsOf($("topics").value), level: $("level").value });
  } catch (error) {
    complain("filter-error", error.message);
  }
}

function find(text, how) {
  search = text;
  if ($("search").value !== text) $("search").value = text;
  list.search(text);
  go({}, how);
}

/** Does what the address says. */
function follow() {
  const wanted = read(location);
  wall.set(wanted.isWall);
  unresolved.show();
  order();
  if (!subscription) {
    ({ filter, search } = wanted);
    $("search").value = search;
    list.search(search);
    signIn.fill(wanted);
    complain("sign-in-error", wanted.problem);
    return;
  }
  if (wanted.search !== search) {
    search = $("search").value = wanted.search;
    list.search(search);
  }
  detail.show(api, wanted.filter, wanted.alert);
  if (wanted.problem) complain("filter-error", wanted.problem);
  else change(wanted.filter, { hasTopics: wanted.hasTopics, how: "replaceState" });
}

function order() {
  list.newestFirst = wall.isOn || stored("localStorage", STORED_ORDER) === "newest first";
  tellOrder(list.newestFirst);
}

function pause(paused) {
  list.pause(paused);
  state.pause(paused);
  show();
}

function toNewest() {
  list.toNewest();
  $("log").focus({ preventScroll: true });
  show();
}

$("filter").addEventListener("submit", refine);
$("topics").addEventListener("change", refine);
$("level").addEventListener("change", refine);
$("search").addEventListener("input", () => find($("search").value, "replaceState"));
for (const [id, level] of [["errors", "error"], ["warnings", "warn"]]) {
  $(id).addEventListener("click", () => change({ ...filter, level: filter.level === level ? "info" : level }));
}
$("board").addEventListener("click", (event) => {
  const { target } = event;
  if (target.closest("a.time") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go({ alert: target.closest("[data-id]").dataset.id });
    follow();
    return;
  }
  const { topic, level, search: text } = target.closest("[data-topic], [data-level], [data-search]")?.dataset ?? {};
  if (topic) change({ ...filter, topics: [topic] });
  else if (level) change({ ...filter, level });
  else if (text) find(text, "pushState");
});
$("order").addEventListener("click", () => {
  store("localStorage", STORED_ORDER, list.newestFirst ? "" : "newest first");
  order();
});
$("pause").addEventListener("click", () => pause(!list.paused));
$("hurry").addEventListener("click", () => subscription?.hurry());
$("leave").addEventListener("click", leave);
$("banner-key").addEventListener("click", () => enter(""));
$("unseen").addEventListener("click", toNewest);
$("help-open").addEventListener("click", () => $("help").showModal());
$("test-open").addEventListener("click", () => testAlert.open(filter));
for (const id of ["wall-open", "wall-leave"]) {
  $(id).addEventListener("click", () => {
    go({ isWall: id === "wall-open" });
    follow();
  });
}
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
toggles($("sound"), sound, toast);
toggles($("notify"), notifications, toast);
let isHidden = document.hidden;
document.addEventListener("visibilitychange", () => {
  if (isHidden === document.hidden) return;
  isHidden = document.hidden;
  if (isHidden) {
    if (subscription) see(filter, list.newest);
    list.leave();
  } else {
    unseen.look();
    list.look();
  }
  show();
});
addEventListener("pagehide", () => subscription && !document.hidden && see(filter, list.newest));
addEventListener("hashchange", follow);
// The numbers are those of the last hour also where nothing comes.
setInterval(show, 10_000);

listen(
  {
    "?": () => $("help").showModal(),
    "/": () => $("search").focus(),
    p: () => pause(!list.paused),
    j: () => list.select(1),
    k: () => list.select(-1),
    Enter: (row) => row.querySelector("a.time")?.click(),
  },
  (target) => {
    if (target === $("search")) find("", "replaceState");
    if (wall.isOn) $("wall-leave").click();
    toNewest();
  },
);
theme($("theme"));

const { problem, isWall } = read(location);
wall.set(isWall);
order();
$("search").value = search;
list.search(search);
key = keptKey(isWall);
if (key && !problem) {
  signIn.take(key);
  watch();
} else enter(problem);
