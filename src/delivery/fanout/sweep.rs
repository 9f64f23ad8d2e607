//! Visits all subscribers once each second, a few at a time, so that none needs a timer of its own.

use std::time::Duration;

use super::ids::SubscriberId;

/// One round over all subscribers, in milliseconds. A time limit takes effect at most this much late.
const ROUND_MS: u64 = 1000;
const STEPS_PER_ROUND: u64 = 32;

#[derive(Default)]
pub(super) struct Sweep {
    next: u32,
    /// Subscribers that should have been visited by now.
    due: u64,
    stepped_ms: u64,
}

impl Sweep {
    /// Makes some of the subscribers due, whose ids are below `end`.
    pub(super) fn advance(&mut self, now_ms: u64, end: u32) {
        let steps = now_ms.saturating_sub(self.stepped_ms) * STEPS_PER_ROUND / ROUND_MS;
        if steps > 0 {
            self.stepped_ms = now_ms;
            // A loop that could not run for a while owes at most one round.
            self.due = (self.due + steps * u64::from(end).div_ceil(STEPS_PER_ROUND)).min(end.into());
        }
    }

    /// The next subscriber that is due.
    pub(super) fn next(&mut self, end: u32) -> Option<SubscriberId> {
        self.due = self.due.checked_sub(1)?;
        let id = if self.next < end { self.next } else { 0 };
        self.next = id + 1;
        Some(SubscriberId(id))
    }

    /// The time until more subscribers are due.
    pub(super) fn wait(&self, now_ms: u64) -> Duration {
        Duration::from_millis((self.stepped_ms + ROUND_MS.div_ceil(STEPS_PER_ROUND)).saturating_sub(now_ms).max(1))
    }

    /// How much earlier than a whole `heartbeat` after the last write this subscriber gets one. Spreads the heartbeats:
    /// after an alert for all subscribers they would otherwise be due at the same moment.
    pub(super) fn heartbeat_lead(id: SubscriberId, heartbeat: Duration) -> Duration {
        (heartbeat / 4).mul_f64(Self::place(id))
    }

    /// The place of a subscriber among all, from 0 to 1. Those of neighbouring ids are far apart, and none has the first.
    pub(super) fn place(id: SubscriberId) -> f64 {
        f64::from(id.0.wrapping_add(1).wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscriber_is_visited_once_a_round_however_fast_the_loop_turns() {
        for turn_ms in [1, 7, 32, 250] {
            let (mut sweep, mut visits, end) = (Sweep::default(), vec![0; 100], 100);
            for now_ms in (0..=10_000).step_by(turn_ms) {
                sweep.advance(now_ms, end);
                while let Some(id) = sweep.next(end) {
                    visits[id.0 as usize] += 1;
                }
            }
            assert!(visits.iter().all(|times| (7..=14).contains(times)), "{turn_ms}: {visits:?}");
        }
    }

    #[test]
    fn a_loop_that_stood_still_owes_at_most_one_round() {
        let mut sweep = Sweep::default();
        sweep.advance(3_600_000, 50);
        assert_eq!(std::iter::from_fn(|| sweep.next(50)).count(), 50);
        assert_eq!(sweep.next(0), None);
    }

    #[test]
    fn heartbeats_are_spread_over_a_quarter_of_their_interval() {
        let heartbeat = Duration::from_secs(16);
        let leads: Vec<_> = (0..1000).map(|id| Sweep::heartbeat_lead(SubscriberId(id), heartbeat)).collect();
        assert!(leads.iter().all(|lead| *lead <= Duration::from_secs(4)));
        let early = leads.iter().filter(|lead| **lead < Duration::from_secs(2)).count();
        assert!((400..600).contains(&early), "{early}");
    }
}
