//! The page's filters, its address, and keys that do not cover what is asked for.

use serde_json::json;

use super::{enter, is_clean, messages, open, send, shows, watching};
use crate::harness::{Browser, Daemon, Look, Request};

#[test]
fn a_topic_that_the_key_may_not_read_is_refused_at_the_filter_and_the_list_stays() {
    let daemon = Daemon::start();
    let (key, narrow) = (daemon.key("alice"), daemon.key_with(&json!({"user": "n", "topics": ["ops.*", "ci"]})));
    send(&daemon, &key, "ops.db", "info", "one");
    let mut browser = open(&daemon);
    browser.fill("#sign-in-topics", "ops.*");
    enter(&mut browser, &narrow);
    shows(&mut browser, &["one"]);
    browser.fill("#topics", "ops.*, web");
    browser.press("Enter");
    browser.says("#filter-error", "This key may not use the topic web: its topics are ops.*, ci.");
    browser.says("#state-text", "Live");
    assert_eq!(messages(&mut browser), json!(["one"]));
    send(&daemon, &key, "ops.db", "info", "two");
    shows(&mut browser, &["one", "two"]);
    assert_eq!(browser.evaluate("location.hash"), "#topics=ops.*&level=info");
    assert!(browser.audit().is_empty());
    browser.fill("#topics", "ci");
    browser.press("Enter");
    shows(&mut browser, &[]);
    browser.until("document.getElementById('filter-error').hidden && location.hash === '#topics=ci&level=info'");
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn a_narrow_key_gets_in_with_the_topics_that_the_page_begins_with() {
    let daemon = Daemon::start();
    let (key, narrow) = (daemon.key("alice"), daemon.key_with(&json!({"user": "n", "topics": ["ops.*", "ci"]})));
    for (topic, message) in [("ops.db", "one"), ("web", "not for everybody"), ("ci", "two")] {
        send(&daemon, &key, topic, "info", message);
    }
    let mut browser = watching(&daemon, &narrow);
    shows(&mut browser, &["one", "two"]);
    browser.until("document.getElementById('toast').textContent === 'This key may read ops.*, ci.'");
    assert_eq!(browser.evaluate("document.getElementById('topics').value"), "ops.*, ci");
    // What somebody asked for is not replaced.
    browser.fill("#topics", "*");
    browser.press("Enter");
    browser.says("#filter-error", "may not use the topic *");
    is_clean(&mut browser, &daemon, true);
    let url = format!("http://{}/#topics=web", daemon.address);
    let mut browser = Browser::open(&url, &Look::default());
    enter(&mut browser, &narrow);
    browser.says("#sign-in-error", "its topics are ops.*, ci");
}

#[test]
fn the_page_does_what_its_address_says() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (topic, level, message) in
        [("ops.db", "info", "one"), ("ops.db", "warn", "two"), ("web", "error", "three"), ("ops.net", "error", "four")]
    {
        send(&daemon, &key, topic, level, message);
    }
    let mut browser =
        Browser::open(&format!("http://{}/?topic=ops.db&topic=web&level=warn", daemon.address), &Look::default());
    enter(&mut browser, &key);
    shows(&mut browser, &["two", "three"]);
    for (hash, wanted) in [
        ("#topics=ops.*", &["one", "two", "four"][..]),
        ("#topics=ops.*&level=error", &["four"][..]),
        ("#topics=*&q=hre", &["three"][..]),
        ("#topics=*&level=error&q=THREE", &["three"][..]),
        ("#level=error", &["three", "four"][..]),
    ] {
        browser.evaluate(&format!("location.hash = '{hash}'"));
        shows(&mut browser, wanted);
        browser.until("document.getElementById('state-text').textContent === 'Live'");
    }
    // What is wrong in it is told, and everything stays.
    browser.evaluate("location.hash = '#topics=a..b'");
    browser.says("#filter-error", "\"a..b\" is not a topic");
    browser.evaluate("location.hash = '#level=fatal'");
    browser.says("#filter-error", "\"fatal\" is not a level");
    assert_eq!(messages(&mut browser), json!(["three", "four"]));
    // Choices of the user are in the address, and the browser leads back.
    browser.evaluate("location.hash = '#topics=*'");
    shows(&mut browser, &["one", "two", "three", "four"]);
    browser.fill("#search", "o");
    browser.until("location.hash === '#topics=*&level=info&q=o'");
    browser.fill("#search", "");
    browser.choose("#level", "error");
    shows(&mut browser, &["three", "four"]);
    browser.evaluate("history.back()");
    shows(&mut browser, &["one", "two", "three", "four"]);
    browser.until("document.getElementById('level').value === 'info'");
    is_clean(&mut browser, &daemon, true);
    // Before a key is entered, too.
    let mut browser = open(&daemon);
    browser.evaluate("location.hash = '#topics=ops.net&level=error&q=fou'");
    browser.until("document.getElementById('sign-in-topics').value === 'ops.net'");
    enter(&mut browser, &key);
    shows(&mut browser, &["four"]);
    assert_eq!(browser.evaluate("document.getElementById('search').value"), "fou");
}

#[test]
fn topic_level_and_value_of_a_row_are_filters_and_its_time_is_a_link_to_it() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (topic, level, host) in [("ops.db", "info", "db1"), ("ops.db", "warn", "db2"), ("web", "error", "db2")] {
        let alert = json!({"message": format!("{topic} {level}"), "level": level, "metadata": {"host": host}});
        assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(&key).json(&alert)).status, 200);
    }
    let mut browser = watching(&daemon, &key);
    shows(&mut browser, &["ops.db info", "ops.db warn", "web error"]);
    browser.click(".alert.info .topic");
    shows(&mut browser, &["ops.db info", "ops.db warn"]);
    browser.click(".alert.warn .level");
    shows(&mut browser, &["ops.db warn"]);
    browser.evaluate("location.hash = ''");
    shows(&mut browser, &["ops.db info", "ops.db warn", "web error"]);
    browser.click(".alert.warn .value");
    shows(&mut browser, &["ops.db warn", "web error"]);
    assert_eq!(browser.evaluate("document.getElementById('search').value"), "db2");
    browser.click(".alert.warn a.time");
    browser.says("#detail", "ops.db warn");
    browser.says("#detail", "host");
    assert!(browser.audit().is_empty());
    let link = browser.evaluate("location.href");
    browser.press("Escape");
    browser.until("!document.getElementById('detail').open && !location.hash.includes('alert=')");
    // By the keyboard, from row to row and into one.
    browser.press("k");
    browser.press("Tab");
    assert_eq!(browser.evaluate("document.activeElement.className"), "level");
    browser.press("k");
    browser.press("Enter");
    browser.says("#detail", "ops.db warn");
    // The page has asked whether the key may publish.
    is_clean(&mut browser, &daemon, true);
    // Elsewhere, and for who has to enter a key first.
    let mut browser = Browser::open(link.as_str().unwrap(), &Look::default());
    enter(&mut browser, &key);
    browser.says("#detail", "ops.db warn");
    let gone = "location.hash = '#alert=5-0'";
    browser.evaluate(gone);
    browser.says("#detail", "No alert 5-0 is stored on *");
}
