//! The rings and keys that a loop has streams of.
//!
//! Owned by the loop alone. A row is a ring with its ready seats; a group is the streams of one key on one ring, so that
//! the end of a key finds its streams without a look at others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::inbox::{Command, Inbox};
use super::seats::List;
use crate::hub::{Reader, RingId};
use crate::service::{Cohort, Live, PlaceOwner};

/// A ring, and who waits for its news.
pub(super) struct Row {
    ring: RingId,
    pub(super) reader: Reader,
    /// In the order in which they were served, so that the first one is the furthest behind.
    pub(super) ready: List,
    /// It stands in the loop's queue.
    pub(super) queued: bool,
    groups: u32,
}

/// The streams of one key on one ring.
pub(super) struct Group {
    key: GroupKey,
    pub(super) cohort: Arc<Cohort>,
    pub(super) row: u32,
    pub(super) members: List,
    /// Tells it from one that had the same number before.
    pub(super) serial: u64,
    watcher: AbortHandle,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    owner: PlaceOwner,
    ring: RingId,
    /// A reload may have changed it between two streams.
    heartbeat: Duration,
}

#[derive(Default)]
pub(super) struct Rows {
    rows: Slab<Row>,
    by_ring: HashMap<RingId, u32>,
    groups: Slab<Group>,
    by_key: HashMap<GroupKey, u32>,
    serial: u64,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Rows {
    /// The group of a stream, and its position; both are made if they are new. None beyond the cap on rings.
    pub(super) fn enter(&mut self, live: &Live, inbox: &Arc<Inbox>, runtime: &Handle) -> Option<(u32, u64)> {
        let (ring, position) = live.subscription.place()?;
        let key = GroupKey { owner: live.place.owner(), ring, heartbeat: live.cohort.heartbeat() };
        if let Some(&number) = self.by_key.get(&key) {
            return Some((number, position));
        }
        let row = self.row_of(live, ring, inbox)?;
        self.row(row)?.groups += 1;
        let number = self.groups.vacant_key() as u32;
        self.serial += 1;
        let (serial, ended, inbox) = (self.serial, live.cohort.ended(), Arc::clone(inbox));
        let watcher = runtime.spawn(async move {
            let bye = ended.await;
            inbox.send(Command::End { group: number, serial, bye });
        });
        self.groups.insert(Group {
            key: key.clone(),
            cohort: Arc::clone(&live.cohort),
            row,
            members: List::default(),
            serial,
            watcher: watcher.abort_handle(),
        });
        self.by_key.insert(key, number);
        Some((number, position))
    }

    fn row_of(&mut self, live: &Live, ring: RingId, inbox: &Arc<Inbox>) -> Option<u32> {
        if let Some(&row) = self.by_ring.get(&ring) {
            return Some(row);
        }
        let number = self.rows.vacant_key() as u32;
        let listener: Arc<Inbox> = Arc::clone(inbox);
        let reader = live.subscription.reader(listener, number)?;
        self.rows.insert(Row { ring, reader, ready: List::default(), queued: false, groups: 0 });
        self.by_ring.insert(ring, number);
        inbox.hears(ring);
        Some(number)
    }

    /// Lets go of a group without members, and of its row with the last group.
    pub(super) fn leave(&mut self, number: u32, inbox: &Inbox) {
        if self.group(number).is_none_or(|group| group.members.first().is_some()) {
            return;
        }
        let group = self.groups.remove(number as usize);
        if self.by_key.get(&group.key) == Some(&number) {
            self.by_key.remove(&group.key);
        }
        let Some(row) = self.row(group.row) else { return };
        row.groups -= 1;
        if row.groups == 0 {
            let row = self.rows.remove(group.row as usize);
            self.by_ring.remove(&row.ring);
            inbox.forgets(row.ring);
        }
    }

    /// Closes a group to newcomers, who get one of their own; false if it is no longer the one of this serial number.
    pub(super) fn close(&mut self, number: u32, serial: u64) -> bool {
        let Some(group) = self.group(number).filter(|group| group.serial == serial) else { return false };
        let key = group.key.clone();
        self.by_key.remove(&key);
        true
    }

    pub(super) fn row(&mut self, number: u32) -> Option<&mut Row> {
        self.rows.get_mut(number as usize)
    }

    pub(super) fn group(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number as usize)
    }
}
