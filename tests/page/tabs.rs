//! Several tabs of one browser, which opens only six HTTP/1.1 connections to a host.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{enter, is_clean, messages, open, send, shows, watching};
use crate::harness::{Browser, Daemon, Key, Look, Request, Transport, eventually, fixed_port, nginx};

/// Opens one more tab and enters a key there.
fn tab(browser: &mut Browser, daemon: &Daemon, filter: &str, key: &Key) {
    browser.tab(&format!("http://{}/#{filter}", daemon.address));
    enter(browser, key);
}

fn live_tab(browser: &mut Browser, daemon: &Daemon, filter: &str, key: &Key) {
    tab(browser, daemon, filter, key);
    browser.says("#state-text", "Live");
}

#[test]
fn eight_tabs_show_what_they_ask_for_over_one_stream() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    send(&daemon, &key, "ops.db", "warn", "old");
    let tabs: [(_, &[_]); 8] = [
        ("topics=*", &["old", "db", "web", "net", "ops", "ci"]),
        ("topics=ops.db", &["old", "db"]),
        ("topics=ops.*", &["old", "db", "net"]),
        ("topics=host.units", &[]),
        ("topics=ci", &["ci"]),
        ("topics=web&level=error", &["web"]),
        ("topics=ops.db,ci&level=warn", &["old", "ci"]),
        ("topics=*&level=error", &["web", "ci"]),
    ];
    let mut browser = watching(&daemon, &key);
    for (filter, _) in &tabs[1..] {
        live_tab(&mut browser, &daemon, filter, &key);
    }
    daemon.has_streams(1);
    for (topic, level, message) in [
        ("ops.db", "info", "db"),
        ("web", "error", "web"),
        ("ops.net", "warn", "net"),
        ("ops", "info", "ops"),
        ("ci", "error", "ci"),
    ] {
        send(&daemon, &key, topic, level, message);
    }
    for (number, (_, wanted)) in tabs.iter().enumerate() {
        browser.select(number);
        shows(&mut browser, wanted);
        browser.says("#state-text", "Live");
    }
    // Another filter, and tabs that close, the first one among them.
    browser.select(3);
    browser.fill("#topics", "ops.*");
    browser.press("Enter");
    shows(&mut browser, &["old", "db", "net"]);
    for _ in 0..2 {
        browser.select(0);
        browser.close();
    }
    send(&daemon, &key, "ops.db", "error", "later");
    let tabs: [&[_]; 6] = [
        &["old", "db", "net", "later"],
        &["old", "db", "net", "later"],
        &["ci"],
        &["web"],
        &["old", "ci", "later"],
        &["web", "ci", "later"],
    ];
    for (number, wanted) in tabs.iter().enumerate() {
        browser.select(number);
        shows(&mut browser, wanted);
    }
    daemon.has_streams(1);
    is_clean(&mut browser, &daemon, false);
    for _ in 1..tabs.len() {
        browser.select(0);
        browser.close();
    }
    browser.select(0);
    browser.click("#leave");
    daemon.has_streams(0);
}

