//! Fills a new log from another store: one of an earlier version, or a backup.
//!
//! The log is complete once [`Import::finish`] has returned; until then nobody else may use its directory.

use std::io;
use std::sync::Arc;

use super::batch::Entry;
use super::codec::Keyed;
use super::disk::Disk;
use super::index::Hole;
use super::inventory::RecoverError;
use super::keeper::{Chore, Keeper};
use super::keys::KeyRow;
use super::notes::Notes;
use super::retain::{Plan, TopicTrim};
use super::stage::Staged;
use super::store::{Options, Store};
use super::{Durability, SEGMENT};
use crate::alert::Id;
use crate::backup::{Extent, Part};
use crate::engine::publish::Owner;

/// Records of one batch.
const BATCH: usize = 1024;
/// Bytes of alerts of one batch, about.
const BATCH_BYTES: usize = 4 << 20;

enum Item {
    Alert(Staged),
    Retired(Id),
}

/// A log that is being filled.
pub(super) struct Import {
    pub(super) store: Store,
    keeper: Keeper,
    batch: Vec<Item>,
    bytes: usize,
    plan: Plan,
    notes: Notes,
}

impl Import {
    /// Begins a log on an empty disk. The newest id of the extent is used only at the end.
    pub(super) fn begin(disk: Arc<dyn Disk>, extent: Extent, now_ms: u64) -> Result<Self, RecoverError> {
        let options = Options { durability: Durability::None, segment_bytes: SEGMENT };
        let (mut store, _) = Store::open(disk, options, now_ms)?;
        store.begin_import(extent.trim, extent.clock_ms);
        let keeper = store.keeper();
        Ok(Self { store, keeper, batch: Vec::new(), bytes: 0, plan: Plan::default(), notes: Notes::default() })
    }

    /// Adds a part; parts with ids must come in the order of their ids.
    pub(super) fn add(&mut self, part: Part) -> io::Result<()> {
        match part {
            Part::Alert { record, user } => {
                self.bytes += record.json.len();
                self.batch.push(Item::Alert(Staged { record, user: user.into(), key: None }));
            }
            Part::Retired(id) => self.batch.push(Item::Retired(id)),
            Part::Lost { upto, .. } => {
                self.write()?;
                return self.lose(upto);
            }
            Part::TopicTrim(topic, trim) => {
                let number = self.store.catalog.write().topics.intern(&topic);
                self.plan.topics.insert(number, TopicTrim::at(topic, trim));
            }
            Part::Incident(key, row) => {
                self.store.incidents.write().set(key.clone(), Some((*row).clone()));
                self.notes.incidents.insert(key, Some(*row));
            }
            Part::Key { hash, fingerprint, id, received_ms } => {
                // Neither a backup nor the earlier store names the user, or says whether the key has a state.
                let key = Keyed { hash, fingerprint, is_state: false };
                self.store.keys.insert(hash, KeyRow::of(&key, id, received_ms, Owner::default()));
            }
        }
        let is_full = self.batch.len().max(self.notes.incidents.len()) >= BATCH || self.bytes >= BATCH_BYTES;
        if is_full { self.write() } else { Ok(()) }
    }

    /// The newest id so far.
    pub(super) fn last(&self) -> Id {
        self.batch.last().map_or_else(
            || self.store.head(),
            |item| match item {
                Item::Alert(staged) => staged.record.id,
                Item::Retired(id) => *id,
            },
        )
    }

    fn write(&mut self) -> io::Result<()> {
        let entries: Vec<_> = self
            .batch
            .iter()
            .map(|item| match item {
                Item::Alert(staged) => Entry::Alert(staged),
                Item::Retired(id) => Entry::Retired(*id),
            })
            .collect();
        if !entries.is_empty() || !self.notes.is_empty() || !self.plan.is_empty() {
            self.store.write_batch(&entries, &self.notes, &self.plan, true)?;
            self.store.apply_plan(&self.plan);
        }
        (self.plan, self.notes, self.bytes) = (Plan::default(), Notes::default(), 0);
        self.batch.clear();
        for chore in self.store.take_chores() {
            // The snapshot is written at the end, with the keys.
            if let Chore::Seal(_) = chore {
                self.keeper.perform(chore, &mut || ())?;
            }
        }
        Ok(())
    }

    /// Leaves a hole up to an id; its readers get a gap.
    fn lose(&mut self, upto: Id) -> io::Result<()> {
        // A hole is stored in a segment, so there has to be one.
        self.store.write_batch(&[], &Notes::default(), &Plan::default(), true)?;
        let Some(tail) = &self.store.appender.tail else { return Err(io::ErrorKind::NotFound.into()) };
        {
            let mut catalog = self.store.catalog.write();
            let hole = Hole { after: catalog.head, upto };
            catalog.head = upto;
            catalog.holes.push(hole);
            let mut index = tail.segment.index.write();
            index.holes.push(hole);
            index.last = upto;
        }
        // The next mark has the id too, for a start that rebuilds the index.
        self.store.write_batch(&[], &Notes::default(), &Plan::default(), true)
    }

    /// Completes the log. New ids are above `until`.
    pub(super) fn finish(mut self, until: Id) -> io::Result<()> {
        if until > self.last() {
            self.batch.push(Item::Retired(until));
        }
        self.write()?;
        self.store.stop(&self.keeper)
    }
}
