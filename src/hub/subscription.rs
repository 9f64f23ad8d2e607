//! A subscription: a cursor in a ring. And a reader: a broadcast loop's handle on a ring.

use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use super::ring::{Chunk, ReadOutcome, Ring, RingListener, RingTag};
use super::wake_signal::WakeSignal;
use crate::alert::Id;
use crate::sse::Format;

/// What a subscription has next.
#[derive(Debug)]
pub(crate) enum Next {
    Chunk(Chunk),
    /// Nothing to send. Everything up to this id was delivered or filtered out.
    Idle(Id),
    /// The hub does not have what comes next: [`rejoin`](Subscription::rejoin), and read up to there from the engine.
    Lost,
    /// The same, because an alert was retracted.
    Retracted,
}

/// Identifies a ring while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RingId(usize);

pub(crate) struct Subscription {
    hub: Arc<Shared>,
    source: Source,
    joined: Id,
}

/// Where a subscription learns of new alerts.
pub(super) enum Source {
    Ring {
        ring: Arc<Ring>,
        position: u64,
        wake: watch::Receiver<()>,
    },
    /// Beyond the cap on rings: only the log has the alerts, and the signal tells when there are new ones.
    Log {
        signal: Arc<WakeSignal>,
        woken: watch::Receiver<Id>,
    },
}

impl Source {
    pub(super) fn ring(ring: Arc<Ring>) -> Self {
        Self::Ring { position: 0, wake: ring.watch(), ring }
    }

    pub(super) fn log(signal: Arc<WakeSignal>) -> Self {
        Self::Log { woken: signal.watch(), signal }
    }
}

/// A ring as a broadcast loop holds it, once for all its subscribers there. It is read by position, and tells a listener
/// when it has news.
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

    /// Everything after this id comes through the subscription. Everything up to it has to be replayed from the engine.
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

    /// A reader of the ring for a loop, whose listener is notified of news with `tag`; none beyond the cap on rings.
    #[must_use]
    pub(crate) fn reader(&self, listener: Arc<dyn RingListener>, tag: RingTag) -> Option<RingReader> {
        let Source::Ring { ring, .. } = &self.source else { return None };
        self.hub.state().add_subscriber(ring);
        ring.add_listener(Arc::clone(&listener), tag);
        Some(RingReader { hub: Arc::clone(&self.hub), ring: Arc::clone(ring), listener })
    }

    /// Waits until the hub has this id, which must be in the log, and joins after it. Safe to cancel.
    pub(crate) async fn reach(&mut self, id: Id) {
        self.hub.reach(id).await;
        self.rejoin();
    }

    /// Skips to the newest alert. Returns the new [`joined`](Self::joined).
    pub(crate) fn rejoin(&mut self) -> Id {
        // Under the hub's lock, or an alert could fall between the position and the head.
        let _state = self.hub.state();
        if let Source::Ring { ring, position, .. } = &mut self.source {
            *position = ring.end();
        }
        self.joined = *self.hub.head.borrow();
        self.joined
    }

    /// What comes next, without waiting.
    pub(crate) fn next(&mut self) -> Next {
        // Read before the ring: an alert that arrives in between comes after this head.
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
                    (ReadOutcome::Retracted, _) => Next::Retracted,
                    (_, Some(chunk)) => {
                        *position += 1;
                        Next::Chunk(chunk)
                    }
                    (_, None) => Next::Idle(head.max(self.joined)),
                }
            }
        }
    }

    /// Waits until [`next`](Self::next) may return something else. Safe to cancel.
    pub(crate) async fn changed(&mut self) {
        let closed = match &mut self.source {
            Source::Ring { wake, .. } => wake.changed().await.is_err(),
            Source::Log { woken, .. } => woken.changed().await.is_err(),
        };
        if closed {
            // Never reached: the subscription itself keeps the sender alive.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        match &self.source {
            Source::Ring { ring, .. } => self.hub.state().remove_subscriber(ring),
            Source::Log { signal, .. } => self.hub.state().signals.remove(signal),
        }
    }
}

impl RingReader {
    #[must_use]
    pub(crate) fn format(&self) -> &Format {
        self.ring.format()
    }

    /// As [`Hub::retractions`](super::Hub::retractions).
    #[must_use]
    pub(crate) fn retractions(&self) -> u64 {
        self.hub.retractions.count()
    }

    /// Appends the chunks from `position` on: at least one, and about `limit` bytes.
    pub(crate) fn read(&self, position: u64, limit: usize, into: &mut Vec<Chunk>) -> ReadOutcome {
        self.ring.read(position, limit, |chunk| into.push(chunk))
    }

    /// The position after the newest chunk, and an id up to which a subscriber at that position has everything.
    #[must_use]
    pub(crate) fn end(&self) -> (u64, Id) {
        // The id is read first: an alert that arrives in between comes after it.
        let head = *self.hub.head.borrow();
        (self.ring.end(), head)
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.ring.remove_listener(&self.listener);
        self.hub.state().remove_subscriber(&self.ring);
    }
}
