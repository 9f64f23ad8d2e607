//! The subscribers of a loop: small records in a slab, and the lists that they are in.
//!
//! Owned by the loop. A [`Subscriber`] is plain data except for its descriptor and the two guards that count it.
//! Together with its key group's context it holds all that a successor process needs to continue the stream. The unsent
//! bytes of a chunk that the socket took in part are kept beside the slab, because few subscribers have any.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use bytes::{Buf, Bytes};

use super::ids::{KeyGroupId, SubscriberId};
use super::invariant::present;
use crate::alert::Id;
use crate::delivery::slots::StreamSlot;
use crate::delivery::socket_sink::ConnectionGuard;
use crate::hub::Held;

/// Subscribers of one page. The slab grows by pages, so it never copies a subscriber.
const SLAB_PAGE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for news: its socket has room, and it is in the ready list of its ring queue.
    Ready,
    /// Waits for room in its socket.
    Blocked,
    /// Waits for room for its final bytes. It is in no list.
    Ending,
}

/// The two lists that a subscriber may be in.
#[derive(Clone, Copy, Debug)]
pub(super) enum ListKind {
    /// The ready list of a ring queue.
    Ready = 0,
    /// The members of a key group.
    KeyGroup = 1,
}

/// The neighbours of a subscriber in a list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    previous: SubscriberId,
    next: SubscriberId,
}

impl Default for Link {
    fn default() -> Self {
        Self { previous: SubscriberId::NONE, next: SubscriberId::NONE }
    }
}

/// The two ends of a doubly linked list.
#[derive(Clone, Copy)]
pub(super) struct List {
    first: SubscriberId,
    last: SubscriberId,
}

impl Default for List {
    fn default() -> Self {
        Self { first: SubscriberId::NONE, last: SubscriberId::NONE }
    }
}

impl List {
    pub(super) fn first(&self) -> Option<SubscriberId> {
        (self.first != SubscriberId::NONE).then_some(self.first)
    }
}

pub(super) struct Subscriber {
    pub(super) socket: OwnedFd,
    /// Has the key, filter and format.
    pub(super) group: KeyGroupId,
    /// The position of the next chunk in its ring.
    pub(super) position: u64,
    /// Everything up to this id was delivered or filtered out.
    pub(super) cursor: Id,
    /// When its socket last took bytes, in milliseconds of the loop's clock, which wraps around.
    pub(super) last_write_ms: u32,
    /// When it reaches its maximum age, in seconds of the loop's clock.
    pub(super) expires_at_s: u32,
    pub(super) retry_ms: u32,
    pub(super) state: State,
    /// Whether epoll reports room in the socket. Not set up for a subscriber that was never blocked.
    pub(super) polls_writable: bool,
    /// Indexed by [`ListKind`].
    pub(super) links: [Link; 2],
    pub(super) slot: StreamSlot,
    pub(super) connection: ConnectionGuard,
}

#[derive(Default)]
pub(super) struct SubscriberSlab {
    pages: Vec<Vec<Option<Subscriber>>>,
    free: Vec<SubscriberId>,
    /// The rest of a chunk that a socket took in part.
    unsent: HashMap<SubscriberId, Unsent>,
}

/// What goes out to a subscriber before anything else.
pub(super) struct Unsent {
    pub(super) bytes: Bytes,
    /// The alerts of the chunk that the bytes are a part of.
    pub(super) held: Held,
}

impl SubscriberSlab {
    /// All ids in use are below this one.
    pub(super) fn end(&self) -> u32 {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * SLAB_PAGE + last.len()) as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.end() as usize
    }

    pub(super) fn insert(&mut self, subscriber: Subscriber) -> SubscriberId {
        if let Some(id) = self.free.pop() {
            self.pages[id.0 as usize / SLAB_PAGE][id.0 as usize % SLAB_PAGE] = Some(subscriber);
            return id;
        }
        let id = self.end();
        if (id as usize).is_multiple_of(SLAB_PAGE) {
            self.pages.push(Vec::with_capacity(SLAB_PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(Some(subscriber));
        }
        SubscriberId(id)
    }

    pub(super) fn get(&mut self, id: SubscriberId) -> Option<&mut Subscriber> {
        self.pages.get_mut(id.0 as usize / SLAB_PAGE)?.get_mut(id.0 as usize % SLAB_PAGE)?.as_mut()
    }

    /// Takes a subscriber out, with its unsent bytes, and leaves all lists as they are. For the end of the loop.
    pub(super) fn take(&mut self, id: SubscriberId) -> Option<(Subscriber, Option<Unsent>)> {
        let subscriber = self.pages.get_mut(id.0 as usize / SLAB_PAGE)?.get_mut(id.0 as usize % SLAB_PAGE)?.take()?;
        Some((subscriber, self.unsent.remove(&id)))
    }

    /// Removes a subscriber, which must be in no list, and returns it with its unsent bytes.
    pub(super) fn remove(&mut self, id: SubscriberId) -> Option<(Subscriber, Option<Unsent>)> {
        let removed = self.take(id)?;
        self.free.push(id);
        if self.is_empty() {
            // Frees the pages once no subscriber is left.
            self.pages = Vec::new();
            self.free = Vec::new();
        }
        Some(removed)
    }

    pub(super) fn unsent(&self, id: SubscriberId) -> Option<&Unsent> {
        self.unsent.get(&id)
    }

    pub(super) fn set_unsent(&mut self, id: SubscriberId, unsent: Unsent) {
        self.unsent.insert(id, unsent);
    }

    /// Takes off the first bytes of what is unsent.
    pub(super) fn sent(&mut self, id: SubscriberId, bytes: usize) {
        if let Some(unsent) = self.unsent.get_mut(&id) {
            unsent.bytes.advance(bytes);
            if unsent.bytes.is_empty() {
                self.unsent.remove(&id);
            }
        }
    }

    pub(super) fn push_last(&mut self, list: &mut List, kind: ListKind, id: SubscriberId) {
        let last = list.last;
        self.set_link(id, kind, Link { previous: last, next: SubscriberId::NONE });
        match self.link(last, kind) {
            Some(link) => link.next = id,
            None => list.first = id,
        }
        list.last = id;
    }

    pub(super) fn push_first(&mut self, list: &mut List, kind: ListKind, id: SubscriberId) {
        let first = list.first;
        self.set_link(id, kind, Link { previous: SubscriberId::NONE, next: first });
        match self.link(first, kind) {
            Some(link) => link.previous = id,
            None => list.last = id,
        }
        list.first = id;
    }

    /// Removes a subscriber from a list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, kind: ListKind, id: SubscriberId) {
        let &mut Link { previous, next } = present!(self.link(id, kind), "a subscriber of a list");
        match self.link(previous, kind) {
            Some(link) => link.next = next,
            None => list.first = next,
        }
        match self.link(next, kind) {
            Some(link) => link.previous = previous,
            None => list.last = previous,
        }
        self.set_link(id, kind, Link::default());
    }

    fn link(&mut self, id: SubscriberId, kind: ListKind) -> Option<&mut Link> {
        self.get(id).map(|subscriber| &mut subscriber.links[kind as usize])
    }

    fn set_link(&mut self, id: SubscriberId, kind: ListKind, link: Link) {
        *present!(self.link(id, kind), "a subscriber of a list") = link;
    }
}
