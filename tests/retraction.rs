//! Retraction: the content of an alert that was taken back is in no answer, no stream and no file, and streams say so at its
//! place.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Daemon, Key, Request, Stream, Transport, eventually, eventually_within, over_both_transports,
};

over_both_transports! {
    what_was_retracted_is_at_once_in_no_answer_and_soon_in_no_file,
    a_slow_replay_does_not_get_what_is_retracted_before_it_gets_there,
    a_client_that_does_not_read_gets_nothing_retracted_beyond_what_the_kernel_has,
}

const SECRET: &str = "hunter2-in-clear-text";

/// Whether a file below a directory has these bytes.
fn is_in_files(directory: &Path, text: &str) -> Option<String> {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            if let Some(found) = is_in_files(&entry, text) {
                return Some(found);
            }
            continue;
        }
        if entry.ends_with("reserve") {
            // Zeros, so many that a search takes long.
            continue;
        }
        // A file may be replaced meanwhile.
        let content = fs::read(&entry).unwrap_or_default();
        if content.windows(text.len()).any(|part| part == text.as_bytes()) {
            return Some(entry.display().to_string());
        }
    }
    None
}

fn is_gone_from_files(daemon: &Daemon) {
    eventually_within(Duration::from_secs(60), "a state directory without the secret", || {
        is_in_files(&daemon.state(), SECRET).is_none().then_some(())
    });
}

fn retract(daemon: &Daemon, key: &Key, topic: &str, id: &str) -> Answer {
    daemon.send(&Request::new("DELETE", &format!("/alerts/{topic}/{id}")).key(key))
}

