//! The servers that a fleet can use: one alone, a primary with replicas and Sentinels, a Cluster.

use std::fmt;
use std::time::Duration;

use super::network::{Network, Site};
use crate::harness::{self, Place, Redis, eventually, eventually_within};

/// A failover, and the return of the old primary as a replica.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    Alone,
    /// With this number of replicas.
    Sentinel(usize),
    Cluster,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => write!(f, "one"),
            Self::Sentinel(1) => write!(f, "Sentinel, 1 replica"),
            Self::Sentinel(replicas) => write!(f, "Sentinel, {replicas} replicas"),
            Self::Cluster => write!(f, "Cluster"),
        }
    }
}

pub(super) struct Servers {
    topology: Topology,
    /// The first one is the primary at first.
    pub(super) redis: Vec<Redis>,
    /// Three, or none.
    pub(super) sentinels: Vec<Redis>,
}

impl Servers {
    pub(super) fn start(topology: Topology) -> Self {
        Self::of(topology, &Place::here(), &Place::here())
    }

    /// The primary, with a Sentinel, at another site than all others.
    pub(super) fn between(topology: Topology, network: &Network) -> Self {
        Self::of(topology, &network.place(Site::Old), &network.place(Site::Rest))
    }

    fn of(topology: Topology, old: &Place, rest: &Place) -> Self {
        match topology {
            Topology::Alone => Self { topology, redis: vec![server(old, &[])], sentinels: Vec::new() },
            Topology::Sentinel(replicas) => Self::with_sentinels(replicas, old, rest),
            Topology::Cluster => Self::cluster(old, rest),
        }
    }

    fn with_sentinels(replicas: usize, old: &Place, rest: &Place) -> Self {
        let mut redis = vec![server(old, &[])];
        for _ in 0..replicas {
            let replica = server(rest, &["--replicaof", &old.host, &redis[0].port.to_string()]);
            let is_in_step = || replica.ask(&["INFO", "replication"]).contains("master_link_status:up").then_some(());
            eventually("a replica in step", is_in_step);
            redis.push(replica);
        }
        let sentinels: Vec<_> = [old, rest, rest].map(|place| Redis::sentinel_at(place, &redis[0], 2)).into();
        eventually("Sentinels that know each other and the replicas", || {
            let knows = |sentinel: &Redis| {
                let known = sentinel.ask(&["SENTINEL", "MASTER", "fleet"]);
                let has = |name: &str, number: usize| {
                    known.lines().skip_while(|line| *line != name).nth(1) == Some(&number.to_string())
                };
                has("num-slaves", replicas) && has("num-other-sentinels", 2)
            };
            sentinels.iter().all(knows).then_some(())
        });
        Self { topology: Topology::Sentinel(replicas), redis, sentinels }
    }

