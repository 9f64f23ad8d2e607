//! The page's connection to the daemon: keys, disconnects, and the state that it shows.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{enter, is_clean, messages, open, send, shows, watching};
use crate::harness::{Browser, Daemon, Key, Look, Manager, Request, eventually, fixed_port};

#[test]
fn a_wrong_key_is_told_so_and_a_right_one_sees_alerts_at_once() {
    let daemon = Daemon::start();
    let (key, writer) = (daemon.key("alice"), daemon.key_with(&json!({"user": "w", "scopes": ["publish"]})));
    let narrow = daemon.key_with(&json!({"user": "n", "topics": ["ops.*"]}));
    let mut browser = open(&daemon);
    browser.says("#state-text", "Not connected");
    browser.click("#sign-in button[type=submit]");
    browser.says("#sign-in-error", "Enter a key");
    enter(&mut browser, &Key { id: String::new(), secret: "alertd_nobody".into() });
    browser.says("#state-text", "Key refused");
    browser.says("#sign-in-error", "mistyped, or it was revoked or has expired");
    enter(&mut browser, &writer);
    browser.says("#state-text", "No permission");
    browser.says("#sign-in-error", "the scope \"subscribe\"");
    browser.fill("#sign-in-topics", "ops.*, web");
    enter(&mut browser, &narrow);
    browser.says("#sign-in-error", "its topics are ops.*");
    browser.fill("#sign-in-topics", "ops.*, a b..c");
    enter(&mut browser, &key);
    browser.says("#sign-in-error", "\"b..c\" is not a topic");
    browser.fill("#sign-in-topics", "ops.*");
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
fn a_restart_that_its_stream_survives_changes_nothing_on_the_page() {
    const STATES: &str = "(() => {
        const state = document.getElementById('state-text');
        window.states = [];
        const options = { childList: true, characterData: true, subtree: true };
        new MutationObserver(() => window.states.push(state.innerText)).observe(state, options);
    })()";
    let mut manager = Manager::running("");
    let key = manager.key(&json!({"user": "alice"}));
    let mut browser = Browser::open(&format!("http://{}/", manager.address), &Look::default());
    enter(&mut browser, &key);
    browser.says("#state-text", "Live");
    browser.evaluate(STATES);
    let mut wanted = Vec::new();
    for number in 0..3 {
        manager.restart();
        let message = format!("after restart {number}");
        manager.publish("a", &message);
        wanted.push(message);
        shows(&mut browser, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let states = browser.evaluate("[...new Set(window.states)].filter((state) => state !== 'Live')");
    assert_eq!(states, json!([]));
    let (complaints, _) = browser.report();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn alerts_that_are_no_longer_stored_are_a_gap_in_the_list() {
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
    // People read times, not ids.
    browser.until("/^Gap: Alerts from (\\S+ )?\\d\\d:\\d\\d:\\d\\d to (\\S+ )?\\d\\d:\\d\\d:\\d\\d may be missing here, because they are no longer stored.$/.test(document.querySelector('.gap p').textContent)");
    browser.says("#state-text", "Live");
    let order = browser.evaluate("[...document.querySelectorAll('.row')].slice(0, 2).map((row) => row.className)");
    assert_eq!(order, json!(["row alert info fresh", "row notice gap"]));
    assert!(browser.audit().is_empty());
    is_clean(&mut browser, &daemon, true);
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
    // A stream that is written by hand: replay, live, a late alert, a heartbeat, a bye.
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
fn without_a_network_the_page_is_offline_at_once_and_not_live() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    let start = Instant::now();
    browser.offline(true);
    browser.says("#state-text", "Offline");
    browser.says("#why", "no network");
    // A loaded machine gets more than the moment that this takes.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    browser.offline(false);
    browser.says("#state-text", "Live");
    send(&daemon, &key, "a", "info", "after");
    shows(&mut browser, &["after"]);
    // A browser that takes itself for offline, while the server is there: on the same machine, for instance.
    browser.evaluate("dispatchEvent(new Event('offline'))");
    send(&daemon, &key, "a", "info", "still live");
    shows(&mut browser, &["after", "still live"]);
    browser.says("#state-text", "Live");
    is_clean(&mut browser, &daemon, true);
}

#[test]
fn a_server_that_falls_silent_is_noticed_by_its_missing_heartbeat() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    // The process no longer runs, but its sockets are open: as behind a network that is gone.
    daemon.signal("STOP");
    let start = Instant::now();
    browser.says("#state-text", "No data for");
    let (first, last) = (Duration::from_secs(3), Duration::from_secs(28));
    assert!(start.elapsed() > first && start.elapsed() < last, "{:?}", start.elapsed());
    browser.says("#state-text", "Reconnecting in");
    browser.says("#why", "cannot be reached");
    daemon.signal("CONT");
    browser.says("#state-text", "Live");
    is_clean(&mut browser, &daemon, true);
}
