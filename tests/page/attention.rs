//! What draws attention to errors: notifications, a sound, title and icon of the tab.

use serde_json::json;

use super::{enter, hide, is_clean, send, shows, watching};
use crate::harness::{Browser, Daemon, Look, Request};

#[test]
fn errors_draw_attention_only_where_it_was_asked_for() {
    const RECORDED: &str = "window.shown = []; const Real = window.Notification;
        window.Notification = class extends Real {
            constructor(title, options) { super(title, options); window.shown.push([title, options.body]); }
        };";
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let url = format!("http://{}/", daemon.address);
    let look = Look { permissions: &["notifications"], before: RECORDED, ..Look::default() };
    let mut browser = Browser::open(&url, &look);
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    send(&daemon, &key, "a", "error", "not asked for");
    shows(&mut browser, &["not asked for"]);
    browser.click("#notify");
    browser.says("#toast", "Notifications on error are on");
    browser.click("#sound");
    browser.until("document.getElementById('sound').ariaPressed === 'true'");
    send(&daemon, &key, "a", "warn", "only a warning");
    send(&daemon, &key, "ops.disk", "error", "<b>disk full</b>");
    browser.until("window.shown.length > 0");
    assert_eq!(browser.evaluate("window.shown"), json!([["Error: ops.disk", "<b>disk full</b>"]]));
    browser.click("#notify");
    browser.says("#toast", "off");
    is_clean(&mut browser, &daemon, false);
    // A browser that was told to block them.
    let blocked = "Notification.requestPermission = async () => 'denied';";
    let mut browser = Browser::open(&url, &Look { before: blocked, ..Look::default() });
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.click("#notify");
    browser.says("#toast", "allow them in its settings");
    assert_eq!(browser.evaluate("document.getElementById('notify').ariaPressed"), "false");
    is_clean(&mut browser, &daemon, false);
}

/// Records the notifications that the page makes.
const RECORDED: &str = "window.shown = []; const Real = window.Notification;
    window.Notification = class extends Real {
        constructor(title, options) { super(title, options); window.shown.push({ title, ...options }); }
    };";

#[test]
fn the_choice_to_notify_outlives_a_reload() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let look = Look { permissions: &["notifications"], before: RECORDED, ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
    browser.click("#keep");
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.click("#notify");
    browser.says("#toast", "Notifications on error are on");
    browser.reload();
    browser.says("#state-text", "Live");
    assert_eq!(browser.evaluate("document.getElementById('notify').ariaPressed"), "true");
    send(&daemon, &key, "a", "error", "after the reload");
    browser.until("window.shown.length === 1");
    browser.click("#notify");
    browser.says("#toast", "off");
    browser.reload();
    browser.says("#state-text", "Live");
    assert_eq!(browser.evaluate("document.getElementById('notify').ariaPressed"), "false");
}

#[test]
fn a_storm_of_errors_is_one_notification() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let look = Look { permissions: &["notifications"], before: RECORDED, ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.click("#notify");
    browser.says("#toast", "Notifications on error are on");
    let start = std::time::Instant::now();
    let mut sent = 0;
    while browser.evaluate("window.shown.length < 3").as_bool().unwrap() {
        sent += 1;
        send(&daemon, &key, "a", "error", &format!("error {sent}"));
        assert!(start.elapsed().as_secs() < 60);
    }
    // The third one comes 2 and 4 seconds after the first: each pause is twice as long as the one before.
    assert!(start.elapsed().as_millis() > 5_500, "{:?}", start.elapsed());
    let shown = browser.evaluate("window.shown.map(({ tag, renotify }) => [tag, renotify])");
    // One tag is one notification, and only the first one of a storm is a signal.
    assert_eq!(shown, json!([["alertd", true], ["alertd", false], ["alertd", false]]));
    browser.until("/^\\d+ errors since \\d\\d:/.test(window.shown.at(-1).title)");
    // An error every tenth of a second for ten minutes, and another one after two quiet minutes.
    let told = browser.evaluate(
        "(async () => {
            const { Pace } = await import('/page/attention.js');
            const pace = new Pace();
            let told = 0;
            const error = (now) => {
                if (pace.error(now) > 0) return;
                told += 1;
                pace.told(now);
            };
            for (let now = 0; now < 600_000; now += 100) error(now);
            const storm = told;
            error(720_000);
            return [storm, told - storm, pace.isFirst];
        })()",
    );
    assert_eq!(told, json!([9, 1, true]));
}

