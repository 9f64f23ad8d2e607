//! The streams of one loop: small plain records in a slab, and the lists that they are in.
//!
//! Owned by the loop alone. A record holds all that makes up a stream, and nothing that a process could not write down for
//! its successor but the descriptor itself. What few streams need (the unsent of a chunk that the socket took in part) lies
//! beside the slab.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use bytes::Bytes;

use super::ConnectionGuard;
use crate::alert::Id;
use crate::service::StreamSlot;

/// No subscriber.
pub(super) const NONE: u32 = u32::MAX;
/// SubscriberSlab of one page; the slab grows by pages and copies none.
const SLAB_PAGE: usize = 1024;

/// What a subscriber waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// News: it is in its queue's list, and its socket has room.
    Ready,
    /// Room in its socket.
    Blocked,
    /// Room for its last words; it is in no list.
    Ending,
}

/// The two lists that a subscriber may be in.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListKind {
    /// The ready subscribers of a queue, the longest unserved first.
    Ready = 0,
    /// The subscribers of a group.
    KeyGroup = 1,
}

/// A subscriber's neighbours in a list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    previous: u32,
    next: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { previous: NONE, next: NONE }
    }
}

/// The ends of a list.
#[derive(Clone, Copy)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    pub(super) const fn first(&self) -> Option<u32> {
        if self.first == NONE { None } else { Some(self.first) }
    }
}

/// One stream.
pub(super) struct Subscriber {
    pub(super) socket: OwnedFd,
    /// Where its key, filter and format are.
    pub(super) group: u32,
    /// The next chunk of its ring.
    pub(super) position: u64,
    /// All up to this id was delivered or filtered out.
    pub(super) cursor: Id,
    /// When its socket last took something, milliseconds of the loop's clock, which wraps.
    pub(super) last_write_ms: u32,
    /// When it is old enough, seconds of the loop's clock.
    pub(super) ends_at_s: u32,
    pub(super) retry_ms: u32,
    pub(super) state: State,
    /// The loop listen_to when its socket has room again. A stream that was never blocked does without.
    pub(super) polls_writable: bool,
    /// By [`ListKind`].
    pub(super) links: [Link; 2],
    pub(super) slot: StreamSlot,
    pub(super) guard: ConnectionGuard,
}

#[derive(Default)]
pub(super) struct SubscriberSlab {
    pages: Vec<Vec<Option<Subscriber>>>,
    free: Vec<u32>,
    /// What is left of the chunk that a socket took in part.
    unsent: HashMap<u32, Bytes>,
}

impl SubscriberSlab {
    /// Counters below this one may be taken.
    pub(super) fn end(&self) -> u32 {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * SLAB_PAGE + last.len()) as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.end() as usize
    }

    pub(super) fn insert(&mut self, subscriber: Subscriber) -> u32 {
        if let Some(number) = self.free.pop() {
            self.pages[number as usize / SLAB_PAGE][number as usize % SLAB_PAGE] = Some(subscriber);
            return number;
        }
        let number = self.end();
        if (number as usize).is_multiple_of(SLAB_PAGE) {
            self.pages.push(Vec::with_capacity(SLAB_PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(Some(subscriber));
        }
        number
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Subscriber> {
        self.pages.get_mut(number as usize / SLAB_PAGE)?.get_mut(number as usize % SLAB_PAGE)?.as_mut()
    }

    /// Takes a subscriber out; it must be in no list.
    pub(super) fn remove(&mut self, number: u32) -> Option<(Subscriber, Option<Bytes>)> {
        let subscriber =
            self.pages.get_mut(number as usize / SLAB_PAGE)?.get_mut(number as usize % SLAB_PAGE)?.take()?;
        self.free.push(number);
        if self.is_empty() {
            // What a crowd took is given back when it is gone.
            self.pages = Vec::new();
            self.free = Vec::new();
        }
        Some((subscriber, self.unsent.remove(&number)))
    }

    pub(super) fn unsent(&self, number: u32) -> Option<&Bytes> {
        self.unsent.get(&number)
    }

    /// Notes what goes out before anything else; nothing where it is empty.
    pub(super) fn set_unsent(&mut self, number: u32, unsent: Bytes) {
        if unsent.is_empty() {
            self.unsent.remove(&number);
        } else {
            self.unsent.insert(number, unsent);
        }
    }

    pub(super) fn push_last(&mut self, list: &mut List, kind: ListKind, number: u32) {
        let last = list.last;
        self.set_link(number, kind, Link { previous: last, next: NONE });
        match self.link(last, kind) {
            Some(link) => link.next = number,
            None => list.first = number,
        }
        list.last = number;
    }

    pub(super) fn push_first(&mut self, list: &mut List, kind: ListKind, number: u32) {
        let first = list.first;
        self.set_link(number, kind, Link { previous: NONE, next: first });
        match self.link(first, kind) {
            Some(link) => link.previous = number,
            None => list.last = number,
        }
        list.first = number;
    }

    /// Takes a subscriber out of a list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, kind: ListKind, number: u32) {
        let Some(&mut Link { previous, next }) = self.link(number, kind) else { return };
        match self.link(previous, kind) {
            Some(link) => link.next = next,
            None => list.first = next,
        }
        match self.link(next, kind) {
            Some(link) => link.previous = previous,
            None => list.last = previous,
        }
        self.set_link(number, kind, Link::default());
    }

    fn link(&mut self, number: u32, kind: ListKind) -> Option<&mut Link> {
        self.get(number).map(|subscriber| &mut subscriber.links[kind as usize])
    }

    fn set_link(&mut self, number: u32, kind: ListKind, link: Link) {
        if let Some(own) = self.link(number, kind) {
            *own = link;
        }
    }
}
