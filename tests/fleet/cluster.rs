//! What a Cluster does to a fleet: its log lies in one slot, which may get another owner.

use std::fs;
use std::process::Command;

use super::faults::is_as_documented;
use super::load::Load;
use super::nodes::Fleet;
use crate::harness::{self, Redis, eventually};

#[test]
fn nothing_is_lost_when_the_owner_of_the_slot_fails() {
    let mut cluster = Cluster::start();
    let fleet = Fleet::of(3, &cluster.configuration());
    let outcome = Load::during(&fleet, |load| {
        let owner = cluster.owner();
        cluster.nodes[owner].kill();
        eventually("another owner", || (cluster.owner_seen_by((owner + 1) % 6)? != owner).then_some(()));
        // It comes back as the replica that the new owner needs.
        cluster.nodes[owner].again();
        fleet.is_ready();
        load.flows();
    });
    is_as_documented("the Cluster fails over, `replicas:1`", &outcome);
}

#[test]
fn nothing_is_lost_when_the_slot_moves() {
    let cluster = Cluster::start();
    let fleet = Fleet::of(3, &cluster.configuration());
    let outcome = Load::during(&fleet, |load| {
        cluster.move_slot();
        fleet.is_ready();
        load.flows();
    });
    is_as_documented("the slot moves in the Cluster", &outcome);
}

#[test]
fn a_node_that_is_cut_off_from_its_cluster_is_not_believed() {
    let mut cluster = Cluster::start();
    let owner = cluster.owner();
    // What the owner of the slot knew, in a process that cannot reach the others and that they do not know.
    let known = fs::read_to_string(cluster.nodes[owner].directory().join("nodes.conf")).unwrap();
    let cut_off: String = known
        .lines()
        .map(|line| match line.split_once('@') {
            Some((address, rest)) => format!("{address}@1{}\n", &rest[rest.find([',', ' ']).unwrap()..]),
            None => format!("{line}\n"),
        })
        .collect();
    cluster.nodes[owner].kill();
    eventually("another owner", || (cluster.owner_seen_by((owner + 1) % 6)? != owner).then_some(()));
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
    let others = (0..6).filter(|node| *node != owner).map(|node| &cluster.nodes[node]);
    for list in
        [vec![&isolated].into_iter().chain(others.clone()).collect::<Vec<_>>(), { others.chain([&isolated]).collect() }]
    {
        let list: Vec<_> = list.into_iter().map(|node| format!("\"{}\"", address(node))).collect();
        let fleet = Fleet::of(1, &harness::redis::configuration(&format!("cluster = [{}]\n", list.join(", "))));
        fleet.publish(0, "on the majority's side");
    }
}

/// Three primaries with a replica each.
struct Cluster {
    nodes: Vec<Redis>,
    slot: String,
}

impl Cluster {
    fn start() -> Self {
        let nodes: Vec<_> = (0..6)
            .map(|_| {
                let bus = harness::fixed_port();
                let bus = bus.rsplit(':').next().unwrap();
                Redis::with(&[
                    "--appendonly",
                    "yes",
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    bus,
                    "--cluster-node-timeout",
                    "1000",
                ])
            })
            .collect();
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(nodes.iter().map(address))
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", harness::told(&made));
        let slot = nodes[0].ask(&["CLUSTER", "KEYSLOT", "{alertd}"]).trim().to_owned();
        let cluster = Self { nodes, slot };
        eventually("a Cluster whose replicas are in step", || {
            let is_in_step = |node: &Redis| {
                let role = node.ask(&["ROLE"]);
                let serves = node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
                serves && (role.contains("connected") || role.starts_with("master") && role.contains("127.0.0.1"))
            };
            cluster.nodes.iter().all(is_in_step).then_some(())
        });
        cluster
    }

    fn configuration(&self) -> String {
        let list: Vec<_> = self.nodes.iter().map(|node| format!("\"{}\"", address(node))).collect();
        let redis = harness::redis::configuration(&format!("cluster = [{}]\n", list.join(", ")));
        format!("engine.durability = \"replicas:1\"\n{redis}")
    }

    fn owner(&self) -> usize {
        eventually("an owner of the slot", || self.owner_seen_by(0))
    }

    /// The number of the node that has the slot, as another one sees it.
    fn owner_seen_by(&self, node: usize) -> Option<usize> {
        let slot: u16 = self.slot.parse().ok()?;
        let nodes = self.nodes[node].ask(&["CLUSTER", "NODES"]);
        let port = nodes.lines().find_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let has_slot = fields.iter().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                first.parse().is_ok_and(|first: u16| first <= slot) && last.parse().is_ok_and(|last: u16| slot <= last)
            });
            let port = fields.get(1)?.split(['@', ':']).nth(1)?;
            let owns = has_slot && fields[2].contains("master") && !fields[2].contains("fail");
            port.parse::<u16>().ok().filter(|_| owns)
        })?;
        self.nodes.iter().position(|node| node.port == port)
    }

    /// Moves the slot with its keys to another primary, as an administrator's tool does.
    fn move_slot(&self) {
        let owner = self.owner();
        let target =
            (0..6).find(|node| *node != owner && self.nodes[*node].ask(&["ROLE"]).starts_with("master")).unwrap();
        let id = |node: usize| self.nodes[node].ask(&["CLUSTER", "MYID"]).trim().to_owned();
        let (from, to) = (id(owner), id(target));
        let (owner, target) = (&self.nodes[owner], &self.nodes[target]);
        assert!(target.ask(&["CLUSTER", "SETSLOT", &self.slot, "IMPORTING", &from]).contains("OK"));
        assert!(owner.ask(&["CLUSTER", "SETSLOT", &self.slot, "MIGRATING", &to]).contains("OK"));
        loop {
            let keys = owner.ask(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "2"]);
            let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let port = target.port.to_string();
            let moved =
                owner.ask(&[&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], keys.as_slice()].concat());
            assert!(moved.contains("OK"), "{moved}");
        }
        for node in [target, owner].into_iter().chain(&self.nodes) {
            // Replicas learn it from their primaries.
            node.ask(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &to]);
        }
    }
}

fn address(node: &Redis) -> String {
    format!("127.0.0.1:{}", node.port)
}
