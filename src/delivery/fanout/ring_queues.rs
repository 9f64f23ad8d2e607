//! The rings and keys of a loop's subscribers.
//!
//! Owned by the loop. A ring queue is a ring with the subscribers that wait for its news; a key group is the
//! subscribers of one key on one ring, so that the streams of a key are found without a search when it ends. Always:
//! each ring queue has at least one key group, and each key group belongs to one ring queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::ids::{KeyGroupId, RingQueueId};
use super::invariant::present;
use super::mailbox::{Command, Mailbox};
use super::subscribers::List;
use crate::delivery::context::StreamContext;
use crate::delivery::slots::SlotOwner;
use crate::delivery::stream::CaughtUp;
use crate::hub::{RingId, RingReader};

pub(super) struct RingQueue {
    ring: RingId,
    pub(super) reader: RingReader,
    /// Subscribers with room in their sockets, in the order in which they were last served: the first one is the furthest
    /// behind.
    pub(super) ready: List,
    /// Whether the queue is among the loop's pending ones.
    pub(super) is_pending: bool,
    key_groups: u32,
}

pub(super) struct KeyGroup {
    key: KeyGroupKey,
    pub(super) context: Arc<StreamContext>,
    pub(super) queue: RingQueueId,
    pub(super) members: List,
    /// Tells the group from an earlier one with the same id.
    pub(super) serial: u64,
    /// The task that waits for the end of the key.
    watcher: AbortHandle,
}

/// What the members of a key group have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyGroupKey {
    owner: SlotOwner,
    ring: RingId,
    /// A reload may have changed it between two streams.
    heartbeat: Duration,
}

#[derive(Default)]
pub(super) struct RingQueues {
    queues: Slab<RingQueue>,
    by_ring: HashMap<RingId, RingQueueId>,
    key_groups: Slab<KeyGroup>,
    by_key: HashMap<KeyGroupKey, KeyGroupId>,
    serial: u64,
}

impl Drop for KeyGroup {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl RingQueues {
    /// The key group of a stream and its position in the ring. Key group and ring queue are made if they are new. None for a
    /// stream without a ring.
    pub(super) fn enter(
        &mut self,
        stream: &CaughtUp,
        mailbox: &Arc<Mailbox>,
        runtime: &Handle,
    ) -> Option<(KeyGroupId, u64)> {
        let (ring, position) = stream.subscription.ring_position()?;
        let key = KeyGroupKey { owner: stream.slot.owner(), ring, heartbeat: stream.context.heartbeat };
        if let Some(&id) = self.by_key.get(&key) {
            return Some((id, position));
        }
        let queue = self.queue_of(stream, ring, mailbox)?;
        self.queue(queue)?.key_groups += 1;
        let id = KeyGroupId(self.key_groups.vacant_key() as u32);
        self.serial += 1;
        let (serial, ended, mailbox) = (self.serial, stream.context.ended(), Arc::clone(mailbox));
        let watcher = runtime.spawn(async move {
            let bye = ended.await;
            mailbox.send(Command::End { group: id, serial, bye });
        });
        self.key_groups.insert(KeyGroup {
            key: key.clone(),
            context: Arc::clone(&stream.context),
            queue,
            members: List::default(),
            serial,
            watcher: watcher.abort_handle(),
        });
        self.by_key.insert(key, id);
        Some((id, position))
    }

    fn queue_of(&mut self, stream: &CaughtUp, ring: RingId, mailbox: &Arc<Mailbox>) -> Option<RingQueueId> {
        if let Some(&id) = self.by_ring.get(&ring) {
            return Some(id);
        }
        let id = RingQueueId(self.queues.vacant_key() as u32);
        let listener: Arc<Mailbox> = Arc::clone(mailbox);
        let reader = stream.subscription.reader(listener, id.into())?;
        self.queues.insert(RingQueue { ring, reader, ready: List::default(), is_pending: false, key_groups: 0 });
        self.by_ring.insert(ring, id);
        mailbox.listens_to(ring);
        Some(id)
    }

    /// Removes a key group if it has no members left, and its ring queue with the last key group.
    pub(super) fn remove_if_empty(&mut self, id: KeyGroupId, mailbox: &Mailbox) {
        if present!(self.key_group(id), "a key group").members.first().is_some() {
            return;
        }
        let group = self.key_groups.remove(id.0 as usize);
        if self.by_key.get(&group.key) == Some(&id) {
            self.by_key.remove(&group.key);
        }
        let queue = present!(self.queue(group.queue), "the ring queue of a key group");
        queue.key_groups -= 1;
        if queue.key_groups == 0 {
            let queue = self.queues.remove(group.queue.0 as usize);
            self.by_ring.remove(&queue.ring);
            mailbox.left_ring(queue.ring);
        }
    }

    /// Closes a key group to new streams, which then get a group of their own. False if there is no group of this id and
    /// serial number any more.
    pub(super) fn close(&mut self, id: KeyGroupId, serial: u64) -> bool {
        let Some(group) = self.key_group(id).filter(|group| group.serial == serial) else { return false };
        let key = group.key.clone();
        self.by_key.remove(&key);
        true
    }

    pub(super) fn queue(&mut self, id: RingQueueId) -> Option<&mut RingQueue> {
        self.queues.get_mut(id.0 as usize)
    }

    pub(super) fn key_group(&mut self, id: KeyGroupId) -> Option<&mut KeyGroup> {
        self.key_groups.get_mut(id.0 as usize)
    }
}
