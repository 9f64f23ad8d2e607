//! What is expected on topics: announced once when it does not come, and once when it is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, Key, Request, Stream, eventually, told};

const EVERY_MS: u64 = 10_000;

/// Waits until this long after `began`.
fn after(began: Instant, seconds: f64) {
    eventually("a time", || (began.elapsed() >= Duration::from_secs_f64(seconds)).then_some(()));
}

fn path(topic: &str) -> String {
    format!("/expectations/{topic}")
}

fn expect(daemon: &Daemon, key: &Key, topic: &str, body: &Value) -> Answer {
    daemon.send(&Request::new("PUT", &path(topic)).key(key).json(body))
}

fn expectation(daemon: &Daemon, key: &Key, topic: &str) -> Value {
    let answer = daemon.send(&Request::get(&path(topic)).key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn ms(id: &Value) -> u64 {
    id.as_str().unwrap().split('-').next().unwrap().parse().unwrap()
}

fn time(text: &Value) -> u64 {
    text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap()
}

/// The next announcement; alerts of senders are passed over.
fn announcement(stream: &mut Stream) -> Value {
    loop {
        let alert = stream.alert().expect("an alert");
        if !alert["metadata"]["expectation"].is_null() {
            return alert;
        }
    }
}

/// What was announced, in order: topics with `missed` or `met`.
fn announced(daemon: &Daemon, key: &Key) -> Vec<(String, String)> {
    let all = Request::get("/alerts?topic=*&since=all&limit=1000").key(key).header("Accept", "application/json");
    let page = daemon.send(&all).json();
    let alerts = page["alerts"].as_array().unwrap().iter();
    let words = alerts.filter_map(|alert| {
        let word = alert["metadata"]["expectation"].as_str()?;
        Some((alert["topic"].as_str().unwrap().to_owned(), word.to_owned()))
    });
    words.collect()
}

/// The ways in: each publishes an alert on its topic, which is the name of the way.
fn ways() -> Vec<(&'static str, Request)> {
    vec![
        ("way.json", Request::post("/alerts/way.json").json(&json!({"message": "x"}))),
        ("way.text", Request::post("/alerts/way.text").body("x")),
        ("way.hook", Request::post("/hooks/json/way.hook").json(&json!({"text": "x"}))),
        ("way.ntfy", Request::post("/ntfy/way.ntfy").body("x")),
        ("way.lines", {
            let lines = Request::post("/alerts").body("{\"topic\":\"way.lines\",\"message\":\"x\"}\n");
            lines.header("Content-Type", "application/x-ndjson")
        }),
        ("way.again", Request::post("/alerts/way.again").header("Idempotency-Key", "once").body("x")),
    ]
}

#[test]
fn each_way_in_renews_and_a_silence_and_its_end_are_announced_once() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    // The same alert comes again later.
    let (_, again) = ways().pop().unwrap();
    assert_eq!(daemon.send(&again.key(&key)).status, 200);
    let began = Instant::now();
    for (topic, _) in ways() {
        assert_eq!(expect(&daemon, &key, topic, &json!({"every": "10s"})).status, 200);
    }
    let made = expect(&daemon, &key, "silent", &json!({"every": "10s", "level": "warn"})).json();
    assert_eq!((&made["topic"], &made["every"], &made["level"]), (&json!("silent"), &json!("10s"), &json!("warn")));
    assert_eq!((&made["last"], &made["incident"], &made["missed"]), (&Value::Null, &Value::Null, &json!(false)));
    after(began, 5.0);
    for (topic, request) in ways() {
        let answer = daemon.send(&request.key(&key));
        assert_eq!(answer.status, 200, "{topic}: {answer:?}");
    }
    let missed = announcement(&mut stream);
    assert_eq!((&missed["topic"], &missed["level"]), (&json!("silent"), &json!("warn")));
    assert_eq!(missed["metadata"]["expectation"], "missed");
    assert_eq!((&missed["metadata"]["every"], &missed["metadata"]["last"]), (&json!("10s"), &Value::Null));
    assert!(missed["message"].as_str().unwrap().starts_with("silent is silent: nothing was published"), "{missed}");
    assert_eq!(missed["metadata"]["due"], made["due"]);
    assert!(ms(&missed["id"]) >= time(&made["due"]));
    let waiting: Vec<Value> = ways().iter().map(|(topic, _)| expectation(&daemon, &key, topic)).collect();
    assert!(waiting.iter().all(|one| one["missed"] == false), "{waiting:?}");

    // Each is missed when its own term has passed since it was renewed.
    let mut topics: Vec<_> = ways().into_iter().map(|(topic, _)| topic.to_owned()).collect();
    while !topics.is_empty() {
        let missed = announcement(&mut stream);
        assert_eq!((&missed["metadata"]["expectation"], &missed["level"]), (&json!("missed"), &json!("error")));
        let last = time(&missed["metadata"]["last"]);
        assert!(ms(&missed["id"]) >= last + EVERY_MS, "{missed}");
        assert!(missed["message"].as_str().unwrap().contains(missed["metadata"]["last"].as_str().unwrap()));
        let at = topics.iter().position(|topic| missed["topic"] == topic.as_str()).expect("a topic of these");
        topics.swap_remove(at);
    }
    // alertd's own alerts are no signs of life.
    let silent = expectation(&daemon, &key, "silent");
    assert_eq!((&silent["missed"], &silent["last"], &silent["due"]), (&json!(true), &Value::Null, &made["due"]));

    for (topic, request) in ways() {
        assert_eq!(daemon.send(&request.key(&key)).status, 200);
        let met = announcement(&mut stream);
        assert_eq!((&met["topic"], &met["level"]), (&json!(topic), &json!("info")), "{met}");
        assert_eq!((&met["metadata"]["expectation"], &met["status"]), (&json!("met"), &json!("resolved")));
        assert_eq!(met["incident"], "silence");
    }
    let mut words = announced(&daemon, &key);
    words.sort();
    words.dedup();
    assert_eq!(words.len(), announced(&daemon, &key).len(), "something was announced twice");
    assert_eq!(words.len(), 2 * ways().len() + 1);
}

#[test]
fn over_kill_and_restart_nothing_is_announced_twice_and_downtime_does_not_count() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let began = Instant::now();
    for topic in ["missed", "late", "back", "removed"] {
        assert_eq!(expect(&daemon, &key, topic, &json!({"every": "10s"})).status, 200);
    }
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    after(began, 5.0);
    ["late", "back", "removed"].iter().for_each(|topic| drop(daemon.publish(&key, topic, "x")));
    assert_eq!(announcement(&mut stream)["topic"], "missed");
    assert_eq!(daemon.send(&Request::new("DELETE", &path("removed")).key(&key)).status, 204);
    let mut daemon = daemon;
    daemon.kill();
    // Three fall due while nobody is there.
    after(began, 16.5);
    let daemon = daemon.again();
    let started_ms = ms(&json!(daemon.publish(&key, "back", "x")));
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    let listed = daemon.send(&Request::get("/expectations").key(&key)).json();
    let topics: Vec<_> = listed["expectations"].as_array().unwrap().iter().map(|one| &one["topic"]).collect();
    assert_eq!(topics, ["back", "late", "missed"]);
    daemon.publish(&key, "missed", "x");
    let met = announcement(&mut stream);
    assert_eq!((&met["topic"], &met["metadata"]["expectation"]), (&json!("missed"), &json!("met")));
    // Both were heard of before their terms end, so that only the third is late.
    let restarted = Instant::now();
    after(restarted, 4.0);
    ["back", "missed"].iter().for_each(|topic| drop(daemon.publish(&key, topic, "x")));
    // The sign of life before the end is known from the log.
    let late = announcement(&mut stream);
    assert_eq!((&late["topic"], &late["metadata"]["expectation"]), (&json!("late"), &json!("missed")));
    assert!(ms(&late["id"]) + 3000 >= started_ms + EVERY_MS, "{late} for a start at {started_ms}");
    assert!(time(&late["metadata"]["due"]) < started_ms, "{late}");
    let words = announced(&daemon, &key);
    let own: Vec<_> = words.iter().map(|(topic, word)| (topic.as_str(), word.as_str())).collect();
    assert_eq!(own[..3], [("missed", "missed"), ("missed", "met"), ("late", "missed")], "{own:?}");
    assert!(own[3..].iter().all(|(topic, word)| *word == "missed" && ["back", "missed"].contains(topic)), "{own:?}");
    // An orderly restart changes nothing either.
    let mut daemon = daemon;
    assert!(daemon.stop().success());
    let daemon = daemon.again();
    assert_eq!(expectation(&daemon, &key, "late")["missed"], true);
    daemon.publish(&key, "late", "x");
    let is_met = ("late".to_owned(), "met".to_owned());
    eventually("the end of a silence", || announced(&daemon, &key).contains(&is_met).then_some(()));
}

