//! Rates that bound what one key or address may take.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A rate for each key: `burst` at once, then one each `burst`-th of `per`. Bounded: at most [`Rate::MOST`] keys are
/// remembered, and those that are back at rest are forgotten first.
pub(super) struct Rate<K> {
    /// The time by which each key's allowance is whole again.
    whole_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Default for Rate<K> {
    fn default() -> Self {
        Self { whole_at: Mutex::default() }
    }
}

impl<K: Eq + Hash> Rate<K> {
    /// So many keys are remembered.
    pub(super) const MOST: usize = 65_536;

    /// Takes one from the key's allowance of `burst` for each `per`; zero means no limit.
    ///
    /// # Errors
    /// How long to wait until one is there again.
    pub(super) fn take(&self, key: K, burst: u32, per: Duration, now: Instant) -> Result<(), Duration> {
        if burst == 0 {
            return Ok(());
        }
        let mut map = self.whole_at.lock();
        Self::make_room(&mut map, now);
        let whole_at = map.entry(key).or_insert(now);
        let debt = whole_at.saturating_duration_since(now) + per / burst;
        if debt > per {
            return Err(debt - per);
        }
        *whole_at = now + debt;
        Ok(())
    }

    /// Takes `more` than [`take`](Self::take) took, whether they are there or not: the next one waits until they are.
    pub(super) fn owe(&self, key: K, more: u32, burst: u32, per: Duration, now: Instant) {
        if burst == 0 || more == 0 {
            return;
        }
        let mut map = self.whole_at.lock();
        Self::make_room(&mut map, now);
        let whole_at = map.entry(key).or_insert(now);
        *whole_at = (*whole_at).max(now) + per / burst * more;
    }

    /// Whether one could be taken, without taking it.
    ///
    /// # Errors
    /// How long to wait until one is there again.
    pub(super) fn check(&self, key: &K, burst: u32, per: Duration, now: Instant) -> Result<(), Duration> {
        if burst == 0 {
            return Ok(());
        }
        let map = self.whole_at.lock();
        let debt = map.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now)) + per / burst;
        if debt > per { Err(debt - per) } else { Ok(()) }
    }

    fn make_room(map: &mut HashMap<K, Instant>, now: Instant) {
        if map.len() < Self::MOST {
            return;
        }
        map.retain(|_, whole_at| *whole_at > now);
        if map.len() >= Self::MOST {
            // A flood from that many places at once: forgetting all of them is better than growing.
            map.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_its_burst_then_its_pace_and_says_how_long() {
        let (rate, start, second) = (Rate::default(), Instant::now(), Duration::from_secs(1));
        for _ in 0..4 {
            rate.take("k", 4, second, start).unwrap();
        }
        assert_eq!(rate.take("k", 4, second, start), Err(second / 4));
        assert_eq!(rate.check(&"k", 4, second, start), Err(second / 4));
        rate.take("other", 4, second, start).unwrap();
        rate.take("k", 4, second, start + second / 4).unwrap();
        assert!(rate.take("k", 4, second, start + second / 4).is_err());
        assert!(rate.take("k", 0, second, start).is_ok());
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let (rate, start, second) = (Rate::default(), Instant::now(), Duration::from_secs(1));
        rate.take("k", 4, second, start).unwrap();
        rate.owe("k", 11, 4, second, start);
        assert_eq!(rate.take("k", 4, second, start), Err(second * 9 / 4));
        assert!(rate.take("k", 4, second, start + second * 9 / 4).is_ok());
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_memory() {
        let (rate, start) = (Rate::default(), Instant::now());
        for key in 0..=Rate::<usize>::MOST {
            rate.take(key, 1, Duration::from_secs(60), start).unwrap();
        }
        assert!(rate.whole_at.lock().len() <= Rate::<usize>::MOST);
    }
}
