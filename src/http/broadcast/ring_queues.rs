//! The rings and keys that a loop has streams of.
//!
//! Owned by the loop alone. A queue is a ring with its ready subscribers; a group is the streams of one key on one ring, so that
//! the end of a key finds its streams without a look at others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::mailbox::{Command, Mailbox};
use super::subscribers::List;
use crate::hub::{RingId, RingReader};
use crate::service::{CaughtUp, SlotOwner, StreamContext};

/// A ring, and who waits for its news.
pub(super) struct RingQueue {
    ring: RingId,
    pub(super) reader: RingReader,
    /// In the order in which they were served, so that the first one is the furthest behind.
    pub(super) ready: List,
    /// It stands in the loop's queue.
    pub(super) queued: bool,
    groups: u32,
}

/// The streams of one key on one ring.
pub(super) struct KeyGroup {
    key: KeyGroupKey,
    pub(super) context: Arc<StreamContext>,
    pub(super) queue: u32,
    pub(super) members: List,
    /// Tells it from one that had the same number before.
    pub(super) serial: u64,
    watcher: AbortHandle,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyGroupKey {
    owner: SlotOwner,
    ring: RingId,
    /// A reload may have changed it between two streams.
    heartbeat: Duration,
}

#[derive(Default)]
pub(super) struct RingQueues {
    ring_queues: Slab<RingQueue>,
    by_ring: HashMap<RingId, u32>,
    groups: Slab<KeyGroup>,
    by_key: HashMap<KeyGroupKey, u32>,
    serial: u64,
}

impl Drop for KeyGroup {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl RingQueues {
    /// The group of a stream, and its position; both are made if they are new. None beyond the cap on rings.
    pub(super) fn enter(
        &mut self,
        caught_up: &CaughtUp,
        mailbox: &Arc<Mailbox>,
        runtime: &Handle,
    ) -> Option<(u32, u64)> {
        let (ring, position) = caught_up.subscription.ring_position()?;
        let key = KeyGroupKey { owner: caught_up.slot.owner(), ring, heartbeat: caught_up.context.heartbeat() };
        if let Some(&number) = self.by_key.get(&key) {
            return Some((number, position));
        }
        let queue = self.queue_for(caught_up, ring, mailbox)?;
        self.queue(queue)?.groups += 1;
        let number = self.groups.vacant_key() as u32;
        self.serial += 1;
        let (serial, ended, mailbox) = (self.serial, caught_up.context.ended(), Arc::clone(mailbox));
        let watcher = runtime.spawn(async move {
            let bye = ended.await;
            mailbox.send(Command::StreamEnd { group: number, serial, bye });
        });
        self.groups.insert(KeyGroup {
            key: key.clone(),
            context: Arc::clone(&caught_up.context),
            queue,
            members: List::default(),
            serial,
            watcher: watcher.abort_handle(),
        });
        self.by_key.insert(key, number);
        Some((number, position))
    }

    fn queue_for(&mut self, caught_up: &CaughtUp, ring: RingId, mailbox: &Arc<Mailbox>) -> Option<u32> {
        if let Some(&queue) = self.by_ring.get(&ring) {
            return Some(queue);
        }
        let number = self.ring_queues.vacant_key() as u32;
        let listener: Arc<Mailbox> = Arc::clone(mailbox);
        let reader = caught_up.subscription.reader(listener, number)?;
        self.ring_queues.insert(RingQueue { ring, reader, ready: List::default(), queued: false, groups: 0 });
        self.by_ring.insert(ring, number);
        mailbox.listen_to(ring);
        Some(number)
    }

    /// Lets go of a group without members, and of its queue with the last group.
    pub(super) fn leave(&mut self, number: u32, mailbox: &Mailbox) {
        if self.group(number).is_none_or(|group| group.members.first().is_some()) {
            return;
        }
        let group = self.groups.remove(number as usize);
        if self.by_key.get(&group.key) == Some(&number) {
            self.by_key.remove(&group.key);
        }
        let Some(queue) = self.queue(group.queue) else { return };
        queue.groups -= 1;
        if queue.groups == 0 {
            let queue = self.ring_queues.remove(group.queue as usize);
            self.by_ring.remove(&queue.ring);
            mailbox.stop_listening_to(queue.ring);
        }
    }

    /// Closes a group to newcomers, who get one of their own; false if it is no longer the one of this serial number.
    pub(super) fn close(&mut self, number: u32, serial: u64) -> bool {
        let Some(group) = self.group(number).filter(|group| group.serial == serial) else { return false };
        let key = group.key.clone();
        self.by_key.remove(&key);
        true
    }

    pub(super) fn queue(&mut self, number: u32) -> Option<&mut RingQueue> {
        self.ring_queues.get_mut(number as usize)
    }

    pub(super) fn group(&mut self, number: u32) -> Option<&mut KeyGroup> {
        self.groups.get_mut(number as usize)
    }
}
