//! What a loop is told by other threads: streams that come, groups that end, rings with news.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, eventfd};

use super::Adoption;
use crate::hub::{Listener, RingId};
use crate::sse::Bye;

/// What a loop is to do. Bounded by the streams and groups that there may be.
pub(super) enum Command {
    Adopt(Box<Adoption>),
    /// All streams of the group with this number end, if it is still the one of this serial number.
    End {
        group: u32,
        serial: u64,
        bye: Bye,
    },
    Quit,
}

pub(super) struct Inbox {
    post: Mutex<Post>,
    /// The loop sleeps, or is about to: whoever leaves something rings the bell.
    asleep: AtomicBool,
    bell: OwnedFd,
    seats: AtomicU32,
    /// The watchdog's newest marker, and the one that the loop has met.
    sent: AtomicU64,
    met: AtomicU64,
}

#[derive(Default)]
struct Post {
    commands: VecDeque<Command>,
    /// Rings with news, by their number in the loop.
    news: HashSet<u32>,
    /// Rings whose news wakes the loop.
    heard: HashSet<RingId>,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (sent, met) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { post: Mutex::default(), asleep: AtomicBool::new(false), bell, seats: AtomicU32::new(0), sent, met })
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock()
    }

    /// Becomes readable when something was left while the loop slept.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Streams that the loop has, or is about to get.
    pub(super) fn seats(&self) -> u32 {
        self.seats.load(Ordering::Relaxed)
    }

    pub(super) fn left(&self) {
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn adopt(&self, adoption: Box<Adoption>) {
        self.seats.fetch_add(1, Ordering::Relaxed);
        let ring = adoption.live.subscription.place().map(|(ring, _)| ring);
        let mut post = self.post();
        // Where its ring is heard, a stream that has nothing to get waits for the loop's next turn: waking it for each one
        // would cost more than the rest of the connection.
        let can_wait = ring.is_some_and(|ring| post.heard.contains(&ring));
        post.commands.push_back(Command::Adopt(adoption));
        drop(post);
        if !can_wait {
            self.wake();
        }
    }

    /// The loop listens to a ring from now on.
    pub(super) fn hears(&self, ring: RingId) {
        self.post().heard.insert(ring);
    }

    /// The loop, awake, lets go of a ring.
    pub(super) fn forgets(&self, ring: RingId) {
        self.post().heard.remove(&ring);
    }

    pub(super) fn send(&self, command: Command) {
        self.post().commands.push_back(command);
        self.wake();
    }

    /// Leaves the watchdog's marker, which proves that the loop takes its turns.
    pub(super) fn mark(&self, marker: u64) {
        self.sent.store(marker, Ordering::SeqCst);
        self.wake();
    }

    /// The newest marker that the loop has met.
    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It fails only where it was rung so often that it rings anyway.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Moves all that was left.
    pub(super) fn take(&self, commands: &mut VecDeque<Command>, news: &mut Vec<u32>) {
        self.met.store(self.sent.load(Ordering::SeqCst), Ordering::SeqCst);
        let mut post = self.post();
        commands.append(&mut post.commands);
        news.extend(post.news.drain());
    }

    /// Announces that the loop is about to sleep; false if it must not, because something was left.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let post = self.post();
        let is_marked = self.met() != self.sent.load(Ordering::SeqCst);
        let may = post.commands.is_empty() && post.news.is_empty() && !is_marked;
        if !may {
            self.asleep.store(false, Ordering::SeqCst);
        }
        may
    }

    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Listener for Inbox {
    fn news(&self, number: u32) {
        let new = self.post().news.insert(number);
        if new {
            self.wake();
        }
    }
}
