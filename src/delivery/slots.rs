//! Counts the open streams: of each key, of each kind, and in total.
//!
//! A stream holds its [`StreamSlot`] from its opening to its end, whatever carries it meanwhile, so the counts are exact.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::sse::FormatKind;

/// How a stream reaches its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Plain HTTP/1.1: a broadcast loop writes to the socket, after a task has replayed what the log has.
    Loop,
    /// A task carries the stream to its end: TLS, HTTP/2, HTTP/1.0, and subscriptions without a ring.
    Task,
}

impl Transport {
    /// The value of the metric label `transport`.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Task => "task",
        }
    }
}

/// All kinds of open streams. Elsewhere in this file a kind is its index here.
pub(crate) const KINDS: [(FormatKind, Transport); 6] = [
    (FormatKind::Sse, Transport::Loop),
    (FormatKind::Sse, Transport::Task),
    (FormatKind::Ndjson, Transport::Loop),
    (FormatKind::Ndjson, Transport::Task),
    (FormatKind::Ntfy, Transport::Loop),
    (FormatKind::Ntfy, Transport::Task),
];

const fn kind(format: FormatKind, transport: Transport) -> usize {
    2 * (format as usize) + transport as usize
}

type Tallies = [Option<Arc<Tally>>; KINDS.len()];

/// The counts of all open streams.
#[derive(Default)]
pub(crate) struct StreamSlots {
    keys: Mutex<HashMap<String, Tallies>>,
    open: [AtomicU32; KINDS.len()],
}

/// The number of open streams of one key and kind. It lives as long as there are any.
struct Tally {
    key: String,
    kind: usize,
    open: AtomicU32,
    slots: Arc<StreamSlots>,
}

/// One open stream. Dropping it frees the slot.
pub(crate) struct StreamSlot(Arc<Tally>);

/// Equal for slots of the same key and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotOwner(usize);

/// The limits on open streams; zero means no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    pub per_key: u32,
    pub total: u32,
}

/// The limit that kept a stream from being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    PerKey,
    Total,
}

impl StreamSlots {
    /// Takes a slot for `key`. It counts as [`Transport::Task`] until [`StreamSlot::set_transport`].
    pub(super) fn take(
        self: &Arc<Self>,
        key: &str,
        format: FormatKind,
        limits: StreamLimits,
    ) -> Result<StreamSlot, LimitReached> {
        let mut keys = self.keys();
        if limits.total != 0 && self.open() >= limits.total {
            return Err(LimitReached::Total);
        }
        // The name is copied for the first stream of a key only.
        let tallies = match keys.get_mut(key) {
            Some(tallies) => tallies,
            None => keys.entry(key.to_owned()).or_default(),
        };
        let open: u32 = tallies.iter().flatten().map(|tally| tally.open.load(Ordering::Relaxed)).sum();
        if limits.per_key != 0 && open >= limits.per_key {
            return Err(LimitReached::PerKey);
        }
        Ok(StreamSlot(self.count_in(tallies, key, kind(format, Transport::Task))))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Tallies>> {
        self.keys.lock()
    }

    fn count_in(self: &Arc<Self>, tallies: &mut Tallies, key: &str, kind: usize) -> Arc<Tally> {
        let new = || Tally { key: key.to_owned(), kind, open: AtomicU32::new(0), slots: Arc::clone(self) };
        let tally = Arc::clone(tallies[kind].get_or_insert_with(|| Arc::new(new())));
        tally.open.fetch_add(1, Ordering::Relaxed);
        self.open[kind].fetch_add(1, Ordering::Relaxed);
        tally
    }

    fn count_out(&self, keys: &mut HashMap<String, Tallies>, tally: &Tally) {
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

    pub(crate) fn open(&self) -> u32 {
        self.by_kind().iter().sum()
    }

    /// Open streams by kind, in the order of [`KINDS`].
    pub(crate) fn by_kind(&self) -> [u32; KINDS.len()] {
        std::array::from_fn(|kind| self.open[kind].load(Ordering::Relaxed))
    }
}

impl StreamSlot {
    pub(super) fn owner(&self) -> SlotOwner {
        SlotOwner(Arc::as_ptr(&self.0) as usize)
    }

    /// Counts the stream under another transport. This changes its [`owner`](Self::owner).
    pub(super) fn set_transport(&mut self, transport: Transport) {
        let (format, before) = KINDS[self.0.kind];
        if before != transport {
            let slots = Arc::clone(&self.0.slots);
            // Under one lock, or the stream would count twice against the limits for a moment.
            let mut keys = slots.keys();
            // There are tallies of this key, because this stream counts in one.
            let Some(tallies) = keys.get_mut(&self.0.key) else { return };
            let new = slots.count_in(tallies, &self.0.key, kind(format, transport));
            let old = std::mem::replace(&mut self.0, new);
            slots.count_out(&mut keys, &old);
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let slots = &self.0.slots;
        // Under the lock, or the tally of the last slot could be removed while the next slot is counted in.
        slots.count_out(&mut slots.keys(), &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_dropped() {
        let slots = Arc::new(StreamSlots::default());
        let take = |key, format| slots.take(key, format, StreamLimits { per_key: 1, total: 2 });
        let first = take("k", FormatKind::Sse).ok().unwrap();
        assert_eq!(take("k", FormatKind::Ndjson).err(), Some(LimitReached::PerKey));
        let other = take("l", FormatKind::Sse).ok().unwrap();
        assert_ne!(first.owner(), other.owner());
        assert_eq!(take("m", FormatKind::Sse).err(), Some(LimitReached::Total));
        drop(first);
        let again = take("k", FormatKind::Ndjson).ok().unwrap();
        drop((again, other));
        assert!(slots.open() == 0 && slots.keys.lock().is_empty());
    }

    #[test]
    fn a_stream_counts_once_whatever_carries_it() {
        let slots = Arc::new(StreamSlots::default());
        let take = |format| slots.take("k", format, StreamLimits { per_key: 3, total: 3 }).ok().unwrap();
        let (mut one, mut two, mut lines) = (take(FormatKind::Sse), take(FormatKind::Sse), take(FormatKind::Ndjson));
        assert_eq!(slots.by_kind(), [0, 2, 0, 1, 0, 0]);
        one.set_transport(Transport::Loop);
        two.set_transport(Transport::Loop);
        lines.set_transport(Transport::Loop);
        lines.set_transport(Transport::Loop);
        assert_eq!(slots.by_kind(), [2, 0, 1, 0, 0, 0]);
        assert!(one.owner() == two.owner() && one.owner() != lines.owner());
        two.set_transport(Transport::Task);
        assert_eq!((slots.by_kind(), slots.open()), ([1, 1, 1, 0, 0, 0], 3));
        let more = slots.take("k", FormatKind::Sse, StreamLimits { per_key: 3, total: 0 });
        assert_eq!(more.err(), Some(LimitReached::PerKey));
        for (index, (format, transport)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind(format, transport), index);
        }
        drop((one, two, lines));
        assert!(slots.by_kind() == [0; 6] && slots.keys.lock().is_empty());
    }
}
