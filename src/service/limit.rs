//! Rate limits for keys and addresses.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A rate limit for each key: `burst` permits at once, and a new one after each `per / burst`. Bounded: at most
/// [`Rate::MAX_KEYS`] keys are remembered; those with all their permits are removed first.
pub(super) struct Rate<K> {
    /// When each key has all its permits again.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Default for Rate<K> {
    fn default() -> Self {
        Self { full_at: Mutex::default() }
    }
}

impl<K: Eq + Hash> Rate<K> {
    pub(super) const MAX_KEYS: usize = 65_536;

    /// Takes a permit of a key; a `burst` of zero means no limit.
    ///
    /// # Errors
    /// The time until the key has a permit again.
    pub(super) fn take<Q>(&self, key: &Q, burst: u32, per: Duration, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if burst == 0 {
            return Ok(());
        }
        let mut map = self.full_at.lock();
        Self::make_room(&mut map, now);
        let known = map.get_mut(key);
        let debt = known.as_ref().map_or(Duration::ZERO, |at| at.saturating_duration_since(now)) + per / burst;
        if debt > per {
            return Err(debt - per);
        }
        match known {
            Some(full_at) => *full_at = now + debt,
            None => drop(map.insert(key.to_owned(), now + debt)),
        }
        Ok(())
    }

    /// Takes `permits`, even if the key does not have that many: the next [`take`](Self::take) then waits for longer.
    pub(super) fn owe(&self, key: K, permits: u32, burst: u32, per: Duration, now: Instant) {
        if burst == 0 || permits == 0 {
            return;
        }
        let mut map = self.full_at.lock();
        Self::make_room(&mut map, now);
        let full_at = map.entry(key).or_insert(now);
        *full_at = (*full_at).max(now) + per / burst * permits;
    }

    /// Whether a permit could be taken, without taking it.
    ///
    /// # Errors
    /// The time until the key has a permit again.
    pub(super) fn check(&self, key: &K, burst: u32, per: Duration, now: Instant) -> Result<(), Duration> {
        if burst == 0 {
            return Ok(());
        }
        let map = self.full_at.lock();
        let debt = map.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now)) + per / burst;
        if debt > per { Err(debt - per) } else { Ok(()) }
    }

    fn make_room(map: &mut HashMap<K, Instant>, now: Instant) {
        if map.len() < Self::MAX_KEYS {
            return;
        }
        map.retain(|_, full_at| *full_at > now);
        if map.len() >= Self::MAX_KEYS {
            // Under a flood from that many addresses, losing the limits is better than growing without bound.
            map.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_permits_its_burst_and_then_one_by_one() {
        let (rate, start, second) = (Rate::default(), Instant::now(), Duration::from_secs(1));
        for _ in 0..4 {
            rate.take("k", 4, second, start).unwrap();
        }
        assert_eq!(rate.take("k", 4, second, start), Err(second / 4));
        assert_eq!(rate.check(&"k".to_owned(), 4, second, start), Err(second / 4));
        rate.take("other", 4, second, start).unwrap();
        rate.take("k", 4, second, start + second / 4).unwrap();
        assert!(rate.take("k", 4, second, start + second / 4).is_err());
        assert!(rate.take("k", 0, second, start).is_ok());
    }

    #[test]
    fn owed_permits_are_waited_for() {
        let (rate, start, second) = (Rate::default(), Instant::now(), Duration::from_secs(1));
        rate.take("k", 4, second, start).unwrap();
        rate.owe("k".to_owned(), 11, 4, second, start);
        assert_eq!(rate.take("k", 4, second, start), Err(second * 9 / 4));
        assert!(rate.take("k", 4, second, start + second * 9 / 4).is_ok());
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_memory() {
        let (rate, start) = (Rate::default(), Instant::now());
        for key in 0..=Rate::<usize>::MAX_KEYS {
            rate.take(&key, 1, Duration::from_secs(60), start).unwrap();
        }
        assert!(rate.full_at.lock().len() <= Rate::<usize>::MAX_KEYS);
    }
}
