//! What a failover by Sentinel does to a fleet.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alertd::alert::Id;
use serde_json::Value;

use super::faults::is_as_documented;
use super::load::{Load, Outcome};
use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{Redis, Request, Stream, eventually};

#[test]
fn a_failover_loses_nothing_that_a_replica_had_to_confirm() {
    let mut servers = Servers::start(Topology::Sentinel(2));
    let fleet = Fleet::of(3, &servers.configuration("replicas:1"));
    is_as_documented("Sentinel fails over, `replicas:1`", &primary_dies(&mut servers, &fleet, |_, _| {}));
}

#[test]
fn a_failover_that_loses_a_tail_is_told() {
    let mut servers = Servers::start(Topology::Sentinel(2));
    let fleet = Fleet::of(3, &servers.configuration("primary"));
    let outcome = primary_dies(&mut servers, &fleet, |primary, load| {
        // From here on no replica gets anything: they are sent away and cannot come back.
        let password = "the replicas do not know it";
        primary.ask(&["CONFIG", "SET", "requirepass", password]);
        primary.ask(&["-a", password, "CLIENT", "KILL", "TYPE", "replica"]);
        load.flows();
    });
    assert!(outcome.told > 0, "{outcome:?}");
    is_as_documented("Sentinel fails over, `primary`", &outcome);
}

#[test]
fn nodes_leave_a_primary_that_was_replaced_although_it_still_answers() {
    let servers = Servers::start(Topology::Sentinel(2));
    let fleet = Fleet::of(3, &servers.configuration("primary"));
    let outcome = Load::during(&fleet, |load| {
        assert!(servers.sentinels[0].ask(&["SENTINEL", "FAILOVER", "fleet"]).contains("OK"));
        let old = servers.redis[0].port.to_string();
        eventually("a majority that names another primary", || {
            let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet"];
            let others = servers.sentinels.iter().filter(|sentinel| !sentinel.ask(&asked).contains(&old));
            (others.count() >= 2).then_some(())
        });
        // So long it may take, by the document.
        std::thread::park_timeout(Duration::from_secs(1));
        let stored = || servers.redis[0].ask(&["HGET", "{alertd}:state", "head"]);
        let before = stored();
        load.flows();
        let after = stored();
        if servers.redis[0].ask(&["ROLE"]).starts_with("master") {
            assert_eq!(before, after, "a node still stores on the old primary");
        }
    });
    is_as_documented("Sentinel fails over on request, `primary`", &outcome);
}

#[test]
fn a_reader_that_comes_from_the_new_primary_is_not_sent_back_by_a_node_that_is_still_on_the_old_one() {
    const NODES: usize = 4;
    let servers = Servers::start(Topology::Sentinel(2));
    let fleet = Fleet::of(NODES, &servers.configuration("primary"));
    // Nodes leave the old primary at different moments, so some hops lead from one that has left to one that has not.
    let hop = |turn: usize| {
        let (address, key) = fleet.endpoint(turn);
        let answer = Request::post("/alerts/ops").key(&key).body("x").try_to(address)?;
        let id = (answer.status == 200).then(|| answer.json()["alert"]["id"].as_str().unwrap().to_owned())?;
        let (address, key) = fleet.endpoint(turn + 1 + turn / NODES % (NODES - 1));
        let mut stream = Stream::open(address, &Request::get("/alerts?topic=*").key(&key).header("Last-Event-ID", &id));
        let first = std::iter::from_fn(|| stream.event()).find(|event| !event.event.is_empty());
        Some((id, first.expect("a stream that lives")))
    };
    let mut hops = Vec::new();
    for _ in 0..2 {
        let old = servers.primary().unwrap();
        assert!(servers.sentinels[0].ask(&["SENTINEL", "FAILOVER", "fleet"]).contains("OK"));
        let mut left = None;
        for turn in 0.. {
            hops.extend(hop(turn));
            if servers.primary() != Some(old) {
                // Nodes follow within a second.
                if left.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(2) {
                    break;
                }
            }
        }
        servers.is_replica(old);
        fleet.is_ready();
    }
    let (address, key) = fleet.endpoint(0);
    let request = Request::get("/alerts?topic=*&since=0-0&limit=1000").key(&key).header("Accept", "application/json");
    let log = request.to(address).json();
    let log: BTreeSet<_> =
        log["alerts"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap()).collect();
    let kept: Vec<_> = hops.iter().filter(|(id, _)| log.contains(id.as_str())).collect();
    // One that the server knew is told of what other nodes had stored on the old one; that is right.
    let is_below = |id: &str, gap: &Value| gap["head"].as_str().unwrap().parse::<Id>().unwrap() < id.parse().unwrap();
    let gaps = kept.iter().filter(|(_, event)| event.event == "gap");
    let sent_back = gaps.filter(|(id, gap)| is_below(id, &serde_json::from_str(&gap.data).unwrap())).count();
    println!("{} hops, {} with an alert that was kept, {sent_back} of them were sent back", hops.len(), kept.len());
    assert_eq!(sent_back, 0);
}

/// The primary dies for good, and one of the replicas takes over.
fn primary_dies(servers: &mut Servers, fleet: &Fleet, before: impl FnOnce(&Redis, &Load<'_>)) -> Outcome {
    Load::during(fleet, |load| {
        before(&servers.redis[0], load);
        servers.redis[0].kill();
        servers.has_left(0);
        fleet.is_ready();
        load.flows();
    })
}