fn publish(daemon: &Daemon, key: &Key, topic: &str, body: &Value) -> String {
    let answer = daemon.send(&Request::post(&format!("/alerts/{topic}")).key(key).json(body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["alert"]["id"].as_str().unwrap().to_owned()
}

/// Publishes alerts together.
fn publish_many(daemon: &Daemon, key: &Key, messages: impl Iterator<Item = String>) {
    let lines: String = messages.map(|message| json!({ "message": message }).to_string() + "\n").collect();
    let request = Request::post("/alerts/many").key(key).header("Content-Type", "application/x-ndjson");
    let answer = daemon.send(&request.body(lines));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The ids of the first alerts.
fn ids(daemon: &Daemon, key: &Key, alerts: usize) -> Vec<String> {
    let mut stream = daemon.stream(key, "/alerts?topic=many&since=all");
    (0..alerts).map(|_| stream.alert().unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

/// What a stream has up to the retraction of an alert: the ids of its alerts. It is told of no gap.
fn until_retraction(stream: &mut Stream, id: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let event = stream.event().expect("the stream goes on");
        match event.event.as_str() {
            "retract" => {
                let data: Value = serde_json::from_str(&event.data).unwrap();
                assert_eq!((data["id"].as_str(), data["by"].as_str()), (event.id.as_deref(), Some("alice")));
                if data["alert"] == id {
                    return seen;
                }
            }
            "" => seen.extend(event.id),
            name => assert_ne!(name, "gap"),
        }
    }
}

fn what_was_retracted_is_at_once_in_no_answer_and_soon_in_no_file(transport: Transport) {
    let daemon = Daemon::on(transport, "incidents.repeat_interval = \"1h\"");
    let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
    let mut live = daemon.stream(&alice, "/alerts?topic=*");
    let before = publish(&daemon, &alice, "ops", &json!({"message": "91 %", "level": "warn", "incident": "disk"}));
    let secret = json!({"message": SECRET, "level": "warn", "incident": "disk", "metadata": {"password": SECRET}});
    let keyed = Request::post("/alerts/ops").key(&alice).header("Idempotency-Key", "once").json(&secret);
    let id = daemon.send(&keyed).json()["alert"]["id"].as_str().unwrap().to_owned();
    for _ in 0..20 {
        assert_eq!(publish(&daemon, &alice, "ops", &secret), id, "it is only counted");
    }
    let after = publish(&daemon, &bob, "ops", &json!({"message": "another"}));
    assert!(is_in_files(&daemon.state(), SECRET).is_some());
    assert_eq!(retract(&daemon, &bob, "ops", &id).status, 403);
    assert_eq!(retract(&daemon, &alice, "web", &id).status, 404);
    for _ in 0..2 {
        let answer = retract(&daemon, &alice, "ops", &id);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    }
    let check = |daemon: &Daemon| {
        let has_secret = |path: &str| {
            let answer = daemon.send(&Request::get(path).key(&alice).header("Accept", "application/json"));
            (answer.status, answer.text().contains(SECRET))
        };
        assert_eq!(has_secret(&format!("/alerts/ops/{id}")), (404, false));
        for path in ["/alerts?topic=*&include=incidents", "/incidents?state=all", "/incidents/ops/disk"] {
            assert!(!has_secret(path).1, "{path}");
        }
        let incident = daemon.send(&Request::get("/incidents/ops/disk").key(&alice)).json();
        assert_eq!((&incident["message"], &incident["alert"]), (&json!("91 %"), &json!(before)));
        assert_eq!((&incident["state"], &incident["count"]), (&json!("open"), &json!(22)));
        assert_eq!(daemon.send(&keyed).status, 410);
        for path in [
            "/alerts?topic=*&since=all",
            &format!("/alerts?topic=*&since={before}"),
            &format!("/alerts?topic=*&since={id}"),
        ] {
            let mut replay = daemon.stream(&alice, path);
            let seen = until_retraction(&mut replay, &id);
            assert!(seen.ends_with(std::slice::from_ref(&after)) && !seen.contains(&id), "{path}: {seen:?}");
            assert!(!String::from_utf8_lossy(&replay.raw).contains(SECRET), "{path}");
        }
    };
    check(&daemon);
    assert_eq!(until_retraction(&mut live, &id), [before.clone(), id.clone(), after.clone()]);
    is_gone_from_files(&daemon);
    let mut daemon = daemon;
    assert!(daemon.stop().success());
    let daemon = daemon.again();
    check(&daemon);
    assert_eq!(retract(&daemon, &alice, "ops", &id).status, 204);
    assert_eq!(is_in_files(&daemon.state(), SECRET), None);
}

#[test]
fn a_kill_right_after_the_answer_undoes_nothing() {
    for durability in ["fsync", "none"] {
        let configuration = format!("engine.durability = \"{durability}\"");
        let mut daemon = Daemon::with(&configuration);
        let key = daemon.key("alice");
        for round in 0..5 {
            publish(&daemon, &key, "ops", &json!({"message": "before", "level": "warn", "incident": "disk"}));
            let body = json!({"message": SECRET, "level": "error", "incident": "disk"});
            let id = publish(&daemon, &key, "ops", &body);
            assert_eq!(retract(&daemon, &key, "ops", &id).status, 204);
            daemon.kill();
            daemon = daemon.again();
            assert_eq!(daemon.send(&Request::get(&format!("/alerts/ops/{id}")).key(&key)).status, 404, "round {round}");
            let incident = daemon.send(&Request::get("/incidents/ops/disk").key(&key)).json();
            assert_eq!(incident["message"], "before", "round {round}");
            until_retraction(&mut daemon.stream(&key, "/alerts?topic=ops&since=all"), &id);
            is_gone_from_files(&daemon);
        }
    }
}

fn a_slow_replay_does_not_get_what_is_retracted_before_it_gets_there(transport: Transport) {
    let daemon = Daemon::on(transport, "limits.publish_rate = 1000000");
    let key = daemon.key("alice");
    for block in 0..100 {
        let message = |number: usize| match block * 500 + number {
            49_000 => SECRET.to_owned(),
            number => format!("alert {number} {}", "x".repeat(200)),
        };
        publish_many(&daemon, &key, (0..500).map(message));
    }
    let ids = ids(&daemon, &key, 50_000);
    let secret = &ids[49_000];
    let mut slow = daemon.stream(&key, "/alerts?topic=many&since=all");
    assert!(slow.alert().is_some());
    assert_eq!(retract(&daemon, &key, "many", secret).status, 204);
    let seen = until_retraction(&mut slow, secret);
    // The first one was read before.
    assert_eq!(seen.len() + 2, ids.len());
    assert!(!String::from_utf8_lossy(&slow.raw).contains(SECRET));
}

/// A stream in a broadcast loop whose socket has taken no more for a while: of the alerts that are retracted meanwhile it gets
/// those that were on their way, and none after.
fn a_client_that_does_not_read_gets_nothing_retracted_beyond_what_the_kernel_has(transport: Transport) {
    let daemon = Daemon::on(transport, "limits.publish_rate = 1000000");
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts?topic=many");
    stream.until("cursor");
    for block in 0..40 {
        let message = |number: usize| format!("alert {} {}", block * 100 + number, "x".repeat(4000));
        publish_many(&daemon, &key, (0..100).map(message));
    }
    let ids = ids(&daemon, &key, 4000);
    let retracted: Vec<_> = ids.iter().step_by(16).cloned().collect();
    for id in &retracted {
        assert_eq!(retract(&daemon, &key, "many", id).status, 204);
    }
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    while told.len() < retracted.len() {
        let Some(event) = stream.event() else {
            // What was half sent was retracted.
            let last = stream.last_id.clone().unwrap();
            stream = daemon.stream(&key, &format!("/alerts?topic=many&since={last}"));
            stream.last_id = Some(last);
            continue;
        };
        match event.event.as_str() {
            "" => {
                assert!(!told.contains(&event.id.clone().unwrap()), "after its retraction");
                seen.extend(event.id);
            }
            "retract" => {
                told.push(serde_json::from_str::<Value>(&event.data).unwrap()["alert"].as_str().unwrap().to_owned());
            }
            name => assert_ne!(name, "gap"),
        }
    }
    assert_eq!(told, retracted);
    let got = retracted.iter().filter(|id| seen.contains(id)).count();
    assert!(got < retracted.len() * 3 / 4, "{got} of {} were sent", retracted.len());
    // No hole and no repeat, and of the retracted ones only the first.
    let is_expected = |id: &&String| !retracted[got..].contains(id);
    assert_eq!(seen, ids.iter().filter(is_expected).cloned().collect::<Vec<_>>());
    eventually("no stream that is counted as overtaken or slow", || {
        let text = Request::get("/metrics").over(&daemon.control()).text();
        text.contains("alertd_streams_ended_total{reason=\"slow\"} 0").then_some(())
    });
}

#[test]
fn history_that_is_read_while_alerts_come_and_go_has_no_gap_and_finds_no_damage() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let newest = Request::get("/alerts/ops?limit=20").key(&key).header("Accept", "application/json");
                    while !is_over.load(Ordering::Relaxed) {
                        let page = daemon.send(&newest).json();
                        assert!(page["gap"].is_null(), "{page}");
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..150 {
                        let id = publish(&daemon, &key, "ops", &json!({"message": SECRET}));
                        assert_eq!(retract(&daemon, &key, "ops", &id).status, 204);
                    }
                })
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        written.into_iter().for_each(|writer| writer.unwrap());
    });
    assert!(!daemon.log().contains("damaged"), "{}", daemon.log());
}
