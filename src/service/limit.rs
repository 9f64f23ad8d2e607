//! Rates and counts that bound what one key or address may take.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sse::Format;

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

/// What carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// A broadcast loop, on a socket of its own.
    Loop,
    /// A task: TLS, HTTP/2, HTTP/1.0, and every stream that is being replayed from the log.
    Task,
}

impl Road {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Task => "task",
        }
    }
}

/// All kinds of open streams; one is known by its number here.
pub(super) const KINDS: [(Format, Road); 4] =
    [(Format::Sse, Road::Loop), (Format::Sse, Road::Task), (Format::Ndjson, Road::Loop), (Format::Ndjson, Road::Task)];

const fn kind(format: Format, road: Road) -> usize {
    2 * (format as usize) + road as usize
}

type Tallies = [Option<Arc<Tally>>; KINDS.len()];

/// Counts the open streams, of each key, of each kind and in all.
#[derive(Default)]
pub(super) struct Places {
    keys: Mutex<HashMap<String, Tallies>>,
    open: [AtomicU32; KINDS.len()],
}

/// How many streams of one kind one key has open; nobody else shares it while it has any.
struct Tally {
    key: String,
    kind: usize,
    open: AtomicU32,
    places: Arc<Places>,
}

/// The place of one open stream; it is given back when dropped.
pub struct Place(Arc<Tally>);

/// Tells the keys that have places of one kind apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaceOwner(usize);

/// Which limit has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Key,
    All,
}

impl Places {
    /// Takes a place for `key`, unless it has `of_key` already, or all together `in_all`; zero means no limit. A stream
    /// begins as a task.
    ///
    /// # Errors
    /// Which of the two it was.
    pub(super) fn enter(self: &Arc<Self>, key: &str, format: Format, of_key: u32, in_all: u32) -> Result<Place, Full> {
        let mut keys = self.keys();
        if in_all != 0 && self.open() >= in_all {
            return Err(Full::All);
        }
        let tallies = keys.get(key).into_iter().flatten().flatten();
        if of_key != 0 && tallies.map(|tally| tally.open.load(Ordering::Relaxed)).sum::<u32>() >= of_key {
            return Err(Full::Key);
        }
        Ok(Place(self.take(&mut keys, key, kind(format, Road::Task))))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Tallies>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, keys: &mut HashMap<String, Tallies>, key: &str, kind: usize) -> Arc<Tally> {
        let slot = &mut keys.entry(key.to_owned()).or_default()[kind];
        let new = || Tally { key: key.to_owned(), kind, open: AtomicU32::new(0), places: Arc::clone(self) };
        let tally = Arc::clone(slot.get_or_insert_with(|| Arc::new(new())));
        tally.open.fetch_add(1, Ordering::Relaxed);
        self.open[kind].fetch_add(1, Ordering::Relaxed);
        tally
    }

    fn give_back(&self, keys: &mut HashMap<String, Tallies>, tally: &Tally) {
        self.open[tally.kind].fetch_sub(1, Ordering::Relaxed);
        if tally.open.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(tallies) = keys.get_mut(&tally.key)
        {
            tallies[tally.kind] = None;
            if tallies.iter().all(Option::is_none) {
                keys.remove(&tally.key);
            }
        }
    }

    /// Open streams.
    pub(super) fn open(&self) -> u32 {
        self.by_kind().iter().sum()
    }

    /// Open streams of each of the [`KINDS`].
    pub(super) fn by_kind(&self) -> [u32; KINDS.len()] {
        std::array::from_fn(|kind| self.open[kind].load(Ordering::Relaxed))
    }
}

impl Place {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> PlaceOwner {
        PlaceOwner(Arc::as_ptr(&self.0) as usize)
    }

    /// Something else carries the stream from now on; its owner is another then.
    pub fn move_to(&mut self, road: Road) {
        let (format, before) = KINDS[self.0.kind];
        if before != road {
            let places = Arc::clone(&self.0.places);
            // Under one lock, or for a moment the stream would count twice against the limits.
            let mut keys = places.keys();
            let new = places.take(&mut keys, &self.0.key, kind(format, road));
            let old = std::mem::replace(&mut self.0, new);
            places.give_back(&mut keys, &old);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.0.places;
        // Under the lock, or the last place could go while the next one is taken.
        places.give_back(&mut places.keys(), &self.0);
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
        let first = places.enter("k", Format::Sse, 1, 2).ok().unwrap();
        assert_eq!(places.enter("k", Format::Ndjson, 1, 2).err(), Some(Full::Key));
        let other = places.enter("l", Format::Sse, 1, 2).ok().unwrap();
        assert_ne!(first.owner(), other.owner());
        assert_eq!(places.enter("m", Format::Sse, 1, 2).err(), Some(Full::All));
        drop(first);
        let again = places.enter("k", Format::Ndjson, 1, 2).ok().unwrap();
        drop((again, other));
        assert!(places.open() == 0 && places.keys.lock().unwrap().is_empty());
    }

    #[test]
    fn a_stream_counts_once_whatever_carries_it() {
        let places = Arc::new(Places::default());
        let enter = |format| places.enter("k", format, 3, 3).ok().unwrap();
        let (mut one, mut two, mut lines) = (enter(Format::Sse), enter(Format::Sse), enter(Format::Ndjson));
        assert_eq!(places.by_kind(), [0, 2, 0, 1]);
        one.move_to(Road::Loop);
        two.move_to(Road::Loop);
        lines.move_to(Road::Loop);
        lines.move_to(Road::Loop);
        assert_eq!(places.by_kind(), [2, 0, 1, 0]);
        assert!(one.owner() == two.owner() && one.owner() != lines.owner());
        two.move_to(Road::Task);
        assert_eq!((places.by_kind(), places.open()), ([1, 1, 1, 0], 3));
        assert_eq!(places.enter("k", Format::Sse, 3, 0).err(), Some(Full::Key));
        for (number, (format, road)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind(format, road), number);
        }
        drop((one, two, lines));
        assert!(places.by_kind() == [0; 4] && places.keys.lock().unwrap().is_empty());
    }
}
