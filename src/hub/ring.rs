//! A bounded log of wire-ready bytes for one distinct subscription. A subscriber is a cursor in it.
//!
//! Fed by the [`Hub`](super::Hub) alone, under its lock; read by any number of subscribers. Every chunk holds whole
//! blocks, so whatever goes out ends where a block ends.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use crate::alert::{Filter, Id};
use crate::sse::Format;

/// What is found at a position.
pub(super) enum Found {
    /// Some blocks.
    Chunk(Chunk),
    /// Nothing yet.
    Nothing,
    /// The position was overwritten.
    Overwritten,
}

/// Whole blocks that go out together.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The encoded blocks.
    pub frames: Bytes,
    /// How many alerts they are.
    pub alerts: u64,
    /// The id of the last one.
    pub last: Id,
}

pub(super) struct Ring {
    pub(super) filter: Filter,
    pub(super) format: Format,
    /// The key whose stream asked for it first; it counts against that key's share.
    pub(super) owner: String,
    log: Mutex<Log>,
    wake: watch::Sender<()>,
}

#[derive(Default)]
struct Log {
    /// Position of the first chunk.
    base: u64,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Blocks of the batch that is being fed, not yet visible; bounded by [`Ring::CHUNK`].
    open: Vec<Bytes>,
    open_bytes: usize,
    open_last: Id,
}

impl Ring {
    /// One chunk grows to about this many bytes, so that a slow reader holds no more.
    const CHUNK: usize = 64 << 10;

    pub(super) fn new(filter: Filter, format: Format, owner: String) -> Self {
        Self { filter, format, owner, log: Mutex::default(), wake: watch::Sender::new(()) }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the encoded block of an alert to the batch; true for the first of a batch.
    pub(super) fn push(&self, block: Bytes, id: Id) -> bool {
        let mut log = self.log();
        let first = log.open.is_empty();
        log.open_bytes += block.len();
        log.open.push(block);
        log.open_last = id;
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
        self.wake.send_replace(());
    }

    /// The position behind the newest chunk.
    pub(super) fn end(&self) -> u64 {
        let log = self.log();
        log.base + log.chunks.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.log().bytes
    }

    pub(super) fn at(&self, position: u64) -> Found {
        let log = self.log();
        match position.checked_sub(log.base).and_then(|offset| usize::try_from(offset).ok()) {
            None => Found::Overwritten,
            Some(offset) => log.chunks.get(offset).cloned().map_or(Found::Nothing, Found::Chunk),
        }
    }

    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }
}

impl Log {
    fn seal(&mut self) {
        let alerts = self.open.len();
        let frames = match &self.open[..] {
            [] => return,
            // A lone block is shared by all rings of its format.
            [block] => block.clone(),
            blocks => {
                let mut joined = BytesMut::with_capacity(self.open_bytes);
                blocks.iter().for_each(|block| joined.extend_from_slice(block));
                joined.freeze()
            }
        };
        self.open.clear();
        self.open_bytes = 0;
        self.bytes += frames.len();
        self.chunks.push_back(Chunk { frames, alerts: alerts as u64, last: self.open_last });
    }

    /// The newest chunk always stays, or a ring with a tiny share would deliver nothing.
    fn shrink(&mut self, cap: usize) {
        while self.bytes > cap && self.chunks.len() > 1 {
            if let Some(old) = self.chunks.pop_front() {
                self.bytes -= old.frames.len();
                self.base += 1;
            }
        }
    }
}
