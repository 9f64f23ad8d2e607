//! The clock's hand: it goes once around all seats each second, so that no seat needs a timer of its own.

use std::time::Duration;

/// One time around, milliseconds; what time asks for happens at most so much late.
const ROUND: u64 = 1000;
/// Steps of a round.
const STEPS: u64 = 32;

#[derive(Default)]
pub(super) struct Hand {
    at: u32,
    /// Seats that it should have passed by now.
    due: u64,
    stepped: u64,
}

impl Hand {
    /// Time goes on, over `seats` seats.
    pub(super) fn advance(&mut self, now: u64, seats: u32) {
        let steps = now.saturating_sub(self.stepped) * STEPS / ROUND;
        if steps > 0 {
            self.stepped = now;
            // A loop that was kept from running owes one round at the most.
            self.due = (self.due + steps * u64::from(seats).div_ceil(STEPS)).min(seats.into());
        }
    }

    /// The next seat to look at, if one is due.
    pub(super) fn next(&mut self, seats: u32) -> Option<u32> {
        self.due = self.due.checked_sub(1)?;
        let number = if self.at < seats { self.at } else { 0 };
        self.at = number + 1;
        Some(number)
    }

    /// How long until seats are due.
    pub(super) fn rest(&self, now: u64) -> Duration {
        Duration::from_millis((self.stepped + ROUND.div_ceil(STEPS)).saturating_sub(now).max(1))
    }

    /// How much earlier than the others a seat shows life: an alert touches all of them at once, and without this all
    /// would be silent for the same time and speak at the same moment.
    pub(super) fn lead(number: u32, heartbeat: Duration) -> Duration {
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
            let (mut hand, mut passed, seats) = (Hand::default(), vec![0; 100], 100);
            for now in (0..=10_000).step_by(pace) {
                hand.advance(now, seats);
                while let Some(number) = hand.next(seats) {
                    passed[number as usize] += 1;
                }
            }
            assert!(passed.iter().all(|times| (7..=14).contains(times)), "{pace}: {passed:?}");
        }
    }

    #[test]
    fn a_loop_that_stood_still_owes_one_round_at_the_most() {
        let mut hand = Hand::default();
        hand.advance(3_600_000, 50);
        assert_eq!(std::iter::from_fn(|| hand.next(50)).count(), 50);
        assert_eq!(hand.next(0), None);
    }

    #[test]
    fn signs_of_life_are_spread_over_a_quarter_of_their_span() {
        let heartbeat = Duration::from_secs(16);
        let leads: Vec<_> = (0..1000).map(|number| Hand::lead(number, heartbeat)).collect();
        assert!(leads.iter().all(|lead| *lead <= Duration::from_secs(4)));
        let early = leads.iter().filter(|lead| **lead < Duration::from_secs(2)).count();
        assert!((400..600).contains(&early), "{early}");
    }
}