#[test]
fn an_alert_may_say_when_the_next_is_due_on_every_way_in() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (at, (topic, request)) in ways().into_iter().enumerate() {
        let request = request.header("Expect-Within", &format!("{}h", at + 1)).key(&key);
        assert_eq!(daemon.send(&request).status, 200, "{topic}");
        let made = expectation(&daemon, &key, topic);
        assert_eq!((&made["every"], &made["level"]), (&json!(format!("{}h", at + 1)), &json!("error")), "{topic}");
        assert!(made["last"].is_string(), "{made}");
    }
    for (topic, request) in [
        ("a", Request::post("/alerts").json(&json!({"topic": "a", "message": "x", "expect_within": "25h"}))),
        ("b", Request::post("/alerts/b?expect_within=25h").body("x")),
        ("c", {
            let form = Request::post("/alerts/c").body("message=x&expect_within=25h");
            form.header("Content-Type", "application/x-www-form-urlencoded")
        }),
        ("d", Request::post("/hooks/json/d?expect_within=25h").json(&json!({"text": "x"}))),
        ("e", Request::new("GET", "/ntfy/e/publish?message=x&expect_within=25h")),
        ("f", {
            let lines = "{\"topic\":\"f\",\"message\":\"x\",\"expect_within\":\"25h\"}\n{\"message\":\"y\"}\n";
            Request::post("/alerts").header("Content-Type", "application/x-ndjson").body(lines)
        }),
        // What the body says wins.
        ("g", {
            let json = json!({"message": "x", "expect_within": "25h"});
            Request::post("/alerts/g?expect_within=1h").header("Expect-Within", "2h").json(&json)
        }),
    ] {
        let answer = daemon.send(&request.key(&key));
        assert_eq!(answer.status, 200, "{topic}: {answer:?}");
        assert_eq!(expectation(&daemon, &key, topic)["every"], "25h", "{topic}");
    }
    assert_eq!(daemon.send(&Request::get(&path("default")).key(&key)).status, 404);
    // It is no part of the alert, and repeats of the alert may say something else.
    let once = |within: &str| {
        let request = Request::post("/alerts/way.again").header("Idempotency-Key", "once").body("x");
        daemon.send(&request.header("Expect-Within", within).key(&key))
    };
    assert_eq!((once("3h").status, once("4h").status), (200, 200));
    assert!(!once("4h").text().contains("4h"));
    assert_eq!(expectation(&daemon, &key, "way.again")["every"], "4h");
    for (request, field) in [
        (Request::post("/alerts/x").header("Expect-Within", "5s").body("x"), "Expect-Within"),
        (Request::post("/alerts/x?expect_within=never").body("x"), "expect_within"),
        (Request::post("/alerts/x").json(&json!({"message": "x", "expect_within": 60})), "expect_within"),
    ] {
        let answer = daemon.send(&request.key(&key));
        assert_eq!((answer.status, &answer.json()["field"]), (422, &json!(field)), "{answer:?}");
    }
    let published = daemon.ctl(&["publish", "-t", "ctl", "--expect-within", "90m", "x"]);
    assert!(published.status.success(), "{}", told(&published));
    assert_eq!(expectation(&daemon, &key, "ctl")["every"], "90m");
}

