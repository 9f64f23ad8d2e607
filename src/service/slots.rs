//! The open streams: how many one key has, how many there are, and of which kind.
//!
//! A stream holds its [`StreamSlot`] from its opening to its end, whoever carries it meanwhile, so the counts are exact.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sse::Format;
use parking_lot::{Mutex, MutexGuard};

/// What carries a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A broadcast loop, on a socket of its own.
    Loop,
    /// A task: TLS, HTTP/2, HTTP/1.0, and every stream that is being replayed from the log.
    Task,
}

impl Transport {
    /// One word.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Task => "task",
        }
    }
}

/// All kinds of open streams; one is known by its number here.
pub(super) const KINDS: [(Format, Transport); 4] = [
    (Format::Sse, Transport::Loop),
    (Format::Sse, Transport::Task),
    (Format::Ndjson, Transport::Loop),
    (Format::Ndjson, Transport::Task),
];

const fn kind(format: Format, transport: Transport) -> usize {
    2 * (format as usize) + transport as usize
}

type Tallies = [Option<Arc<Tally>>; KINDS.len()];

/// Counts the open streams, of each key, of each kind and in all.
#[derive(Default)]
pub(super) struct StreamSlots {
    keys: Mutex<HashMap<String, Tallies>>,
    open: [AtomicU32; KINDS.len()],
}

/// How many streams of one kind one key has open; nobody else shares it while it has any.
struct Tally {
    key: String,
    kind: usize,
    open: AtomicU32,
    places: Arc<StreamSlots>,
}

/// The place of one open stream; it is given back when dropped.
pub(crate) struct StreamSlot(Arc<Tally>);

/// Tells the keys that have places of one kind apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotOwner(usize);

/// Which limit has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Key,
    All,
}

impl StreamSlots {
    /// Takes a place for `key`, unless it has `of_key` already, or all together `in_all`; zero means no limit. A stream
    /// begins as a task.
    ///
    /// # Errors
    /// Which of the two it was.
    pub(super) fn enter(
        self: &Arc<Self>,
        key: &str,
        format: Format,
        of_key: u32,
        in_all: u32,
    ) -> Result<StreamSlot, Full> {
        let mut keys = self.keys();
        if in_all != 0 && self.open() >= in_all {
            return Err(Full::All);
        }
        let tallies = keys.get(key).into_iter().flatten().flatten();
        if of_key != 0 && tallies.map(|tally| tally.open.load(Ordering::Relaxed)).sum::<u32>() >= of_key {
            return Err(Full::Key);
        }
        Ok(StreamSlot(self.take(&mut keys, key, kind(format, Transport::Task))))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Tallies>> {
        self.keys.lock()
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

impl StreamSlot {
    /// Whose it is.
    #[must_use]
    pub(crate) fn owner(&self) -> SlotOwner {
        SlotOwner(Arc::as_ptr(&self.0) as usize)
    }

    /// Something else carries the stream from now on; its owner is another then.
    pub(crate) fn set_transport(&mut self, transport: Transport) {
        let (format, before) = KINDS[self.0.kind];
        if before != transport {
            let places = Arc::clone(&self.0.places);
            // Under one lock, or for a moment the stream would count twice against the limits.
            let mut keys = places.keys();
            let new = places.take(&mut keys, &self.0.key, kind(format, transport));
            let old = std::mem::replace(&mut self.0, new);
            places.give_back(&mut keys, &old);
        }
    }
}

impl Drop for StreamSlot {
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
    fn a_place_comes_back_when_dropped() {
        let places = Arc::new(StreamSlots::default());
        let first = places.enter("k", Format::Sse, 1, 2).ok().unwrap();
        assert_eq!(places.enter("k", Format::Ndjson, 1, 2).err(), Some(Full::Key));
        let other = places.enter("l", Format::Sse, 1, 2).ok().unwrap();
        assert_ne!(first.owner(), other.owner());
        assert_eq!(places.enter("m", Format::Sse, 1, 2).err(), Some(Full::All));
        drop(first);
        let again = places.enter("k", Format::Ndjson, 1, 2).ok().unwrap();
        drop((again, other));
        assert!(places.open() == 0 && places.keys.lock().is_empty());
    }

    #[test]
    fn a_stream_counts_once_whatever_carries_it() {
        let places = Arc::new(StreamSlots::default());
        let enter = |format| places.enter("k", format, 3, 3).ok().unwrap();
        let (mut one, mut two, mut lines) = (enter(Format::Sse), enter(Format::Sse), enter(Format::Ndjson));
        assert_eq!(places.by_kind(), [0, 2, 0, 1]);
        one.set_transport(Transport::Loop);
        two.set_transport(Transport::Loop);
        lines.set_transport(Transport::Loop);
        lines.set_transport(Transport::Loop);
        assert_eq!(places.by_kind(), [2, 0, 1, 0]);
        assert!(one.owner() == two.owner() && one.owner() != lines.owner());
        two.set_transport(Transport::Task);
        assert_eq!((places.by_kind(), places.open()), ([1, 1, 1, 0], 3));
        assert_eq!(places.enter("k", Format::Sse, 3, 0).err(), Some(Full::Key));
        for (number, (format, transport)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind(format, transport), number);
        }
        drop((one, two, lines));
        assert!(places.by_kind() == [0; 4] && places.keys.lock().is_empty());
    }
}
