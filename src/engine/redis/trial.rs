//! Finds out whether a publish would work now. Called by the follower whenever it compares the node with the log.
//!
//! The follower's own calls do not show it, because a server may accept them and still refuse a publish. So the
//! commands of a publish are tried on keys of their own, and the server is asked for its role and its replicas.

use std::collections::VecDeque;
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use super::{Durability, Shared, Topology, script};
use crate::engine::{Cause, Unavailable};

/// A replica counts only if it confirms what the primary has written within this time. Replicas confirm once a second.
const CONFIRMS_WITHIN: Duration = Duration::from_secs(3);
/// The shortest time between two offsets that are remembered.
const OFFSET_INTERVAL: Duration = Duration::from_millis(500);

/// Tries publishing on one connection.
#[derive(Default)]
pub(super) struct Trial {
    /// What the primary had written at earlier moments, the oldest first.
    offsets: VecDeque<(Instant, i64)>,
}

/// The result of a trial.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Why publishing would fail; reading may still work.
    pub(super) trouble: Option<Unavailable>,
    /// A warning about answered alerts that a failover may lose.
    pub(super) warning: Option<String>,
}

/// The answer of `ROLE`.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// How much it has written, and how much of it each replica has confirmed.
    Primary {
        written: i64,
        confirmed: Vec<i64>,
    },
    Other,
}

impl Role {
    fn parse(answer: &Value) -> Option<Self> {
        let Value::Array(parts) = answer else { return None };
        let text = |value: &Value| redis::from_redis_value_ref::<String>(value).ok();
        if text(parts.first()?)? != "master" {
            return Some(Self::Other);
        }
        let written = redis::from_redis_value_ref(parts.get(1)?).ok()?;
        let Value::Array(replicas) = parts.get(2)? else { return None };
        let confirmed = |replica: &Value| match replica {
            Value::Array(replica) => text(replica.get(2)?)?.parse().ok(),
            _ => None,
        };
        Some(Self::Primary { written, confirmed: replicas.iter().filter_map(confirmed).collect() })
    }
}

impl Trial {
    /// An error means that the connection is of no use.
    pub(super) async fn run(
        &mut self,
        shared: &Shared,
        data: &mut MultiplexedConnection,
    ) -> Result<Verdict, Unavailable> {
        // A user without the right to ask gets no answer.
        let role = redis::cmd("ROLE").query_async::<Value>(data).await.ok().and_then(|answer| Role::parse(&answer));
        let mut verdict = match role {
            Some(Role::Other) => {
                let detail = format!("{}: the server is not the primary any more", shared.link.topology());
                return Err(Unavailable::new(Cause::ReadOnly, detail));
            }
            Some(Role::Primary { written, confirmed }) => {
                self.judge(Instant::now(), shared.durability, shared.link.topology(), written, &confirmed)
            }
            None => Verdict::default(),
        };
        let call = script::trial(&shared.link, shared.time_argument(), &shared.node);
        if let Err(error) = call.run(data).await {
            let refused = shared.link.failed(&error);
            let remedy = match error.code() {
                Some("OOM") => "it has no memory for another alert: raise its maxmemory, or keep less in [alerts]",
                Some("ERR" | "NOPERM") => "check what its user may do (ACL)",
                Some("NOREPLICAS" | "MISCONF") => "check its replicas and its disk",
                _ => return Err(refused),
            };
            let detail = format!("{}; publishing is refused: {remedy}", refused.detail);
            verdict.trouble = Some(Unavailable { detail, ..refused });
        }
        Ok(verdict)
    }

    fn judge(
        &mut self,
        now: Instant,
        durability: Durability,
        topology: &Topology,
        written: i64,
        confirmed: &[i64],
    ) -> Verdict {
        let Durability::Replicas(needed) = durability else { return Verdict::default() };
        if self.offsets.back().is_none_or(|(at, _)| now - *at >= OFFSET_INTERVAL) {
            self.offsets.push_back((now, written));
        }
        while self.offsets.get(1).is_some_and(|(at, _)| now - *at >= CONFIRMS_WITHIN) {
            self.offsets.pop_front();
        }
        let due = self.offsets.front().filter(|(at, _)| now - *at >= CONFIRMS_WITHIN).map_or(i64::MIN, |(_, due)| *due);
        let (needed, replicas) = (needed as usize, confirmed.len());
        let alive = confirmed.iter().filter(|offset| **offset >= due).count();
        let trouble = (alive < needed).then(|| {
            let detail = format!(
                "{topology} has {alive} replicas that confirm what it writes, and engine.durability needs {needed}; publishing is refused: check the replicas"
            );
            Unavailable::new(Cause::NotSafe, detail)
        });
        let fails_over = !matches!(topology, Topology::Alone { .. });
        let warning = (fails_over && replicas > needed).then(|| {
            format!(
                "{replicas} replicas, and engine.durability waits for {needed}: a failover to one that has not confirmed loses answered alerts; set replicas:{replicas}, or replica-priority 0 on those that are not to be promoted"
            )
        });
        Verdict { trouble, warning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(trial: &mut Trial, now: Instant, needed: u32, written: i64, confirmed: &[i64]) -> (bool, bool) {
        let topology = Topology::Cluster { nodes: Vec::new() };
        let verdict = trial.judge(now, Durability::Replicas(needed), &topology, written, confirmed);
        (verdict.trouble.is_some(), verdict.warning.is_some())
    }

    #[test]
    fn replicas_that_are_missing_or_silent_are_trouble_and_more_than_are_waited_for_a_warning() {
        let (mut trial, start) = (Trial::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(judge(&mut trial, at(0), 1, 100, &[]), (true, false));
        assert_eq!(judge(&mut trial, at(1), 1, 200, &[50]), (false, false));
        assert_eq!(judge(&mut trial, at(2), 1, 300, &[50, 250]), (false, true));
        assert_eq!(judge(&mut trial, at(2), 2, 300, &[50, 250]), (false, false));
        // The replica's offset has not moved for more than three seconds.
        assert_eq!(judge(&mut trial, at(4), 1, 400, &[50]), (true, false));
        assert_eq!(judge(&mut trial, at(5), 1, 500, &[450]), (false, false));
    }

    #[test]
    fn the_role_of_a_server_is_read() {
        let text = |text: &str| Value::BulkString(text.into());
        let replica = |offset: &str| Value::Array(vec![text("127.0.0.1"), text("6380"), text(offset)]);
        let replicas = Value::Array(vec![replica("7"), replica("9")]);
        let primary = Value::Array(vec![text("master"), Value::Int(12), replicas]);
        assert_eq!(Role::parse(&primary), Some(Role::Primary { written: 12, confirmed: vec![7, 9] }));
        let other = Value::Array(vec![text("slave"), text("127.0.0.1")]);
        assert_eq!(Role::parse(&other), Some(Role::Other));
        assert_eq!(Role::parse(&Value::Nil), None);
    }
}
