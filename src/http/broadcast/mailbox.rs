//! What a loop is told by other threads: streams that come, groups that end, rings with news.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, eventfd};

use super::Handover;
use crate::hub::{RingId, RingListener};
use crate::sse::Bye;

/// What a loop is to do. Bounded by the streams and groups that there may be.
pub(super) enum Command {
    Add(Box<Handover>),
    /// All streams of the group with this number end, if it is still the one of this serial number.
    StreamEnd {
        group: u32,
        serial: u64,
        bye: Bye,
    },
    Quit,
}

pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    /// The loop sleeps, or is about to: whoever leaves something rings the waker.
    asleep: AtomicBool,
    waker: OwnedFd,
    subscribers: AtomicU32,
    /// The watchdog's newest marker, and the one that the loop has synced.
    sent: AtomicU64,
    synced: AtomicU64,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// Rings with news, by their number in the loop.
    news: HashSet<u32>,
    /// Rings whose news wakes the loop.
    listening: HashSet<RingId>,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sent, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self {
            queue: Mutex::default(),
            asleep: AtomicBool::new(false),
            waker,
            subscribers: AtomicU32::new(0),
            sent,
            synced,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Becomes readable when something was left while the loop slept.
    pub(super) fn waker(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// Streams that the loop has, or is about to get.
    pub(super) fn subscribers(&self) -> u32 {
        self.subscribers.load(Ordering::Relaxed)
    }

    pub(super) fn left(&self) {
        self.subscribers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn add(&self, handover: Box<Handover>) {
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        let ring = handover.caught_up.subscription.ring_position().map(|(ring, _)| ring);
        let mut queue = self.queue();
        // Where its ring is listening, a stream that has nothing to get waits for the loop's next turn: waking it for each one
        // would cost more than the unsent of the connection.
        let can_wait = ring.is_some_and(|ring| queue.listening.contains(&ring));
        queue.commands.push_back(Command::Add(handover));
        drop(queue);
        if !can_wait {
            self.wake();
        }
    }

    /// The loop listens to a ring from now on.
    pub(super) fn listen_to(&self, ring: RingId) {
        self.queue().listening.insert(ring);
    }

    /// The loop, awake, lets go of a ring.
    pub(super) fn stop_listening_to(&self, ring: RingId) {
        self.queue().listening.remove(&ring);
    }

    pub(super) fn send(&self, command: Command) {
        self.queue().commands.push_back(command);
        self.wake();
    }

    /// Leaves the watchdog's marker, which proves that the loop takes its turns.
    pub(super) fn mark(&self, marker: u64) {
        self.sent.store(marker, Ordering::SeqCst);
        self.wake();
    }

    /// The newest marker that the loop has synced.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It fails only where it was rung so often that it rings anyway.
            let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
        }
    }

    /// Moves all that was left.
    pub(super) fn take(&self, commands: &mut VecDeque<Command>, news: &mut Vec<u32>) {
        self.synced.store(self.sent.load(Ordering::SeqCst), Ordering::SeqCst);
        let mut queue = self.queue();
        commands.append(&mut queue.commands);
        news.extend(queue.news.drain());
    }

    /// Announces that the loop is about to sleep; false if it must not, because something was left.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let queue = self.queue();
        let is_marked = self.synced() != self.sent.load(Ordering::SeqCst);
        let may = queue.commands.is_empty() && queue.news.is_empty() && !is_marked;
        if !may {
            self.asleep.store(false, Ordering::SeqCst);
        }
        may
    }

    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl RingListener for Mailbox {
    fn news(&self, number: u32) {
        let new = self.queue().news.insert(number);
        if new {
            self.wake();
        }
    }
}
