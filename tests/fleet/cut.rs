//! A node whose network to Redis is cut: packets are lost without an error.

use std::time::Duration;

use super::faults::is_as_documented;
use super::load::Load;
use super::network::{Network, Site};
use super::nodes::Fleet;
use crate::harness::{Daemon, Redis};

#[test]
fn nothing_is_lost_when_a_node_is_cut_off_from_redis() {
    let Some(network) = Network::make() else { return };
    let redis = Redis::at(&network.place(Site::Old), &["--appendonly", "yes", "--protected-mode", "no"]);
    let nodes = [Site::Far, Site::Near, Site::Near]
        .map(|site| Daemon::inside(&network.namespace(site), &redis.configuration("")));
    let fleet = Fleet::new(nodes.into());
    let outcome = Load::during(&fleet, |load| {
        network.cut(Site::Far, Site::Old);
        fleet.node(0, |node| drop(node.said("engine-away")));
        load.flows();
        std::thread::park_timeout(Duration::from_secs(10));
        network.mend(Site::Far, Site::Old);
        fleet.is_ready();
    });
    is_as_documented("a node is cut off from Redis", &outcome);
}