#[test]
fn a_key_changes_where_it_may_publish_and_sees_where_it_may_subscribe() {
    let daemon = Daemon::start();
    let of = |scope: &str| daemon.key_with(&json!({"user": "bob", "scopes": [scope], "topics": ["ops.*"]}));
    let (publisher, reader) = (of("publish"), of("subscribe"));
    let body = json!({"every": "25h"});
    assert_eq!(expect(&daemon, &publisher, "ops.db", &body).status, 200);
    assert_eq!(expect(&daemon, &publisher, "web", &body).status, 403);
    assert_eq!(expect(&daemon, &reader, "ops.db", &body).status, 403);
    assert_eq!(expect(&daemon, &daemon.key("alice"), "web", &body).status, 200);
    let asked = |method: &str, topic: &str, key: &Key| daemon.send(&Request::new(method, &path(topic)).key(key)).status;
    assert_eq!((asked("GET", "ops.db", &reader), asked("GET", "ops.db", &publisher)), (200, 403));
    assert_eq!((asked("GET", "web", &reader), asked("GET", "ops.none", &reader)), (403, 404));
    let listed = daemon.send(&Request::get("/expectations").key(&reader)).json();
    let topics: Vec<_> = listed["expectations"].as_array().unwrap().iter().map(|one| &one["topic"]).collect();
    assert_eq!(topics, ["ops.db"]);
    assert_eq!((asked("DELETE", "web", &publisher), asked("DELETE", "ops.db", &reader)), (403, 403));
    assert_eq!((asked("DELETE", "ops.db", &publisher), asked("DELETE", "ops.db", &publisher)), (204, 404));
    // Both changes are in the log, with who made them.
    daemon.said("message_id=expectation-made");
    let line = daemon.said("message_id=expectation-removed");
    assert!(line.contains(&format!("removed by key {} of bob", publisher.id)), "{line}");
    // The publish socket may do what its callers may do: publish.
    let socket = daemon.publish_socket();
    assert_eq!(Request::new("PUT", &path("host")).json(&body).over(&socket).status, 200);
    assert_eq!(Request::get("/expectations").over(&socket).status, 403);

    for (body, field) in [
        (json!({}), "every"),
        (json!({"every": "9s"}), "every"),
        (json!({"every": "367d"}), "every"),
        (json!({"every": "25h", "level": "loud"}), "level"),
        (json!({"every": "25h", "incident": ""}), "incident"),
        (json!({"every": "25h", "incident": "x".repeat(120)}), "incident"),
        (json!({"every": "25h", "often": true}), "often"),
    ] {
        let answer = expect(&daemon, &daemon.key("alice"), "ops.db", &body);
        assert_eq!((answer.status, &answer.json()["field"]), (422, &json!(field)), "{answer:?}");
    }
}

