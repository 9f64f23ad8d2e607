//! A ring: a bounded buffer of encoded frames for one distinct subscription. A subscriber is a position in it.
//!
//! Fed only by the [`Hub`](super::Hub), under its lock; read by any number of subscribers. Always: a chunk holds whole
//! blocks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::routes::Filtered;
use crate::alert::{Filter, Id, Record};
use crate::chunked;
use crate::sse::Format;

/// A tag that a listener chose for one of its rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RingTag(pub(crate) u32);

/// Is notified when a ring has news.
pub(crate) trait RingListener: Send + Sync {
    /// Called under the hub's lock, so it must return at once.
    fn news(&self, ring: RingTag);
}

/// The result of a read at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    Chunks,
    /// The position is after the newest chunk.
    Nothing,
    /// The ring no longer has this position.
    Overwritten,
    /// The same, because an alert was retracted.
    Retracted,
}

/// Whole blocks that go out together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The encoded blocks, as one chunk of HTTP/1.1's chunked coding.
    pub wire: Bytes,
    pub alerts: u64,
    /// The id of the first alert.
    pub first: Id,
    /// The id of the last alert.
    pub last: Id,
    /// When the first alert was received, milliseconds since 1970.
    pub received_ms: u64,
}

impl Chunk {
    /// The encoded blocks without the chunked coding, for a transport with framing of its own.
    #[must_use]
    pub(crate) fn blocks(&self) -> Bytes {
        chunked::content(&self.wire)
    }
}

/// What makes a subscription distinct.
pub(super) type RingKey = (Arc<Filter>, Format);

pub(super) struct Ring {
    pub(super) key: RingKey,
    /// The key that subscribed first. The ring counts against that key's share.
    pub(super) owner: String,
    /// Subscriptions and readers. Changed under the hub's lock.
    pub(super) subscribers: AtomicUsize,
    log: Mutex<Log>,
    wake: watch::Sender<()>,
    /// At most one for each broadcast loop.
    listeners: Mutex<Vec<(Arc<dyn RingListener>, RingTag)>>,
}

#[derive(Default)]
struct Log {
    base: u64,
    /// The positions that were dropped with a retracted alert, the last time.
    retracted: Range<u64>,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The alerts of the batch that is being fed, encoded as a chunk each. Not visible yet; bounded by
    /// [`Ring::CHUNK_BYTES`].
    open: Vec<Bytes>,
    open_bytes: usize,
    open_first: Id,
    open_last: Id,
    open_received_ms: u64,
}

impl Filtered for Ring {
    fn filter(&self) -> &Filter {
        &self.key.0
    }
}

impl Ring {
    /// The approximate size of a chunk. A subscriber whose socket took a chunk in part keeps the whole chunk in memory, even
    /// when the ring has dropped it.
    const CHUNK_BYTES: usize = 16 << 10;

    pub(super) fn new(key: RingKey, owner: String) -> Self {
        let (wake, listeners) = (watch::Sender::new(()), Mutex::default());
        Self { key, owner, subscribers: AtomicUsize::new(0), log: Mutex::default(), wake, listeners }
    }

    pub(super) const fn format(&self) -> &Format {
        &self.key.1
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(Arc<dyn RingListener>, RingTag)>> {
        self.listeners.lock()
    }

    /// Adds an alert, encoded as a chunk of its own, to the batch. True for the first alert of a batch.
    pub(super) fn push(&self, alert: Bytes, record: &Record) -> bool {
        let mut log = self.log();
        let first = log.open.is_empty();
        if first {
            (log.open_first, log.open_received_ms) = (record.id, record.received_ms);
        }
        log.open_bytes += alert.len();
        log.open.push(alert);
        log.open_last = record.id;
        if log.open_bytes >= Self::CHUNK_BYTES {
            log.seal();
        }
        first
    }

    /// Makes the batch visible, drops what exceeds `cap` bytes, and wakes the subscribers.
    pub(super) fn publish(&self, cap: usize) {
        {
            let mut log = self.log();
            log.seal();
            log.shrink(cap);
        }
        self.wake();
    }

    /// Drops the oldest chunks that exceed `cap` bytes.
    pub(super) fn shrink(&self, cap: usize) {
        self.log().shrink(cap);
    }

    /// Drops everything. All positions that were ever given count as overwritten.
    pub(super) fn forget(&self) {
        {
            let mut log = self.log();
            log.base += log.chunks.len() as u64 + 1;
            log.chunks.clear();
            log.bytes = 0;
        }
        self.wake();
    }

    /// Drops the chunk that has this alert, if one does, and all before it. Subscribers who did not get to its end continue
    /// from the log, which has the alert no more.
    pub(super) fn retract(&self, alert: Id) {
        let mut log = self.log();
        let at = log.chunks.partition_point(|chunk| chunk.last < alert);
        if log.chunks.get(at).is_none_or(|chunk| alert < chunk.first) {
            return;
        }
        if log.retracted.end != log.base {
            log.retracted = log.base..log.base;
        }
        for _ in 0..=at {
            log.drop_oldest();
        }
        log.retracted.end = log.base;
    }

    fn wake(&self) {
        self.wake.send_replace(());
        for (listener, tag) in &*self.listeners() {
            listener.news(*tag);
        }
    }

    /// The position after the newest chunk.
    pub(super) fn end(&self) -> u64 {
        let log = self.log();
        log.base + log.chunks.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.log().bytes
    }

    /// Passes the chunks from `position` on to `take`: at least one, and about `limit` bytes.
    pub(super) fn read(&self, position: u64, limit: usize, mut take: impl FnMut(Chunk)) -> ReadOutcome {
        let log = self.log();
        let Some(offset) = position.checked_sub(log.base).and_then(|offset| usize::try_from(offset).ok()) else {
            let is_retracted = log.retracted.contains(&position);
            return if is_retracted { ReadOutcome::Retracted } else { ReadOutcome::Overwritten };
        };
        let mut bytes = 0;
        for chunk in log.chunks.range(offset.min(log.chunks.len())..) {
            if bytes > 0 && bytes + chunk.wire.len() > limit {
                break;
            }
            bytes += chunk.wire.len();
            take(chunk.clone());
        }
        if bytes == 0 { ReadOutcome::Nothing } else { ReadOutcome::Chunks }
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    pub(super) fn add_listener(&self, listener: Arc<dyn RingListener>, tag: RingTag) {
        self.listeners().push((listener, tag));
    }

    pub(super) fn remove_listener(&self, listener: &Arc<dyn RingListener>) {
        self.listeners().retain(|(other, _)| !Arc::ptr_eq(other, listener));
    }
}

impl Log {
    fn seal(&mut self) {
        let alerts = self.open.len();
        let wire = match &self.open[..] {
            [] => return,
            // All rings of a format share the encoded chunk of a single alert.
            [alert] => alert.clone(),
            several => {
                let mut joined = BytesMut::with_capacity(self.open_bytes);
                chunked::write(&mut joined, |out| several.iter().for_each(|one| out.put(chunked::content(one))));
                joined.freeze()
            }
        };
        self.open.clear();
        self.open_bytes = 0;
        self.bytes += wire.len();
        let (first, last, received_ms) = (self.open_first, self.open_last, self.open_received_ms);
        self.chunks.push_back(Chunk { wire, alerts: alerts as u64, first, last, received_ms });
    }

    /// Keeps the newest chunk in any case, or a ring with a tiny share would deliver nothing.
    fn shrink(&mut self, cap: usize) {
        while self.bytes > cap && self.chunks.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(old) = self.chunks.pop_front() {
            self.bytes -= old.wire.len();
            self.base += 1;
        }
    }
}
