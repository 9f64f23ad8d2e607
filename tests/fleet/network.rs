//! A network that only the test has: sites in namespaces of their own, joined by a router that can lose the packets between
//! any two of them without an error.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::Place;

/// A part of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// Has the server that is the primary at first.
    Old = 1,
    /// Has the other servers.
    Rest,
    /// Has the nodes.
    Near,
    /// Has one node that is to be cut off.
    Far,
}

const SITES: [Site; 4] = [Site::Old, Site::Rest, Site::Near, Site::Far];

/// Removed when dropped.
pub(super) struct Network {
    /// Begins the names of its namespaces.
    name: String,
}

impl Network {
    /// None where this user may not make any.
    pub(super) fn make() -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let network = Self { name: format!("alertd-{}-{number}", std::process::id()) };
        let router = network.router();
        if !ip(&["netns", "add", &router]) {
            // On a build machine a skipped test would pass for a green one.
            assert!(std::env::var_os("CI").is_none(), "only root can make a network");
            println!("*** NOT TESTED: only root can make a network ***");
            return None;
        }
        let forwards = ["netns", "exec", &router, "sysctl", "-qw", "net.ipv4.ip_forward=1"];
        assert!(ip(&forwards), "no router");
        SITES.iter().for_each(|site| network.join(*site));
        Some(network)
    }

    fn join(&self, site: Site) {
        let (router, namespace, wire) = (self.router(), self.namespace(site), format!("site{}", site as u8));
        let gateway = format!("10.77.{}.1", site as u8);
        let made = ip(&["netns", "add", &namespace])
            && ip(&[
                "link", "add", &wire, "netns", &router, "type", "veth", "peer", "name", "wire", "netns", &namespace,
            ])
            && ip(&["-n", &router, "address", "add", &format!("{gateway}/24"), "dev", &wire])
            && ip(&["-n", &namespace, "address", "add", &format!("{}/24", self.place(site).host), "dev", "wire"])
            && ip(&["-n", &router, "link", "set", &wire, "up"])
            && ip(&["-n", &namespace, "link", "set", "lo", "up"])
            && ip(&["-n", &namespace, "link", "set", "wire", "up"])
            && ip(&["-n", &namespace, "route", "add", "default", "via", &gateway]);
        assert!(made, "no network");
    }

    fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    pub(super) fn namespace(&self, site: Site) -> String {
        format!("{}-{}", self.name, site as u8)
    }

    pub(super) fn place(&self, site: Site) -> Place {
        Place::inside(&self.namespace(site), &format!("10.77.{}.2", site as u8))
    }

    /// From now on no packet passes between the two.
    pub(super) fn cut(&self, one: Site, other: Site) {
        self.rules("add", one, other);
    }

    pub(super) fn mend(&self, one: Site, other: Site) {
        self.rules("delete", one, other);
    }

    fn rules(&self, word: &str, one: Site, other: Site) {
        for (from, to) in [(one, other), (other, one)] {
            let (from, to) = (self.place(from).host, self.place(to).host);
            assert!(ip(&["-n", &self.router(), "rule", word, "from", &from, "to", &to, "blackhole"]));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for site in SITES {
            ip(&["netns", "delete", &self.namespace(site)]);
        }
        ip(&["netns", "delete", &self.router()]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