#[test]
fn an_incident_is_watched_by_its_own_alerts_also_those_that_are_only_counted() {
    let daemon = Daemon::with("[incidents]\nrepeat_interval = \"1h\"\n");
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts?topic=*&since=none");
    stream.until("cursor");
    let report = |incident: &str, status: &str| {
        let alert = json!({"message": "not done", "level": "warn", "incident": incident, "status": status});
        let answer = daemon.send(&Request::post("/alerts/backup").key(&key).json(&alert));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["status"].clone()
    };
    ["db/1", "db 2"].iter().for_each(|incident| drop(report(incident, "open")));
    let began = Instant::now();
    for incident in ["db/1", "db 2"] {
        let made = expect(&daemon, &key, "backup", &json!({"every": "10s", "incident": incident})).json();
        assert_eq!((&made["incident"], &made["missed"]), (&json!(incident), &json!(false)));
        assert!(!made["last"].is_null(), "{made}");
    }
    after(began, 5.0);
    // Other alerts of the topic are no signs of life, and a repeat that nobody gets is one.
    daemon.publish(&key, "backup", "something else");
    assert_eq!(report("db 2", "open"), "alert repeated");
    for incident in ["db/1", "db 2"] {
        let missed = announcement(&mut stream);
        assert_eq!(missed["incident"], format!("silence: {incident}"), "{missed}");
        let begins = format!("backup (incident {incident}) is silent: nothing was published since ");
        assert!(missed["message"].as_str().unwrap().starts_with(&begins), "{missed}");
    }
    assert_eq!(report("db/1", "resolved"), "alert stored");
    let met = announcement(&mut stream);
    assert_eq!((&met["incident"], &met["status"]), (&json!("silence: db/1"), &json!("resolved")));
    let missed =
        |incident: &str| daemon.send(&Request::get(&format!("/expectations/backup?incident={incident}")).key(&key));
    assert_eq!(missed("db%202").json()["missed"], true);
    assert_eq!(missed("db%2F1").json()["missed"], false);
    assert_eq!(daemon.send(&Request::get(&path("backup")).key(&key)).status, 404, "the whole topic is not expected");
    let listed = daemon.ctl(&["expect", "--list"]);
    assert!(told(&listed).contains("db/1") && told(&listed).contains("db 2"), "{}", told(&listed));
    let removed = daemon.ctl(&["expect", "backup", "--incident", "db/1", "--remove"]);
    assert!(removed.status.success(), "{}", told(&removed));
    assert_eq!(missed("db%2F1").status, 404);
    assert_eq!(missed("db%202").status, 200);
}

