//! Backups of a fleet, and restores into Redis: the way between both engines.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::nodes::knows;
use crate::backup::{
    backups_under_publishers, configured, header, history, order, prefix, restore, restored, succeeded,
};
use crate::harness::{Daemon, Key, Redis, Request, eventually, told};

/// Backups of the test under load, times `ALERTD_TEST_RUNS`.
const BACKUPS: usize = 3;

fn publish(node: &Daemon, key: &Key, topic: &str, name: &str) -> String {
    let request = Request::post(&format!("/alerts/{topic}")).key(key).header("Idempotency-Key", name);
    let answer = node.send(&request.json(&json!({ "message": name })));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["alert"]["id"].as_str().unwrap().to_owned()
}

/// Whether a reader that continues after this id is told of a gap.
fn gap(node: &Daemon, key: &Key, cursor: &str) -> bool {
    let path = format!("/alerts?topic=*&since={cursor}");
    !node.send(&Request::get(&path).header("Accept", "application/json").key(key)).json()["gap"].is_null()
}

fn back_up(node: &Daemon, path: &Path) -> String {
    succeeded(&configured(node).arg("backup").arg(path).output().unwrap())
}

/// The lines of a backup after the first, without their numbers and checksums, sorted.
fn contents(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<_> = text.lines().skip(1).map(|line| line.splitn(3, ' ').nth(2).unwrap().to_owned()).collect();
    lines.sort();
    lines
}

/// A node on an empty Redis into which a backup was restored.
fn restored_into(redis: &Redis, more: &str, backup: &Path) -> Daemon {
    let node = restored(&format!("{more}{}", redis.configuration("")), &[], backup);
    eventually("a node that takes alerts", || (Request::get("/readyz").to(node.address).status == 200).then_some(()));
    node
}

#[test]
fn a_backup_goes_from_redis_to_the_embedded_engine_and_back_with_everything() {
    let (redis, other) = (Redis::start(), Redis::start());
    let limits = "alerts.topic_count = 4\n";
    let mut node = Daemon::with(&format!("{limits}{}", redis.configuration("")));
    let key = node.key_once_ready();
    let ids: Vec<_> = (0..10).map(|number| publish(&node, &key, "busy", &format!("busy {number}"))).collect();
    let quiet = publish(&node, &key, "quiet.one", "quiet");
    let place = tempfile::tempdir().unwrap();
    let [first, embedded, second, at_rest] =
        ["first", "embedded", "second", "rest"].map(|name| place.path().join(name));
    back_up(&node, &first);
    let all = history(&node);
    assert_eq!((all.len(), header(&first)["engine"].as_str()), (5, Some("redis")));

    let checks = |node: &Daemon| {
        assert!(history(node) == all);
        // A removed id is still a cursor, after which nothing is missing only if all later alerts are there.
        assert!(!gap(node, &key, &ids[5]) && !gap(node, &key, &quiet) && gap(node, &key, &ids[4]));
        assert!(gap(node, &key, "1-0"));
        assert_eq!(publish(node, &key, "quiet.one", "quiet"), quiet, "an idempotency key is forgotten");
    };
    checks(&node);
    let on_disk = restored(limits, &[], &first);
    checks(&on_disk);
    back_up(&on_disk, &embedded);
    let in_redis = restored_into(&other, limits, &embedded);
    checks(&in_redis);
    assert!(order(&publish(&in_redis, &key, "new", "its key works")) > order(&quiet));

    // Without a node, the same comes from Redis itself.
    back_up(&node, &second);
    assert!(node.stop().success());
    assert!(back_up(&node, &at_rest).contains("directly"));
    assert_eq!(contents(&second), contents(&at_rest));
    assert_eq!(contents(&second), contents(&first));
}

