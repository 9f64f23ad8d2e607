//! Decides which server holds the log when Sentinels or Cluster nodes disagree: the highest configuration epoch wins,
//! and is remembered for a while.
//!
//! Pure; kept by the link, which passes in the answers.

use std::time::Duration;

use tokio::time::Instant;

/// How long an answer with a lower epoch is ignored: it may come from a node that has not heard of a failover yet.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// Host and port.
pub(super) type Address = (String, u16);

/// The answer of one Sentinel or Cluster node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) server: Address,
    pub(super) epoch: u64,
}

/// The answer that is believed, and when it was last given.
#[derive(Debug, Default)]
pub(super) struct Belief(Option<(Claim, Instant)>);

impl Belief {
    /// Takes new answers into account; returns the server that is believed.
    pub(super) fn hear(&mut self, claims: &[Claim], now: Instant) -> Option<Address> {
        let named = |claim: &&Claim| claims.iter().filter(|other| other == claim).count();
        let newest = claims.iter().max_by_key(|claim| (claim.epoch, named(claim)))?;
        match &self.0 {
            Some((claim, at)) if newest.epoch < claim.epoch && now - *at < BELIEVED_FOR => {}
            _ => self.0 = Some((newest.clone(), now)),
        }
        self.0.as_ref().map(|(claim, _)| claim.server.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(port: u16, epoch: u64) -> Claim {
        Claim { server: ("h".into(), port), epoch }
    }

    #[test]
    fn the_highest_epoch_is_believed_whoever_answers_first_and_is_not_forgotten_at_once() {
        let (mut belief, now) = (Belief::default(), Instant::now());
        let mut hear =
            |claims: &[Claim], after: u64| belief.hear(claims, now + Duration::from_secs(after)).map(|(_, port)| port);
        assert_eq!(hear(&[], 0), None);
        assert_eq!(hear(&[claim(1, 0), claim(1, 0), claim(1, 0)], 0), Some(1));
        // One Sentinel leads a failover, and the others have not heard of it.
        assert_eq!(hear(&[claim(1, 0), claim(2, 1), claim(1, 0)], 1), Some(2));
        assert_eq!(hear(&[claim(1, 0), claim(1, 0)], 2), Some(2));
        // Sentinels that were set up anew count their epochs from the beginning.
        assert_eq!(hear(&[claim(1, 0), claim(1, 0)], 12), Some(1));
    }
}
