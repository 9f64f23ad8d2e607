//! What is on its way into the log: which alerts are new, what their idempotency keys stand for, and what becomes of
//! incidents.
//!
//! Nothing here changes the log; what is staged takes effect when the batch is written and applied.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::catalog::Catalog;
use super::codec::Keyed;
use super::erase::Erasure;
use super::incident_changes::IncidentChanges;
use super::incident_table::IncidentTable;
use super::keys::{KeyRow, Keys};
use super::notes::{CountedKey, Notes};
use super::segment::Found;
use crate::alert::{Id, Record, rfc3339};
use crate::engine::intake::Outcome;
use crate::engine::publish::owner;
use crate::engine::{AppendError, Changed, Publish, Stored, Tracking};
use crate::incident::report::report;
use crate::incident::{Act, ActError, Acted, Happened, Key, Reported, Room, Row};

/// An alert, a transition or a retraction that is to be written.
pub(super) struct Staged {
    pub(super) record: Record,
    pub(super) user: Arc<str>,
    pub(super) key: Option<Keyed>,
}

/// The log before the batch.
pub(super) struct Known<'a> {
    pub(super) keys: &'a Keys,
    pub(super) incidents: &'a IncidentTable,
    pub(super) catalog: &'a RwLock<Catalog>,
}

/// One batch.
pub(super) struct Stage<'a> {
    keys: &'a Keys,
    pub(super) catalog: &'a RwLock<Catalog>,
    pub(super) incidents: IncidentChanges<'a>,
    clock_ms: u64,
    pub(super) now_ms: u64,
    /// The same as text.
    now: String,
    pub(super) staged: Vec<Staged>,
    /// Keys of this batch.
    own_keys: HashMap<[u8; 32], KeyRow>,
    counted_keys: Vec<CountedKey>,
    pub(super) erasures: Vec<Erasure>,
    /// The newest id that was given.
    head: Id,
}

/// What a batch consists of.
pub(super) struct Batch {
    pub(super) staged: Vec<Staged>,
    pub(super) notes: Notes,
    pub(super) own_keys: HashMap<[u8; 32], KeyRow>,
    pub(super) happened: Happened,
}

impl<'a> Stage<'a> {
    /// New ids are above `head`.
    pub(super) fn new(known: &Known<'a>, clock_ms: u64, now_ms: u64, head: Id) -> Self {
        Self {
            keys: known.keys,
            catalog: known.catalog,
            incidents: IncidentChanges::new(known.incidents),
            clock_ms,
            now_ms,
            now: rfc3339(now_ms),
            staged: Vec::new(),
            own_keys: HashMap::new(),
            counted_keys: Vec::new(),
            erasures: Vec::new(),
            head,
        }
    }

    pub(super) fn into_batch(self) -> Batch {
        let (incidents, happened) = self.incidents.into_changed();
        let notes = Notes { keys: self.counted_keys, incidents, erasures: self.erasures };
        Batch { staged: self.staged, notes, own_keys: self.own_keys, happened }
    }

    /// Adds the alerts of a group, or none of them.
    pub(super) fn add(&mut self, group: &[Publish]) -> Outcome {
        // For a single alert, `append` checks this itself.
        if group.len() > 1 {
            self.check(group)?;
        }
        group.iter().map(|publish| self.append(publish)).collect()
    }

    /// Checks that none of a group's keys stands for another alert, before anything is added.
    fn check(&self, group: &[Publish]) -> Result<(), AppendError> {
        let mut own = HashMap::new();
        for publish in group {
            let Some(key) = publish.idempotency.as_ref().filter(|key| key.state.is_none()) else { continue };
            let (hash, fingerprint) = (key.hash(), publish.fingerprint());
            if let Some(known) = self.known(&hash).filter(|known| known.fingerprint != fingerprint) {
                return Err(other_than(&known));
            }
            if *own.entry(hash).or_insert(fingerprint) != fingerprint {
                return Err(AppendError::Conflict);
            }
        }
        Ok(())
    }

    fn known(&self, hash: &[u8; 32]) -> Option<KeyRow> {
        self.own_keys.get(hash).copied().or_else(|| self.keys.get(hash, self.clock_ms))
    }

    pub(super) fn next_id(&mut self) -> Id {
        self.head = self.head.next(self.now_ms);
        self.head
    }

