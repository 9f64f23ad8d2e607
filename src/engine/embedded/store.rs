//! The log for its one writer: stores batches, and does everything that belongs to that.
//!
//! Owned by the writer thread; knows no thread and no clock, so that tests drive it over a simulated disk. The order is
//! always the same: stage, plan removals, write (and sync), and only then change what readers see.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::RwLock;

use super::Durability;
use super::appender::{Appender, Tail};
use super::batch::{Entry, encode};
use super::catalog::Catalog;
use super::disk::{self, Disk};
use super::frame::{Draft, Kind, Mark, size};
use super::inventory::{DROPPED, RecoverError};
use super::keeper::{Chore, Keeper};
use super::keys::Keys;
use super::oldest::{Oldest, ReadAhead, Search};
use super::pins::Pins;
use super::recover::recover;
use super::recovered::Recovered;
use super::retain::{self, Added, Plan};
use super::segment::{Position, Segment};
use super::snapshot::{self, Place, State, stop};
use super::stage::{Stage, Staged};
use crate::alert::{Id, Record, Topic};
use crate::engine::intake::Outcome;
use crate::engine::{Publish, Retention};

/// With durability `none`: how far ahead of the clock ids are reserved on disk, milliseconds.
const AHEAD: u64 = 10_000;
/// Idempotency keys that one batch forgets at most.
const FORGOTTEN: usize = 2048;

/// The options of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) durability: Durability,
    /// A segment that has reached this size gets no further batch.
    pub(super) segment_bytes: u64,
}

pub(super) struct Store {
    disk: Arc<dyn Disk>,
    options: Options,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) appender: Appender,
    pub(super) keys: Keys,
    /// New ids are above this one.
    base: Id,
    oldest: Option<Oldest>,
    ahead: ReadAhead,
    /// No alert before this place is retained.
    from: Position,
    /// Segments up to this number are in the snapshot.
    pub(super) snapshotted: Arc<AtomicU32>,
    /// Work for the keeper.
    pub(super) chores: Vec<Chore>,
    /// Alerts whose content is erased, as long as their segments exist.
    pub(super) erasures: Vec<(u32, u64)>,
    /// Alerts whose content could not be overwritten yet.
    pub(super) unfinished_erasures: Vec<(Arc<Segment>, u64)>,
    pins: Arc<Pins>,
}

