//! Retractions in a fleet: an alert that one node takes back is gone on all of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{Answer, Key, Redis, Request, Stream, eventually, eventually_within};

const SECRET: &str = "hunter2-hunter2";

fn send(fleet: &Fleet, node: usize, request: Request) -> Answer {
    let (address, key) = fleet.endpoint(node);
    request.key(&key).to(address)
}

/// Publishes a text about an incident under an idempotency key, and returns its id.
fn publish(fleet: &Fleet, node: usize, message: &str) -> String {
    let body = json!({"message": message, "level": "error", "incident": "disk"});
    let answer = send(fleet, node, Request::post("/alerts/ops").header("Idempotency-Key", message).json(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["alert"]["id"].as_str().unwrap().to_owned()
}

fn retract(fleet: &Fleet, node: usize, key: &Key, id: &str) -> u16 {
    let (address, _) = fleet.endpoint(node);
    Request::new("DELETE", &format!("/alerts/ops/{id}")).key(key).to(address).status
}

/// Takes an alert back as soon as the store takes it.
fn retract_once_ready(fleet: &Fleet, node: usize, id: &str) {
    let (_, key) = fleet.endpoint(node);
    eventually("a retraction", || (retract(fleet, node, &key, id) == 204).then_some(()));
}

fn history(fleet: &Fleet, node: usize, more: &str) -> Value {
    let path = format!("/alerts/ops?since=all&limit=1000{more}");
    send(fleet, node, Request::get(&path).header("Accept", "application/json")).json()
}

/// The retraction that a stream gets next; it must not have shown the secret since the stream had `seen` bytes.
fn told(stream: &mut Stream, seen: usize) -> Value {
    let event = stream.until("retract");
    assert!(!String::from_utf8_lossy(&stream.raw[seen..]).contains(SECRET));
    let told: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(told["id"].as_str(), event.id.as_deref());
    told
}

/// Every name, and all bytes that the server holds under it, also those of what was removed.
fn dump(redis: &Redis) -> String {
    redis.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
    let names = redis.ask(&["--scan"]);
    names.lines().map(|name| name.to_owned() + &redis.ask(&["DUMP", name])).collect()
}

#[test]
fn an_alert_that_one_node_takes_back_is_gone_on_all_of_them() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (_, own) = fleet.endpoint(0);
    let [other, admin] = [json!({"user": "eve"}), json!({"user": "root", "scopes": ["admin"]})]
        .map(|wish| fleet.node(0, |node| node.key_with(&wish)));
    fleet.node(1, |node| {
        super::nodes::knows(node, &other);
        eventually("the key", || (node.send(&Request::get("/keys").key(&admin)).status == 200).then_some(()));
    });
    let before = publish(&fleet, 0, "before");
    let secret = publish(&fleet, 0, SECRET);
    let mut live = [0, 1].map(|node| fleet.stream(node, "&since=all"));
    for stream in &mut live {
        assert_eq!((stream.message(), stream.message()), ("before".into(), SECRET.into()));
    }
    assert!(dump(&redis).contains(SECRET));
    assert_eq!(retract(&fleet, 1, &other, &secret), 403);
    assert_eq!(retract(&fleet, 1, &own, "7-0"), 404);
    // As soon as the schema is the newest one.
    retract_once_ready(&fleet, 1, &secret);
    let seen = live.each_ref().map(|stream| stream.raw.len());
    let told_live: Vec<_> = live.iter_mut().zip(seen).map(|(stream, seen)| told(stream, seen)).collect();
    assert_eq!((&told_live[0], told_live[0]["alert"].as_str()), (&told_live[1], Some(&*secret)));
    assert_eq!((&told_live[0]["by"], &told_live[0]["topic"]), (&json!("alice"), &json!("ops")));
    for node in 0..2 {
        assert_eq!([&own, &admin].map(|key| retract(&fleet, node, key, &secret)), [204, 204]);
        assert_eq!(retract(&fleet, node, &other, &secret), 204);
        let all = history(&fleet, node, "");
        assert_eq!((all["alerts"].as_array().unwrap().len(), &all["alerts"][0]["id"]), (1, &json!(before)), "{all}");
        let events = history(&fleet, node, "&include=incidents");
        assert_eq!(events["alerts"][1]["event"], "retract", "{events}");
        for cursor in [&before, &secret] {
            let mut replay = fleet.stream(node, &format!("&since={cursor}"));
            assert_eq!(told(&mut replay, 0), told_live[0]);
            replay.until("cursor");
            assert!(!String::from_utf8_lossy(&replay.raw).contains("event: gap"));
        }
        let mut latest = fleet.stream(node, "&since=latest");
        assert_eq!(latest.message(), "before");
        assert_eq!(send(&fleet, node, Request::get(&format!("/alerts/ops/{secret}"))).status, 404);
        let incident = send(&fleet, node, Request::get("/incidents/ops/disk")).json();
        let fields = (&incident["state"], &incident["count"], &incident["message"], &incident["alert"]);
        assert_eq!(fields, (&json!("open"), &json!(2), &json!("before"), &json!(before)), "{incident}");
        let body = json!({"message": SECRET, "level": "error", "incident": "disk"});
        let again = send(&fleet, node, Request::post("/alerts/ops").header("Idempotency-Key", SECRET).json(&body));
        assert_eq!(again.status, 410, "{again:?}");
    }
    let is_gone = || (!dump(&redis).contains(SECRET)).then_some(());
    eventually_within(Duration::from_secs(60), "a log without what was taken back", is_gone);
    assert_eq!(history(&fleet, 0, "")["alerts"][0]["id"], json!(before));
    assert_eq!(retract(&fleet, 0, &admin, &before), 204);
    let incident = send(&fleet, 1, Request::get("/incidents/ops/disk")).json();
    assert!(incident["message"].is_null() && incident["alert"].is_null() && incident["state"] == "open", "{incident}");
}

#[test]
fn nodes_that_take_back_alerts_at_once_tell_every_stream_each_of_them_once_and_in_order() {
    let redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration(""));
    let mut streams: Vec<_> = (0..3).map(|node| fleet.stream(node, "&since=none")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let first = fleet.publish(0, "first");
    retract_once_ready(&fleet, 0, &first);
    let (_, key) = fleet.endpoint(0);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (fleet, key) = (&fleet, &key);
            scope.spawn(move || {
                for number in 0..50 {
                    let id = &*fleet.publish(writer + number, "x");
                    let taken = std::thread::scope(|scope| {
                        let nodes = [writer, number].map(|node| scope.spawn(move || retract(fleet, node, key, id)));
                        nodes.map(|node| node.join().unwrap())
                    });
                    assert_eq!(taken, [204, 204]);
                }
            });
        }
    });
    let events: Vec<Vec<_>> = streams
        .iter_mut()
        .map(|stream| (0..151).map(|_| told(stream, 0)["alert"].as_str().unwrap().to_owned()).collect())
        .collect();
    assert!(events.iter().all(|order| *order == events[0]));
    let mut alerts = events[0].clone();
    alerts.sort();
    alerts.dedup();
    assert_eq!(alerts.len(), 151);
    for node in 0..3 {
        assert_eq!(history(&fleet, node, "")["alerts"], json!([]));
    }
}

#[test]
fn what_was_taken_back_stays_so_when_a_replica_is_promoted() {
    let servers = Servers::start(Topology::Sentinel(1));
    let fleet = Fleet::of(2, &servers.configuration("replicas:1"));
    let secret = eventually("a stored alert", || {
        let body = json!({"message": SECRET, "level": "error"});
        let answer = send(&fleet, 0, Request::post("/alerts/ops").header("Idempotency-Key", "k").json(&body));
        (answer.status == 200).then(|| answer.json()["alert"]["id"].as_str().unwrap().to_owned())
    });
    retract_once_ready(&fleet, 1, &secret);
    servers.fail_over();
    for node in 0..2 {
        let shown = eventually("a history after the failover", || {
            let path = "/alerts/ops?since=all&include=incidents";
            let page = send(&fleet, node, Request::get(path).header("Accept", "application/json"));
            (page.status == 200).then(|| page.json())
        });
        let events = shown["alerts"].as_array().unwrap();
        assert!(events.iter().all(|event| event["event"] == "retract") && !events.is_empty(), "{shown}");
        let (_, key) = fleet.endpoint(node);
        eventually("the same answer", || (retract(&fleet, node, &key, &secret) == 204).then_some(()));
    }
}
