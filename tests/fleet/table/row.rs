//! One fault on one topology and durability, and what the documents promise then.

use std::fmt;
use std::time::Duration;

use super::super::history::{Report, Storage, Traffic};
use super::super::network::{Network, Site};
use super::super::nodes::Fleet;
use super::super::servers::{Servers, Topology};
use crate::harness::{Daemon, Random};

const NODES: usize = 3;
/// What `alerts.retain_count` keeps where retention is to overtake a node.
const RETAINED: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NodeKilled,
    NodeHangs,
    NodeCutOff,
    PrimaryKilled,
    PlannedFailover,
    Partition,
    Restored,
    RestoredWhileStopped,
    Retention,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NodeKilled => "a node is killed",
            Self::NodeHangs => "a node hangs",
            Self::NodeCutOff => "a node is cut off",
            Self::PrimaryKilled => "the primary is killed",
            Self::PlannedFailover => "a failover is ordered",
            Self::Partition => "the primary is cut off from the other servers, not from the nodes",
            Self::Restored => "an older state is restored, nodes up",
            Self::RestoredWhileStopped => "an older state is restored, nodes stopped",
            Self::Retention => "retention overtakes a node that hangs",
        })
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) fault: Fault,
    pub(super) topology: Topology,
    pub(super) durability: &'static str,
}

