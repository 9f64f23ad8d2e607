//! Rates and counts that bound what one key or address may take.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
        let mut map = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        Self::make_room(&mut map, now);
        let whole_at = map.entry(key).or_insert(now);
        let debt = whole_at.saturating_duration_since(now) + per / burst;
        if debt > per {
            return Err(debt - per);
        }
        *whole_at = now + debt;
        Ok(())
    }

    /// Whether one could be taken, without taking it.
    ///
    /// # Errors
    /// How long to wait until one is there again.
    pub(super) fn check(&self, key: &K, burst: u32, per: Duration, now: Instant) -> Result<(), Duration> {
        if burst == 0 {
            return Ok(());
        }
        let map = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Counts the open streams, of each key and in all.
#[derive(Default)]
pub(super) struct Places {
    keys: Mutex<HashMap<String, Arc<Tally>>>,
    all: AtomicU32,
}

/// How many streams one key has open; nobody else shares it while it has any.
struct Tally {
    key: String,
    open: AtomicU32,
    places: Arc<Places>,
}

/// The place of one open stream; it is given back when dropped.
pub struct Place(Arc<Tally>);

/// Tells the keys that have places apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaceOwner(usize);

/// Which limit has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Key,
    All,
}

impl Places {
    /// Takes a place for `key`, unless it has `of_key` already, or all together `in_all`; zero means no limit.
    ///
    /// # Errors
    /// Which of the two it was.
    pub(super) fn enter(self: &Arc<Self>, key: &str, of_key: u32, in_all: u32) -> Result<Place, Full> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if in_all != 0 && self.open() >= in_all {
            return Err(Full::All);
        }
        let tally = match keys.get(key) {
            Some(tally) if of_key != 0 && tally.open.load(Ordering::Relaxed) >= of_key => return Err(Full::Key),
            Some(tally) => Arc::clone(tally),
            None => {
                let places = Arc::clone(self);
                let tally = Arc::new(Tally { key: key.to_owned(), open: AtomicU32::new(0), places });
                keys.insert(key.to_owned(), Arc::clone(&tally));
                tally
            }
        };
        tally.open.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Place(tally))
    }

    /// Open streams.
    pub(super) fn open(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> PlaceOwner {
        PlaceOwner(Arc::as_ptr(&self.0) as usize)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(tally) = self;
        // Under the lock, or the last place could go while the next one is taken.
        let mut keys = tally.places.keys.lock().unwrap_or_else(PoisonError::into_inner);
        tally.places.all.fetch_sub(1, Ordering::Relaxed);
        if tally.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            keys.remove(&tally.key);
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
    fn a_flood_of_keys_does_not_grow_the_memory() {
        let (rate, start) = (Rate::default(), Instant::now());
        for key in 0..=Rate::<usize>::MOST {
            rate.take(key, 1, Duration::from_secs(60), start).unwrap();
        }
        assert!(rate.whole_at.lock().unwrap().len() <= Rate::<usize>::MOST);
    }

    #[test]
    fn a_place_comes_back_when_dropped() {
        let places = Arc::new(Places::default());
        let first = places.enter("k", 1, 2).ok().unwrap();
        assert_eq!(places.enter("k", 1, 2).err(), Some(Full::Key));
        let other = places.enter("l", 1, 2).ok().unwrap();
        assert_ne!(first.owner(), other.owner());
        assert_eq!(places.enter("m", 1, 2).err(), Some(Full::All));
        drop(first);
        let again = places.enter("k", 1, 2).ok().unwrap();
        drop((again, other));
        assert!(places.open() == 0 && places.keys.lock().unwrap().is_empty());
    }
}
