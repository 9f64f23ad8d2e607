//! The log for its one writer: what it consists of, and how it is opened and closed.
//!
//! Owned by the writer thread; knows no thread and no clock, so that tests drive it over a simulated disk.
//! [`commit`](super::commit) stores batches in it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::{Mutex, RwLock};

use super::Durability;
use super::appender::{Appender, Tail};
use super::catalog::Catalog;
use super::disk::{self, Disk};
use super::frame::{Draft, Kind, Mark};
use super::incident_table::IncidentTable;
use super::inventory::{DROPPED, RecoverError};
use super::keeper::{Chore, Keeper};
use super::keys::Keys;
use super::oldest::{Oldest, ReadAhead, Search};
use super::pins::Pins;
use super::recover::recover;
use super::recovered::Recovered;
use super::retain::{self, Plan};
use super::retracted::Retracted;
use super::segment::{Position, Segment};
use super::snapshot::{self, Place, State, stop};
use crate::alert::Id;
use crate::engine::Retention;
use crate::engine::incident_meter::IncidentMeter;

/// The options of a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) durability: Durability,
    /// A segment that has reached this size gets no further batch.
    pub(super) segment_bytes: u64,
}

pub(super) struct Store {
    disk: Arc<dyn Disk>,
    pub(super) options: Options,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) appender: Appender,
    pub(super) keys: Keys,
    pub(super) incidents: Arc<RwLock<IncidentTable>>,
    pub(super) incident_meter: Arc<IncidentMeter>,
    /// Whether there are incidents, or were some in this process.
    pub(super) has_incidents: bool,
    /// Resolved incidents that changed before this id were looked at in the present round of removals.
    pub(super) swept: Id,
    /// New ids are above this one.
    pub(super) base: Id,
    pub(super) oldest: Option<Oldest>,
    pub(super) ahead: ReadAhead,
    /// No alert before this place is retained.
    pub(super) from: Position,
    /// Segments up to this number are in the snapshot.
    pub(super) snapshotted: Arc<AtomicU32>,
    /// Work for the keeper.
    pub(super) chores: Vec<Chore>,
    /// Alerts whose content is erased, as long as their segments exist.
    pub(super) erasures: Vec<(u32, u64)>,
    /// Alerts whose content could not be overwritten yet.
    pub(super) unfinished_erasures: Vec<(Arc<Segment>, u64)>,
    /// Retracted alerts whose copies the keeper has not erased yet.
    pub(super) retracted: Arc<Mutex<Retracted>>,
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
        let identity = recovered.identity.map_or_else(new_identity, Ok)?;
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
            has_incidents: state.incidents.len() > 0,
            incidents: Arc::new(RwLock::new(state.incidents)),
            incident_meter: Arc::default(),
            swept: Id::ZERO,
            base,
            oldest: None,
            ahead: ReadAhead::default(),
            from,
            snapshotted: Arc::new(AtomicU32::new(snapshotted)),
            erasures: state.erasures,
            unfinished_erasures: Vec::new(),
            retracted: Arc::new(Mutex::new(state.retracted)),
            pins: Arc::default(),
        };
        if recovered.has_forgotten_ranges {
            store.note_dropped(Vec::new()).map_err(RecoverError::Io)?;
        }
        store.find_oldest();
        Ok((store, damage))
    }

    /// Finds the oldest alert, if it is not known: in a log that was empty, or was just opened.
    pub(super) fn find_oldest(&mut self) {
        if self.oldest.is_none() && self.catalog.read().count > 0 {
            let search = Search { catalog: &self.catalog, ahead: &mut self.ahead };
            let plan = retain::find_oldest(search, self.from);
            self.apply_plan(&plan);
        }
    }

    pub(super) fn apply_plan(&mut self, plan: &Plan) {
        self.oldest = plan.oldest;
        self.from = self.from.max(plan.from);
        self.catalog.write().apply(plan);
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
        // What is left is in the snapshot.
        let _ = keeper.erase_copies();
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
            incidents: self.incidents.read().clone(),
            retracted: self.retracted.lock().clone(),
        };
        keeper.write_sidecar(&segment)?;
        disk::replace(&*self.disk, snapshot::FILE, &snapshot::encode(&place, &state))?;
        disk::replace(&*self.disk, stop::FILE, &stop::encode(&place))
    }

    /// The keeper of this store.
    pub(super) fn keeper(&self) -> Keeper {
        let (disk, catalog) = (Arc::clone(&self.disk), Arc::clone(&self.catalog));
        let (snapshotted, pins) = (Arc::clone(&self.snapshotted), Arc::clone(&self.pins));
        Keeper { disk, catalog, snapshotted, pins, retracted: Arc::clone(&self.retracted) }
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

fn new_identity() -> io::Result<[u8; 16]> {
    let mut identity = [0; 16];
    getrandom::fill(&mut identity).map_err(io::Error::other)?;
    Ok(identity)
}