impl Row {
    pub(super) const fn new(fault: Fault, topology: Topology, durability: &'static str) -> Self {
        Self { fault, topology, durability }
    }

    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        const ALONE: &[(Topology, &str)] = &[(Topology::Alone, "primary")];
        const REPLICATED: &[(Topology, &str)] = &[
            (Topology::Sentinel(1), "primary"),
            (Topology::Sentinel(1), "replicas:1"),
            (Topology::Sentinel(2), "primary"),
            (Topology::Sentinel(2), "replicas:1"),
            (Topology::Sentinel(2), "replicas:2"),
            (Topology::Cluster, "primary"),
            (Topology::Cluster, "replicas:1"),
        ];
        let on = |fault: Fault, setups: &[&[(Topology, &'static str)]]| {
            let rows = setups.concat().into_iter().map(|(topology, durability)| Self::new(fault, topology, durability));
            rows.collect::<Vec<_>>()
        };
        let both: &[&[_]] = &[ALONE, REPLICATED];
        [
            on(Fault::NodeKilled, both),
            on(Fault::NodeHangs, both),
            on(Fault::NodeCutOff, both),
            on(Fault::Retention, both),
            on(Fault::PrimaryKilled, both),
            on(Fault::PlannedFailover, &[REPLICATED]),
            on(Fault::Partition, &[REPLICATED]),
            on(Fault::Restored, &[ALONE]),
            on(Fault::RestoredWhileStopped, &[ALONE]),
        ]
        .concat()
    }

    /// Whether the documents allow alerts to get lost here, if subscribers are told.
    fn may_lose(&self) -> bool {
        match self.fault {
            Fault::Restored | Fault::RestoredWhileStopped | Fault::Retention => true,
            Fault::NodeKilled | Fault::NodeHangs | Fault::NodeCutOff => false,
            Fault::PrimaryKilled | Fault::PlannedFailover | Fault::Partition => match self.topology {
                Topology::Alone => false,
                // The replicas that have not confirmed may be promoted.
                Topology::Sentinel(replicas) => self.durability != format!("replicas:{replicas}"),
                Topology::Cluster => self.durability == "primary",
            },
        }
    }

    fn storage(&self) -> Storage {
        match self.fault {
            Fault::Retention => Storage::Trims,
            _ if self.may_lose() => Storage::MayFork,
            _ => Storage::KeepsOneLog,
        }
    }

    pub(super) fn run(&self, seed: u64) -> Option<Report> {
        let mut random = Random::new(seed, 1000);
        let network = match self.fault {
            Fault::NodeCutOff | Fault::Partition => Some(Network::make()?),
            _ => None,
        };
        let mut servers = match &network {
            Some(network) => Servers::between(self.topology, network),
            None => Servers::start(self.topology),
        };
        let retention = if self.fault == Fault::Retention { RETAINED } else { 1_000_000 };
        let configuration = format!("alerts.retain_count = {retention}\n{}", servers.configuration(self.durability));
        let fleet = match &network {
            Some(network) => {
                let sites = [Site::Far, Site::Near, Site::Near];
                let node = |site| Daemon::inside(&network.namespace(site), &configuration);
                Fleet::new(sites.map(node).into())
            }
            None => Fleet::of(NODES, &configuration),
        };
        let mut history = Traffic::during(&fleet, seed, |traffic| {
            wait(random.below(1000));
            self.happens(&mut servers, &fleet, network.as_ref(), &mut random, traffic);
        });
        history.storage = self.storage();
        let report = history.check();
        if let (Err(_), Some(directory)) = (self.judge(seed, &report), std::env::var_os("ALERTD_TEST_KEEP")) {
            let name = format!("{:?}-{:?}-{}-{seed}", self.fault, self.topology, self.durability);
            std::fs::write(std::path::Path::new(&directory).join(name), format!("{report:#?}\n{history:#?}")).unwrap();
        }
        Some(report)
    }

    fn happens(
        &self,
        servers: &mut Servers,
        fleet: &Fleet,
        network: Option<&Network>,
        random: &mut Random,
        traffic: &Traffic<'_>,
    ) {
        let node = usize::try_from(random.below(NODES as u64)).unwrap();
        let old = tempfile::tempdir().unwrap();
        if matches!(self.fault, Fault::Restored | Fault::RestoredWhileStopped) {
            servers.redis[0].save_to(old.path());
            traffic.flows();
        }
        traffic.fault(|| {
            match self.fault {
                Fault::NodeKilled => {
                    fleet.kill(node);
                    wait(random.below(1500));
                    fleet.again(node);
                }
                Fault::NodeHangs => hangs(fleet, node, 500 + random.below(5000)),
                Fault::Retention => hangs(fleet, node, 4000 + random.below(2000)),
                Fault::NodeCutOff => {
                    let network = network.expect("a network");
                    [Site::Old, Site::Rest].iter().for_each(|site| network.cut(Site::Far, *site));
                    wait(500 + random.below(5000));
                    [Site::Old, Site::Rest].iter().for_each(|site| network.mend(Site::Far, *site));
                }
                Fault::PrimaryKilled => primary_is_killed(servers),
                Fault::PlannedFailover => {
                    servers.fail_over();
                    servers.is_replica(0);
                }
                Fault::Partition => {
                    let network = network.expect("a network");
                    network.cut(Site::Old, Site::Rest);
                    servers.has_left(0);
                    wait(5000 + random.below(5000));
                    network.mend(Site::Old, Site::Rest);
                    servers.is_replica(0);
                }
                Fault::Restored => servers.redis[0].restore_from(old.path()),
                Fault::RestoredWhileStopped => {
                    (0..NODES).for_each(|node| fleet.stop(node));
                    servers.redis[0].restore_from(old.path());
                    (0..NODES).for_each(|node| fleet.again(node));
                }
            }
            fleet.is_ready();
        });
    }

    /// Proves a run; what it says begins with the row and the seed.
    pub(super) fn judge(&self, seed: u64, report: &Report) -> Result<(), String> {
        let mut wrong: Vec<_> = report.violations.iter().map(|violation| format!("{violation:?}")).collect();
        if wrong.len() > 10 {
            wrong.push(format!("… {} in total", wrong.len()));
            wrong.drain(10..wrong.len() - 1);
        }
        if !self.may_lose() && (report.lost > 0 || report.told > 0 || report.repeated > 0) {
            wrong.push(format!("lost {}, repeated {}, {} told of a gap", report.lost, report.repeated, report.told));
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{self:?}, seed {seed}:\n  {}", wrong.join("\n  "))) }
    }
}

fn primary_is_killed(servers: &mut Servers) {
    servers.redis[0].kill();
    if servers.topology() != Topology::Alone {
        servers.has_left(0);
    }
    servers.redis[0].again();
    if servers.topology() != Topology::Alone {
        servers.is_replica(0);
    }
}

fn hangs(fleet: &Fleet, node: usize, ms: u64) {
    fleet.node(node, |node| node.signal("STOP"));
    wait(ms);
    fleet.node(node, |node| node.signal("CONT"));
}

fn wait(ms: u64) {
    std::thread::park_timeout(Duration::from_millis(ms));
}
