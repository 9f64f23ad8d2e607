//! The clock's sweep: it goes once around all subscribers each second, so that no subscriber needs a timer of its own.

use std::time::Duration;

/// One time around, milliseconds; what time asks for happens at most so much late.
const ROUND_MS: u64 = 1000;
/// Steps of a round.
const STEPS_PER_ROUND: u64 = 32;

#[derive(Default)]
pub(super) struct Sweep {
    at: u32,
    /// SubscriberSlab that it should have passed by now.
    due: u64,
    stepped: u64,
}

impl Sweep {
    /// Time goes on, over `subscribers` subscribers.
    pub(super) fn advance(&mut self, now: u64, subscribers: u32) {
        let steps = now.saturating_sub(self.stepped) * STEPS_PER_ROUND / ROUND_MS;
        if steps > 0 {
            self.stepped = now;
            // A loop that was kept from running owes one round at the most.
            self.due = (self.due + steps * u64::from(subscribers).div_ceil(STEPS_PER_ROUND)).min(subscribers.into());
        }
    }

    /// The next subscriber to look at, if one is due.
    pub(super) fn next(&mut self, subscribers: u32) -> Option<u32> {
        self.due = self.due.checked_sub(1)?;
        let number = if self.at < subscribers { self.at } else { 0 };
        self.at = number + 1;
        Some(number)
    }

    /// How long until subscribers are due.
    pub(super) fn unsent(&self, now: u64) -> Duration {
        Duration::from_millis((self.stepped + ROUND_MS.div_ceil(STEPS_PER_ROUND)).saturating_sub(now).max(1))
    }

    /// How much earlier than the others a subscriber shows life: an alert touches all of them at once, and without this all
    /// would be silent for the same time and speak at the same moment.
    pub(super) fn catch_up(number: u32, heartbeat: Duration) -> Duration {
        let spread = f64::from(number.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX);
        (heartbeat / 4).mul_f64(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hand_passes_each_seat_once_a_round_whatever_the_pace_of_the_loop() {
        for pace in [1, 7, 32, 250] {
            let (mut sweep, mut passed, subscribers) = (Sweep::default(), vec![0; 100], 100);
            for now in (0..=10_000).step_by(pace) {
                sweep.advance(now, subscribers);
                while let Some(number) = sweep.next(subscribers) {
                    passed[number as usize] += 1;
                }
            }
            assert!(passed.iter().all(|times| (7..=14).contains(times)), "{pace}: {passed:?}");
        }
    }

    #[test]
    fn a_loop_that_stood_still_owes_one_round_at_the_most() {
        let mut sweep = Sweep::default();
        sweep.advance(3_600_000, 50);
        assert_eq!(std::iter::from_fn(|| sweep.next(50)).count(), 50);
        assert_eq!(sweep.next(0), None);
    }

    #[test]
    fn signs_of_life_are_spread_over_a_quarter_of_their_span() {
        let heartbeat = Duration::from_secs(16);
        let leads: Vec<_> = (0..1000).map(|number| Sweep::catch_up(number, heartbeat)).collect();
        assert!(leads.iter().all(|lead| *lead <= Duration::from_secs(4)));
        let early = leads.iter().filter(|lead| **lead < Duration::from_secs(2)).count();
        assert!((400..600).contains(&early), "{early}");
    }
}
