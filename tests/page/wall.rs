//! The page on a wall, on paper, in the colours of the system, and as an app.

use serde_json::json;

use super::{enter, is_clean, send, shows, watching};
use crate::harness::{Browser, Daemon, Key, Look, Request};

fn wall(daemon: &Daemon, look: &Look<'_>) -> Browser {
    Browser::open(&format!("http://{}/#wall", daemon.address), look)
}

fn kept(browser: &mut Browser) -> serde_json::Value {
    browser.evaluate("[localStorage.getItem('alertd.key'), sessionStorage.getItem('alertd.key')]")
}

#[test]
fn a_wall_keeps_a_key_that_may_only_subscribe_if_the_user_says_so_and_no_other() {
    let daemon = Daemon::start();
    let reader = daemon.key_with(&json!({"user": "wall", "scopes": ["subscribe"]}));
    let writer = daemon.key("alice");
    let others = [
        (daemon.key_with(&json!({"user": "a", "scopes": ["subscribe", "publish"], "topics": ["x"]})), "publish"),
        (daemon.key_with(&json!({"user": "b", "scopes": ["subscribe", "metrics"]})), "metrics"),
        (daemon.key_with(&json!({"user": "c", "scopes": ["subscribe", "admin"]})), "admin"),
    ];
    send(&daemon, &writer, "default", "error", "before");
    let mut browser = wall(&daemon, &Look::default());
    browser.click("#keep-device");
    for (key, scope) in &others {
        enter(&mut browser, key);
        browser.says("#sign-in-error", &format!("A key with the scope {scope} is not kept on a device"));
        browser.says("#sign-in-error", "alertctl key add NAME --scope subscribe");
    }
    assert_eq!(kept(&mut browser), json!([null, null]));
    // Nothing was published to find out.
    assert_eq!(daemon.status()["engine"]["alerts"], 1);
    // Without the user's word, nothing is kept.
    browser.click("#keep-device");
    enter(&mut browser, &reader);
    shows(&mut browser, &["before"]);
    assert_eq!(kept(&mut browser), json!([null, null]));
    browser.reload();
    browser.click("#keep-device");
    enter(&mut browser, &reader);
    shows(&mut browser, &["before"]);
    assert_eq!(kept(&mut browser), json!([reader.secret, null]));
    // A kiosk that is switched on again.
    browser.tab(&format!("http://{}/#wall&topics=default", daemon.address));
    shows(&mut browser, &["before"]);
    browser.says("#state-text", "Live");
    // The key is for the wall alone.
    browser.tab(&format!("http://{}/", daemon.address));
    browser.says("#sign-in", "Watch alerts");
    browser.select(1);
    assert_eq!(Request::new("DELETE", "/keys/wall").over(&daemon.control()).status, 200);
    browser.says("#state-text", "Key refused");
    assert_eq!(kept(&mut browser), json!([null, null]));
    is_clean(&mut browser, &daemon, true);
}

fn fill(daemon: &Daemon, key: &Key) {
    for level in ["info", "warn", "error"] {
        let metadata = json!({"host": "db1", "tags": ["warning", "db"], "title": "Title"});
        let alert = json!({"message": format!("a {level}"), "level": level, "metadata": metadata});
        assert_eq!(daemon.send(&Request::post("/alerts/ops.db").key(key).json(&alert)).status, 200);
    }
}

