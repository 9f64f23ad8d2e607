//! A partition in which the primary and one Sentinel are cut off from the others, while the nodes reach both sides.

use super::history::Traffic;
use super::network::{Network, Site};
use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{Daemon, eventually};

#[test]
fn publishing_goes_on_at_the_majoritys_side_of_a_partition_and_loses_nothing_that_a_replica_confirmed() {
    let Some(network) = Network::make() else { return };
    let servers = Servers::between(Topology::Sentinel(2), &network);
    let configuration = servers.configuration("replicas:1");
    let node = |_| Daemon::inside(&network.namespace(Site::Near), &configuration);
    let fleet = Fleet::new((0..2).map(node).collect());
    let history = Traffic::during(&fleet, 1, |traffic| {
        traffic.fault(|| {
            network.cut(Site::Old, Site::Rest);
            servers.has_left(0);
            // The other replica confirms; the old primary has none and stays the primary of its side.
            (0..2).for_each(|_| traffic.flows());
            assert!(servers.redis[0].ask(&["ROLE"]).starts_with("master"));
            network.mend(Site::Old, Site::Rest);
            servers.is_replica(0);
            fleet.is_ready();
        });
    });
    let report = history.check();
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert_eq!((report.lost, report.told, report.repeated), (0, 0, 0), "{report:?}");
}

#[test]
fn a_node_warns_that_a_failover_may_lose_what_only_some_replicas_confirmed() {
    let servers = Servers::start(Topology::Sentinel(2));
    let words = "2 replicas, and engine.durability waits for 1";
    let fleet = Fleet::of(1, &servers.configuration("replicas:1"));
    fleet.node(0, |node| {
        assert!(node.said("engine-unsafe").contains(words), "{}", node.log());
        eventually("a warning in the status", || warnings(node).contains(words).then_some(()));
    });
    // All of them: nothing to warn of.
    let fleet = Fleet::of(1, &servers.configuration("replicas:2"));
    fleet.publish(0, "confirmed by both");
    fleet.node(0, |node| assert_eq!(warnings(node), "null"));
}

fn warnings(node: &Daemon) -> String {
    node.status()["engine"]["server_warnings"].to_string()
}
