//! What a Cluster does to a fleet: its log lies in one slot, which may get another owner.

use std::fs;

use super::faults::is_as_documented;
use super::load::Load;
use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{self, Redis};

#[test]
fn nothing_is_lost_when_the_owner_of_the_slot_fails() {
    let mut cluster = Servers::start(Topology::Cluster);
    let fleet = Fleet::of(3, &cluster.configuration("replicas:1"));
    let outcome = Load::during(&fleet, |load| {
        let owner = cluster.primary().unwrap();
        cluster.redis[owner].kill();
        cluster.has_left(owner);
        // It comes back as the replica that the new owner needs.
        cluster.redis[owner].again();
        fleet.is_ready();
        load.flows();
    });
    is_as_documented("the Cluster fails over, `replicas:1`", &outcome);
}

#[test]
fn nothing_is_lost_when_the_slot_moves() {
    let cluster = Servers::start(Topology::Cluster);
    let fleet = Fleet::of(3, &cluster.configuration("replicas:1"));
    let outcome = Load::during(&fleet, |load| {
        move_slot(&cluster);
        fleet.is_ready();
        load.flows();
    });
    is_as_documented("the slot moves in the Cluster", &outcome);
}

#[test]
fn a_node_that_is_cut_off_from_its_cluster_is_not_believed() {
    let mut cluster = Servers::start(Topology::Cluster);
    let owner = cluster.primary().unwrap();
    // What the owner of the slot knew, in a process that cannot reach the others and that they do not know.
    let known = fs::read_to_string(cluster.redis[owner].directory().join("nodes.conf")).unwrap();
    let cut_off: String = known
        .lines()
        .map(|line| match line.split_once('@') {
            Some((address, rest)) => format!("{address}@1{}\n", &rest[rest.find([',', ' ']).unwrap()..]),
            None => format!("{line}\n"),
        })
        .collect();
    cluster.redis[owner].kill();
    cluster.has_left(owner);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nodes.conf").display().to_string();
    fs::write(&file, cut_off).unwrap();
    let bus = harness::fixed_port();
    let bus = bus.rsplit(':').next().unwrap();
    let own = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000"];
    let isolated = Redis::with(&[&own[..], &["--cluster-config-file", &file]].concat());
    let slots = isolated.ask(&["CLUSTER", "NODES"]);
    assert!(slots.lines().any(|line| line.contains("myself,master") && line.ends_with(|c: char| c.is_ascii_digit())));
    assert!(isolated.ask(&["CLUSTER", "INFO"]).contains("cluster_state:fail"));
    let others = (0..6).filter(|node| *node != owner).map(|node| &cluster.redis[node]);
    for list in
        [vec![&isolated].into_iter().chain(others.clone()).collect::<Vec<_>>(), { others.chain([&isolated]).collect() }]
    {
        let list: Vec<_> = list.into_iter().map(|node| format!("\"{}\"", node.address())).collect();
        let fleet = Fleet::of(1, &harness::redis::configuration(&format!("cluster = [{}]\n", list.join(", "))));
        fleet.publish(0, "on the majority's side");
    }
}

/// Moves the slot with its keys to another primary, as an administrator's tool does.
fn move_slot(cluster: &Servers) {
    let owner = cluster.primary().unwrap();
    let slot = cluster.redis[0].ask(&["CLUSTER", "KEYSLOT", "{alertd}"]);
    let slot = slot.trim();
    let target =
        (0..6).find(|node| *node != owner && cluster.redis[*node].ask(&["ROLE"]).starts_with("master")).unwrap();
    let id = |node: usize| cluster.redis[node].ask(&["CLUSTER", "MYID"]).trim().to_owned();
    let (from, to) = (id(owner), id(target));
    let (owner, target) = (&cluster.redis[owner], &cluster.redis[target]);
    assert!(target.ask(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &from]).contains("OK"));
    assert!(owner.ask(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &to]).contains("OK"));
    loop {
        let keys = owner.ask(&["CLUSTER", "GETKEYSINSLOT", slot, "2"]);
        let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            break;
        }
        let port = target.port.to_string();
        let moved = owner.ask(&[&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], keys.as_slice()].concat());
        assert!(moved.contains("OK"), "{moved}");
    }
    for node in [target, owner].into_iter().chain(&cluster.redis) {
        // Replicas learn it from their primaries.
        node.ask(&["CLUSTER", "SETSLOT", slot, "NODE", &to]);
    }
}
