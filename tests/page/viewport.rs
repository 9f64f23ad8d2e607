//! Which part of the list is on screen.

use serde_json::json;

use super::{hide, is_clean, send, send_many, shows, watching};
use crate::harness::{Browser, Daemon, Key};

const AT_END: &str = "(() => {
    const log = document.getElementById('log');
    return log.scrollHeight - log.scrollTop - log.clientHeight < 2 && log.scrollTop > 100;
})()";

/// Where a row with this message is, in pixels from the top of the list.
fn place(browser: &mut Browser, message: &str) -> f64 {
    let script = format!(
        "(() => {{
            const row = [...document.querySelectorAll('.alert')].find((row) => row.querySelector('.message').textContent.startsWith('{message} '));
            return row.getBoundingClientRect().top - document.getElementById('log').getBoundingClientRect().top;
        }})()"
    );
    browser.evaluate(&script).as_f64().unwrap()
}

/// Alerts of very different heights.
fn fill(daemon: &Daemon, key: &Key, numbers: std::ops::Range<usize>) {
    send_many(
        daemon,
        key,
        numbers,
        |number| json!({"topic": "ops.db", "level": "warn", "message": format!("{number} {}", "word ".repeat(number * 7 % 90))}),
    );
}

#[test]
fn the_list_follows_the_newest_through_every_change_of_size() {
    let daemon = Daemon::with("[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    fill(&daemon, &key, 0..90);
    let mut browser = watching(&daemon, &key);
    browser.says("#count", "90 alerts");
    browser.until(AT_END);
    // A rotated phone, a smaller window, a larger one, and zoom, which is another size in other pixels.
    for (number, (width, height)) in
        [(390, 844), (844, 390), (1280, 720), (640, 360), (1900, 1000), (320, 640)].into_iter().enumerate()
    {
        browser.resize(width, height);
        browser.until(&format!("innerWidth === {width}"));
        browser.until(AT_END);
        fill(&daemon, &key, 100 + number..101 + number);
        browser.says("#count", &format!("{} alerts", 91 + number));
        browser.until(AT_END);
        assert_eq!(browser.evaluate("document.getElementById('unseen').hidden"), true, "{width}");
    }
    for zoom in ["2", "0.7"] {
        browser.evaluate(&format!("document.documentElement.style.zoom = '{zoom}'"));
        browser.until(AT_END);
    }
    browser.press("p");
    browser.says("#state-text", "Paused");
    browser.resize(900, 500);
    browser.until(AT_END);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn rows_on_screen_stay_where_they_are_for_who_reads_further_up() {
    let daemon = Daemon::with("[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    fill(&daemon, &key, 0..60);
    for newest_first in [false, true] {
        let mut browser = watching(&daemon, &key);
        if newest_first {
            browser.click("#order");
        }
        browser.until("!document.getElementById('count').textContent.startsWith('0')");
        browser.evaluate("document.getElementById('log').scrollTop = 900");
        browser.until("document.getElementById('log').scrollTop > 800");
        // Two frames: rows that came on screen have their real size.
        browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let seen = browser.evaluate(
            "(() => {
                const top = document.getElementById('log').getBoundingClientRect().top;
                const row = [...document.querySelectorAll('.alert')].find((row) => row.getBoundingClientRect().bottom > top + 1);
                return row.querySelector('.message').textContent.split(' ')[0];
            })()",
        );
        let seen = seen.as_str().unwrap().to_owned();
        let before = place(&mut browser, &seen);
        let from = if newest_first { 500 } else { 300 };
        fill(&daemon, &key, from..from + 30);
        browser.says("#unseen", "30 new alerts");
        let after = place(&mut browser, &seen);
        assert!((before - after).abs() < 2.0, "newest first: {newest_first}: from {before} to {after}");
        browser.click("#unseen");
        let newest = "[...document.querySelectorAll('.alert')].at(%).getBoundingClientRect()";
        let newest = newest.replace('%', if newest_first { "0" } else { "-1" });
        browser.until(&format!(
            "{newest}.bottom <= innerHeight && {newest}.top >= 0 && document.getElementById('unseen').hidden"
        ));
    }
}

#[test]
fn the_order_is_remembered_and_everything_works_both_ways() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    send_many(&daemon, &key, 0..250, |number| json!({"topic": "a", "message": number.to_string()}));
    let mut browser = watching(&daemon, &key);
    browser.says("#count", "100 alerts");
    browser.click("#order");
    browser.until("document.querySelector('.alert .message').textContent === '249'");
    assert_eq!(browser.evaluate("document.getElementById('log').ariaLabel"), "Alerts, newest first");
    for seen in ["200 alerts", "250 alerts"] {
        browser.evaluate("document.getElementById('log').scrollTop = 1e6");
        browser.says("#count", seen);
    }
    browser.evaluate("document.getElementById('log').scrollTop = 0");
    send(&daemon, &key, "a", "info", "newest");
    let mut wanted = vec!["newest".to_owned()];
    wanted.extend((0..250).rev().map(|number| number.to_string()));
    shows(&mut browser, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
    browser.press("j");
    assert_eq!(browser.evaluate("document.activeElement.querySelector('.message').textContent"), "newest");
    browser.evaluate(&format!("sessionStorage.setItem('alertd.key', '{}')", key.secret));
    browser.reload();
    browser.until("document.querySelector('.alert .message')?.textContent === 'newest'");
    browser.click("#order");
    browser.until("[...document.querySelectorAll('.alert .message')].at(-1).textContent === 'newest'");
    browser.reload();
    browser.until("[...document.querySelectorAll('.alert .message')].at(-1)?.textContent === 'newest'");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn a_line_divides_what_came_since_the_user_looked() {
    const ROWS: &str = "[...document.querySelectorAll('.row')].filter((row) => row.checkVisibility()).map((row) => \
                        row.matches('.divider') ? 'line' : row.querySelector('.message').textContent)";
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    for message in ["one", "two"] {
        send(&daemon, &key, "a", "info", message);
    }
    shows(&mut browser, &["one", "two"]);
    hide(&mut browser, true);
    for message in ["three", "four"] {
        send(&daemon, &key, "a", "info", message);
    }
    shows(&mut browser, &["one", "two", "three", "four"]);
    hide(&mut browser, false);
    send(&daemon, &key, "a", "info", "five");
    shows(&mut browser, &["one", "two", "three", "four", "five"]);
    assert_eq!(browser.evaluate(ROWS), json!(["one", "two", "line", "three", "four", "five"]));
    browser.says(".divider", "New since you looked");
    // Gone again, the line is elsewhere.
    hide(&mut browser, true);
    assert_eq!(browser.evaluate(ROWS), json!(["one", "two", "three", "four", "five"]));
    // While the page is closed, too: nobody looked since.
    browser.evaluate("dispatchEvent(new Event('pagehide'))");
    browser.tab("about:blank");
    browser.select(0);
    browser.close();
    browser.select(0);
    send(&daemon, &key, "a", "info", "six");
    browser.tab(&format!("http://{}/", daemon.address));
    browser.fill("#key", &key.secret);
    browser.click("#sign-in button[type=submit]");
    shows(&mut browser, &["one", "two", "three", "four", "five", "six"]);
    assert_eq!(browser.evaluate(ROWS), json!(["one", "two", "three", "four", "five", "line", "six"]));
    browser.click("#order");
    assert_eq!(browser.evaluate(ROWS), json!(["six", "line", "five", "four", "three", "two", "one"]));
    assert!(browser.audit().is_empty());
}

#[test]
fn rows_out_of_sight_are_not_laid_out() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    fill(&daemon, &key, 0..2000);
    browser.says("#count", "2000 alerts");
    browser.until(AT_END);
    let drawn = "[...document.querySelectorAll('.alert > .content')].filter((one) => \
                 one.checkVisibility({ contentVisibilityAuto: true })).length";
    browser.until(&format!("{drawn} < 200"));
    assert!(browser.evaluate(drawn).as_u64().unwrap() > 2);
    // The newest are on screen, and have their real size.
    browser.until("[...document.querySelectorAll('.alert')].at(-1).getBoundingClientRect().bottom <= innerHeight");
}