#[test]
fn the_wall_shows_the_newest_first_large_and_without_controls() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    fill(&daemon, &key);
    for scheme in ["light", "dark"] {
        let mut browser = wall(&daemon, &Look { scheme, width: 1920, ..Look::default() });
        assert!(browser.audit().is_empty());
        enter(&mut browser, &key);
        shows(&mut browser, &["a error", "a warn", "a info"]);
        browser.says("#errors", "1 error");
        browser.says("#state-text", "Live");
        browser.until("/^\\d\\d:\\d\\d:\\d\\d$/.test(document.getElementById('wall-clock').textContent)");
        let shown = browser.evaluate(
            "['#filter', '#pause', '#past', '#leave'].filter((at) => document.querySelector(at).checkVisibility())",
        );
        assert_eq!(shown, json!([]));
        let size = browser.evaluate("parseFloat(getComputedStyle(document.querySelector('.message')).fontSize)");
        assert!(size.as_f64().unwrap() > 28.0, "{size}");
        let wrong = browser.audit();
        assert!(wrong.is_empty(), "{scheme}: {wrong:#?}");
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth > innerWidth"), false);
        browser.click("#wall-leave");
        shows(&mut browser, &["a info", "a warn", "a error"]);
        assert_eq!(browser.evaluate("location.hash"), "#topics=*&level=info");
        browser.click("#wall-open");
        shows(&mut browser, &["a error", "a warn", "a info"]);
        browser.press("Escape");
        shows(&mut browser, &["a info", "a warn", "a error"]);
        is_clean(&mut browser, &daemon, false);
    }
}

#[test]
fn on_paper_there_are_all_rows_and_no_controls() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for number in 0..60 {
        send(&daemon, &key, "a", "warn", &number.to_string());
    }
    let mut browser = watching(&daemon, &key);
    browser.says("#count", "60 alerts");
    browser.media("print", false);
    browser.until("matchMedia('print').matches");
    let shown =
        browser.evaluate("['#filter', '.tools', '#past'].filter((at) => document.querySelector(at).checkVisibility())");
    assert_eq!(shown, json!([]));
    let drawn = "[...document.querySelectorAll('.message')].filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length";
    assert_eq!(browser.evaluate(drawn), 60);
    // Nothing scrolls on paper: the list is as high as its rows.
    assert_eq!(
        browser.evaluate("document.getElementById('log').scrollHeight - document.getElementById('log').clientHeight"),
        0
    );
}

#[test]
fn in_forced_colours_levels_are_told_apart_by_shape_and_border() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    fill(&daemon, &key);
    let mut browser = watching(&daemon, &key);
    shows(&mut browser, &["a info", "a warn", "a error"]);
    browser.media("screen", true);
    browser.until("matchMedia('(forced-colors: active)').matches");
    let borders = browser.evaluate(
        "[...document.querySelectorAll('.alert')].map((row) => { const { borderLeftWidth, borderLeftStyle } = getComputedStyle(row); return `${borderLeftWidth} ${borderLeftStyle}`; })",
    );
    assert_eq!(borders, json!(["0px none", "4px dashed", "6px solid"]));
    let invisible = browser.evaluate(
        "[...document.querySelectorAll('.alert.warn .shape, .alert.error .shape, #state .shape')].filter((shape) => \
            getComputedStyle(shape).backgroundColor === getComputedStyle(document.body).backgroundColor).length",
    );
    assert_eq!(invisible, 0);
    let wrong = browser.audit();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_page_can_be_installed_as_an_app_without_a_service_worker() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    let app = browser.installability();
    assert_eq!(app["errors"], json!([]), "{app}");
    assert!(app["manifest"]["startUrl"].as_str().unwrap().ends_with(&format!("{}/", daemon.address)), "{app}");
    let icons = browser.evaluate(
        "(async () => {
            const { icons } = await (await fetch('page/manifest.webmanifest')).json();
            return Promise.all(icons.map(async ({ src, sizes, type }) => {
                const answer = await fetch(`page/${src}`);
                const bitmap = type === 'image/png' ? await createImageBitmap(await answer.blob()) : null;
                return answer.headers.get('content-type') === type && (!bitmap || `${bitmap.width}x${bitmap.height}` === sizes);
            }));
        })()",
    );
    assert_eq!(icons, json!([true, true, true, true]));
    assert_eq!(browser.evaluate("navigator.serviceWorker?.getRegistrations().then((all) => all.length) ?? 0"), 0);
    is_clean(&mut browser, &daemon, false);
}
