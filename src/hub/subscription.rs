//! A subscriber's place in the fan-out, and a broadcast loop's hold on a ring.

use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use super::ring::{Chunk, ReadOutcome, Ring, RingListener};
use super::wake_signal::WakeSignal;
use crate::alert::Id;
use crate::sse::Format;

/// What a subscriber finds next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Blocks to send.
    Chunk(Chunk),
    /// Nothing to send; all up to this id was delivered or filtered out.
    Idle(Id),
    /// The ring does not have what comes next: [`rejoin`](Subscription::rejoin), and read up to there from the engine.
    Lost,
}

/// Tells rings apart while they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RingId(usize);

/// A cursor in a ring, or, beyond the cap on rings, just in the log, with a signal.
pub(crate) struct Subscription {
    hub: Arc<Shared>,
    source: Source,
    joined: Id,
}

pub(super) enum Source {
    Ring { ring: Arc<Ring>, position: u64, wake: watch::Receiver<()> },
    Log { signal: Arc<WakeSignal>, woken: watch::Receiver<Id> },
}

impl Source {
    pub(super) fn ring(ring: Arc<Ring>) -> Self {
        Self::Ring { position: 0, wake: ring.listen(), ring }
    }

    pub(super) fn signal(signal: Arc<WakeSignal>) -> Self {
        Self::Log { woken: signal.listen(), signal }
    }
}

/// A ring as a broadcast loop holds it, for all its subscribers there: it is read by position, and says when it has news.
pub(crate) struct RingReader {
    hub: Arc<Shared>,
    ring: Arc<Ring>,
    listener: Arc<dyn RingListener>,
}

impl Subscription {
    pub(super) fn new(hub: Arc<Shared>, source: Source) -> Self {
        let mut subscription = Self { hub, source, joined: Id::ZERO };
        subscription.rejoin();
        subscription
    }

    /// All after this id comes through the subscription; all up to it is the engine's to replay.
    #[must_use]
    pub(crate) const fn joined(&self) -> Id {
        self.joined
    }

    /// The ring and the position in it; none beyond the cap on rings.
    #[must_use]
    pub(crate) fn ring_position(&self) -> Option<(RingId, u64)> {
        match &self.source {
            Source::Ring { ring, position, .. } => Some((RingId(Arc::as_ptr(ring) as usize), *position)),
            Source::Log { .. } => None,
        }
    }

    /// A hold on the ring for a loop, which knows it by `number`; none beyond the cap on rings.
    #[must_use]
    pub(crate) fn reader(&self, listener: Arc<dyn RingListener>, number: u32) -> Option<RingReader> {
        let Source::Ring { ring, .. } = &self.source else { return None };
        self.hub.state().hold(ring);
        ring.add_listener(Arc::clone(&listener), number);
        Some(RingReader { hub: Arc::clone(&self.hub), ring: Arc::clone(ring), listener })
    }

    /// Waits until the hub was fed with this id, which the log has given, and joins behind it. Safe to cancel.
    pub(crate) async fn reach(&mut self, id: Id) {
        self.hub.reach(id).await;
        self.rejoin();
    }

    /// Skips to the newest, and returns the new [`joined`](Self::joined).
    pub(crate) fn rejoin(&mut self) -> Id {
        // Under the hub's lock, or an alert could fall between the position and the head.
        let _feeding = self.hub.state();
        if let Source::Ring { ring, position, .. } = &mut self.source {
            *position = ring.end();
        }
        self.joined = *self.hub.head.borrow();
        self.joined
    }

    /// What comes next, without waiting.
    pub(crate) fn next(&mut self) -> Next {
        // Before the look into the ring: an alert that is fed in between is behind this head.
        let head = *self.hub.head.borrow();
        match &mut self.source {
            Source::Log { woken, .. } => {
                if *woken.borrow_and_update() > self.joined {
                    return Next::Lost;
                }
                Next::Idle(head.max(self.joined))
            }
            Source::Ring { ring, position, wake } => {
                wake.mark_unchanged();
                let mut next = None;
                match (ring.read(*position, 0, |chunk| next = Some(chunk)), next) {
                    (ReadOutcome::Overwritten, _) => Next::Lost,
                    (_, Some(chunk)) => {
                        *position += 1;
                        Next::Chunk(chunk)
                    }
                    (_, None) => Next::Idle(head.max(self.joined)),
                }
            }
        }
    }

    /// Waits until [`next`](Self::next) may find something else. Safe to cancel.
    pub(crate) async fn changed(&mut self) {
        let gone = match &mut self.source {
            Source::Ring { wake, .. } => wake.changed().await.is_err(),
            Source::Log { woken, .. } => woken.changed().await.is_err(),
        };
        if gone {
            // The senders live as long as this subscription holds them, so this is never reached.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        match &self.source {
            Source::Ring { ring, .. } => self.hub.state().leave(ring),
            Source::Log { signal, .. } => self.hub.state().signals.remove(signal),
        }
    }
}

impl RingReader {
    /// How its blocks are written.
    #[must_use]
    pub(crate) fn format(&self) -> Format {
        self.ring.format()
    }

    /// Appends the chunks from `position` on, one at the least and about `most` bytes.
    pub(crate) fn read(&self, position: u64, most: usize, into: &mut Vec<Chunk>) -> ReadOutcome {
        self.ring.read(position, most, |chunk| into.push(chunk))
    }

    /// The position behind the newest chunk, and an id up to which whoever stands there has had everything.
    #[must_use]
    pub(crate) fn end(&self) -> (u64, Id) {
        // The id first: an alert that is fed in between is behind it.
        let head = *self.hub.head.borrow();
        (self.ring.end(), head)
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.ring.remove_listener(&self.listener);
        self.hub.state().leave(&self.ring);
    }
}
