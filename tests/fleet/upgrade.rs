//! A fleet whose nodes are replaced by another build and back, one by one, under load.

use std::path::PathBuf;

use super::history::Traffic;
use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::Daemon;

const NODES: usize = 3;

/// Needs another build, which a test run does not have: `ALERTD_TEST_OTHER_BUILD` is the path of its alertd.
#[test]
#[ignore = "needs another build, ALERTD_TEST_OTHER_BUILD"]
fn every_promise_is_kept_when_a_fleet_is_upgraded_node_by_node_and_back() {
    let other = PathBuf::from(std::env::var_os("ALERTD_TEST_OTHER_BUILD").expect("ALERTD_TEST_OTHER_BUILD"));
    for topology in [Topology::Alone, Topology::Sentinel(1)] {
        let servers = Servers::start(topology);
        let configuration = servers.configuration("primary");
        let fleet = Fleet::new((0..NODES).map(|_| Daemon::of_build(&other, &configuration)).collect());
        let history = Traffic::during(&fleet, 1, |traffic| {
            traffic.fault(|| {
                for build in [None, Some(other.as_path())] {
                    for node in 0..NODES {
                        fleet.stop(node);
                        fleet.replace(node, build);
                        traffic.flows();
                    }
                }
            });
        });
        let report = history.check();
        println!("{topology}: {report:?}");
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        assert_eq!((report.lost, report.told, report.repeated), (0, 0, 0), "{report:?}");
    }
}
