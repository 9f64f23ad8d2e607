//! Keys that the nodes of a fleet share.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::nodes::{Fleet, knows};
use crate::harness::{Daemon, Redis, Request, Stream, eventually, told};

fn health(node: &Daemon, key: &crate::harness::Key) -> u16 {
    node.send(&Request::get("/health").key(key)).status
}

#[test]
fn a_key_that_is_revoked_on_one_node_ends_its_streams_on_all_within_a_second() {
    let redis = Redis::start();
    let nodes: Vec<_> = (0..3).map(|_| Daemon::with(&redis.configuration(""))).collect();
    nodes.iter().for_each(|node| drop(node.said("engine-back")));
    let key = nodes[0].key("alice");
    nodes.iter().for_each(|node| knows(node, &key));
    let mut streams: Vec<_> = nodes.iter().map(|node| node.stream(&key, "/alerts?since=none")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.until("cursor")));
    let revoked = Instant::now();
    assert!(nodes[1].ctl(&["key", "revoke", &key.id]).status.success());
    for stream in &mut streams {
        assert_eq!(stream.bye(), "revoked");
    }
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert!(nodes.iter().all(|node| health(node, &key) == 401));
}

#[test]
fn a_rotated_key_and_its_successor_work_on_all_nodes() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (_, old) = fleet.endpoint(0);
    let answer = fleet.node(0, |node| {
        Request::post(&format!("/keys/{}/rotate", old.id)).json(&json!({"overlap": 0})).over(&node.control())
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    let secret = answer.json()["secret"].as_str().unwrap().to_owned();
    let new = crate::harness::Key { id: answer.json()["key"]["id"].as_str().unwrap().into(), secret };
    fleet.node(1, |node| {
        knows(node, &new);
        assert_eq!(health(node, &old), 401);
    });
}

#[test]
fn a_node_that_never_reached_the_keys_refuses_to_guess() {
    let mut redis = Redis::start();
    let key = Daemon::with(&redis.configuration("")).key_once_ready();
    redis.kill();
    let node = Daemon::with(&redis.configuration(""));
    let answer = node.send(&Request::get("/health").key(&key));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some() && answer.text().contains("cannot reach the keys"), "{answer:?}");
    let added = node.ctl(&["key", "add", "bob"]);
    assert_eq!(added.status.code(), Some(69), "{}", told(&added));
    let listed = node.ctl(&["key", "list"]);
    assert!(listed.status.code() == Some(69) && told(&listed).contains("cannot be reached"), "{}", told(&listed));
    redis.again();
    knows(&node, &key);
}

#[test]
fn a_node_that_is_cut_off_verifies_nothing_new_and_vouches_for_nobody_after_a_while() {
    let redis = Redis::start();
    let node = Daemon::with(&format!("auth.stale_max = \"5s\"\n{}", redis.configuration("")));
    let key = node.key_once_ready();
    let other = node.key("bob");
    knows(&node, &key);
    let mut stream = node.stream(&key, "/alerts?since=none");
    stream.until("cursor");
    redis.signal("STOP");
    node.said("keys-away");
    assert_eq!((health(&node, &key), health(&node, &other)), (200, 503));
    assert_eq!(stream.bye(), "restart");
    assert_eq!(health(&node, &key), 503);
    redis.signal("CONT");
    knows(&node, &key);
    knows(&node, &other);
}

#[test]
fn keys_survive_a_redis_that_was_emptied_and_a_revoked_one_does_not_come_back() {
    let mut redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (_, key) = fleet.endpoint(0);
    let gone = fleet.node(0, |node| node.key("bob"));
    let old = tempfile::tempdir().unwrap();
    redis.save_to(old.path());
    fleet.node(1, |node| assert!(node.ctl(&["key", "revoke", &gone.id]).status.success()));
    redis.ask(&["FLUSHALL"]);
    eventually("keys that are back", || redis.ask(&["HLEN", "{alertd}:keys"]).starts_with('1').then_some(()));
    fleet.node(1, |node| knows(node, &key));
    // An older state of the server, in which the revoked key still works.
    redis.restore_from(old.path());
    fleet.is_ready();
    eventually("keys that are back", || redis.ask(&["HLEN", "{alertd}:keys"]).starts_with('1').then_some(()));
    for number in 0..2 {
        fleet.node(number, |node| {
            knows(node, &key);
            assert_eq!(health(node, &gone), 401);
        });
    }
}

#[test]
fn keys_that_redis_lost_alone_come_back_within_a_moment() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (_, key) = fleet.endpoint(0);
    let other = fleet.node(1, |node| node.key("bob"));
    let one = format!("HDEL {{alertd}}:keys {}", key.id);
    for loss in ["DEL {alertd}:keys", &one, "SET {alertd}:keys something"] {
        redis.ask(&loss.split(' ').collect::<Vec<_>>());
        eventually("keys that are back", || (redis.ask(&["HLEN", "{alertd}:keys"]).trim() == "2").then_some(()));
        for number in 0..2 {
            fleet.node(number, |node| assert_eq!((health(node, &key), health(node, &other)), (200, 200)));
        }
    }
}

