//! What a failover by Sentinel does to a fleet.

use std::time::Duration;

use super::faults::is_as_documented;
use super::load::{Load, Outcome};
use super::nodes::Fleet;
use crate::harness::{self, Redis, eventually};

#[test]
fn a_failover_loses_nothing_that_a_replica_had_to_confirm() {
    let servers = Sentinels::start();
    let fleet = Fleet::of(3, &servers.configuration("replicas:1"));
    is_as_documented("Sentinel fails over, `replicas:1`", &servers.fail_over(&fleet, |_, _| {}));
}

#[test]
fn a_failover_that_loses_a_tail_is_told() {
    let servers = Sentinels::start();
    let fleet = Fleet::of(3, &servers.configuration("primary"));
    let outcome = servers.fail_over(&fleet, |primary, load| {
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
    let servers = Sentinels::start();
    let fleet = Fleet::of(3, &servers.configuration("primary"));
    let outcome = Load::during(&fleet, |load| {
        assert!(servers.sentinels[0].ask(&["SENTINEL", "FAILOVER", "fleet"]).contains("OK"));
        let old = servers.primary.port.to_string();
        eventually("a majority that names another primary", || {
            let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet"];
            let others = servers.sentinels.iter().filter(|sentinel| !sentinel.ask(&asked).contains(&old));
            (others.count() >= 2).then_some(())
        });
        // So long it may take, by the document.
        std::thread::park_timeout(Duration::from_secs(1));
        let stored = || servers.primary.ask(&["HGET", "{alertd}:state", "head"]);
        let before = stored();
        load.flows();
        let after = stored();
        if servers.primary.ask(&["ROLE"]).starts_with("master") {
            assert_eq!(before, after, "a node still stores on the old primary");
        }
    });
    is_as_documented("Sentinel fails over on request, `primary`", &outcome);
}

/// A primary with two replicas, and three Sentinels that have found all of them.
struct Sentinels {
    primary: Redis,
    _replicas: [Redis; 2],
    sentinels: Vec<Redis>,
}

impl Sentinels {
    fn start() -> Self {
        let primary = Redis::start();
        let replicas = [replica(&primary), replica(&primary)];
        let sentinels: Vec<_> = (0..3).map(|_| Redis::sentinel(&primary, 2)).collect();
        eventually("Sentinels that know each other and the replicas", || {
            let knows = |sentinel: &Redis| {
                let known = sentinel.ask(&["SENTINEL", "MASTER", "fleet"]);
                let has_two = |name: &str| known.lines().skip_while(|line| *line != name).nth(1) == Some("2");
                has_two("num-slaves") && has_two("num-other-sentinels")
            };
            sentinels.iter().all(knows).then_some(())
        });
        Self { primary, _replicas: replicas, sentinels }
    }

    fn configuration(&self, durability: &str) -> String {
        let list: Vec<_> = self.sentinels.iter().map(|sentinel| format!("\"127.0.0.1:{}\"", sentinel.port)).collect();
        let redis = format!("sentinels = [{}]\nsentinel_service = \"fleet\"\n", list.join(", "));
        format!("engine.durability = \"{durability}\"\n{}", harness::redis::configuration(&redis))
    }

    /// The primary dies for good, and one of the replicas takes over.
    fn fail_over(mut self, fleet: &Fleet, before: impl FnOnce(&Redis, &Load<'_>)) -> Outcome {
        Load::during(fleet, |load| {
            before(&self.primary, load);
            self.primary.kill();
            let old = self.primary.port.to_string();
            let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet"];
            eventually("a new primary", || {
                self.sentinels.iter().all(|sentinel| !sentinel.ask(&asked).contains(&old)).then_some(())
            });
            fleet.is_ready();
            load.flows();
        })
    }
}

fn replica(of: &Redis) -> Redis {
    let replica = Redis::with(&["--appendonly", "yes", "--replicaof", "127.0.0.1", &of.port.to_string()]);
    let is_in_step = || replica.ask(&["INFO", "replication"]).contains("master_link_status:up").then_some(());
    eventually("a replica in step", is_in_step);
    replica
}