    /// Adds an alert, or finds what its idempotency key stands for.
    fn append(&mut self, publish: &Publish) -> Result<Stored, AppendError> {
        let key = publish.idempotency.as_ref().map(|key| {
            let (hash, fingerprint) = (key.hash(), publish.fingerprint());
            Keyed { hash, fingerprint, is_state: key.state.is_some() }
        });
        if let Some(key) = &key
            && let Some(known) = self.known(&key.hash)
        {
            if known.fingerprint == key.fingerprint {
                let record = self.repeated(publish, known.id, known.received_ms);
                return Ok(Stored { record, repeated: true, incident: Tracking::None });
            }
            if publish.state().is_none() {
                return Err(other_than(&known));
            }
        }
        let (incident, place, row) = match self.report(publish) {
            Reported::Counted(row) => return Ok(self.count(publish, key, *row)),
            Reported::Unchanged => (Tracking::None, None, None),
            Reported::Untracked(why) => (Tracking::Untracked(why), None, None),
            Reported::Stored(row, place) => (Tracking::Tracked, Some(place), Some(row)),
        };
        let id = self.next_id();
        let record = publish.draft.record_of((self.now_ms, &self.now), id, place);
        if let Some(key) = &key {
            self.remember(publish, key, id);
        }
        if let (Some(mut row), Some(incident)) = (row, Key::of(&publish.draft)) {
            row.recorded(id, true);
            self.incidents.set(incident, Some(*row));
        }
        self.staged.push(Staged { record: record.clone(), user: Arc::clone(&publish.user), key });
        Ok(Stored { record, repeated: false, incident })
    }

    /// What an alert makes of its incident, if it reports one.
    fn report(&self, publish: &Publish) -> Reported {
        let (Some(said), Some(key)) = (publish.draft.incident(), Key::of(&publish.draft)) else {
            return Reported::Unchanged;
        };
        let (incidents, user) = (&self.incidents, &*publish.user);
        let settings = incidents.settings();
        report(incidents.get(&key), &publish.draft, said, user, self.now_ms, settings, || incidents.room(user))
    }

    fn remember(&mut self, publish: &Publish, key: &Keyed, id: Id) {
        // As a start finds the user in the record.
        let row = KeyRow::of(key, id, self.now_ms, owner(publish.user.as_bytes()));
        self.own_keys.insert(key.hash, row);
    }

    /// Counts an alert without storing it.
    fn count(&mut self, publish: &Publish, key: Option<Keyed>, row: Row) -> Stored {
        let id = row.last.as_ref().and_then(|last| last.id).unwrap_or(self.head);
        if let Some(incident) = Key::of(&publish.draft) {
            self.incidents.set(incident, Some(row));
        }
        if let Some(key) = key {
            self.remember(publish, &key, id);
            let user = publish.user.to_string();
            self.counted_keys.push(CountedKey { key, user, id, received_ms: self.now_ms });
        }
        let record = self.repeated(publish, id, self.now_ms);
        Stored { record, repeated: false, incident: Tracking::Counted }
    }

    /// The alert that answers a repeat. Without an incident it is built from the draft, because retention may have removed
    /// the stored one; the place in its incident is only in the stored one and in the incident.
    fn repeated(&self, publish: &Publish, id: Id, received_ms: u64) -> Record {
        let stored = Key::of(&publish.draft).and_then(|key| self.of_incident(&key, id).or_else(|| self.stored(id)));
        stored.unwrap_or_else(|| publish.draft.record(id, received_ms))
    }

    /// The last alert of an incident, if this is it.
    fn of_incident(&self, key: &Key, id: Id) -> Option<Record> {
        let row = self.incidents.get(key)?;
        row.last.as_ref().filter(|last| last.id == Some(id))?.record(key, row.occurrence)
    }

    fn stored(&self, id: Id) -> Option<Record> {
        if let Some(staged) = self.staged.iter().find(|staged| staged.record.id == id) {
            return Some(staged.record.clone());
        }
        let segment = self.catalog.read().segment_behind(id.predecessor())?;
        match segment.read(segment.behind(id.predecessor())) {
            Ok(Found::Alert(record)) if record.id == id => Some(*record),
            _ => None,
        }
    }

    /// Adds what somebody wants to do about an incident.
    pub(super) fn act(&mut self, act: &Act) -> Result<Changed, ActError> {
        let incidents = &self.incidents;
        let row = incidents.get(&act.key);
        let room = || row.map_or(Room::Some, |row| incidents.room(&row.user));
        match act.apply(row, self.now_ms, room)? {
            Some(acted) => Ok(self.record(&act.key, acted, &act.by)),
            None => Ok(Changed { row: row.cloned().ok_or(ActError::Unknown)?, record: None }),
        }
    }

    /// Adds what is due for an incident, if it still is.
    pub(super) fn pass_time(&mut self, key: &Key) {
        let row = self.incidents.get(key);
        if let Some(acted) = row.and_then(|row| row.pass_time(key, self.now_ms, self.incidents.settings())) {
            self.record(key, acted, "");
        }
    }

    /// Removes an incident.
    pub(super) fn forget(&mut self, key: Key) {
        self.incidents.set(key, None);
    }

    fn record(&mut self, key: &Key, acted: Acted, by: &str) -> Changed {
        let Acted { mut row, record } = acted;
        let id = self.next_id();
        let record = record.record(&row, id, self.now_ms);
        row.recorded(id, false);
        self.incidents.set(key.clone(), Some(row.clone()));
        self.staged.push(Staged { record: record.clone(), user: by.into(), key: None });
        Changed { row, record: Some(record) }
    }
}

/// Why an idempotency key that stands for this is no use for another alert.
fn other_than(known: &KeyRow) -> AppendError {
    if known.is_retracted() { AppendError::Retracted } else { AppendError::Conflict }
}