#[test]
fn a_node_that_begins_does_not_take_what_is_left_of_the_keys_for_all_of_them() {
    let redis = Redis::start();
    let (key, other) = {
        let node = Daemon::with(&redis.configuration(""));
        (node.key_once_ready(), node.key("bob"))
    };
    redis.ask(&["HDEL", "{alertd}:keys", &other.id]);
    let node = Daemon::with(&redis.configuration(""));
    let said = node.said("keys-unread");
    assert!(said.contains("1 keys, but 2 were saved"), "{said}");
    assert_eq!((health(&node, &key), node.send(&Request::get("/readyz")).status), (503, 503));
    let added = node.ctl(&["key", "add", "carol"]);
    assert!(added.status.code() == Some(69) && told(&added).contains("redis-cli HDEL"), "{}", told(&added));
    // As the message says.
    redis.ask(&["HDEL", "{alertd}:state", "keys_count"]);
    knows(&node, &key);
    assert_eq!(health(&node, &other), 401);
}

#[test]
fn nodes_that_change_keys_at_the_same_time_do_not_refuse_each_other() {
    const EACH: usize = 40;
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    fleet.endpoint(0);
    let before: usize = redis.ask(&["HLEN", "{alertd}:keys"]).trim().parse().unwrap();
    std::thread::scope(|scope| {
        for number in 0..2 {
            let fleet = &fleet;
            scope.spawn(move || (0..EACH).for_each(|_| fleet.node(number, |node| drop(node.key("bob")))));
        }
    });
    assert_eq!(redis.ask(&["HLEN", "{alertd}:keys"]).trim(), (before + 2 * EACH).to_string());
}

