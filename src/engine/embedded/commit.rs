//! One commit of the writer: a batch of alerts, transitions, retractions and incidents.
//!
//! The order is always the same: stage, plan removals, write (and sync), and only then change what readers see.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::Durability;
use super::batch::{Entry, encode};
use super::frame::size;
use super::notes::Notes;
use super::oldest::Search;
use super::retain::{self, Added, Plan};
use super::stage::{Batch, Known, Stage, Staged};
use super::store::Store;
use crate::alert::{Id, Record, Topic};
use crate::engine::intake::Outcome;
use crate::engine::{Publish, Retention};

/// With durability `none`: how far ahead of the clock ids are reserved on disk, milliseconds.
const AHEAD: u64 = 10_000;
/// Idempotency keys that one batch forgets at most.
const FORGOTTEN: usize = 2048;

impl Store {
    /// Stores groups of alerts, each whole or not at all, and removes at most `limit` alerts.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) fn append<'a>(
        &mut self,
        groups: impl Iterator<Item = &'a [Publish]>,
        now_ms: u64,
        retention: &Retention,
        limit: usize,
    ) -> io::Result<Vec<Outcome>> {
        let stored = self.commit(now_ms, retention, limit, |stage| groups.map(|group| stage.add(group)).collect());
        stored.map(|(outcomes, _)| outcomes)
    }

    /// Stores what `fill` stages, and removes at most `limit` alerts. Returns the answer of `fill` and the new records, in
    /// order.
    ///
    /// # Errors
    /// None of it is in the log while this process runs; after a crash it may be.
    pub(super) fn commit<T>(
        &mut self,
        now_ms: u64,
        retention: &Retention,
        limit: usize,
        fill: impl FnOnce(&mut Stage<'_>) -> T,
    ) -> io::Result<(T, Arc<[Record]>)> {
        let (clock_ms, head) = {
            let catalog = self.catalog.read();
            (catalog.clock_ms, catalog.head)
        };
        let (answer, batch) = {
            let known = Known { keys: &self.keys, incidents: &self.incidents.read(), catalog: &self.catalog };
            let mut stage = Stage::new(&known, clock_ms, now_ms, head.max(self.base));
            (fill(&mut stage), stage.into_batch())
        };
        let Batch { staged, notes, own_keys, happened } = batch;
        let plan = self.plan(&staged, retention, limit);
        if !staged.is_empty() || !notes.is_empty() || !plan.is_empty() {
            let entries: Vec<_> = staged.iter().map(Entry::Alert).collect();
            if let Err(error) = self.write_batch(&entries, &notes, &plan, false) {
                // The ids of a failed batch are not given again.
                self.base = self.base.max(entries.last().map_or(Id::ZERO, Entry::id));
                return Err(error);
            }
        }
        self.apply_plan(&plan);
        self.find_oldest();
        own_keys.into_iter().for_each(|(hash, row)| self.keys.insert(hash, row));
        self.keys.expire(clock_ms, FORGOTTEN);
        if !notes.incidents.is_empty() {
            self.has_incidents = true;
            self.incident_meter.note(&happened);
            let mut incidents = self.incidents.write();
            notes.incidents.into_iter().for_each(|(key, row)| incidents.set(key, row));
        }
        notes.erasures.iter().for_each(|erasure| self.hidden(erasure));
        self.drop_segments();
        Ok((answer, staged.into_iter().map(|staged| staged.record).collect()))
    }

    fn plan(&mut self, staged: &[Staged], retention: &Retention, limit: usize) -> Plan {
        let mut topics: HashMap<&Topic, u64> = HashMap::new();
        if retention.topic_count > 0 {
            staged.iter().for_each(|staged| *topics.entry(&staged.record.topic).or_default() += 1);
        }
        let bytes = staged.iter().map(|staged| size(content_size(&staged.record)) as u64).sum();
        let added = Added { count: staged.len() as u64, bytes, topics };
        // A failure of the disk may have moved the alert.
        let oldest = self.oldest.filter(|oldest| self.catalog.read().has(oldest.at));
        let search = Search { catalog: &self.catalog, ahead: &mut self.ahead };
        retain::plan(search, retention, &added, (oldest, self.from), self.options.segment_bytes, limit)
    }

    /// Writes records and removals as one batch, and lets readers see the records.
    pub(super) fn write_batch(
        &mut self,
        entries: &[Entry<'_>],
        notes: &Notes,
        plan: &Plan,
        force_sync: bool,
    ) -> io::Result<()> {
        let last = entries.last().map_or(Id::ZERO, Entry::id);
        let is_none = self.options.durability == Durability::None;
        let reserve = is_none && last.ms >= self.appender.reserved_ms;
        let before = self.appender.reserved_ms;
        if reserve {
            self.appender.reserved_ms = last.ms.saturating_add(AHEAD);
        }
        // A power cut must not undo a retraction that was answered.
        let sync = !is_none || reserve || force_sync || !notes.erasures.is_empty();
        let first = entries.first().map_or(Id::ZERO, Entry::id);
        let written =
            self.appender.write(first, sync, |appender, tail, out| encode(entries, notes, plan, appender, tail, out));
        if written.is_err() {
            self.appender.reserved_ms = before;
            self.ahead.forget();
        }
        let written = written?;
        if let Some(tail) = &self.appender.tail {
            let mut catalog = self.catalog.write();
            for (entry, (offset, size)) in entries.iter().zip(written) {
                match entry {
                    Entry::Alert(Staged { record, .. }) => {
                        catalog.push(&tail.segment, offset, size, record);
                    }
                    Entry::Retired(id) => {
                        tail.segment.index.write().push(*id, offset, size, None);
                        catalog.head = *id;
                    }
                }
            }
            // With the records that say so, so that no reader gets an alert after its retraction.
            notes.erasures.iter().for_each(|erasure| erasure.hide(&mut catalog));
        }
        self.appender.settle(sync);
        Ok(())
    }
}

/// About the bytes of a record's content: without user and key.
fn content_size(record: &Record) -> usize {
    10 + record.topic.as_str().len() + record.json.len()
}
