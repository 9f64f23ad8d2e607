//! Tests: payloads in the shapes of the tools that send them, and rules for all others.

use serde_json::{Value, json};

use super::*;
use crate::alert::Id;

fn read_all(body: &str) -> Result<Vec<Entry>, String> {
    read(&"ops".parse().unwrap(), body).map_err(|error| error.to_string())
}

fn written(entry: &Entry) -> Value {
    serde_json::from_slice(&entry.draft.record(Id::at(1), 0).json).unwrap()
}

fn alert(body: &str) -> Value {
    written(&read_all(body).unwrap()[0])
}

fn of(payload: &Value) -> Value {
    alert(&payload.to_string())
}

macro_rules! payload {
    ($name:literal) => {
        alert(include_str!(concat!("../../../tests/fixtures/hooks/json/", $name, ".json")))
    };
}

#[track_caller]
fn is(alert: &Value, level: &str, message: &str) {
    assert_eq!((&alert["level"], &alert["message"]), (&json!(level), &json!(message)), "{alert:#}");
}

#[test]
fn chats_and_notifiers() {
    let apprise = payload!("apprise");
    is(&apprise, "warn", "2 checksum errors repaired on sdc");
    assert_eq!(apprise["metadata"]["title"], "nas1: scrub finished");
    let shoutrrr = payload!("shoutrrr");
    is(&shoutrrr, "info", "2 containers updated: proxy (1.29.3), cache (8.1.4)");
    assert_eq!(shoutrrr["metadata"], json!({"title": "Updates on nas1"}));
    let slack = payload!("slack");
    is(&slack, "error", "Release 2.14.0 of *checkout* failed");
    assert_eq!(slack["metadata"]["url"], "https://ci.example.org/runs/6601");
    let discord = payload!("discord");
    is(&discord, "error", "Disk almost full: /srv/media has 11 GB left of 8 TB");
    assert_eq!(discord["metadata"]["url"], "https://media.example.org/system/status");
    assert_eq!(discord["metadata"]["title"], "Disk almost full");
}

#[test]
fn monitoring() {
    let kuma = payload!("uptime-kuma");
    is(&kuma, "error", "[shop] [🔴 Down] connect ECONNREFUSED 192.0.2.40:443");
    is(&payload!("healthchecks"), "error", "Nightly dump \"pg1\": down");
    let proxmox = payload!("proxmox");
    is(&proxmox, "warn", "/dev/sda: 8 sectors cannot be read at present.\nSee the log of pve2.example.org.");
    assert_eq!(proxmox["metadata"]["title"], "SMART error (CurrentPendingSector) on pve2");
    let zabbix = payload!("zabbix");
    is(&zabbix, "error", "Host: ups1.example.org\nItem: battery charge = 9 %\nSince: 17:31:02");
    assert_eq!(zabbix["metadata"]["title"], "Problem: battery of ups1 nearly empty");
    let sentry = payload!("sentry");
    is(&sentry, "error", "PoolTimeout: no free connection after 30 s");
    assert!(sentry["metadata"]["url"].as_str().unwrap().contains("/organizations/shop/issues/9177/"));
}

#[test]
fn builds_and_events() {
    let gitlab = payload!("gitlab");
    is(&gitlab, "error", "shop/api pipeline main: failed");
    assert_eq!(gitlab["metadata"]["url"], "https://gitlab.example.org/shop/api/-/pipelines/7731");
    let jenkins = payload!("jenkins");
    is(&jenkins, "error", "nightly-images #412: FAILURE");
    assert_eq!(jenkins["metadata"]["url"], "https://ci.example.org/job/nightly-images/412/");
    let event = payload!("cloudevents");
    is(&event, "error", "base backup stopped at 61 %: no space left");
    let kept = ["id", "source", "type"].map(|name| event["metadata"][name].clone());
    assert_eq!(kept, [json!("b7f1-0042"), json!("/backup/pg1.example.org"), json!("org.example.backup.failed")]);
}

