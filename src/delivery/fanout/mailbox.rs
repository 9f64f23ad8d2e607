//! What other threads tell a broadcast loop: new streams, key groups that end, rings with news, markers of the watchdog.
//!
//! Always: a loop that sleeps is woken by whatever arrives, except for streams that can wait for its next turn.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, eventfd};

use super::ids::{KeyGroupId, RingQueueId};
use crate::delivery::stream::CaughtUp;
use crate::hub::{RingId, RingListener, RingTag};
use crate::sse::Bye;

/// Bounded by the number of streams and key groups that there may be.
pub(super) enum Command {
    Add(Box<CaughtUp>),
    /// Ends all streams of this key group, unless its id now belongs to a group with another serial number.
    End {
        group: KeyGroupId,
        serial: u64,
        bye: Bye,
    },
    /// Gives all streams to the next process, and ends the loop.
    Suspend,
    Quit,
}

pub(in crate::delivery) struct Mailbox {
    queue: Mutex<Queue>,
    /// The loop sleeps or is about to, so a thread that adds something has to wake it.
    asleep: AtomicBool,
    /// An eventfd, readable after a wake-up.
    waker: OwnedFd,
    streams: AtomicU32,
    /// The newest marker of the watchdog, and the newest one that the loop has seen.
    marker: AtomicU64,
    synced: AtomicU64,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// Ring queues whose ring has news.
    news: HashSet<RingQueueId>,
    /// Rings that the loop listens to.
    rings: HashSet<RingId>,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (marker, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        let (asleep, streams) = (AtomicBool::new(false), AtomicU32::new(0));
        Ok(Self { queue: Mutex::default(), asleep, waker, streams, marker, synced })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    pub(super) fn waker(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// Streams that the loop has or is about to get.
    pub(super) fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    /// The loop no longer has one of its streams.
    pub(super) fn stream_left(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn add(&self, stream: Box<CaughtUp>) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let ring = stream.subscription.ring_position().map(|(ring, _)| ring);
        let mut queue = self.queue();
        // If the loop already listens to the ring, the stream can wait for its next turn. A wake-up for each new
        // stream would cost more than the rest of its connection.
        let can_wait = ring.is_some_and(|ring| queue.rings.contains(&ring));
        queue.commands.push_back(Command::Add(stream));
        drop(queue);
        if !can_wait {
            self.wake();
        }
    }

    /// Called by the loop when it begins to listen to a ring.
    pub(super) fn listens_to(&self, ring: RingId) {
        self.queue().rings.insert(ring);
    }

    /// Called by the loop when it no longer listens to a ring.
    pub(super) fn left_ring(&self, ring: RingId) {
        self.queue().rings.remove(&ring);
    }

    pub(super) fn send(&self, command: Command) {
        self.queue().commands.push_back(command);
        self.wake();
    }

    pub(super) fn mark(&self, marker: u64) {
        self.marker.store(marker, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // This fails only if the counter is about to overflow, and then it is readable anyway.
            let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
        }
    }

    /// Moves everything that arrived to the loop.
    pub(super) fn take(&self, commands: &mut VecDeque<Command>, news: &mut Vec<RingQueueId>) {
        self.synced.store(self.marker.load(Ordering::SeqCst), Ordering::SeqCst);
        let mut queue = self.queue();
        commands.append(&mut queue.commands);
        news.extend(queue.news.drain());
    }

    /// Announces that the loop is about to sleep. False if it must not, because something has arrived.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let queue = self.queue();
        let is_synced = self.synced() == self.marker.load(Ordering::SeqCst);
        let may = queue.commands.is_empty() && queue.news.is_empty() && is_synced;
        if !may {
            self.asleep.store(false, Ordering::SeqCst);
        }
        may
    }

    /// Announces that the loop is awake.
    pub(super) fn set_awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl RingListener for Mailbox {
    fn news(&self, ring: RingTag) {
        let is_new = self.queue().news.insert(ring.into());
        if is_new {
            self.wake();
        }
    }
}
