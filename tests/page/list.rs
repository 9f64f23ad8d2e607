//! The page's list of alerts: its content, its order, and its filters.

use serde_json::json;

use super::{is_clean, messages, open, send, shows, watching};
use crate::harness::{Daemon, Request};

#[test]
fn what_an_alert_holds_stays_text() {
    let daemon = Daemon::start();
    let key = daemon.key("mallory");
    let hostile = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script><b>bold</b>";
    let alert = json!({"message": hostile, "metadata": {hostile: hostile, "nested": {"a": [{"b": hostile}]}}});
    let mut browser = watching(&daemon, &key);
    for topic in ["x", "y"] {
        assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(&key).json(&alert)).status, 200);
    }
    shows(&mut browser, &[hostile, hostile]);
    // The name is too long for a row.
    browser.click(".alert:last-child .more summary");
    browser.until("document.querySelector('.alert:last-child .more dd') !== null");
    let pair = browser.evaluate(
        "[...document.querySelectorAll('.alert:last-child .more div')].map((one) => [...one.children].map((c) => c.textContent))",
    );
    let nested = json!([{"b": hostile}]).to_string();
    assert_eq!(pair, json!([[hostile, hostile], ["nested.a", nested]]));
    assert_eq!(browser.evaluate("document.querySelectorAll('#rows :is(img, script, b)').length"), 0);
    assert_eq!(browser.evaluate("window.hit ?? 0"), 0);
    // Should the page ever try, its policy does not let it.
    let tried = browser.evaluate(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'done'; } catch (e) { return e.name; } })()",
    );
    assert_eq!(tried, "TypeError");
}

#[test]
fn topics_level_and_search_narrow_what_is_shown() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (topic, level, message) in
        [("ops.db", "info", "one"), ("ops.db", "warn", "two"), ("web", "error", "three"), ("ops.net", "error", "four")]
    {
        send(&daemon, &key, topic, level, message);
    }
    let mut browser = watching(&daemon, &key);
    shows(&mut browser, &["one", "two", "three", "four"]);
    browser.fill("#topics", "ops.*");
    browser.press("Enter");
    shows(&mut browser, &["one", "two", "four"]);
    browser.choose("#level", "warn");
    shows(&mut browser, &["two", "four"]);
    browser.says("#state-text", "Live");
    assert_eq!(browser.evaluate("location.hash"), "#topics=ops.*&level=warn");
    for (topic, level, message) in
        [("ops.db", "info", "below"), ("web", "warn", "elsewhere"), ("ops.x", "warn", "five")]
    {
        send(&daemon, &key, topic, level, message);
    }
    shows(&mut browser, &["two", "four", "five"]);
    browser.fill("#topics", "no topic, ..");
    browser.press("Enter");
    browser.says("#filter-error", "\"..\" is not a topic");
    browser.press("Escape");
    browser.press("/");
    assert_eq!(browser.evaluate("document.activeElement.id"), "search");
    browser.fill("#search", "NET");
    shows(&mut browser, &["four"]);
    browser.says("#count", "1 of 3 alerts");
    browser.fill("#search", "nothing like that");
    browser.says("#empty", "matches the search");
    browser.press("Escape");
    shows(&mut browser, &["two", "four", "five"]);
    // From row to row.
    for (key, message) in
        [("k", "five"), ("k", "four"), ("ArrowUp", "two"), ("k", "two"), ("ArrowDown", "four"), ("j", "five")]
    {
        browser.press(key);
        assert_eq!(browser.evaluate("document.activeElement.querySelector('.message').textContent"), message, "{key}");
    }
    browser.press("?");
    browser.says("#help", "Keyboard");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn a_pause_holds_back_and_counts() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    send(&daemon, &key, "a", "info", "before");
    shows(&mut browser, &["before"]);
    browser.press("p");
    for message in ["one", "two", "three"] {
        send(&daemon, &key, "a", "info", message);
    }
    browser.says("#pause", "Resume (3)");
    browser.says("#state-text", "Paused");
    browser.until("document.title === 'alertd: paused'");
    assert_eq!(messages(&mut browser), json!(["before"]));
    browser.click("#pause");
    shows(&mut browser, &["before", "one", "two", "three"]);
    browser.says("#state-text", "Live");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn earlier_alerts_come_by_scrolling_up() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    for number in 0..250 {
        send(&daemon, &key, "a", "info", &number.to_string());
    }
    let mut browser = watching(&daemon, &key);
    browser.says("#count", "100 alerts");
    for seen in ["200 alerts", "250 alerts"] {
        browser.evaluate("document.getElementById('log').scrollTop = 0");
        browser.says("#count", seen);
    }
    browser.says("#past", "the oldest stored alerts");
    let all: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    assert_eq!(messages(&mut browser), json!(all));
    // Who reads further up is not pulled away, but told.
    browser.evaluate("document.getElementById('log').scrollTop = 0");
    send(&daemon, &key, "a", "info", "new");
    browser.says("#unseen", "1 new alert");
    assert_eq!(browser.evaluate("document.getElementById('log').scrollTop"), 0);
    browser.click("#unseen");
    browser.until("document.getElementById('unseen').hidden && document.getElementById('log').scrollTop > 1000");
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn the_list_is_bounded_and_the_parser_takes_any_cut() {
    let daemon = Daemon::start();
    let mut browser = open(&daemon);
    let rows = browser.evaluate(
        "(async () => {
            const { List, MAX_ROWS } = await import('/page/list.js');
            const [log, rows] = [document.createElement('div'), document.createElement('ol')];
            document.body.append(log);
            log.append(rows);
            const list = new List(log, rows, Date.now, (id) => `#${id}`, () => {});
            const add = (from, to) => {
                for (let n = from; n < to; n++) {
                    list.add({ id: `${n}-0`, topic: 'a', level: 'info', message: String(n), received_at: '2026-01-01T00:00:00Z' });
                }
            };
            const settled = async () => {
                while (!list.isSettled) await new Promise((done) => setTimeout(done, 10));
            };
            add(0, 3000);
            await settled();
            list.pause(true);
            add(3000, 6000);
            const held = list.held;
            list.pause(false);
            await settled();
            return [MAX_ROWS, list.size, rows.childElementCount, held, list.oldest, rows.lastChild.dataset.id];
        })()",
    );
    assert_eq!(rows, json!([2000, 2000, 2000, 3000, "4000-0", "5999-0"]));
    let events = browser.evaluate(
        r#"(async () => {
            const { Parser } = await import('/page/stream.js');
            const text = "\ufeffretry: 5\r\nid: 1-0\r\ndata: {\"a\":1}\r\n\r\n: hello\nid:2-0\nevent: cursor\ndata:x\ndata: y\n\n"
                + "event: nothing\n\nretry: soon\rid: a\0b\rdata\r\rdata: unfinished";
            const parse = (pieces) => {
                const events = [];
                const parser = new Parser((event) => events.push([event.name, event.id ?? "", event.data]));
                for (const piece of pieces) parser.feed(piece);
                return JSON.stringify(events);
            };
            const whole = parse([text]);
            for (let a = 0; a <= text.length; a++) {
                for (let b = a; b <= text.length; b++) {
                    const cut = parse([text.slice(0, a), text.slice(a, b), text.slice(b)]);
                    if (cut !== whole) return [a, b, cut];
                }
            }
            return JSON.parse(whole);
        })()"#,
    );
    assert_eq!(
        events,
        json!([["retry", "", "5"], ["", "1-0", "{\"a\":1}"], ["cursor", "2-0", "x\ny"], ["", "2-0", ""]])
    );
}
