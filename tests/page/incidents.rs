//! The board of unresolved incidents: what it shows, and who may act on it.

use serde_json::{Value, json};

use super::{enter, is_clean, open, send, shows, watching};
use crate::harness::{Browser, Daemon, Key, Look, Request, eventually, fixed_port};

/// Publishes an alert of an incident.
pub(super) fn report(daemon: &Daemon, key: &Key, topic: &str, incident: &str, level: &str, message: &str) {
    let alert = json!({"message": message, "level": level, "incident": incident});
    assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(&alert)).status, 200);
}

/// Acts on an incident as `alertctl` does.
fn act(daemon: &Daemon, key: &Key, path: &str, note: Option<&str>) {
    let answer = daemon.send(&Request::post(&format!("/incidents/{path}")).key(key).json(&json!({"note": note})));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The names of the incidents on the board, from the top.
const NAMES: &str = "JSON.stringify([...document.querySelectorAll('.incident .name')].map((one) => one.textContent))";

fn has(browser: &mut Browser, names: &[&str]) {
    browser.until(&format!("{NAMES} === JSON.stringify({})", json!(names)));
}

/// Waits until the focus is on a button for this action and incident.
fn is_on(browser: &mut Browser, action: &str, incident: &str) {
    browser.until(&format!(
        "document.activeElement.dataset.action === '{action}' &&
            document.activeElement.closest('.incident').querySelector('.name').textContent === '{incident}'"
    ));
}

fn is_accessible(browser: &mut Browser, what: &str) {
    let wrong = browser.audit();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth > innerWidth"), false, "{what} is too wide");
}

#[test]
fn what_is_done_on_one_page_is_on_the_others_and_in_the_api() {
    let daemon = Daemon::start();
    let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
    report(&daemon, &alice, "ops.db", "a/b <i>disk</i>", "warn", "is filling up");
    let (mut first, mut second) = (watching(&daemon, &alice), watching(&daemon, &bob));
    let mut stream = daemon.stream(&alice, "/alerts?topic=*&since=none");
    stream.until("cursor");
    report(&daemon, &bob, "ops.db", "a/b <i>disk</i>", "error", "<b>full</b>");
    for browser in [&mut first, &mut second] {
        browser.says("#incidents-title", "1 incident is open");
        // Texts of alerts are texts.
        for text in ["a/b <i>disk</i>", "<b>full</b>", "ops.db", "ERROR", "×2"] {
            browser.says(".incident", text);
        }
        browser.until("document.querySelector('.incident [data-action=acknowledge]')");
    }
    first.click(".incident [data-action=acknowledge]");
    first.says("#act-incident", "a/b <i>disk</i> on ops.db");
    first.fill("#act-note", "on <u>it</u>");
    first.click("#act-do");
    for browser in [&mut first, &mut second] {
        browser.says(".incident .taken", "Acknowledged by alice, ");
        browser.says(".incident .taken", ": on <u>it</u>");
        browser.says("#incidents-title", "1 incident is acknowledged");
        browser.until("document.querySelector('[data-action=acknowledge]').hidden");
        browser.until("/^a\\/b <i>disk<\\/i> on ops.db acknowledged by alice. Now 1 incident is acknowledged.$/.test(document.getElementById('incidents-said').textContent)");
    }
    let event: Value = serde_json::from_str(&stream.until("incident").data).unwrap();
    assert_eq!((&event["state"], &event["by"]), (&json!("acknowledged"), &json!("alice")));
    let path = "ops.db/a%2Fb%20%3Ci%3Edisk%3C%2Fi%3E";
    let incident = daemon.send(&Request::get(&format!("/incidents/{path}")).key(&bob)).json();
    assert_eq!((&incident["state"], &incident["note"]), (&json!("acknowledged"), &json!("on <u>it</u>")));
    // The other way round: by the API, seen on both pages.
    act(&daemon, &bob, &format!("{path}/resolve"), None);
    for browser in [&mut first, &mut second] {
        browser.says("#incidents-title", "All is well: no unresolved incidents");
    }
    act(&daemon, &bob, &format!("{path}/reopen"), Some("it is not over"));
    for browser in [&mut first, &mut second] {
        browser.says("#incidents-title", "1 incident is open");
        browser.says(".incident .taken", "it is not over");
    }
    second.click(".incident [data-action=resolve]");
    second.click("#act-do");
    has(&mut first, &[]);
    let over = json!({"message": "over", "incident": "x", "status": "resolved"});
    report(&daemon, &bob, "ops.db", "x", "error", "until it is over");
    has(&mut first, &["x"]);
    assert_eq!(daemon.send(&Request::post("/alerts/ops.db").key(&bob).json(&over)).status, 200);
    has(&mut first, &[]);
    is_clean(&mut first, &daemon, true);
}

#[test]
fn the_keyboard_is_enough_and_the_focus_stays_when_the_board_changes() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for name in ["one", "two"] {
        report(&daemon, &key, "ops", name, "warn", "slow");
    }
    let mut browser = watching(&daemon, &key);
    has(&mut browser, &["two", "one"]);
    browser.until("document.querySelectorAll('[data-action]').length === 4");
    browser.evaluate("document.getElementById('warnings').focus()");
    while browser.evaluate("document.activeElement.dataset.action !== 'acknowledge'").as_bool().unwrap() {
        assert_eq!(browser.evaluate("document.activeElement.closest('#overview, #incidents') !== null"), true);
        browser.press("Tab");
    }
    is_on(&mut browser, "acknowledge", "two");
    browser.press("Enter");
    browser.until("document.activeElement.id === 'act-note'");
    for letter in ["o", "k"] {
        browser.press(letter);
    }
    browser.press("Enter");
    browser.says(".incident.acknowledged .taken", "Acknowledged by alice, ");
    browser.says(".incident.acknowledged .taken", ": ok");
    // The button is gone, and its incident moved down: the focus goes to the other button of the same incident.
    has(&mut browser, &["one", "two"]);
    is_on(&mut browser, "resolve", "two");
    // Others come, change and move.
    report(&daemon, &key, "ops", "three", "error", "down");
    report(&daemon, &key, "ops", "two", "warn", "still slow");
    has(&mut browser, &["three", "one", "two"]);
    browser.says(".incident:last-child", "still slow");
    is_on(&mut browser, "resolve", "two");
    report(&daemon, &key, "ops", "two", "error", "down, too");
    has(&mut browser, &["two", "three", "one"]);
    is_on(&mut browser, "resolve", "two");
    // An incident that others resolve takes the focus along; the one in its place gets it.
    act(&daemon, &key, "ops/two/resolve", None);
    has(&mut browser, &["three", "one"]);
    is_on(&mut browser, "acknowledge", "three");
    browser.press("Enter");
    browser.until("document.getElementById('act').open");
    browser.press("Escape");
    is_on(&mut browser, "acknowledge", "three");
    browser.press("Tab");
    browser.press("Enter");
    browser.press("Enter");
    has(&mut browser, &["one"]);
    is_on(&mut browser, "acknowledge", "one");
    act(&daemon, &key, "ops/one/resolve", None);
    browser.until("document.activeElement.id === 'incidents-title'");
}

