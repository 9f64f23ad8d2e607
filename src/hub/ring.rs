//! A bounded log of wire-ready bytes for one distinct subscription. A subscriber is a cursor in it.
//!
//! Fed by the [`Hub`](super::Hub) alone, under its lock; read by any number of subscribers. Every chunk holds whole
//! blocks, so whatever goes out ends where a block ends.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::routes::Filtered;
use crate::alert::{Filter, Id, Record};
use crate::chunked;
use crate::sse::Format;

/// Hears that a ring has news; called under the hub's lock, so it only makes a note.
pub(crate) trait RingListener: Send + Sync {
    /// The ring that was given this number has news.
    fn news(&self, number: u32);
}

/// What is found at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// Some chunks.
    Chunks,
    /// Nothing yet.
    Nothing,
    /// The position was overwritten.
    Overwritten,
}

/// Whole blocks that go out together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The encoded blocks as one chunk of HTTP/1.1's chunked coding.
    pub wire: Bytes,
    /// How many alerts they are.
    pub alerts: u64,
    /// The id of the last one.
    pub last: Id,
    /// When the first one came in, milliseconds since 1970.
    pub received_ms: u64,
}

impl Chunk {
    /// The encoded blocks alone, for a road with a framing of its own.
    #[must_use]
    pub(crate) fn blocks(&self) -> Bytes {
        chunked::content(&self.wire)
    }
}

/// What makes a subscription distinct.
pub(super) type RingKey = (Filter, Format);

pub(super) struct Ring {
    pub(super) key: RingKey,
    /// The key whose stream asked for it first; it counts against that key's share.
    pub(super) owner: String,
    log: Mutex<Log>,
    wake: watch::Sender<()>,
    /// One for each broadcast loop at the most.
    listeners: Mutex<Vec<(Arc<dyn RingListener>, u32)>>,
}

#[derive(Default)]
struct Log {
    /// Position of the first chunk.
    base: u64,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Chunks of one alert each, of the batch that is being fed, not yet visible; bounded by [`Ring::CHUNK`].
    open: Vec<Bytes>,
    open_bytes: usize,
    open_last: Id,
    open_received_ms: u64,
}

impl Filtered for Ring {
    fn filter(&self) -> &Filter {
        &self.key.0
    }
}

impl Ring {
    /// One chunk grows to about this many bytes: what a socket holds of a chunk that it took in part outlives the ring.
    const CHUNK: usize = 16 << 10;

    pub(super) fn new(key: RingKey, owner: String) -> Self {
        let (wake, listeners) = (watch::Sender::new(()), Mutex::default());
        Self { key, owner, log: Mutex::default(), wake, listeners }
    }

    pub(super) const fn format(&self) -> Format {
        self.key.1
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(Arc<dyn RingListener>, u32)>> {
        self.listeners.lock()
    }

    /// Adds an alert, encoded as a chunk of its own, to the batch; true for the first of a batch.
    pub(super) fn push(&self, alert: Bytes, record: &Record) -> bool {
        let mut log = self.log();
        let first = log.open.is_empty();
        if first {
            log.open_received_ms = record.received_ms;
        }
        log.open_bytes += alert.len();
        log.open.push(alert);
        log.open_last = record.id;
        if log.open_bytes >= Self::CHUNK {
            log.seal();
        }
        first
    }

    /// Ends the batch, drops what is over `cap` bytes and wakes the readers.
    pub(super) fn publish(&self, cap: usize) {
        {
            let mut log = self.log();
            log.seal();
            log.shrink(cap);
        }
        self.wake();
    }

    /// Drops what is over `cap` bytes.
    pub(super) fn shrink(&self, cap: usize) {
        self.log().shrink(cap);
    }

    /// Drops everything; no position that was ever given is in it any more.
    pub(super) fn forget(&self) {
        {
            let mut log = self.log();
            log.base += log.chunks.len() as u64 + 1;
            log.chunks.clear();
            log.bytes = 0;
        }
        self.wake();
    }

    fn wake(&self) {
        self.wake.send_replace(());
        for (listener, number) in &*self.listeners() {
            listener.news(*number);
        }
    }

    /// The position behind the newest chunk.
    pub(super) fn end(&self) -> u64 {
        let log = self.log();
        log.base + log.chunks.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.log().bytes
    }

    /// Gives the chunks from `position` on, one at the least and about `most` bytes.
    pub(super) fn read(&self, position: u64, most: usize, mut take: impl FnMut(Chunk)) -> ReadOutcome {
        let log = self.log();
        let Some(offset) = position.checked_sub(log.base).and_then(|offset| usize::try_from(offset).ok()) else {
            return ReadOutcome::Overwritten;
        };
        let mut bytes = 0;
        for chunk in log.chunks.range(offset.min(log.chunks.len())..) {
            if bytes > 0 && bytes + chunk.wire.len() > most {
                break;
            }
            bytes += chunk.wire.len();
            take(chunk.clone());
        }
        if bytes == 0 { ReadOutcome::Nothing } else { ReadOutcome::Chunks }
    }

    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    pub(super) fn add_listener(&self, listener: Arc<dyn RingListener>, number: u32) {
        self.listeners().push((listener, number));
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
            // A lone alert is shared by all rings of its format.
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
        let (last, received_ms) = (self.open_last, self.open_received_ms);
        self.chunks.push_back(Chunk { wire, alerts: alerts as u64, last, received_ms });
    }

    /// The newest chunk always stays, or a ring with a tiny share would deliver nothing.
    fn shrink(&mut self, cap: usize) {
        while self.bytes > cap && self.chunks.len() > 1 {
            if let Some(old) = self.chunks.pop_front() {
                self.bytes -= old.wire.len();
                self.base += 1;
            }
        }
    }
}
