//! Redis that goes back, or is emptied, while no node runs: what the nodes know of it from before their stop.

use std::fs;

use serde_json::Value;

use super::nodes::knows;
use crate::harness::{Daemon, Key, Redis, Request, eventually};

/// Publishes once the node takes alerts.
fn publish(node: &Daemon, key: &Key, message: &str) -> alertd::alert::Id {
    eventually("a node that takes alerts", || {
        let answer = node.send(&Request::post("/alerts/ops").key(key).body(message));
        (answer.status == 200).then(|| answer.json()["alert"]["id"].as_str().unwrap().parse().unwrap())
    })
}

/// What a subscriber gets that resumes from this id: the gap, if there is one, and the first message.
fn resumed(node: &Daemon, key: &Key, after: alertd::alert::Id) -> (Option<Value>, String) {
    let request = Request::get("/alerts?topic=*").key(key).header("Last-Event-ID", &after.to_string());
    let mut stream = node.follow(&request);
    let mut gap = None;
    loop {
        let event = stream.event().unwrap();
        match event.event.as_str() {
            "gap" => gap = Some(serde_json::from_str(&event.data).unwrap()),
            "" if !event.data.is_empty() => {
                let alert: Value = serde_json::from_str(&event.data).unwrap();
                return (gap, alert["message"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
}

fn health(node: &Daemon, key: &Key) -> u16 {
    node.send(&Request::get("/health").key(key)).status
}

#[test]
fn what_redis_loses_while_all_nodes_are_stopped_is_told_and_no_revoked_key_comes_back() {
    let mut redis = Redis::start();
    let mut nodes = [0, 1].map(|_| Daemon::with(&redis.configuration("")));
    let key = nodes[0].key_once_ready();
    let revoked = nodes[0].key("bob");
    nodes.iter().for_each(|node| knows(node, &revoked));
    publish(&nodes[0], &key, "in the backup");
    let old = tempfile::tempdir().unwrap();
    redis.save_to(old.path());
    let lost = publish(&nodes[0], &key, "lost");
    assert!(nodes[1].ctl(&["key", "revoke", &revoked.id]).status.success());
    eventually("a node that knows of the revocation", || (health(&nodes[0], &revoked) == 401).then_some(()));
    nodes.iter_mut().for_each(|node| assert!(node.stop().success()));
    redis.restore_from(old.path());
    // The reader had not got as far as the alert that is lost.
    let before = lost.predecessor();
    let [first, second] = nodes;
    let first = first.again();
    let next = publish(&first, &key, "after the restore");
    assert!(next > lost, "{next} is not above {lost}");
    let (gap, message) = resumed(&first, &key, before);
    assert!(gap.is_some() && message == "after the restore", "{gap:?} {message}");
    assert!(first.said("lost a part of the log since this node stopped").contains("engine-gap"));
    assert_eq!(health(&first, &revoked), 401);
    let second = second.again();
    knows(&second, &key);
    assert_eq!(health(&second, &revoked), 401);
}

#[test]
fn a_node_that_was_killed_gives_an_emptied_redis_its_keys_and_its_ids_go_on() {
    let redis = Redis::start();
    let mut node = Daemon::with(&redis.configuration(""));
    let key = node.key_once_ready();
    let newest = publish(&node, &key, "lost");
    let file = node.state().join("fleet-log");
    eventually("the file", || fs::read_to_string(&file).ok()?.contains(&newest.to_string()).then_some(()));
    node.kill();
    redis.ask(&["FLUSHALL"]);
    let node = node.again();
    let next = publish(&node, &key, "after");
    assert!(next > newest, "{next} is not above {newest}");
    assert!(node.said("keys-restored").contains("was given them back"));
}

#[test]
fn a_redis_that_was_emptied_on_purpose_is_accepted_once_the_files_are_removed() {
    let redis = Redis::start();
    let mut node = Daemon::with(&redis.configuration(""));
    let key = node.key_once_ready();
    publish(&node, &key, "gone");
    assert!(node.stop().success());
    redis.ask(&["FLUSHALL"]);
    for name in ["fleet-log", "fleet-keys"] {
        fs::remove_file(node.state().join(name)).unwrap();
    }
    let node = node.again();
    let new = node.key_once_ready();
    assert_eq!((health(&node, &key), health(&node, &new)), (401, 200));
    assert!(!node.log().contains("engine-gap"), "{}", node.log());
}

#[test]
fn what_is_known_of_another_log_and_what_is_damaged_counts_for_nothing() {
    let (one, other) = (Redis::start(), Redis::start());
    let mut node = Daemon::with(&one.configuration(""));
    let key = node.key_once_ready();
    publish(&node, &key, "here");
    assert!(node.stop().success());
    node.configure(&other.configuration(""));
    let mut node = node.again();
    let there = node.key_once_ready();
    assert_eq!((health(&node, &key), health(&node, &there)), (401, 200));
    assert!(!node.log().contains("engine-gap") && !node.log().contains("keys-restored"), "{}", node.log());
    assert!(node.stop().success());
    for name in ["fleet-log", "fleet-keys"] {
        let file = node.state().join(name);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace('"', "'")).unwrap();
    }
    let node = node.again();
    for name in ["fleet-log", "fleet-keys"] {
        assert!(node.said(&format!("{name} cannot be used")).contains("it is damaged"));
    }
    knows(&node, &there);
}