/// Publishes numbers, even and odd ones on a topic each, until it is stopped.
fn publish_numbers(daemon: &Daemon, key: &Key, next: &AtomicU64, stop: &mpsc::Receiver<()>) {
    while stop.recv_timeout(Duration::from_millis(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let number = next.load(Ordering::Relaxed);
        send(daemon, key, ["even", "odd"][usize::from(number % 2 == 1)], "info", &number.to_string());
        next.store(number + 1, Ordering::Relaxed);
    }
}

/// Whether the tab has each number from its first to the last one, with these steps, once and in order.
fn has_all(browser: &mut Browser, last: u64, step: usize) {
    browser.until(&format!(
        "[...document.querySelectorAll('.alert .message')].at(-1)?.textContent === '{last}' || document.querySelector('.notice')"
    ));
    let Value::Array(shown) = messages(browser) else { panic!() };
    let numbers: Vec<u64> = shown.iter().map(|number| number.as_str().unwrap().parse().unwrap()).collect();
    let wanted: Vec<u64> = (numbers[0]..=last).step_by(step).collect();
    assert_eq!(numbers, wanted);
    assert_eq!(browser.evaluate("document.querySelectorAll('.notice').length"), 0);
}

#[test]
fn tabs_that_come_go_freeze_and_reload_under_load_lose_and_repeat_nothing() {
    let daemon = Daemon::with("[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    let next = AtomicU64::new(0);
    let (stop, stopped) = mpsc::channel();
    let more = || {
        let before = next.load(Ordering::Relaxed);
        eventually("more alerts", || (next.load(Ordering::Relaxed) > before + 10).then_some(()));
    };
    let mut browser = watching(&daemon, &key);
    thread::scope(|scope| {
        // A failed assertion drops `stop`, which ends the thread too.
        let stop = stop;
        scope.spawn(|| publish_numbers(&daemon, &key, &next, &{ stopped }));
        for filter in ["topics=odd", "topics=even", "topics=*"] {
            live_tab(&mut browser, &daemon, filter, &key);
        }
        browser.evaluate(&format!("sessionStorage.setItem('alertd.key', '{}')", key.secret));
        // The first tab goes and the next one is frozen; others come, and one of them is reloaded.
        browser.select(0);
        browser.close();
        browser.select(0);
        browser.freeze();
        live_tab(&mut browser, &daemon, "topics=*", &key);
        browser.select(2);
        browser.reload();
        browser.says("#state-text", "Live");
        more();
        browser.select(0);
        browser.wake();
        // As pages that the browser keeps after the user went back.
        browser.select(1);
        for event in ["pagehide", "pageshow"] {
            browser.evaluate(&format!("dispatchEvent(new PageTransitionEvent('{event}', {{ persisted: true }}))"));
            more();
        }
        browser.says("#state-text", "Live");
        drop(stop);
    });
    let last = next.load(Ordering::Relaxed) - 1;
    for (number, (last, step)) in
        [(last - (last + 1) % 2, 2), (last - last % 2, 2), (last, 1), (last, 1)].into_iter().enumerate()
    {
        browser.select(number);
        has_all(&mut browser, last, step);
    }
    daemon.has_streams(1);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn a_tab_that_was_frozen_for_long_and_tabs_whose_worker_ended_go_on_where_they_were() {
    let daemon = Daemon::start();
    let (key, other) = (daemon.key("alice"), daemon.key("bob"));
    let mut browser = watching(&daemon, &key);
    live_tab(&mut browser, &daemon, "topics=a", &other);
    daemon.has_streams(2);
    send(&daemon, &key, "a", "info", "1");
    shows(&mut browser, &["1"]);
    browser.freeze();
    send(&daemon, &key, "a", "info", "2");
    // The worker gives it up, and ends the stream that nobody else has.
    daemon.has_streams(1);
    send(&daemon, &key, "a", "info", "3");
    browser.wake();
    shows(&mut browser, &["1", "2", "3"]);
    daemon.has_streams(2);
    assert_eq!(browser.end_workers(), 1);
    daemon.has_streams(0);
    send(&daemon, &key, "a", "info", "4");
    for number in 0..2 {
        browser.select(number);
        shows(&mut browser, &["1", "2", "3", "4"]);
    }
    daemon.has_streams(2);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn each_key_has_a_stream_of_its_own_and_without_a_connection_alerts_come_a_little_later() {
    let daemon = Daemon::start();
    let keys: Vec<_> = (0..7)
        .map(|number| daemon.key_with(&json!({"user": format!("u{number}"), "topics": [format!("t{number}")]})))
        .collect();
    let writer = daemon.key("writer");
    let mut browser = open(&daemon);
    for (number, key) in keys.iter().enumerate() {
        tab(&mut browser, &daemon, &format!("topics=t{number}"), key);
        if number < 4 {
            browser.says("#state-text", "Live");
        } else {
            browser.says("#why", "six HTTP/1.1 connections");
        }
    }
    daemon.has_streams(4);
    for number in 0..keys.len() {
        send(&daemon, &writer, &format!("t{number}"), "info", &number.to_string());
    }
    for number in 0..keys.len() {
        browser.select(number + 1);
        shows(&mut browser, &[&number.to_string()]);
    }
    // A connection that another tab leaves is taken by the one that waits: of several, any might.
    for index in [7, 6, 1] {
        browser.select(index);
        browser.close();
    }
    browser.select(4);
    browser.says("#state-text", "Live");
    browser.until("document.getElementById('why').textContent === ''");
    daemon.has_streams(4);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn over_https_each_key_has_a_connection_for_its_stream() {
    let daemon = Daemon::on(Transport::Tls, "");
    let keys: Vec<_> = (0..8).map(|number| daemon.key(&format!("u{number}"))).collect();
    let url = format!("https://{}/#topics=a", daemon.address);
    let mut browser = Browser::open(&url, &Look::default());
    enter(&mut browser, &keys[0]);
    for key in &keys[1..] {
        browser.says("#state-text", "Live");
        browser.tab(&url);
        enter(&mut browser, key);
    }
    browser.says("#state-text", "Live");
    daemon.has_streams(8);
    send(&daemon, &keys[0], "a", "info", "to all");
    for number in 0..keys.len() {
        browser.select(number);
        shows(&mut browser, &["to all"]);
        assert_eq!(browser.evaluate("document.getElementById('why').textContent"), "");
    }
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn a_page_that_a_proxy_serves_below_another_path_shares_its_stream_too() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let (directory, address) = (tempfile::tempdir().unwrap(), fixed_port());
    let location = format!("location /tools/alerts/ {{ proxy_pass http://{}/; proxy_buffering off; }}", daemon.address);
    let _nginx = nginx(directory.path(), &format!("server {{ listen {address}; {location} }}"));
    eventually("nginx", || std::net::TcpStream::connect(&address).ok());
    let url = format!("http://{address}/tools/alerts/#topics=a");
    let mut browser = Browser::open(&url, &Look::default());
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.tab(&url);
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    daemon.has_streams(1);
    send(&daemon, &key, "a", "info", "through the proxy");
    for number in 0..2 {
        browser.select(number);
        shows(&mut browser, &["through the proxy"]);
    }
}

#[test]
fn all_tabs_go_on_after_a_restart_and_end_with_their_key() {
    let address = fixed_port();
    let configuration = "[http]\nretry = \"1s..1s\"\n";
    let mut daemon = Daemon::with_environment(configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let (key, other) = (daemon.key("alice"), daemon.key("bob"));
    let mut browser = watching(&daemon, &key);
    live_tab(&mut browser, &daemon, "topics=a", &key);
    live_tab(&mut browser, &daemon, "topics=b", &other);
    for message in ["1", "2"] {
        daemon.kill();
        browser.says("#state-text", "Reconnecting in");
        daemon = daemon.again();
        send(&daemon, &other, "a", "info", message);
        send(&daemon, &other, "b", "info", message);
        browser.says("#state-text", "Live");
    }
    for (number, wanted) in [&["1", "1", "2", "2"][..], &["1", "2"], &["1", "2"]].into_iter().enumerate() {
        browser.select(number);
        shows(&mut browser, wanted);
        browser.says("#state-text", "Live");
    }
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    send(&daemon, &other, "b", "info", "3");
    for (number, state) in ["Key refused", "Key refused", "Live"].into_iter().enumerate() {
        browser.select(number);
        browser.says("#state-text", state);
    }
    shows(&mut browser, &["1", "2", "3"]);
    assert!(browser.evaluate("document.getElementById('banner').hidden").as_bool().unwrap());
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn a_browser_without_shared_workers_follows_in_each_tab_and_says_so() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for before in
        ["delete window.SharedWorker", "window.SharedWorker = class { constructor() { throw new Error('no'); } }"]
    {
        let look = Look { before, ..Look::default() };
        let mut browser = Browser::open(&format!("http://{}/#topics=quiet", daemon.address), &look);
        enter(&mut browser, &key);
        browser.says("#state-text", "Live");
        live_tab(&mut browser, &daemon, "topics=quiet", &key);
        browser.says("#why", "cannot share a stream");
        daemon.has_streams(2);
        is_clean(&mut browser, &daemon, false);
    }
}
