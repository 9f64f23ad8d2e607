//! What the page says about the whole: errors and warnings of the last hour.

use serde_json::json;

use super::{enter, is_clean, open, send, send_many, shows, watching};
use crate::harness::Daemon;

#[test]
fn errors_and_warnings_of_the_last_hour_are_counted_and_filter_on_a_click() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    browser.says("#overview", "All quiet in the last hour");
    browser.says("#errors", "0 errors");
    assert_eq!(browser.evaluate("document.getElementById('overview').dataset.health"), "good");
    let levels = ["info", "warn", "error"];
    let level = |number: usize| json!({"topic": "a", "level": levels[number % 3], "message": number.to_string()});
    // More than the first page of the list has, and more than a page of the count.
    send_many(&daemon, &key, 0..2001, level);
    browser.says("#errors", "667 errors");
    browser.says("#warnings", "667 warnings");
    browser.reload();
    enter(&mut browser, &key);
    browser.says("#errors", "667 errors");
    browser.says("#warnings", "667 warnings");
    send(&daemon, &key, "a", "error", "live");
    browser.says("#errors", "668 errors");
    send(&daemon, &key, "b", "error", "elsewhere");
    browser.says("#errors", "669 errors");
    browser.click("#errors");
    browser.says("#state-text", "Live");
    browser.until("document.getElementById('errors').ariaPressed === 'true' && document.getElementById('level').value === 'error'");
    browser.until("document.querySelectorAll('.alert').length > 50 && document.querySelectorAll('.alert:not(.error)').length === 0");
    browser.says("#warnings", "667 warnings");
    assert!(browser.audit().is_empty());
    browser.click("#warnings");
    browser.until(
        "document.querySelectorAll('.alert.warn').length > 0 && document.querySelectorAll('.alert.info').length === 0",
    );
    browser.click("#warnings");
    browser.until("document.querySelectorAll('.alert.info').length > 0");
    // The counts are those of the topics that are shown.
    browser.fill("#topics", "b");
    browser.press("Enter");
    shows(&mut browser, &["elsewhere"]);
    browser.says("#errors", "1 error");
    browser.says("#overview", "on these topics");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn only_the_last_hour_counts_and_nothing_twice() {
    let daemon = Daemon::start();
    let mut browser = open(&daemon);
    let counted = browser.evaluate(
        "(async () => {
            const { Summary } = await import('/page/summary.js');
            let now = 100 * 3600_000;
            let arrived;
            const alert = (minutes, level, n) => ({ id: `${n}-0`, level, received_at: new Date(now - minutes * 60_000).toISOString() });
            const page = async ({ level }, { since }) => {
                // Arrive while history is read: one that it has too, and others that it has not.
                if (since === '1h' && level === 'error') arrived.forEach((one) => summary.add(one));
                const stored = [alert(50, 'error', 1), alert(30, 'warn', 2), alert(1, 'error', 3)];
                const alerts = stored.filter((one) => level === 'warn' || one.level === 'error');
                return since === '1h' ? { alerts: alerts.slice(0, 1), next: '1-0' } : { alerts: alerts.slice(1), next: null };
            };
            arrived = [alert(1, 'error', 3), alert(0, 'error', 4), alert(0, 'info', 5)];
            const summary = new Summary({ page, now: () => now }, { topics: ['*'], level: 'info' }, () => {});
            await summary.count();
            const told = [summary.numbers];
            summary.add(alert(0, 'warn', 6));
            told.push(summary.numbers);
            now += 15 * 60_000;
            told.push(summary.numbers);
            now += 3600_000;
            told.push(summary.numbers);
            return told.map(({ error, warn, isMore }) => [error, warn, isMore.error]);
        })()",
    );
    assert_eq!(counted, json!([[3, 1, false], [3, 2, false], [2, 2, false], [0, 0, false]]));
}
