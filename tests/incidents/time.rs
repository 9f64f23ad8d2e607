//! What time makes of incidents: their end, reminders, and repeats that are only counted.

use serde_json::{Value, json};

use super::{act, again, engines, incident, report, reported, transition};
use crate::harness::{Daemon, Request};

#[test]
fn an_incident_whose_time_has_passed_is_resolved_once_also_over_a_crash() {
    for (mut daemon, _redis) in engines("") {
        let key = daemon.key("alice");
        let mut stream = daemon.stream(&key, "/alerts/ops?since=none");
        stream.until("cursor");
        let body = |name: &str, ttl: &str| json!({"message": "m", "level": "warn", "incident": name, "ttl": ttl});
        reported(&daemon, &key, "ops", &body("short", "1s"));
        let ended = transition(&mut stream);
        assert_eq!(
            (&ended["incident"], &ended["state"], &ended["by"]),
            (&json!("short"), &json!("resolved"), &Value::Null)
        );
        assert_eq!(ended["reason"], "ttl");
        let short = incident(&daemon, &key, "ops/short");
        assert_eq!(
            (&short["state"], &short["resolved_by"], &short["ttl"]),
            (&json!("resolved"), &Value::Null, &Value::Null)
        );
        reported(&daemon, &key, "ops", &body("later", "2s"));
        daemon.kill();
        let daemon = again(daemon);
        let mut stream = daemon.stream(&key, "/alerts/ops?since=all");
        let states: Vec<_> = (0..2).map(|_| transition(&mut stream)["incident"].clone()).collect();
        assert_eq!(states, ["short", "later"]);
        // One without a time to live ends an earlier one.
        reported(&daemon, &key, "ops", &body("open", "1s"));
        reported(&daemon, &key, "ops", &json!({"message": "n", "level": "warn", "incident": "open"}));
        assert_eq!(incident(&daemon, &key, "ops/open")["ttl"], Value::Null);
    }
}

#[test]
fn an_incident_that_nobody_acknowledges_is_announced_again_until_somebody_does() {
    for (daemon, _redis) in engines("[incidents]\nremind_after = \"1s\"\n") {
        let key = daemon.key("alice");
        let mut stream = daemon.stream(&key, "/alerts/ops?since=none");
        stream.until("cursor");
        reported(
            &daemon,
            &key,
            "ops",
            &json!({"message": "m", "level": "error", "incident": "i", "metadata": {"a": 1}}),
        );
        reported(&daemon, &key, "ops", &json!({"message": "low", "level": "warn", "incident": "low"}));
        stream.alert();
        stream.alert();
        for number in 1..3 {
            let reminder = stream.alert().unwrap();
            assert_eq!((&reminder["incident"], &reminder["message"]), (&json!("i"), &json!("m")));
            assert_eq!(reminder["metadata"], json!({"a": 1, "reminder": number}));
            assert_eq!((&reminder["level"], &reminder["count"]), (&json!("error"), &json!(1)));
        }
        act(&daemon, &key, "ops/i/acknowledge", &json!({}));
        stream.until("incident");
        assert_eq!(daemon.publish(&key, "ops", "after it"), stream.alert().unwrap()["id"].as_str().unwrap());
    }
}

#[test]
fn a_sender_that_fires_a_hundred_times_costs_subscribers_one_alert() {
    for (daemon, _redis) in engines("[incidents]\nrepeat_interval = \"1h\"\n") {
        let key = daemon.key("alice");
        let fire = json!({"message": "again", "level": "error", "incident": "flap"});
        let first = reported(&daemon, &key, "ops", &fire);
        for _ in 1..100 {
            let answer = report(&daemon, &key, "ops", &fire).json();
            assert_eq!((&answer["status"], &answer["alert"]["id"]), (&json!("alert repeated"), &first["id"]));
        }
        // A retry with the same key is counted once.
        let once = Request::post("/alerts/ops").key(&key).json(&fire).header("Idempotency-Key", "once");
        for _ in 0..2 {
            assert_eq!(daemon.send(&once).json()["alert"]["id"], first["id"]);
        }
        assert_eq!(incident(&daemon, &key, "ops/flap")["count"], 101);
        assert_eq!(stored(&daemon, &key), 1);
        let news = reported(&daemon, &key, "ops", &json!({"message": "worse", "level": "error", "incident": "flap"}));
        assert_eq!(news["count"], 102);
    }
}

fn stored(daemon: &Daemon, key: &crate::harness::Key) -> usize {
    let page = Request::get("/alerts/ops?since=all").key(key).header("Accept", "application/json");
    daemon.send(&page).json()["alerts"].as_array().unwrap().len()
}