impl Store {
    /// Opens the log in a directory. Also returns a description of any damage.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        now_ms: u64,
    ) -> Result<(Self, Vec<String>), RecoverError> {
        let recovered = recover(&*disk, now_ms)?;
        let Recovered { catalog, state, tail, previous, highest, base, snapshotted, without_sidecar, damage, .. } =
            recovered;
        let identity = match recovered.identity {
            Some(identity) => identity,
            None => {
                let mut identity = [0; 16];
                getrandom::fill(&mut identity).map_err(io::Error::other)?;
                identity
            }
        };
        let from = catalog.trim_at;
        let catalog = Arc::new(RwLock::new(catalog));
        let appender = Appender {
            disk: Arc::clone(&disk),
            catalog: Arc::clone(&catalog),
            segment_bytes: options.segment_bytes,
            fill_step: if options.durability == Durability::Fsync { fill_step(options.segment_bytes) } else { 0 },
            identity,
            tail: tail.map(Tail::new),
            failed: None,
            previous,
            number: highest,
            reserved_ms: 0,
            sealed: Vec::new(),
            buffer: Vec::new(),
        };
        let dropped = disk.list().map_err(RecoverError::Io)?.into_iter().filter(|name| name.ends_with(DROPPED));
        let seal = without_sidecar.into_iter().map(Chore::Seal);
        let mut store = Self {
            chores: seal
                .chain(recovered.to_drop.into_iter().map(Chore::Drop))
                .chain(dropped.map(Chore::Shorten))
                .chain([Chore::Snapshot])
                .collect(),
            disk,
            options,
            catalog,
            appender,
            keys: state.keys,
            base,
            oldest: None,
            ahead: ReadAhead::default(),
            from,
            snapshotted: Arc::new(AtomicU32::new(snapshotted)),
            erasures: state.erasures,
            unfinished_erasures: Vec::new(),
            pins: Arc::default(),
        };
        if recovered.has_forgotten_ranges {
            store.note_dropped(Vec::new()).map_err(RecoverError::Io)?;
        }
        store.find_oldest();
        Ok((store, damage))
    }

    /// Stores groups of alerts, each whole or not at all, and removes at most `limit` alerts. After an error none of it
    /// is in the log while this process runs; after a crash it may be.
    pub(super) fn append<'a>(
        &mut self,
        groups: impl Iterator<Item = &'a [Publish]>,
        now_ms: u64,
        retention: &Retention,
        limit: usize,
    ) -> io::Result<Vec<Outcome>> {
        let (clock_ms, head) = {
            let catalog = self.catalog.read();
            (catalog.clock_ms, catalog.head)
        };
        let mut stage = Stage::new(&self.keys, clock_ms, now_ms, head.max(self.base));
        let outcomes = groups.map(|group| stage.add(group)).collect();
        let (alerts, own_keys) = (stage.alerts, stage.own_keys);
        let plan = self.plan(&alerts, retention, limit);
        if !alerts.is_empty() || !plan.is_empty() {
            let entries: Vec<_> = alerts.iter().map(Entry::Alert).collect();
            if let Err(error) = self.write_batch(&entries, &plan, false) {
                // The ids of a failed batch are not given again.
                self.base = self.base.max(entries.last().map_or(Id::ZERO, Entry::id));
                return Err(error);
            }
        }
        self.apply_plan(&plan);
        self.find_oldest();
        own_keys.into_iter().for_each(|(hash, row)| self.keys.insert(hash, row));
        self.keys.expire(clock_ms, FORGOTTEN);
        self.drop_segments();
        Ok(outcomes)
    }

    /// Finds the oldest alert, if it is not known: in a log that was empty, or was just opened.
    pub(super) fn find_oldest(&mut self) {
        if self.oldest.is_none() && self.catalog.read().count > 0 {
            let search = Search { catalog: &self.catalog, ahead: &mut self.ahead };
            let plan = retain::find_oldest(search, self.from);
            self.apply_plan(&plan);
        }
    }

    fn plan(&mut self, alerts: &[Staged], retention: &Retention, limit: usize) -> Plan {
        let mut topics: HashMap<&Topic, u64> = HashMap::new();
        if retention.topic_count > 0 {
            alerts.iter().for_each(|alert| *topics.entry(&alert.record.topic).or_default() += 1);
        }
        let bytes = alerts.iter().map(|alert| size(alert_size(&alert.record)) as u64).sum();
        let added = Added { count: alerts.len() as u64, bytes, topics };
        // A failure of the disk may have moved the alert.
        let oldest = self.oldest.filter(|oldest| self.catalog.read().has(oldest.at));
        let search = Search { catalog: &self.catalog, ahead: &mut self.ahead };
        retain::plan(search, retention, &added, (oldest, self.from), self.options.segment_bytes, limit)
    }

    pub(super) fn apply_plan(&mut self, plan: &Plan) {
        self.oldest = plan.oldest;
        self.from = self.from.max(plan.from);
        self.catalog.write().apply(plan);
    }

    /// Writes records and removals as one batch, and lets readers see the records.
    pub(super) fn write_batch(&mut self, entries: &[Entry<'_>], plan: &Plan, force_sync: bool) -> io::Result<()> {
        let last = entries.last().map_or(Id::ZERO, Entry::id);
        let is_none = self.options.durability == Durability::None;
        let reserve = is_none && last.ms >= self.appender.reserved_ms;
        let before = self.appender.reserved_ms;
        if reserve {
            self.appender.reserved_ms = last.ms.saturating_add(AHEAD);
        }
        let sync = !is_none || reserve || force_sync;
        let first = entries.first().map_or(Id::ZERO, Entry::id);
        let written =
            self.appender.write(first, sync, |appender, tail, out| encode(entries, plan, appender, tail, out));
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
                        catalog.push(&tail.segment, offset, size, record.id, (&record.topic, record.level));
                    }
                    Entry::Retired(id) => {
                        tail.segment.index.write().push(*id, offset, size, None);
                        catalog.head = *id;
                    }
                }
            }
        }
        self.appender.settle(sync);
        Ok(())
    }

    /// The work for the keeper. The index of a full segment is compacted and stored, and the snapshot is brought up to
    /// its end.
    pub(super) fn take_chores(&mut self) -> Vec<Chore> {
        let mut chores = std::mem::take(&mut self.chores);
        for segment in self.appender.sealed.drain(..) {
            chores.push(Chore::Seal(segment));
            chores.push(Chore::Snapshot);
        }
        chores
    }

    /// Makes everything durable and records where the log ends, so that the next start need not search for it.
    pub(super) fn stop(&mut self, keeper: &Keeper) -> io::Result<()> {
        self.appender.stop()?;
        // A start after a clean stop does not repeat erasures.
        self.redo_erasures()?;
        let Some(tail) = &self.appender.tail else { return Ok(()) };
        let segment = Arc::clone(&tail.segment);
        let place = {
            let catalog = self.catalog.read();
            let (trim, clock_ms) = (catalog.trim, catalog.clock_ms);
            Place {
                identity: self.appender.identity,
                segment: tail.number(),
                offset: tail.end,
                head: catalog.head,
                trim,
                clock_ms,
            }
        };
        let state = State {
            keys: std::mem::take(&mut self.keys),
            topic_trims: self.catalog.read().topic_trims(),
            erasures: self.erasures.clone(),
            dropped: self.catalog.read().dropped.clone(),
        };
        keeper.write_sidecar(&segment)?;
        disk::replace(&*self.disk, snapshot::FILE, &snapshot::encode(&place, &state))?;
        disk::replace(&*self.disk, stop::FILE, &stop::encode(&place))
    }

    /// The keeper of this store.
    pub(super) fn keeper(&self) -> Keeper {
        let (disk, catalog) = (Arc::clone(&self.disk), Arc::clone(&self.catalog));
        Keeper { disk, catalog, snapshotted: Arc::clone(&self.snapshotted), pins: Arc::clone(&self.pins) }
    }

    /// Frees the space that exports hold, if any. Returns whether exports fail because of it.
    pub(super) fn give_up_exports(&self) -> bool {
        self.pins.held_bytes() > 0 && self.pins.revoke()
    }

    /// Advances the time of retention.
    pub(super) fn advance(&mut self, now_ms: u64, elapsed_ms: u64) {
        let mut catalog = self.catalog.write();
        catalog.clock_ms = retain::advance(catalog.clock_ms, now_ms, elapsed_ms);
    }

    /// Whether retention has something to remove, as far as is known without reading the disk.
    pub(super) fn is_due(&self, retention: &Retention) -> bool {
        let catalog = self.catalog.read();
        let horizon = retention.horizon(catalog.clock_ms);
        retention.is_exceeded(catalog.count, catalog.bytes)
            || self.oldest.is_some_and(|oldest| oldest.received_ms < horizon)
            || self.has_droppable()
    }

    /// Makes an empty log begin after `trim`, to be filled from another store.
    pub(super) fn begin_import(&mut self, trim: Id, clock_ms: u64) {
        let mut catalog = self.catalog.write();
        (catalog.trim, catalog.head, catalog.clock_ms) = (trim, trim, clock_ms);
        self.appender.previous.last = trim;
    }

    /// Finds the next oldest alert, if this one was the oldest.
    pub(super) fn pass_oldest(&mut self, id: Id) {
        if self.oldest.is_some_and(|oldest| oldest.id == id) {
            self.oldest = None;
            self.catalog.write().oldest = None;
            self.find_oldest();
        }
    }

    /// Writes a record that is not an alert, synced in both modes.
    pub(super) fn note(&mut self, kind: Kind, id: Id, content: &[u8]) -> io::Result<()> {
        let head = self.head();
        self.appender.write(head.successor(), true, |appender, tail, out| {
            let (base, salt) = (tail.end, tail.segment.header.salt);
            let draft =
                Draft { kind, flags: 0, user: "", id, before: head, topic_before: Id::ZERO, content: &[content] };
            let crc = crc32c::crc32c(&draft.encode(out, base, salt).to_le_bytes());
            let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
            let (trim, clock_ms, reserved_ms) = appender.mark_values();
            let synced = (tail.number().into(), tail.synced);
            Mark { last: head, trim, synced, bytes, crc, clock_ms, reserved_ms, is_seal: false }
                .encode(out, base, salt);
        })?;
        self.appender.settle(true);
        Ok(())
    }

    pub(super) fn head(&self) -> Id {
        self.catalog.read().head
    }
}

/// With durability `fsync`: how much of a segment is filled with zeros at a time.
fn fill_step(segment_bytes: u64) -> u64 {
    (segment_bytes / 256).max(1 << 10)
}

/// About the bytes of an alert's content: without user and key.
fn alert_size(record: &Record) -> usize {
    10 + record.topic.as_str().len() + record.json.len()
}