#[test]
fn a_recovery_is_info_whatever_its_severity() {
    for payload in [
        json!({"message": "m", "severity": "critical", "status": "resolved"}),
        json!({"message": "m", "level": "error", "state": "OK"}),
        json!({"msg": "up again", "heartbeat": {"status": 1}, "monitor": {"name": "shop"}}),
        json!({"Message": "m", "event_severity": "Disaster", "event_value": "0"}),
        json!({"check": {"name": "dump", "status": "up"}}),
        json!({"action": "resolved", "data": {"event": {"title": "t", "level": "fatal"}}}),
    ] {
        assert_eq!(of(&payload)["level"], "info", "{payload}");
    }
}

#[test]
fn numbers_are_read_on_the_scale_of_their_name() {
    let of = |name: &str, value: Value| of(&json!({"message": "m", name: value}))["level"].as_str().unwrap().to_owned();
    for (number, by_severity, by_priority) in
        [(0, "error", "info"), (1, "error", "info"), (3, "error", "info"), (4, "warn", "warn"), (5, "info", "error")]
    {
        for value in [json!(number), json!(number.to_string())] {
            let levels = (of("severity", value.clone()), of("level", value.clone()), of("priority", value));
            assert_eq!(levels, (by_severity.into(), by_severity.into(), by_priority.into()), "{number}");
        }
    }
    assert_eq!([20, 30, 40, 50].map(|level| of("level", json!(level))), ["info", "warn", "error", "error"]);
    assert_eq!((of("severity", json!("tier-2")), of("type", json!("tier-2"))), ("warn".into(), "info".into()));
    assert_eq!((of("status", json!(500)), of("status", json!("failed"))), ("info".into(), "error".into()));
}

#[test]
fn an_explicit_level_counts_before_a_state_and_a_state_before_a_colour() {
    let level = |payload: Value| of(&payload)["level"].clone();
    assert_eq!(level(json!({"text": "m", "severity": "info", "status": "firing", "color": "red"})), "info");
    assert_eq!(level(json!({"text": "m", "status": "degraded", "color": "#ff0000"})), "warn");
    assert_eq!(level(json!({"text": "m", "color": "#ff0000"})), "error");
    assert_eq!(level(json!({"text": "m"})), "info");
}

#[test]
fn what_has_no_text_is_shown_as_it_is() {
    is(&of(&json!({"temperature": 71, "room": "cellar"})), "info", r#"{"room":"cellar","temperature":71}"#);
    is(&of(&json!({"name": "disk", "status": "failed"})), "error", "disk: failed");
    let long = of(&json!({"message": "x".repeat(10_000), "log": "y".repeat(200_000)}));
    assert!(long["message"].as_str().unwrap().ends_with('…') && !long["metadata"]["alertd_cut"].is_null());
    // A description of what it is about says nothing about what happened.
    is(&of(&json!({"ref": "main", "repository": {"full_name": "a/b", "description": "a shop"}})), "info", "a/b main");
}

#[test]
fn a_list_is_several_alerts_and_what_is_no_object_is_named() {
    let entries = read_all(r#"[{"text":"a"},{"text":"b","level":"error"}]"#).unwrap();
    assert_eq!(entries.iter().map(|entry| written(entry)["message"].clone()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(read_all("[]").unwrap().is_empty());
    for (body, words) in [
        ("{}", "message: is missing"),
        ("[{\"text\":\"a\"}, 5]", "[1]: must be an object"),
        ("[{\"text\":\"a\"}, {}]", "[1].message: is missing"),
        ("5", "body: must be a JSON object"),
        ("\"text\"", "body: must be a JSON object"),
        ("text", "the body is neither JSON nor a form"),
        ("", "the body is neither JSON nor a form"),
    ] {
        let refused = read_all(body).unwrap_err();
        assert!(refused.starts_with(words), "{body}: {refused}");
    }
}

#[test]
fn only_cloud_events_have_an_identity() {
    let identity = |payload: Value| read_all(&payload.to_string()).unwrap().remove(0).identity;
    let event = |id: &str| json!({"specversion": "1.0", "source": "/a", "id": id, "data": {"message": "m"}});
    assert_eq!(identity(event("1")), identity(event("1")));
    assert_ne!(identity(event("1")), identity(event("2")));
    assert_eq!(identity(json!({"id": "1", "source": "/a", "message": "m"})), None);
}