    /// Three primaries with a replica each; the first one has the slot of the fleet.
    fn cluster(old: &Place, rest: &Place) -> Self {
        let ports: Vec<_> = (0..6).map(|_| harness::fixed_port().rsplit(':').next().unwrap().to_owned()).collect();
        let start = |(number, bus): (usize, &String)| {
            let place = if number == 0 { old } else { rest };
            let own = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000"];
            server(place, &own)
        };
        let redis: Vec<_> = ports.iter().enumerate().map(start).collect();
        let thirds = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let has_slot = slot_of_the_fleet(&redis[0]) / 5461;
        for (number, node) in redis.iter().enumerate().take(3) {
            let (first, last) = thirds[(number + has_slot) % 3];
            assert!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", first, last]).contains("OK"));
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        for (node, bus) in redis.iter().zip(&ports).skip(1) {
            let met = redis[0].ask(&["CLUSTER", "MEET", &node.place.host, &node.port.to_string(), bus]);
            assert!(met.contains("OK"), "{met}");
        }
        for (number, node) in redis.iter().enumerate().skip(3) {
            let of = redis[number - 3].ask(&["CLUSTER", "MYID"]);
            let replicates = || node.ask(&["CLUSTER", "REPLICATE", of.trim()]).contains("OK").then_some(());
            eventually("a node that knows its primary", replicates);
        }
        eventually("a Cluster whose replicas are in step", || {
            let is_in_step = |node: &Redis| {
                let (role, info) = (node.ask(&["ROLE"]), node.ask(&["CLUSTER", "INFO"]));
                let serves = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:6");
                let knows_all = node.ask(&["CLUSTER", "NODES"]).matches("slave").count() == 3;
                let is_connected =
                    role.contains("connected") || role.starts_with("master") && role.contains(&rest.host);
                serves && knows_all && is_connected
            };
            redis.iter().all(is_in_step).then_some(())
        });
        Self { topology: Topology::Cluster, redis, sentinels: Vec::new() }
    }

    pub(super) fn topology(&self) -> Topology {
        self.topology
    }

    pub(super) fn configuration(&self, durability: &str) -> String {
        let list = |servers: &[Redis]| {
            servers.iter().map(|server| format!("\"{}\"", server.address())).collect::<Vec<_>>().join(", ")
        };
        let redis = match self.topology {
            Topology::Alone => self.redis[0].configuration(""),
            Topology::Sentinel(_) => harness::redis::configuration(&format!(
                "sentinels = [{}]\nsentinel_service = \"fleet\"\n",
                list(&self.sentinels)
            )),
            Topology::Cluster => harness::redis::configuration(&format!("cluster = [{}]\n", list(&self.redis))),
        };
        format!("engine.durability = \"{durability}\"\n{redis}")
    }

    /// The number of the primary, as the last Sentinel or another node of the Cluster sees it.
    pub(super) fn primary(&self) -> Option<usize> {
        let port = match self.topology {
            Topology::Alone => return Some(0),
            Topology::Sentinel(_) => {
                let named = self.sentinels[2].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet"]);
                named.lines().nth(1)?.parse().ok()?
            }
            Topology::Cluster => {
                let slot = slot_of_the_fleet(&self.redis[5]);
                self.redis[1..].iter().find_map(|node| owner(&node.ask(&["CLUSTER", "NODES"]), slot))?
            }
        };
        self.redis.iter().position(|node| node.port == port)
    }

    /// Orders a failover while all servers are well, and waits until it is done.
    pub(super) fn fail_over(&self) {
        let old = self.primary().unwrap();
        match self.topology {
            Topology::Alone => panic!("nothing to fail over to"),
            Topology::Sentinel(_) => eventually("a Sentinel that takes the order", || {
                self.sentinels[0].ask(&["SENTINEL", "FAILOVER", "fleet"]).contains("OK").then_some(())
            }),
            Topology::Cluster => {
                let port = self.redis[old].port.to_string();
                let replicates = |node: &&Redis| {
                    let role = node.ask(&["ROLE"]);
                    role.starts_with("slave") && role.contains(&port)
                };
                let replica = self.redis.iter().find(replicates).expect("a replica");
                assert!(replica.ask(&["CLUSTER", "FAILOVER"]).contains("OK"));
            }
        }
        self.has_left(old);
    }

    /// Waits until another one is the primary.
    pub(super) fn has_left(&self, old: usize) {
        eventually_within(FAILOVER_TIMEOUT, "another primary", || {
            self.primary().is_some_and(|primary| primary != old).then_some(())
        });
    }

    /// Waits until this one replicates another one.
    pub(super) fn is_replica(&self, number: usize) {
        eventually_within(FAILOVER_TIMEOUT, "an old primary that is a replica", || {
            let role = self.redis[number].ask(&["ROLE"]);
            (role.starts_with("slave") && role.contains("connected")).then_some(())
        });
    }
}

fn server(place: &Place, arguments: &[&str]) -> Redis {
    Redis::at(place, &[&["--appendonly", "yes", "--protected-mode", "no"], arguments].concat())
}

fn slot_of_the_fleet(node: &Redis) -> usize {
    node.ask(&["CLUSTER", "KEYSLOT", "{alertd}"]).trim().parse().unwrap()
}

/// The port of the node that owns this slot, out of `CLUSTER NODES`.
fn owner(nodes: &str, slot: usize) -> Option<u16> {
    nodes.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let has_slot = fields.iter().skip(8).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().is_ok_and(|first: usize| first <= slot) && last.parse().is_ok_and(|last: usize| slot <= last)
        });
        let port = fields.get(1)?.split('@').next()?.rsplit(':').next()?;
        let owns = has_slot && fields[2].contains("master") && !fields[2].contains("fail");
        port.parse().ok().filter(|_| owns)
    })
}
