//! The streams of one loop: small plain records in a slab, and the lists that they are in.
//!
//! Owned by the loop alone. A record holds all that makes up a stream, and nothing that a process could not write down for
//! its successor but the descriptor itself. What few streams need (the rest of a chunk that the socket took in part) lies
//! beside the slab.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use bytes::Bytes;

use super::Tenure;
use crate::alert::Id;
use crate::service::Place;

/// No seat.
pub(super) const NONE: u32 = u32::MAX;
/// Seats of one page; the slab grows by pages and copies none.
const PAGE: usize = 1024;

/// What a seat waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// News: it is in its row's list, and its socket has room.
    Ready,
    /// Room in its socket.
    Blocked,
    /// Room for its last words; it is in no list.
    Ending,
}

/// The two lists that a seat may be in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chain {
    /// The ready seats of a row, the longest unserved first.
    Ready = 0,
    /// The seats of a group.
    Group = 1,
}

/// A seat's neighbours in a list.
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
pub(super) struct Seat {
    pub(super) socket: OwnedFd,
    /// Where its key, filter and format are.
    pub(super) group: u32,
    /// The next chunk of its ring.
    pub(super) position: u64,
    /// All up to this id was delivered or filtered out.
    pub(super) cursor: Id,
    /// When its socket last took something, milliseconds of the loop's clock, which wraps.
    pub(super) touched: u32,
    /// When it is old enough, seconds of the loop's clock.
    pub(super) ends_at: u32,
    pub(super) retry_ms: u32,
    pub(super) state: State,
    /// The loop hears when its socket has room again. A stream that was never blocked does without.
    pub(super) hears_room: bool,
    /// By [`Chain`].
    pub(super) links: [Link; 2],
    pub(super) place: Place,
    pub(super) tenure: Tenure,
}

#[derive(Default)]
pub(super) struct Seats {
    pages: Vec<Vec<Option<Seat>>>,
    free: Vec<u32>,
    /// What is left of the chunk that a socket took in part.
    rests: HashMap<u32, Bytes>,
}

impl Seats {
    /// Numbers below this one may be taken.
    pub(super) fn end(&self) -> u32 {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len()) as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.end() as usize
    }

    pub(super) fn insert(&mut self, seat: Seat) -> u32 {
        if let Some(number) = self.free.pop() {
            self.pages[number as usize / PAGE][number as usize % PAGE] = Some(seat);
            return number;
        }
        let number = self.end();
        if (number as usize).is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(Some(seat));
        }
        number
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Seat> {
        self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)?.as_mut()
    }

    /// Takes a seat out; it must be in no list.
    pub(super) fn remove(&mut self, number: u32) -> Option<(Seat, Option<Bytes>)> {
        let seat = self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)?.take()?;
        self.free.push(number);
        if self.is_empty() {
            // What a crowd took is given back when it is gone.
            self.pages = Vec::new();
            self.free = Vec::new();
        }
        Some((seat, self.rests.remove(&number)))
    }

    pub(super) fn rest(&self, number: u32) -> Option<&Bytes> {
        self.rests.get(&number)
    }

    /// Notes what goes out before anything else; nothing where it is empty.
    pub(super) fn set_rest(&mut self, number: u32, rest: Bytes) {
        if rest.is_empty() {
            self.rests.remove(&number);
        } else {
            self.rests.insert(number, rest);
        }
    }

    pub(super) fn push_last(&mut self, list: &mut List, chain: Chain, number: u32) {
        let last = list.last;
        self.set_link(number, chain, Link { previous: last, next: NONE });
        match self.link(last, chain) {
            Some(link) => link.next = number,
            None => list.first = number,
        }
        list.last = number;
    }

    pub(super) fn push_first(&mut self, list: &mut List, chain: Chain, number: u32) {
        let first = list.first;
        self.set_link(number, chain, Link { previous: NONE, next: first });
        match self.link(first, chain) {
            Some(link) => link.previous = number,
            None => list.last = number,
        }
        list.first = number;
    }

    /// Takes a seat out of a list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, chain: Chain, number: u32) {
        let Some(&mut Link { previous, next }) = self.link(number, chain) else { return };
        match self.link(previous, chain) {
            Some(link) => link.next = next,
            None => list.first = next,
        }
        match self.link(next, chain) {
            Some(link) => link.previous = previous,
            None => list.last = previous,
        }
        self.set_link(number, chain, Link::default());
    }

    fn link(&mut self, number: u32, chain: Chain) -> Option<&mut Link> {
        self.get(number).map(|seat| &mut seat.links[chain as usize])
    }

    fn set_link(&mut self, number: u32, chain: Chain, link: Link) {
        if let Some(own) = self.link(number, chain) {
            *own = link;
        }
    }
}
