//! What a row of the page says of an alert.

use serde_json::{Value, json};

use super::{is_clean, send, send_many, shows, watching};
use crate::harness::{Browser, Daemon, Key, Request};

fn publish(daemon: &Daemon, key: &Key, alert: &Value) {
    assert_eq!(daemon.send(&Request::post("/alerts").key(key).json(alert)).status, 200);
}

fn texts(browser: &mut Browser, selector: &str) -> Value {
    browser.evaluate(&format!("[...document.querySelectorAll('{selector}')].map((one) => one.textContent)"))
}

#[test]
fn title_and_tags_come_first_and_only_addresses_of_the_web_are_links() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    let message = "See https://a.example/x?y=(1), (http://b.example/z). javascript:alert(1) ftp://c.example \
                   data:text/html,x HTTPS://D.EXAMPLE https:// https://e.example/é";
    publish(
        &daemon,
        &key,
        &json!({"topic": "ops", "level": "error", "message": message, "metadata": {
            "title": "Disk almost full", "tags": ["warning", "skull", "db1", "<b>"], "click": "https://f.example/",
            "run": "javascript:alert(1)"
        }}),
    );
    shows(&mut browser, &[message]);
    browser.says(".content > :first-child", "Disk almost full");
    assert_eq!(texts(&mut browser, ".signs [role=img]"), json!(["⚠️", "💀"]));
    assert_eq!(texts(&mut browser, ".tag"), json!(["db1", "<b>"]));
    assert_eq!(texts(&mut browser, ".metadata dt"), json!(["click", "run"]));
    let links = browser.evaluate(
        "[...document.querySelectorAll('.content a')].map((a) => [a.textContent, a.protocol, a.target, a.rel])",
    );
    let link = |text: &str, protocol: &str| json!([text, protocol, "_blank", "noopener noreferrer"]);
    assert_eq!(
        links,
        json!([
            link("https://a.example/x?y=(1)", "https:"),
            link("http://b.example/z", "http:"),
            link("HTTPS://D.EXAMPLE", "https:"),
            link("https://e.example/é", "https:"),
            link("https://f.example/", "https:"),
        ])
    );
    // A title that only repeats the message is not said twice.
    publish(&daemon, &key, &json!({"message": "same", "metadata": {"title": "same"}, "topic": "ops"}));
    shows(&mut browser, &[message, "same"]);
    assert_eq!(texts(&mut browser, ".title").as_array().unwrap().len(), 1);
    assert!(browser.audit().is_empty());
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn metadata_is_flattened_and_cut_and_whole_behind_more() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut metadata = json!({
        "a_host": "db1", "b_labels": {"a_severity": "page", "b_deep": {"a": [1, 2]}}, "c_ports": [80, 443], "d_empty": {},
        "e_long": "x".repeat(3000),
    });
    for number in 0..300 {
        metadata[format!("member_{number}")] = json!(number);
    }
    publish(&daemon, &key, &json!({"topic": "ops", "message": "big", "metadata": metadata}));
    let mut browser = watching(&daemon, &key);
    shows(&mut browser, &["big"]);
    let pairs = texts(&mut browser, ".metadata dt");
    assert_eq!(pairs, json!(["a_host", "b_labels.a_severity", "b_labels.b_deep", "c_ports", "d_empty", "e_long"]));
    let values = texts(&mut browser, ".metadata dd");
    assert_eq!(values, json!(["db1", "page", r#"{"a":[1,2]}"#, "80, 443", "{}", format!("{}…", "x".repeat(119))]));
    let small = browser.evaluate("document.querySelector('.alert').offsetHeight").as_u64().unwrap();
    assert!(small < 250, "{small} pixels");
    browser.says(".more summary", "300 more");
    browser.click(".more summary");
    browser.says(".more", "member_150");
    browser.says(".more", "106 further values are not shown");
    assert_eq!(texts(&mut browser, ".more dd").as_array().unwrap().len(), 200);
    assert!(texts(&mut browser, ".more dd").as_array().unwrap().contains(&json!("x".repeat(3000))));
    // What is behind "more" is found, too.
    browser.fill("#search", "member_190");
    shows(&mut browser, &["big"]);
    is_clean(&mut browser, &daemon, false);
}

#[test]
fn names_of_metadata_are_never_broken_inside_a_word() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let metadata = json!({"instance_identifier": "i-0a1b2c3d4e5f".repeat(6), "availability_zone": "eu-central-1a"});
    publish(&daemon, &key, &json!({"topic": "ops.db", "message": "m", "metadata": metadata}));
    let mut browser = watching(&daemon, &key);
    shows(&mut browser, &["m"]);
    for width in [1280, 700, 390, 320] {
        browser.resize(width, 700);
        browser.until(&format!("innerWidth === {width}"));
        let lines = browser
            .evaluate("[...document.querySelectorAll('.metadata dt')].map((one) => one.getClientRects().length)");
        assert_eq!(lines, json!([1, 1]), "{width}");
        let heights = browser.evaluate(
            "[...document.querySelectorAll('.metadata dt')].every((one) => one.offsetHeight < 1.8 * parseFloat(getComputedStyle(one).fontSize))",
        );
        assert_eq!(heights, true, "{width}");
        let wide = browser.evaluate("document.documentElement.scrollWidth > innerWidth");
        assert_eq!(wide, false, "{width}");
    }
}

#[test]
fn equal_alerts_are_one_row_with_their_number_and_times() {
    let daemon = Daemon::with("[engine]\ndurability = \"none\"\n[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    let repeat = |number| json!({"topic": "a", "level": "warn", "message": "same", "metadata": {"host": number % 2}});
    send_many(&daemon, &key, 0..10, repeat);
    send(&daemon, &key, "a", "info", "another");
    let mut browser = watching(&daemon, &key);
    // From history: those of one host, and those of the other.
    shows(&mut browser, &["same", "same", "another"]);
    browser.says("#count", "11 alerts");
    send_many(&daemon, &key, 10..500, repeat);
    shows(&mut browser, &["another", "same", "same"]);
    browser.says("#count", "501 alerts");
    browser.until(
        "[...document.querySelectorAll('.repeats')].every((one) => /^×250 (from|at) \\d\\d:/.test(one.textContent))",
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('.repeats').length"), 2);
    // The selection goes along.
    browser.press("k");
    browser.press("k");
    assert_eq!(browser.evaluate("document.activeElement.querySelector('.value').textContent"), "0");
    send_many(&daemon, &key, 500..501, repeat);
    browser.until("document.querySelector('.row:last-child .repeats').textContent.startsWith('×251')");
    assert_eq!(browser.evaluate("document.activeElement.matches('.row:last-child')"), true);
    // The search counts all of them.
    browser.fill("#search", "same");
    browser.says("#count", "501 of 502 alerts");
    assert!(browser.audit().is_empty());
    is_clean(&mut browser, &daemon, false);
    // More than an hour apart, and on both sides of a gap, they are not one; what was counted is not counted again.
    let rows = browser.evaluate(
        "(async () => {
            const { List } = await import('/page/list.js');
            const [log, rows] = [document.createElement('div'), document.createElement('ol')];
            document.body.append(log);
            log.append(rows);
            const list = new List(log, rows, Date.now, (id) => `#${id}`, () => {});
            const alert = (minute, n = 0) => ({
                id: `${minute * 60000}-${n}`, topic: 'a', level: 'info', message: 'm', received_at: new Date(minute * 60000).toISOString(),
            });
            list.prepend([alert(600), alert(630), alert(695)]);
            list.prepend([alert(500), alert(530), alert(545)]);
            const paged = [...rows.children].map((row) => row.querySelector('.repeats')?.textContent.split(' ')[0] ?? '×1');
            list.prepend([alert(500), alert(530), alert(600)]);
            list.gap({ requested: '41700000-0', oldest: '41760000-0', head: '41760000-0' });
            list.add(alert(696));
            list.add(alert(697));
            await new Promise((done) => setTimeout(done, 200));
            const all = [...rows.children].map((row) => row.querySelector('.repeats')?.textContent.split(' ')[0] ?? row.className);
            return [paged, all, list.size];
        })()",
    );
    assert_eq!(rows, json!([["×5", "×1"], ["×5", "row alert info", "row notice gap", "×2"], 8]));
}
