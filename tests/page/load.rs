//! The page in a storm of alerts.

use std::thread;

use serde_json::{Value, json};

use super::{is_clean, messages, send_many, watching};
use crate::harness::{Browser, Daemon, Key};

const UNLIMITED: &str = "[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n";

/// A page that is blocked for longer looks broken, in milliseconds. Counted is processor time, of which a machine that runs
/// other tests gives little in each second.
const BLOCKED: f64 = 200.0;

fn storm(daemon: &Daemon, key: &Key) {
    let many = |number: usize| json!({"topic": "load", "level": "warn", "message": format!("alert {number}"), "metadata": {"host": number}});
    for part in 0..5 {
        send_many(daemon, key, part * 1000..part * 1000 + 1000, many);
    }
    send_many(daemon, key, 0..500, |_| json!({"topic": "load", "level": "error", "message": "equal"}));
}

fn is_through(browser: &mut Browser) {
    browser.until("document.getElementById('errors-number').textContent === '500'");
    browser.until("document.querySelector('.row:last-child .repeats')?.textContent.startsWith('×500 ')");
}

#[test]
fn a_storm_is_shown_in_small_steps_and_ends_with_the_newest() {
    let daemon = Daemon::with(UNLIMITED);
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    // The largest number of rows that one step adds.
    browser.evaluate(
        "(() => {
            window.largest = 0;
            new MutationObserver((records) => {
                const added = records.reduce((number, { addedNodes }) => number + addedNodes.length, 0);
                window.largest = Math.max(window.largest, added);
            }).observe(document.getElementById('rows'), { childList: true });
        })()",
    );
    thread::scope(|scope| {
        scope.spawn(|| storm(&daemon, &key));
        is_through(&mut browser);
    });
    browser.says("#count", "alerts");
    let rows = browser.evaluate("document.querySelectorAll('.alert').length").as_u64().unwrap();
    assert!(rows <= 2000, "{rows}");
    // In order and without a hole, up to the newest.
    let Value::Array(shown) = messages(&mut browser) else { panic!() };
    let numbers: Vec<usize> =
        shown.iter().filter_map(|one| one.as_str()?.strip_prefix("alert ")?.parse().ok()).collect();
    assert_eq!(numbers, (5000 - numbers.len()..5000).collect::<Vec<_>>());
    assert!(numbers.len() > 500, "{}", numbers.len());
    let largest = browser.evaluate("window.largest").as_u64().unwrap();
    assert!((1..1000).contains(&largest), "{largest} rows in one step");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn no_frame_is_blocked_by_a_storm_or_by_a_full_list() {
    let daemon = Daemon::with(UNLIMITED);
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    browser.record();
    thread::scope(|scope| {
        scope.spawn(|| storm(&daemon, &key));
        is_through(&mut browser);
    });
    let longest = browser.longest_task();
    assert!(longest < BLOCKED, "{longest} ms in a storm");
    // With a full list: another size, a search and its end, another order.
    for step in ["resize", "search", "all", "order"] {
        browser.record();
        match step {
            "resize" => browser.resize(800, 900),
            "search" => browser.fill("#search", "alert 49"),
            "all" => browser.fill("#search", ""),
            _ => browser.click("#order"),
        }
        browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let longest = browser.longest_task();
        assert!(longest < BLOCKED, "{step}: {longest} ms");
    }
}
