//! A node whose network to Redis is cut: packets are lost without an error.

use std::process::Command;
use std::time::Duration;

use super::faults::is_as_documented;
use super::load::Load;
use super::nodes::Fleet;
use crate::harness::{self, Daemon, Redis};

#[test]
fn nothing_is_lost_when_a_node_is_cut_off_from_redis() {
    let Some(network) = Network::make() else { return };
    let redis = Redis::inside(&network.there, &["--appendonly", "yes", "--protected-mode", "no"]);
    let configuration = harness::redis::configuration(&format!("host = \"{ADDRESS}\"\nport = {}\n", redis.port));
    let nodes =
        [&network.here, &network.there, &network.there].map(|namespace| Daemon::inside(namespace, &configuration));
    let fleet = Fleet::new(nodes.into());
    let outcome = Load::during(&fleet, |load| {
        network.link("down");
        fleet.node(0, |node| drop(node.said("engine-away")));
        load.flows();
        std::thread::park_timeout(Duration::from_secs(10));
        network.link("up");
        fleet.is_ready();
    });
    is_as_documented("a node is cut off from Redis", &outcome);
}

/// Where Redis is, in a network that only the test has.
const ADDRESS: &str = "10.77.0.1";

/// Two namespaces with a wire between them.
struct Network {
    here: String,
    there: String,
}

impl Network {
    /// None where this user may not make any.
    fn make() -> Option<Self> {
        let name = |end: &str| format!("alertd-{}-{end}", std::process::id());
        let network = Self { here: name("here"), there: name("there") };
        if !ip(&["netns", "add", &network.here]) {
            // On a build machine a skipped test would pass for a green one.
            assert!(std::env::var_os("CI").is_none(), "only root can make a network");
            println!("*** NOT TESTED: only root can make a network ***");
            return None;
        }
        let Self { here, there } = &network;
        let made = ip(&["netns", "add", there])
            && ip(&["link", "add", "wire", "netns", here, "type", "veth", "peer", "name", "wire", "netns", there])
            && ip(&["-n", here, "address", "add", "10.77.0.2/30", "dev", "wire"])
            && ip(&["-n", there, "address", "add", &format!("{ADDRESS}/30"), "dev", "wire"]);
        let up = [here, there]
            .iter()
            .all(|namespace| ["lo", "wire"].iter().all(|device| ip(&["-n", namespace, "link", "set", device, "up"])));
        assert!(made && up, "no network");
        Some(network)
    }

    fn link(&self, state: &str) {
        assert!(ip(&["-n", &self.here, "link", "set", "wire", state]));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.here]);
        ip(&["netns", "delete", &self.there]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