#[test]
fn title_and_icon_say_how_many_errors_nobody_has_seen() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    let icon = "document.querySelector('link[rel=icon]').getAttribute('href')";
    send(&daemon, &key, "a", "error", "seen");
    shows(&mut browser, &["seen"]);
    browser.until("document.title === 'alertd: live'");
    assert_eq!(browser.evaluate(icon), "page/icon.svg");
    hide(&mut browser, true);
    send(&daemon, &key, "a", "warn", "no error");
    send(&daemon, &key, "a", "error", "one");
    browser.until("document.title === '(1) alertd: live'");
    assert_eq!(browser.evaluate(icon), "page/icon-1.svg");
    for number in 0..11 {
        send(&daemon, &key, "a", "error", &number.to_string());
    }
    browser.until("document.title === '(12) alertd: live'");
    assert_eq!(browser.evaluate(icon), "page/icon-more.svg");
    let icons = browser.evaluate(
        "Promise.all([1, 9, 'more'].map(async (n) => (await fetch(`page/icon-${n}.svg`)).headers.get('content-type')))",
    );
    assert_eq!(icons, json!(["image/svg+xml", "image/svg+xml", "image/svg+xml"]));
    hide(&mut browser, false);
    browser.until("document.title === 'alertd: live'");
    assert_eq!(browser.evaluate(icon), "page/icon.svg");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn an_incident_that_somebody_takes_care_of_is_quiet_until_it_gets_worse() {
    const COUNTED: &str = "window.tones = 0; const { start } = OscillatorNode.prototype;
        OscillatorNode.prototype.start = function (...at) { window.tones += 1; return start.apply(this, at); };";
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let report = |incident: &str, level: &str, message: &str| {
        let alert = json!({"message": message, "level": level, "incident": incident});
        assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&alert)).status, 200);
    };
    let acknowledge = |incident: &str| {
        let request = Request::post(&format!("/incidents/ops/{incident}/acknowledge")).key(&key);
        assert_eq!(daemon.send(&request).status, 200);
    };
    report("taken", "error", "before");
    acknowledge("taken");
    report("warned", "warn", "slow");
    let before = format!("{RECORDED}{COUNTED}");
    let look = Look { permissions: &["notifications"], before: &before, ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
    enter(&mut browser, &key);
    browser.says("#incidents-title", "1 incident is open, 1 acknowledged");
    browser.click("#notify");
    browser.says("#toast", "Notifications on error are on");
    browser.click("#sound");
    browser.until("document.getElementById('sound').ariaPressed === 'true'");
    assert_eq!(browser.evaluate("window.tones"), 2);
    // The same level, a lower one and the end of it.
    report("taken", "error", "again");
    report("taken", "warn", "less");
    let over = json!({"message": "over", "level": "error", "incident": "taken", "status": "resolved"});
    assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&over)).status, 200);
    shows(&mut browser, &["before", "slow", "again", "less", "over"]);
    assert_eq!(browser.evaluate("[window.tones, window.shown.length]"), json!([2, 0]));
    // A new one.
    report("new", "error", "down");
    browser.until("window.shown.length === 1");
    assert_eq!(browser.evaluate("[window.tones, window.shown[0].title]"), json!([4, "Error: ops"]));
    // What waits to be told is not told any more once somebody takes care of it; a higher level is.
    report("new", "error", "still down");
    acknowledge("new");
    acknowledge("warned");
    browser.says("#incidents-title", "2 incidents are acknowledged");
    report("warned", "error", "down, too");
    browser.until("window.shown.length === 2");
    let last = browser.evaluate("[window.shown[1].title.split(' since')[0], window.shown[1].body]");
    assert_eq!(last, json!(["3 errors", "ops: down, too"]));
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn a_reminder_of_an_incident_that_nobody_takes_care_of_is_told() {
    let daemon = Daemon::with("[incidents]\nremind_after = \"1s\"\n");
    let key = daemon.key("alice");
    let look = Look { permissions: &["notifications"], before: RECORDED, ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.click("#notify");
    browser.says("#toast", "Notifications on error are on");
    let alert = json!({"message": "down", "level": "error", "incident": "i"});
    assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&alert)).status, 200);
    browser.until("window.shown.length > 1");
    browser.until("/^\\d+ errors since/.test(window.shown.at(-1).title)");
    // A reminder is no repeat.
    browser.until("document.querySelectorAll('.alert').length > 1");
    assert_eq!(browser.evaluate("document.querySelector('.incident .repeats').textContent"), "");
}
