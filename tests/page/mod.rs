//! The live page, in a real browser against a real daemon.

mod address;
mod attention;
mod connection;
mod fold;
mod incidents;
mod list;
mod load;
mod overview;
mod picture;
mod retraction;
mod row;
mod tabs;
mod viewport;
mod wall;

use serde_json::{Value, json};

use crate::harness::{Browser, Daemon, Key, Look, Request};

fn open(daemon: &Daemon) -> Browser {
    Browser::open(&format!("http://{}/", daemon.address), &Look::default())
}

/// Enters a key, with topics and level as they are.
fn enter(browser: &mut Browser, key: &Key) {
    browser.fill("#key", &key.secret);
    browser.click("#sign-in button[type=submit]");
}

fn watching(daemon: &Daemon, key: &Key) -> Browser {
    let mut browser = open(daemon);
    enter(&mut browser, key);
    browser.says("#state-text", "Live");
    browser
}

/// Publishes at a level.
fn send(daemon: &Daemon, key: &Key, topic: &str, level: &str, message: &str) {
    let alert = json!({"message": message, "level": level});
    assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(&alert)).status, 200);
}

fn messages(browser: &mut Browser) -> Value {
    browser.evaluate("[...document.querySelectorAll('.alert:not([hidden]) .message')].map((one) => one.textContent)")
}

/// Waits for the rows to be these, no more and no less.
fn shows(browser: &mut Browser, wanted: &[&str]) {
    let all =
        "JSON.stringify([...document.querySelectorAll('.alert:not([hidden]) .message')].map((one) => one.textContent))";
    browser.until(&format!("{all} === JSON.stringify({})", json!(wanted)));
}

/// No errors on the console, and no requests to other hosts. The browser itself logs each request that fails.
fn is_clean(browser: &mut Browser, daemon: &Daemon, failed_requests: bool) {
    let (complaints, hosts) = browser.report();
    let own: Vec<_> =
        complaints.iter().filter(|text| !failed_requests || !text.starts_with("Failed to load resource")).collect();
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(hosts, [daemon.address.to_string()]);
}

/// Publishes many alerts with one request: `alert` makes the one of each number.
fn send_many(daemon: &Daemon, key: &Key, numbers: std::ops::Range<usize>, alert: impl Fn(usize) -> Value) {
    let lines: String = numbers.map(|number| format!("{}\n", alert(number))).collect();
    let request = Request::post("/alerts").key(key).header("Content-Type", "application/x-ndjson").body(lines);
    let answer = daemon.send(&request);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Tells the page that its tab is hidden, or shown again: without a screen, the browser never does.
fn hide(browser: &mut Browser, is_hidden: bool) {
    browser.evaluate(&format!(
        "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {is_hidden} }});
         document.dispatchEvent(new Event('visibilitychange'))"
    ));
}

#[test]
fn a_test_alert_is_published_where_the_key_may() {
    let daemon = Daemon::start();
    let (key, reader) = (daemon.key("alice"), daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"]})));
    let mut browser = watching(&daemon, &key);
    browser.click("#test-open");
    browser.fill("#test-topic", "ops..");
    browser.click("#test-form button[type=submit]");
    browser.says("#test-error", "is not a topic");
    browser.fill("#test-topic", "ops.test");
    browser.choose("#test-level", "warn");
    browser.fill("#test-message", "is anybody there?");
    browser.click("#test-form button[type=submit]");
    browser.says("#test-done", "Stored as");
    shows(&mut browser, &["is anybody there?"]);
    browser.press("Escape");
    browser.click("#leave");
    enter(&mut browser, &reader);
    browser.says("#state-text", "Live");
    browser.click("#test-open");
    browser.click("#test-form button[type=submit]");
    browser.says("#test-error", "Not permitted: this key does not have the scope \"publish\"");
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn the_page_is_for_everybody() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for level in ["info", "warn", "error"] {
        let alert = json!({"message": format!("a {level}"), "level": level, "metadata": {"host": "db1"}});
        assert_eq!(daemon.send(&Request::post("/alerts/ops.db").key(&key).json(&alert)).status, 200);
    }
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        let look = Look { scheme, width, ..Look::default() };
        let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
        let good = |browser: &mut Browser, what: &str| {
            let wrong = browser.audit();
            assert!(wrong.is_empty(), "{scheme} {width} {what}: {wrong:#?}");
            let wide = browser.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
            assert_eq!(wide, false, "{scheme} {width} {what} is too wide");
        };
        good(&mut browser, "the form");
        browser.click("#sign-in button[type=submit]");
        good(&mut browser, "the form with an error");
        enter(&mut browser, &key);
        browser.says("#state-text", "Live");
        shows(&mut browser, &["a info", "a warn", "a error"]);
        good(&mut browser, "the list");
        browser.press("k");
        browser.press("p");
        good(&mut browser, "a pause");
        for (opener, dialog) in [("#help-open", "#help"), ("#test-open", "#test")] {
            browser.click(opener);
            good(&mut browser, dialog);
            browser.click(&format!("{dialog} [data-close]"));
        }
        let before = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        browser.click("#theme");
        assert_ne!(browser.evaluate("getComputedStyle(document.body).backgroundColor"), before);
        good(&mut browser, "the other theme");
        is_clean(&mut browser, &daemon, false);
    }
}

#[test]
fn the_files_need_no_key_and_forbid_what_they_do_not_need() {
    let daemon = Daemon::start();
    let page = daemon.send(&Request::get("/"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().starts_with("<!doctype html>"));
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(page.header("content-security-policy").unwrap().contains(part), "{part}");
    }
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-cache")]
    {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let tag = page.header("etag").unwrap();
    let again = daemon.send(&Request::get("/").header("If-None-Match", tag));
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    let head = daemon.send(&Request::new("HEAD", "/"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(page.body.len().to_string().as_str()));
    assert_eq!(Request::get("/page/main.js").over(&daemon.control()).status, 200);
    assert_eq!(daemon.send(&Request::get("/page/..%2fCargo.toml")).problem(), "not-found");
}
