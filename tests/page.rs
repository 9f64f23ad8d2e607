//! The live page, in a real browser against a real daemon.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Browser, Daemon, Key, Look, Request, eventually, fixed_port};

fn open(daemon: &Daemon) -> Browser {
    Browser::open(&format!("http://{}/", daemon.address), &Look::default())
}

/// Enters a key, with topics and level as they are.
fn enter(browser: &mut Browser, key: &Key) {
    browser.fill("#key", &key.secret);
    browser.click("#door button[type=submit]");
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

/// Nothing to complain of, and nobody else was asked. The browser itself notes each request that fails.
fn is_clean(browser: &mut Browser, daemon: &Daemon, failed_requests: bool) {
    let (complaints, hosts) = browser.report();
    let own: Vec<_> =
        complaints.iter().filter(|text| !failed_requests || !text.starts_with("Failed to load resource")).collect();
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(hosts, [daemon.address.to_string()]);
}

#[test]
fn a_wrong_key_is_told_so_and_a_right_one_sees_alerts_at_once() {
    let daemon = Daemon::start();
    let (key, writer) = (daemon.key("alice"), daemon.key_with(&json!({"user": "w", "scopes": ["publish"]})));
    let narrow = daemon.key_with(&json!({"user": "n", "topics": ["ops.*"]}));
    let mut browser = open(&daemon);
    browser.says("#state-text", "Not connected");
    browser.click("#door button[type=submit]");
    browser.says("#door-error", "Enter a key");
    enter(&mut browser, &Key { id: String::new(), secret: "alertd_nobody".into() });
    browser.says("#state-text", "Key refused");
    browser.says("#door-error", "mistyped, or it was revoked or has expired");
    enter(&mut browser, &writer);
    browser.says("#state-text", "No permission");
    browser.says("#door-error", "no scope \"subscribe\"");
    enter(&mut browser, &narrow);
    browser.says("#door-error", "its topics are ops.*");
    browser.fill("#door-topics", "ops.*, a b..c");
    enter(&mut browser, &key);
    browser.says("#door-error", "\"b..c\" is no topic");
    browser.fill("#door-topics", "ops.*");
    enter(&mut browser, &narrow);
    browser.says("#state-text", "Live");
    browser.says("#empty", "No alerts yet");
    let sent = Instant::now();
    send(&daemon, &key, "ops.db", "error", "live");
    shows(&mut browser, &["live"]);
    // A second is the promise; a loaded machine gets more.
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    browser.says(".alert .level", "ERROR");
    browser.says(".alert .relative", "just now");
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn what_an_alert_holds_stays_text() {
    let daemon = Daemon::start();
    let key = daemon.key("mallory");
    let hostile = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script><b>bold</b>";
    let alert = json!({"message": hostile, "metadata": {hostile: hostile, "nested": {"a": [hostile]}}});
    assert_eq!(daemon.send(&Request::post("/alerts/x").key(&key).json(&alert)).status, 200);
    let mut browser = watching(&daemon, &key);
    assert_eq!(daemon.send(&Request::post("/alerts/x").key(&key).json(&alert)).status, 200);
    shows(&mut browser, &[hostile, hostile]);
    let pair = browser.evaluate(
        "[...document.querySelectorAll('.alert:last-child .metadata div')].map((one) => [...one.children].map((c) => c.textContent))",
    );
    let nested = json!({"a": [hostile]}).to_string();
    assert_eq!(pair, json!([[hostile, hostile], ["nested", nested]]));
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
    browser.says("#filter-error", "\"..\" is no topic");
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
    browser.says("#state-text", "Live");
    assert_eq!(messages(&mut browser), json!(["before"]));
    browser.click("#pause");
    shows(&mut browser, &["before", "one", "two", "three"]);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn a_restart_of_the_daemon_loses_and_repeats_nothing() {
    let address = fixed_port();
    let configuration = "[http]\nretry = \"1s..1s\"\n";
    let mut daemon = Daemon::with_environment(configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    send(&daemon, &key, "a", "info", "stored before the page");
    let mut browser = watching(&daemon, &key);
    send(&daemon, &key, "a", "info", "live");
    shows(&mut browser, &["stored before the page", "live"]);
    for (round, kill) in [false, true].into_iter().enumerate() {
        if kill {
            daemon.kill()
        } else {
            assert!(daemon.stop().success())
        }
        browser.says("#state-text", "Reconnecting in");
        daemon = daemon.again();
        for number in 0..3 {
            send(&daemon, &key, "a", "info", &format!("away {round} {number}"));
        }
        browser.says("#state-text", "Live");
    }
    send(&daemon, &key, "a", "info", "back");
    let away: Vec<String> = (0..2).flat_map(|r| (0..3).map(move |n| format!("away {r} {n}"))).collect();
    let mut wanted = vec!["stored before the page", "live"];
    wanted.extend(away.iter().map(String::as_str));
    wanted.push("back");
    shows(&mut browser, &wanted);
    assert_eq!(browser.evaluate("document.querySelectorAll('.notice').length"), 0);
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn what_is_no_longer_retained_is_a_gap_in_the_list() {
    let address = fixed_port();
    let configuration = "[http]\nretry = \"1h..1h\"\n[alerts]\nretain_count = 20\n";
    let mut daemon = Daemon::with_environment(configuration, &[("ALERTD_HTTP_LISTEN", &address)]);
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    send(&daemon, &key, "a", "info", "seen");
    shows(&mut browser, &["seen"]);
    daemon.stop();
    browser.says("#state-text", "Reconnecting in");
    daemon = daemon.again();
    for number in 0..60 {
        send(&daemon, &key, "a", "info", &number.to_string());
    }
    eventually("the trimming", || (daemon.status()["engine"]["alerts"].as_u64()? <= 20).then_some(()));
    browser.click("#hurry");
    browser.says(".gap", "may be missing here");
    browser.says("#state-text", "Live");
    let order = browser.evaluate("[...document.querySelectorAll('.row')].slice(0, 2).map((row) => row.className)");
    assert_eq!(order, json!(["row alert info fresh", "row notice gap"]));
    assert!(browser.audit().is_empty());
    is_clean(&mut browser, &daemon, true);
}

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

#[test]
fn a_test_alert_is_published_where_the_key_may() {
    let daemon = Daemon::start();
    let (key, reader) = (daemon.key("alice"), daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"]})));
    let mut browser = watching(&daemon, &key);
    browser.click("#test-open");
    browser.fill("#test-topic", "ops..");
    browser.click("#test-form button[type=submit]");
    browser.says("#test-error", "is no topic");
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
    browser.says("#test-error", "Not permitted: this key has no scope \"publish\"");
    is_clean(&mut browser, &daemon, true);
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
    browser.says("#past", "the beginning of what is retained");
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
fn a_key_is_kept_only_where_its_owner_says_so_and_only_in_the_tab() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    let everything = "JSON.stringify([sessionStorage, localStorage, location.href, document.cookie])";
    let holds = |browser: &mut Browser| browser.evaluate(everything).as_str().unwrap().contains(&key.secret);
    assert!(!holds(&mut browser));
    browser.reload();
    browser.says("#state-text", "Not connected");
    browser.click("#keep");
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    assert_eq!(browser.evaluate("sessionStorage.getItem('alertd.key')"), key.secret.as_str());
    browser.reload();
    browser.says("#state-text", "Live");
    // The end of the key while it is in use; what was seen stays.
    send(&daemon, &key, "a", "info", "seen");
    shows(&mut browser, &["seen"]);
    assert_eq!(Request::new("DELETE", "/keys/alice").over(&daemon.control()).status, 200);
    browser.says("#state-text", "Key refused");
    browser.says("#banner", "revoked or has expired");
    assert_eq!(messages(&mut browser), json!(["seen"]));
    assert!(!holds(&mut browser));
    browser.click("#banner-key");
    enter(&mut browser, &daemon.key("bob"));
    browser.says("#state-text", "Live");
    browser.click("#leave");
    browser.says("#state-text", "Not connected");
    assert_eq!(
        browser.evaluate("document.getElementById('key').value + document.querySelectorAll('.row').length"),
        "0"
    );
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
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390)] {
        let look = Look { scheme, width, ..Look::default() };
        let mut browser = Browser::open(&format!("http://{}/", daemon.address), &look);
        let good = |browser: &mut Browser, what: &str| {
            let wrong = browser.audit();
            assert!(wrong.is_empty(), "{scheme} {width} {what}: {wrong:#?}");
            let wide = browser.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");
            assert_eq!(wide, false, "{scheme} {width} {what} is too wide");
        };
        good(&mut browser, "the form");
        browser.click("#door button[type=submit]");
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
fn the_list_is_bounded_and_the_parser_takes_any_cut() {
    let daemon = Daemon::start();
    let mut browser = open(&daemon);
    let rows = browser.evaluate(
        "(async () => {
            const { List, MOST } = await import('/page/list.js');
            const [log, rows] = [document.createElement('div'), document.createElement('ol')];
            document.body.append(log);
            log.append(rows);
            const list = new List(log, rows, Date.now, () => {});
            const add = (from, to) => {
                for (let n = from; n < to; n++) {
                    list.add({ id: `${n}-0`, topic: 'a', level: 'info', message: String(n), received_at: '2026-01-01T00:00:00Z' });
                }
            };
            add(0, 3000);
            list.pause(true);
            add(3000, 6000);
            const held = list.held;
            list.pause(false);
            return [MOST, list.size, rows.childElementCount, held, list.oldest, rows.lastChild.dataset.id];
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

#[test]
fn the_state_says_why_it_waits_and_how_far_it_is_behind() {
    let daemon = Daemon::with("[limits]\nstreams_per_key = 1\n");
    let key = daemon.key("alice");
    let taken = daemon.stream(&key, "/alerts");
    let mut browser = open(&daemon);
    enter(&mut browser, &key);
    browser.says("#state-text", "Reconnecting in");
    browser.says("#why", "limits.streams_per_key");
    drop(taken);
    browser.says("#state-text", "Live");
    browser.says("#count", "0 alerts");
    // A stream that is written by hand: catching up, live, an alert that was held up, a sign of life, a farewell.
    let states = browser.evaluate(
        "(async () => {
            const { Follower } = await import('/page/stream.js');
            const alert = (n, age) => {
                const received_at = new Date(Date.now() - age).toISOString();
                return `id: ${n}-0\\ndata: ${JSON.stringify({ id: `${n}-0`, received_at })}\\n\\n`;
            };
            const cursor = (n) => `event: cursor\\nid: ${n}-0\\ndata: {\"id\":\"${n}-0\"}\\n\\n`;
            const bye = 'event: bye\\nretry: 7000\\ndata: {\"reason\":\"restart\"}\\n\\n';
            const text = ['retry: 5\\n' + alert(1, 60000), cursor(1), alert(2, 60000), cursor(2), alert(3, 0), bye];
            const asked = [];
            const api = {
                now: Date.now,
                history: async () => ({ alerts: [], next: null }),
                send: async (path, { headers }) => {
                    asked.push([path, headers['Last-Event-ID'] ?? '']);
                    return new Response(asked.length === 1 ? text.join('') : alert(4, 0));
                },
            };
            const states = [];
            const follower = await new Promise((done) => {
                const follower = new Follower(api, { topics: ['a'], level: 'warn' }, {
                    page() {}, alert() {}, gap() {}, refused() {},
                    state: ({ name, seconds }) => {
                        states.push(name + (seconds ?? ''));
                        if (name === 'waiting') setTimeout(() => follower.hurry());
                        if (states.filter((one) => one.startsWith('waiting')).length === 2) done(follower);
                    },
                });
            });
            follower.stop();
            return [states, asked];
        })()",
    );
    let told = ["connecting", "behind", "live", "behind60", "live", "waiting7", "connecting", "behind", "waiting14"];
    let asked = [["alerts?topic=a&level=warn&since=all", ""], ["alerts?topic=a&level=warn", "3-0"]];
    assert_eq!(states, json!([told, asked]));
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