#[test]
fn a_node_whose_clock_is_wrong_goes_by_that_of_redis() {
    let redis = Redis::start();
    let right = Daemon::with(&redis.configuration(""));
    right.key_once_ready();
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let ahead = [("LD_PRELOAD", library.as_str()), ("FAKETIME", "+60d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let wrong = Daemon::with_environment(&redis.configuration(""), &ahead);
    assert!(wrong.said("engine-unsafe").contains("this node's clock is 518"), "{}", wrong.log());
    let key = right.key_with(&json!({ "user": "bob", "expires_in": 1800 }));
    knows(&wrong, &key);
    let stored = right.send(&Request::post("/alerts/ops").key(&key).body("just now"));
    assert_eq!(stored.status, 200, "{stored:?}");
    let history = Request::get("/alerts/ops?since=10m").key(&key).header("accept", "application/json");
    eventually("the alert", || wrong.send(&history).text().contains("just now").then_some(()));
    // A key that it makes ends when it should, and none is taken for one that has expired long ago.
    let short = wrong.key_with(&json!({ "user": "carol", "expires_in": 1800 }));
    knows(&right, &short);
    assert_eq!((health(&right, &key), health(&wrong, &short)), (200, 200));
}

#[test]
fn nodes_that_were_quiet_take_their_next_alert_after_redis_has_closed_their_connections() {
    let mut redis = Redis::start();
    let fleet = Fleet::of(3, &redis.configuration(""));
    (0..3).for_each(|node| drop(fleet.publish(node, "before")));
    redis.again();
    fleet.is_ready();
    (0..3).for_each(|node| drop(fleet.publish(node, "after a restart")));
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    (0..3).for_each(|node| fleet.node(node, |node| drop(node.said("closed"))));
    fleet.is_ready();
    (0..3).for_each(|node| drop(fleet.publish(node, "after a kill")));
}

#[test]
fn a_redis_without_memory_keeps_its_nodes_and_gets_rid_of_what_is_too_much() {
    let redis = Redis::start();
    let fleet = Fleet::of(1, &redis.configuration("").replace("[engine", "alerts.retain_age = \"5s\"\n[engine"));
    let gone = fleet.node(0, |node| node.key("bob"));
    (0..20).for_each(|_| drop(fleet.publish(0, "one of many")));
    redis.ask(&["CONFIG", "SET", "maxmemory", "1000"]);
    let (address, key) = fleet.endpoint(0);
    let refused = Request::post("/alerts/ops").key(&key).body("one too many").to(address);
    assert!(
        refused.status == 503 && refused.text().contains("has no room now") && !refused.text().contains("Redis"),
        "{refused:?}"
    );
    let ready = Request::get("/readyz");
    eventually("a node that is not ready", || (ready.to(address).status == 503).then_some(()));
    eventually("a log without old alerts", || (redis.ask(&["XLEN", "{alertd}:log"]).trim() == "0").then_some(()));
    fleet.node(0, |node| {
        assert!(node.ctl(&["key", "revoke", &gone.id]).status.success());
        assert_eq!(health(node, &key), 200);
        assert!(node.said("engine-away").contains("raise its maxmemory"));
        assert!(!node.log().contains("streams wait"), "{}", node.log());
    });
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    fleet.is_ready();
    fleet.publish(0, "one more");
}

#[test]
fn a_ticket_opens_one_stream_on_any_node() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (address, key) = fleet.endpoint(0);
    let opens = |number: usize, ticket: &str| {
        let address = fleet.endpoint(number).0;
        Stream::open(address, &Request::get(&format!("/alerts?since=none&ticket={ticket}"))).head.status
    };
    for first in 0..2 {
        let ticket = Request::post("/tickets").key(&key).to(address).json()["ticket"].as_str().unwrap().to_owned();
        assert_eq!((opens(first, &ticket), opens(1 - first, &ticket), opens(first, &ticket)), (200, 401, 401));
    }
}

#[test]
fn guesses_of_tickets_are_looked_up_in_turn_and_hold_up_no_ticket_of_another_node() {
    let redis = Redis::start();
    let fleet = Fleet::of(2, &redis.configuration(""));
    let (address, key) = fleet.endpoint(0);
    let other = fleet.endpoint(1).0;
    let open = |ticket: &str| {
        let page = Request::get(&format!("/alerts?ticket={ticket}")).header("Accept", "application/json");
        page.to(other).status
    };
    let looked_up = || {
        let stats = redis.ask(&["INFO", "commandstats"]);
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_getdel:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    let before = looked_up();
    // More at once than there are turns.
    std::thread::scope(|scope| {
        for thread in 0..160 {
            scope.spawn(move || {
                for number in 0..5 {
                    assert_eq!(open(&format!("{thread:016}{number:016}")), 401);
                    assert_eq!(open("nonsense"), 401);
                }
            });
        }
        for _ in 0..10 {
            let given = Request::post("/tickets").key(&key).to(address).json();
            let began = Instant::now();
            assert_eq!(open(given["ticket"].as_str().unwrap()), 200);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
    });
    // What cannot be a ticket costs the fleet nothing.
    assert_eq!(looked_up() - before, 160 * 5 + 10);
}

#[test]
fn keys_move_from_a_file_to_the_fleet_with_one_command() {
    let redis = Redis::start();
    let alone = Daemon::start();
    let key = alone.key("alice");
    let node = Daemon::with(&redis.configuration(""));
    node.said("engine-back");
    let file = alone.state().join("auth.json").display().to_string();
    for imported in ["1 key", "0 keys"] {
        let moved = node.ctl(&["key", "import", &file]);
        assert!(moved.status.success(), "{}", told(&moved));
        let said = String::from_utf8_lossy(&[moved.stdout.clone(), moved.stderr.clone()].concat()).into_owned();
        assert!(said.contains(imported), "{said}");
    }
    knows(&node, &key);
}

/// A node whose user is its own, so that it alone can be cut off.
fn node_of_its_own(redis: &Redis) -> Daemon {
    assert!(redis.ask(&["ACL", "SETUSER", "own", "on", ">of its own", "~*", "&*", "+@all"]).contains("OK"));
    let file = redis.directory().join("own");
    fs::write(&file, "of its own").unwrap();
    Daemon::with(&redis.configuration(&format!("username = \"own\"\npassword_file = \"{}\"\n", file.display())))
}

#[test]
fn a_node_that_was_just_cut_off_refuses_no_key_that_it_may_not_have_heard_of() {
    let redis = Redis::start();
    let (other, node) = (Daemon::with(&redis.configuration("")), node_of_its_own(&redis));
    let known = other.key_once_ready();
    knows(&node, &known);
    redis.ask(&["ACL", "SETUSER", "own", "off"]);
    redis.ask(&["CLIENT", "KILL", "USER", "own"]);
    let new = other.key("bob");
    assert_eq!((health(&node, &new), health(&node, &known)), (503, 200));
    redis.ask(&["ACL", "SETUSER", "own", "on"]);
    knows(&node, &new);
    // While Redis answers, a key that another node has just made is never unknown.
    for _ in 0..20 {
        assert_eq!(health(&node, &other.key("carol")), 200);
    }
}

#[test]
fn a_node_that_was_suspended_lets_no_revoked_key_in() {
    let redis = Redis::start();
    let (other, node) = (Daemon::with(&redis.configuration("")), Daemon::with(&redis.configuration("")));
    let (known, gone) = (other.key_once_ready(), other.key("bob"));
    [&known, &gone].iter().for_each(|key| knows(&node, key));
    node.signal("STOP");
    assert!(other.ctl(&["key", "revoke", &gone.id]).status.success());
    // By then a node that runs has heard of it.
    std::thread::park_timeout(Duration::from_secs(4));
    node.signal("CONT");
    assert_eq!((health(&node, &gone), health(&node, &known)), (401, 200));
}
