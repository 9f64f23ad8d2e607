//! Retractions: what the pages that show an alert make of its retraction, and the button for it.

use serde_json::json;

use super::{is_clean, send, shows, watching};
use crate::harness::{Browser, Daemon, Key, Request, told};

fn retract(daemon: &Daemon, key: &Key, topic: &str, id: &str) {
    let answer = daemon.send(&Request::new("DELETE", &format!("/alerts/{topic}/{id}")).key(key));
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// Publishes an alert of an incident; returns its id.
fn report(daemon: &Daemon, key: &Key, topic: &str, incident: &str, message: &str) -> String {
    let alert = json!({"message": message, "level": "error", "incident": incident});
    let answer = daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(&alert));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["alert"]["id"].as_str().unwrap().to_owned()
}

fn open_detail(browser: &mut Browser, message: &str) {
    browser.evaluate(&format!(
        "[...document.querySelectorAll('.alert')].find((row) => row.textContent.includes({})).querySelector('a.time').click()",
        json!(message)
    ));
    browser.says("#detail-body", message);
}

#[test]
fn the_button_takes_an_alert_back_for_everybody() {
    let daemon = Daemon::start();
    let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
    let reader = daemon.key_with(&json!({"user": "alice", "scopes": ["subscribe"]}));
    let secret = daemon.publish(&alice, "ci", "the token is hunter2");
    daemon.publish(&alice, "ci", "all is well");
    let (mut first, mut second) = (watching(&daemon, &alice), watching(&daemon, &bob));
    for browser in [&mut first, &mut second] {
        shows(browser, &["the token is hunter2", "all is well"]);
        open_detail(browser, "hunter2");
        browser.until("!document.getElementById('detail-retract').hidden");
    }
    // One click is not enough.
    second.click("#detail-retract");
    second.says("#detail-retract", "Retract it for everybody");
    second.says("#detail-done", "whoever has received it still has it");
    assert!(second.audit().is_empty());
    second.click("#detail-retract");
    second.says("#detail-done", "Not permitted: this alert is not one of this key's user");
    first.click("#detail-retract");
    first.click("#detail-retract");
    for browser in [&mut first, &mut second] {
        browser.says("#detail-body", "This alert was retracted.");
        browser.until("document.getElementById('detail-retract').hidden");
        browser.press("Escape");
        shows(browser, &["all is well"]);
        assert_eq!(browser.evaluate("document.documentElement.innerHTML.includes('hunter2')"), false);
    }
    let gone = daemon.send(&Request::get(&format!("/alerts/ci/{secret}")).key(&alice));
    assert_eq!(gone.status, 404, "{gone:?}");
    let mut third = watching(&daemon, &reader);
    shows(&mut third, &["all is well"]);
    open_detail(&mut third, "all is well");
    // The server was asked what the key may do, and the answer is there.
    third.until("performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/keys'))");
    assert_eq!(third.evaluate("document.getElementById('detail-retract').hidden"), true);
    is_clean(&mut first, &daemon, true);
}

#[test]
fn a_retracted_alert_leaves_the_list_also_where_it_is_folded_held_or_the_last_of_an_incident() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let same: Vec<_> = (0..3).map(|_| daemon.publish(&key, "ops", "the same")).collect();
    let mut browser = watching(&daemon, &key);
    browser.says(".alert .repeats", "×3");
    retract(&daemon, &key, "ops", &same[2]);
    browser.says(".alert .repeats", "×2");
    assert_eq!(browser.evaluate("document.querySelector('.alert').dataset.id"), same[1]);
    retract(&daemon, &key, "ops", &same[0]);
    browser.until("!document.querySelector('.alert .repeats')");
    retract(&daemon, &key, "ops", &same[1]);
    shows(&mut browser, &[]);
    browser.click("#pause");
    let held = daemon.publish(&key, "ops", "held back");
    daemon.publish(&key, "ops", "held too");
    browser.says("#pause", "Resume (2)");
    retract(&daemon, &key, "ops", &held);
    browser.says("#pause", "Resume (1)");
    browser.click("#pause");
    shows(&mut browser, &["held too"]);
    let incident = |message: &str| report(&daemon, &key, "ops", "disk", message);
    incident("is filling up");
    let last = incident("the password is hunter2");
    browser.says(".incident .message", "hunter2");
    retract(&daemon, &key, "ops", &last);
    browser.says(".incident .message", "is filling up");
    browser.says(".incident", "×2");
    send(&daemon, &key, "ops", "info", "the end");
    shows(&mut browser, &["held too", "is filling up", "the end"]);
    let listed = daemon.ctl(&["incidents"]);
    assert!(told(&listed).contains("is filling up") && !told(&listed).contains("hunter2"), "{}", told(&listed));
    is_clean(&mut browser, &daemon, true);
}
