//! What a failover by Sentinel does to a fleet.

use std::time::Duration;

use super::faults::is_as_documented;
use super::load::{Load, Outcome};
use super::nodes::Fleet;
use super::servers::{Servers, Topology};
use crate::harness::{Redis, eventually};

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