fn send(node: &Daemon, key: &Key, request: Request) -> Value {
    let answer = node.send(&request.key(key));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Publishes an alert of an incident, and returns its id.
fn report(node: &Daemon, key: &Key, incident: &str, message: &str, more: &Value) -> String {
    let mut body = json!({"message": message, "level": "error", "incident": incident});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = Request::post("/alerts/ops").header("Idempotency-Key", message).json(&body);
    send(node, key, request)["alert"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_takes_incidents_and_retractions_from_engine_to_engine_and_they_go_on() {
    let [redis, copy, other] = [(); 3].map(|()| Redis::start());
    let mut node = Daemon::with(&redis.configuration(""));
    let key = node.key_once_ready();
    let place = tempfile::tempdir().unwrap();
    let [first, second, embedded] = ["first", "second", "embedded"].map(|name| place.path().join(name));
    let retract =
        |node: &Daemon, id: &str| node.send(&Request::new("DELETE", &format!("/alerts/ops/{id}")).key(&key)).status;
    let open = report(&node, &key, "open", "one", &json!({}));
    let secret = report(&node, &key, "open", "a secret", &json!({"ttl": "1h"}));
    report(&node, &key, "acknowledged", "two", &json!({}));
    send(&node, &key, Request::post("/incidents/ops/acknowledged/acknowledge").json(&json!({"note": "mine"})));
    report(&node, &key, "resolved", "three", &json!({}));
    send(&node, &key, Request::post("/incidents/ops/resolved/resolve").json(&json!({})));
    eventually("a retraction", || (retract(&node, &secret) == 204).then_some(()));
    let short = report(&node, &key, "short", "four", &json!({"ttl": "1d"}));

    let all = |node: &Daemon| {
        let incidents = send(node, &key, Request::get("/incidents?state=all"));
        let path = "/alerts?topic=*&since=all&include=incidents";
        [incidents, send(node, &key, Request::get(path).header("Accept", "application/json"))]
    };
    let before = all(&node);
    let [incidents, log] = &before;
    assert_eq!(incidents["incidents"].as_array().unwrap().len(), 4, "{incidents}");
    let kinds: Vec<_> = log["alerts"].as_array().unwrap().iter().map(|one| one["event"].as_str()).collect();
    assert_eq!(kinds, [None, None, Some("incident"), None, Some("incident"), Some("retract"), None], "{log}");
    back_up(&node, &first);
    assert!(node.stop().success());
    assert!(!fs::read_to_string(&first).unwrap().contains("a secret"));
    let in_copy = restored_into(&copy, "", &first);
    assert_eq!(all(&in_copy), before);
    back_up(&in_copy, &second);
    assert_eq!(contents(&second), contents(&first));
    let on_disk = restored("", &[], &second);
    assert_eq!(all(&on_disk), before);
    back_up(&on_disk, &embedded);
    assert_eq!(contents(&embedded), contents(&first));
    let in_redis = restored_into(&other, "", &embedded);
    assert_eq!(all(&in_redis), before);
    assert_eq!([&in_copy, &in_redis].map(|node| retract(node, &secret)), [204, 204]);
    for node in [&in_copy, &on_disk, &in_redis] {
        assert!(!gap(node, &key, &open) && !gap(node, &key, &secret));
        let body = json!({"message": "a secret", "level": "error", "incident": "open", "ttl": "1h"});
        let again = Request::post("/alerts/ops").header("Idempotency-Key", "a secret").json(&body).key(&key);
        assert_eq!(node.send(&again).status, 410);
        // Its publisher is known, and so is the alert before it.
        let more = report(node, &key, "short", "five", &json!({"ttl": "1s"}));
        assert_eq!(retract(node, &more), 204);
        let incident = send(node, &key, Request::get("/incidents/ops/short"));
        assert_eq!((&incident["alert"], &incident["count"]), (&json!(short), &json!(2)));
        assert_eq!(retract(node, &short), 204);
        eventually("the end of an incident", || {
            let incident = send(node, &key, Request::get("/incidents/ops/short"));
            (incident["state"] == "resolved" && incident["resolved_by"].is_null()).then_some(())
        });
    }
}

#[test]
fn what_an_incident_is_due_for_happens_after_a_restore() {
    let (redis, other) = (Redis::start(), Redis::start());
    let node = Daemon::with(&redis.configuration(""));
    let key = node.key_once_ready();
    report(&node, &key, "ends", "one", &json!({"ttl": "2s"}));
    report(&node, &key, "goes on", "two", &json!({}));
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    back_up(&node, &backup);
    drop(node);
    let configuration = other.configuration("[incidents]\nremind_after = \"1s\"\n");
    let node = restored(&configuration, &[], &backup);
    eventually("a node that takes alerts", || (Request::get("/readyz").to(node.address).status == 200).then_some(()));
    eventually("the end of an incident", || {
        (send(&node, &key, Request::get("/incidents/ops/ends"))["state"] == "resolved").then_some(())
    });
    eventually("two reminders", || {
        history(&node).values().any(|alert| alert["metadata"]["reminder"] == 2).then_some(())
    });
}

#[test]
fn backups_of_a_fleet_under_publishers_and_retention_hold_exactly_a_prefix_of_the_log() {
    let redis = Redis::with(&["--appendonly", "no"]);
    let daemon = Daemon::with(&format!("alerts.retain_count = 3000\n{}", redis.configuration("")));
    let (key, place) = (daemon.key_once_ready(), tempfile::tempdir().unwrap());
    let (answered, backups) = backups_under_publishers(&daemon, &key, place.path(), BACKUPS);
    for backup in backups {
        let restored = restored("alerts.retain_count = 0\n", &[], &backup);
        assert!(history(&restored) == prefix(&answered, &backup), "{}", backup.display());
    }
}

#[test]
fn a_restore_into_redis_replaces_nothing_unasked_and_its_subscribers_are_told() {
    let redis = Redis::start();
    let mut node = Daemon::with(&redis.configuration(""));
    let mut idle = Daemon::with(&redis.configuration(""));
    let key = node.key_once_ready();
    publish(&node, &key, "ops", "one");
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    back_up(&node, &backup);
    let later = publish(&node, &key, "ops", "after the backup");
    let late_key = node.key("late");
    knows(&idle, &late_key);

    assert!(idle.stop().success());
    let running = restore(&idle, &[], &backup);
    assert!(running.status.code() == Some(69) && told(&running).contains("is in use by"), "{}", told(&running));
    let name = |node: &Daemon| format!(":{}", node.address.port());
    // A node that was stopped has left the list.
    assert!(told(&running).contains(&name(&node)) && !told(&running).contains(&name(&idle)), "{}", told(&running));
    assert!(node.stop().success());
    let occupied = restore(&node, &[], &backup);
    assert!(
        occupied.status.code() == Some(1) && told(&occupied).contains("2 alerts and 2 keys"),
        "{}",
        told(&occupied)
    );
    assert!(told(&occupied).contains("--replace"), "{}", told(&occupied));
    assert_eq!(redis.ask(&["EXISTS", "{alertd}:restore:log", "{alertd}:restore:state"]).trim(), "0");

    // The keys stay with --no-keys, and are those of the backup without it.
    succeeded(&restore(&node, &["--replace", "--no-keys"], &backup));
    let mut node = node.again();
    knows(&node, &late_key);
    assert_eq!(history(&node).len(), 1);
    assert!(gap(&node, &key, &later));
    assert!(order(&publish(&node, &key, "ops", "new")) > order(&later));
    assert!(node.stop().success());
    succeeded(&restore(&node, &["--replace"], &backup));
    let node = node.again();
    knows(&node, &key);
    assert_eq!(node.send(&Request::get("/health").key(&late_key)).status, 401);
    assert_eq!(redis.ask(&["--scan", "--pattern", "{alertd}:restore:*"]).trim(), "");
}

#[test]
fn a_damaged_backup_is_restored_into_redis_with_a_gap() {
    let (redis, daemon) = (Redis::start(), Daemon::start());
    let key = daemon.key("alice");
    let ids: Vec<_> = (0..9).map(|number| publish(&daemon, &key, "ops", &format!("number {number}"))).collect();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    back_up(&daemon, &backup);
    fs::write(&backup, fs::read_to_string(&backup).unwrap().replacen("number 4", "number X", 1)).unwrap();
    let mut node = Daemon::with(&redis.configuration(""));
    node.key_once_ready();
    assert!(node.stop().success());
    succeeded(&restore(&node, &["--damaged", "--replace"], &backup));
    let node = node.again();
    knows(&node, &key);
    assert_eq!(history(&node).len(), 8);
    assert!(gap(&node, &key, &ids[2]) && !gap(&node, &key, &ids[5]));
    let again = place.path().join("again");
    assert!(back_up(&node, &again).contains("gaps: 1"));
    let losses = contents(&again).into_iter().filter(|line| line.contains("\"lost\"")).collect::<Vec<_>>();
    let lost: Value = serde_json::from_str(&losses[0]).unwrap();
    let upto = order(lost["lost"]["upto"].as_str().unwrap());
    assert!(losses.len() == 1 && upto >= order(&ids[4]) && upto < order(&ids[5]), "{losses:?}");
}