#[test]
fn a_key_that_may_not_publish_has_no_buttons() {
    let daemon = Daemon::start();
    let (writer, reader) =
        (daemon.key("alice"), daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"], "topics": ["ops.*"]})));
    report(&daemon, &writer, "ops.db", "disk", "error", "full");
    report(&daemon, &writer, "secret", "hidden", "error", "of other topics");
    let mut browser = Browser::open(&format!("http://{}/#topics=ops.*", daemon.address), &Look::default());
    enter(&mut browser, &reader);
    has(&mut browser, &["disk"]);
    browser.says("#incidents-title", "1 incident is open on these topics");
    browser.until("performance.getEntriesByType('resource').some(({ name }) => name.includes('no_such_parameter'))");
    // The board was drawn again after the answer.
    report(&daemon, &writer, "ops.db", "other", "error", "full");
    has(&mut browser, &["other", "disk"]);
    assert_eq!(browser.evaluate("document.querySelectorAll('[data-action]').length"), 0);
    act(&daemon, &writer, "ops.db/disk/acknowledge", None);
    browser.says(".incident:last-child .taken", "Acknowledged by alice");
    // With another key they are there, and go with it.
    browser.click("#leave");
    enter(&mut browser, &writer);
    browser.until("document.querySelectorAll('[data-action]').length === 4");
    browser.click("#leave");
    enter(&mut browser, &reader);
    has(&mut browser, &["other", "disk"]);
    assert_eq!(browser.evaluate("document.querySelectorAll('[data-action]').length"), 0);
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn without_incidents_all_is_well_as_long_as_the_stream_is_live() {
    let daemon = Daemon::start();
    let (key, other) = (daemon.key("alice"), daemon.key("bob"));
    report(&daemon, &other, "elsewhere", "x", "error", "is no concern of this page");
    let mut browser = open(&daemon);
    browser.fill("#sign-in-topics", "ops");
    enter(&mut browser, &key);
    browser.says("#incidents-title", "All is well: no unresolved incidents on these topics");
    assert_eq!(browser.evaluate("document.getElementById('incidents').dataset.health"), "good");
    is_accessible(&mut browser, "the empty state");
    // Information about something that is not open, and an end of it, open nothing.
    report(&daemon, &key, "ops", "calm", "info", "a note");
    shows(&mut browser, &["a note"]);
    browser.says("#incidents-title", "All is well");
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    browser.says("#incidents-title", "Last known: no unresolved incidents on these topics");
    assert_eq!(browser.evaluate("document.getElementById('incidents').dataset.health"), "other");
}

#[test]
fn after_a_gap_the_board_is_that_of_the_server() {
    let address = fixed_port();
    let configuration = "[http]\nretry = \"1h..1h\"\n[alerts]\nretain_count = 20\n";
    let mut daemon = Daemon::with_environment(configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    for name in ["kept", "over"] {
        report(&daemon, &key, "ops", name, "error", "broken");
    }
    has(&mut browser, &["over", "kept"]);
    daemon.stop();
    browser.says("#incidents-title", "Last known: 2 incidents are open");
    daemon = daemon.again();
    act(&daemon, &key, "ops/kept/acknowledge", Some("unseen"));
    act(&daemon, &key, "ops/over/resolve", None);
    report(&daemon, &key, "ops", "new", "warn", "unseen");
    for number in 0..60 {
        send(&daemon, &key, "ops", "info", &number.to_string());
    }
    eventually("the trimming", || (daemon.status()["engine"]["alerts"].as_u64()? <= 20).then_some(()));
    browser.click("#hurry");
    browser.says(".gap", "may be missing here");
    has(&mut browser, &["new", "kept"]);
    browser.says("#incidents-title", "1 incident is open, 1 acknowledged");
    browser.says(".incident:last-child .taken", "Acknowledged by alice, ");
    browser.says(".incident:last-child .taken", ": unseen");
}

#[test]
fn the_worst_come_first_and_of_many_only_so_many_are_shown() {
    let daemon = Daemon::with("[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    for name in ["bad", "taken", "worse"] {
        report(&daemon, &key, "ops", name, "error", "broken");
    }
    act(&daemon, &key, "ops/taken/acknowledge", None);
    let warn =
        |number: usize| json!({"topic": "ops", "level": "warn", "message": "slow", "incident": format!("w{number}")});
    super::send_many(&daemon, &key, 0..1100, warn);
    // What the list leaves out by its level is on the board all the same.
    let url = format!("http://{}/#level=error", daemon.address);
    let mut browser = Browser::open(&url, &Look::default());
    enter(&mut browser, &key);
    browser.says("#incidents-title", "1102 incidents are open, 1 acknowledged");
    browser.says("#incidents-more", "and 1073 more");
    let first = "JSON.parse(NAMES).slice(0, 4)".replace("NAMES", NAMES);
    assert_eq!(browser.evaluate(&first), json!(["worse", "bad", "w1099", "w1098"]));
    let shown = format!("JSON.parse({NAMES}).length");
    assert_eq!(browser.evaluate(&shown), 30);
    browser.click("#wall-open");
    browser.until(&format!("{shown} === 5"));
    browser.says("#incidents-more", "and 1098 more");
    act(&daemon, &key, "ops/worse/resolve", None);
    browser.until(&format!("{NAMES}.startsWith('[\"bad\",\"w1099\"')"));
    browser.press("Escape");
    browser.until(&format!("{shown} === 30"));
}

#[test]
fn the_board_is_for_everybody() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    report(&daemon, &key, "ops.db", &"long".repeat(32), "error", &"word ".repeat(300));
    report(&daemon, &key, "ops.db.replica.of.the.second.site", "disk", "warn", "نص من اليمين إلى اليسار");
    report(&daemon, &key, "ops", "taken", "error", "broken");
    act(&daemon, &key, "ops/taken/acknowledge", Some(&"note".repeat(60)));
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        let look = Look { scheme, width, ..Look::default() };
        let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
        enter(&mut browser, &key);
        browser.says("#incidents-title", "2 incidents are open, 1 acknowledged");
        browser.until("document.querySelectorAll('[data-action]').length === 6");
        is_accessible(&mut browser, &format!("the board, {scheme} {width}"));
        browser.click(".incident [data-action=resolve]");
        is_accessible(&mut browser, &format!("the dialog, {scheme} {width}"));
        browser.press("Escape");
        browser.media("screen", true);
        browser.until("matchMedia('(forced-colors: active)').matches");
        is_accessible(&mut browser, &format!("forced colours, {scheme} {width}"));
        browser.media("print", false);
        let printed = browser.evaluate(
            "[...document.querySelectorAll('.incident .name, .incident .actions')].filter((one) => one.checkVisibility()).length",
        );
        assert_eq!(printed, 3, "{scheme} {width}");
        browser.media("screen", false);
        if width > 400 {
            browser.click("#wall-open");
            browser.until("document.documentElement.matches('.wall')");
            is_accessible(&mut browser, &format!("the wall, {scheme}"));
            assert_eq!(browser.evaluate("document.querySelector('[data-action]').checkVisibility()"), false);
        }
        is_clean(&mut browser, &daemon, true);
    }
}
