//! Produces each row of the table of faults in `packaging/doc/fleet.md`.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::load::{Load, Outcome};
use super::nodes::Fleet;
use crate::harness::{Daemon, Redis, Request, eventually};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/doc/fleet.md");

/// Compares the result of a fault with its row: lost, repeated, gap. The pause depends on the machine.
pub(super) fn is_as_documented(fault: &str, outcome: &Outcome) {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let row = text.lines().find(|line| line.starts_with(&format!("| {fault} |")));
    let row: Vec<_> = row.unwrap_or_else(|| panic!("no row for {fault}")).split('|').map(str::trim).collect();
    let [_, _, lost, repeated, gap, ..] = row.as_slice() else { panic!("{row:?}") };
    let measured = format!(
        "answered {}, delivered {}, lost {}, repeated {}, surfaced {}, told of a gap {}, longest pause {:.1} s",
        outcome.answered,
        outcome.delivered,
        outcome.lost,
        outcome.repeated,
        outcome.surfaced.len(),
        outcome.told,
        outcome.pause.as_secs_f64()
    );
    println!("{fault}: {measured}");
    if *repeated == "0" {
        assert_eq!(outcome.repeated, 0, "{fault}: {measured}");
    }
    assert_eq!(outcome.untold, 0, "{fault}: {measured}");
    if *lost == "0" {
        assert_eq!(outcome.lost, 0, "{fault}: {measured}");
    }
    if *gap == "none" {
        assert_eq!(outcome.told, 0, "{fault}: {measured}");
    }
}

fn three_nodes(redis: &Redis) -> Fleet {
    Fleet::of(3, &redis.configuration(""))
}

#[test]
fn nothing_is_lost_when_redis_is_killed_and_starts_again() {
    // With `everysec`, Redis holds back writes while the disk is busy, and a kill loses them.
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |load| {
        for _ in 0..3 {
            redis.again();
            fleet.is_ready();
            load.flows();
        }
    });
    is_as_documented("Redis is killed and started again", &outcome);
}

#[test]
fn nothing_is_lost_and_nothing_surfaces_when_redis_hangs() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let mut continued = 0;
    let outcome = Load::during(&fleet, |_| {
        redis.signal("STOP");
        std::thread::park_timeout(Duration::from_secs(30));
        for node in 0..3 {
            // A restart would not help, so nothing asks for one.
            assert_eq!(Request::get("/livez").to(fleet.endpoint(node).0).status, 200);
            assert_eq!(Request::get("/readyz").to(fleet.endpoint(node).0).status, 503);
        }
        continued = UNIX_EPOCH.elapsed().unwrap().as_millis();
        redis.signal("CONT");
        fleet.is_ready();
    });
    // Redis may stop between storing an alert and answering. What was refused must not be stored after that.
    assert!(outcome.surfaced.iter().all(|id| u128::from(id.ms) < continued), "{continued}: {outcome:?}");
    is_as_documented("Redis hangs for 30 s", &outcome);
}

#[test]
fn nothing_is_lost_when_subscriptions_are_killed() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |load| {
        for _ in 0..5 {
            redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            load.flows();
        }
    });
    assert!(outcome.surfaced.is_empty(), "{outcome:?}");
    is_as_documented("the connections of subscriptions are killed", &outcome);
}

#[test]
fn nothing_is_lost_when_nodes_are_killed() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |load| {
        for node in 0..3 {
            fleet.kill(node);
            load.flows();
            fleet.again(node);
        }
    });
    is_as_documented("a node is killed", &outcome);
}

#[test]
fn nothing_is_lost_when_all_nodes_start_again() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |_| {
        (0..3).for_each(|node| fleet.kill(node));
        (0..3).for_each(|node| fleet.again(node));
    });
    is_as_documented("all nodes are killed and started again", &outcome);
}

#[test]
fn a_client_that_hops_between_nodes_misses_nothing_and_sees_nothing_twice() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |load| (0..10).for_each(|_| load.flows()));
    assert_eq!((outcome.lost, outcome.repeated, outcome.told), (0, 0, 0), "{outcome:?}");
    assert!(outcome.surfaced.is_empty(), "{outcome:?}");
}

#[test]
fn subscribers_are_told_when_redis_is_restored_from_an_older_state() {
    let mut redis = Redis::start();
    let fleet = three_nodes(&redis);
    let old = tempfile::tempdir().unwrap();
    let outcome = Load::during(&fleet, |load| {
        redis.save_to(old.path());
        load.flows();
        redis.restore_from(old.path());
        fleet.is_ready();
        load.flows();
    });
    assert!(outcome.told > 0, "{outcome:?}");
    is_as_documented("Redis is restored from an older state", &outcome);
}

#[test]
fn subscribers_are_told_when_redis_is_restored_while_no_node_runs() {
    let mut redis = Redis::start();
    let fleet = three_nodes(&redis);
    let old = tempfile::tempdir().unwrap();
    let outcome = Load::during(&fleet, |load| {
        redis.save_to(old.path());
        let newer = fleet.publish(0, "newer than the backup");
        let has_kept = |node: &Daemon| {
            let file = std::fs::read_to_string(node.state().join("fleet-log")).ok()?;
            let kept: Value = serde_json::from_str(file.lines().nth(1)?).ok()?;
            let id = |text: &str| text.parse::<alertd::alert::Id>().unwrap();
            (id(kept["newest"].as_str()?) >= id(&newer)).then_some(())
        };
        (0..3).for_each(|node| fleet.node(node, |node| eventually("a node that has kept it", || has_kept(node))));
        (0..3).for_each(|node| fleet.kill(node));
        redis.restore_from(old.path());
        (0..3).for_each(|node| fleet.again(node));
        load.flows();
    });
    assert!(outcome.told > 0, "{outcome:?}");
    is_as_documented("Redis is restored while no node runs", &outcome);
}

#[test]
fn subscribers_are_told_when_redis_is_emptied() {
    let redis = Redis::start();
    let fleet = three_nodes(&redis);
    let outcome = Load::during(&fleet, |load| {
        let before = fleet.publish(0, "before");
        redis.ask(&["FLUSHALL"]);
        load.flows();
        let after = fleet.publish(1, "after");
        let number = |id: &str| id.parse::<alertd::alert::Id>().unwrap();
        assert!(number(&after) > number(&before), "{after} is not above {before}");
    });
    assert!(outcome.told > 0, "{outcome:?}");
    is_as_documented("Redis is emptied", &outcome);
}