#[test]
fn alertctl_makes_lists_and_removes() {
    let daemon = Daemon::start();
    let run = |arguments: &[&str]| daemon.ctl(&[&["expect"], arguments].concat());
    let made = run(&["backup.nightly", "--every", "25h"]);
    assert!(made.status.success() && told(&made).contains("expected on backup.nightly every 25h"), "{}", told(&made));
    assert!(run(&["ops.db", "--every", "5m", "--level", "warn"]).status.success());
    let listed = String::from_utf8(run(&["--list"]).stdout).unwrap();
    assert!(listed.contains("backup.nightly") && listed.contains("waiting") && listed.contains("never"), "{listed}");
    let lines = String::from_utf8(run(&["--list", "--json"]).stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["topic"], &lines[1]["level"]), (2, &json!("ops.db"), &json!("warn")));
    assert!(run(&["ops.db", "--remove"]).status.success());
    let again = run(&["ops.db", "--remove"]);
    assert!(
        again.status.code() == Some(1) && told(&again).contains("nothing is expected on ops.db"),
        "{}",
        told(&again)
    );
    let short = run(&["ops.db", "--every", "5s"]);
    assert!(short.status.code() == Some(2) && told(&short).contains("from 10s to 366d"), "{}", told(&short));
}

#[test]
fn one_user_has_a_limit_that_the_answer_names() {
    let daemon = Daemon::start();
    let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
    let lines = |from: usize, to: usize| {
        let line = |n: usize| format!("{{\"topic\":\"t.{n}\",\"message\":\"x\",\"expect_within\":\"25h\"}}\n");
        let body: String = (from..to).map(line).collect();
        Request::post("/alerts").header("Content-Type", "application/x-ndjson").body(body).key(&alice)
    };
    assert_eq!(daemon.send(&lines(0, 2000)).status, 200);
    let over = daemon.send(&lines(2000, 2501));
    assert!(over.status == 503 && over.text().contains("limit expectations of one user"), "{over:?}");
    // None of these alerts was stored.
    let stored = daemon.status()["engine"]["alerts"].clone();
    assert_eq!(stored, 2000);
    assert_eq!(daemon.send(&lines(2000, 2500)).status, 200);
    assert_eq!(expect(&daemon, &alice, "one.more", &json!({"every": "25h"})).status, 503);
    daemon.said("message_id=expectations-full");
    assert_eq!(expect(&daemon, &bob, "one.more", &json!({"every": "25h"})).status, 200);
    // One that exists can be changed.
    assert_eq!(expect(&daemon, &alice, "t.7", &json!({"every": "26h"})).status, 200);
    let listed = daemon.send(&Request::get("/expectations").key(&alice)).json();
    assert_eq!(listed["expectations"].as_array().unwrap().len(), 2501);
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    assert_eq!(expect(&daemon, &key, "ops", &json!({"every": "25h"})).status, 200);
    let mut daemon = daemon;
    assert!(daemon.stop().success());
    let file = daemon.state().join("expectations");
    let whole = std::fs::read(&file).unwrap();
    let damaged = [&whole[..whole.len() - 5], b"x"].concat();
    std::fs::write(&file, &damaged).unwrap();
    let mut daemon = daemon.again();
    let line = daemon.said("message_id=expectations-unread");
    assert!(line.contains(file.to_str().unwrap()) && line.contains("it is damaged"), "{line}");
    daemon.publish(&key, "ops", "publishing works");
    let refused = Request::get("/expectations").over(&daemon.control());
    assert!(refused.status == 503 && refused.text().contains(file.to_str().unwrap()), "{refused:?}");
    assert_eq!(expect(&daemon, &key, "ops", &json!({"every": "25h"})).status, 503);
    assert!(daemon.stop().success());
    assert_eq!(std::fs::read(&file).unwrap(), damaged);
    std::fs::write(&file, &whole).unwrap();
    let daemon = daemon.again();
    assert_eq!(expectation(&daemon, &key, "ops")["every"], "25h");
}
