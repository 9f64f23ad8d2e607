//! Alerts on their way into the log: which of them are new, and what their idempotency keys stand for.
//!
//! Nothing here changes the log; staged alerts take effect when the batch is written and applied.

use std::collections::HashMap;

use super::codec::Keyed;
use super::keys::{KeyRow, Keys};
use crate::alert::{Id, Record};
use crate::engine::intake::Outcome;
use crate::engine::{AppendError, Publish, Stored};

/// An alert that is to be written.
pub(super) struct Staged {
    pub(super) record: Record,
    pub(super) user: String,
    pub(super) key: Option<Keyed>,
}

/// The alerts of one batch.
pub(super) struct Stage<'a> {
    keys: &'a Keys,
    clock_ms: u64,
    now_ms: u64,
    pub(super) alerts: Vec<Staged>,
    /// Keys of this batch.
    pub(super) own_keys: HashMap<[u8; 32], KeyRow>,
    /// The newest id that was given.
    pub(super) head: Id,
}

impl<'a> Stage<'a> {
    /// New ids are above `head`.
    pub(super) fn new(keys: &'a Keys, clock_ms: u64, now_ms: u64, head: Id) -> Self {
        Self { keys, clock_ms, now_ms, alerts: Vec::new(), own_keys: HashMap::new(), head }
    }

    /// Adds the alerts of a group, or none of them.
    pub(super) fn add(&mut self, group: &[Publish]) -> Outcome {
        // For a single alert, `append` checks this itself.
        if group.len() > 1 && !self.fits(group) {
            return Err(AppendError::Conflict);
        }
        group.iter().map(|publish| self.append(publish)).collect()
    }

    /// Whether none of a group's keys stands for another alert; checked before anything is added.
    fn fits(&self, group: &[Publish]) -> bool {
        let mut own = HashMap::new();
        group.iter().all(|publish| {
            let Some(key) = publish.idempotency.as_ref().filter(|key| key.state.is_none()) else { return true };
            let (hash, fingerprint) = (key.hash(), publish.fingerprint());
            let known = self.known(&hash).map_or(fingerprint, |known| known.fingerprint);
            known == fingerprint && *own.entry(hash).or_insert(fingerprint) == fingerprint
        })
    }

    fn known(&self, hash: &[u8; 32]) -> Option<KeyRow> {
        self.own_keys.get(hash).copied().or_else(|| self.keys.get(hash, self.clock_ms))
    }

    /// Adds an alert, or finds what its idempotency key stands for.
    fn append(&mut self, publish: &Publish) -> Result<Stored, AppendError> {
        let key =
            publish.idempotency.as_ref().map(|key| Keyed { hash: key.hash(), fingerprint: publish.fingerprint() });
        if let Some(key) = &key
            && let Some(known) = self.known(&key.hash)
        {
            if known.fingerprint == key.fingerprint {
                // Built from the draft, because retention may have removed the stored one.
                return Ok(Stored { record: publish.draft.record(known.id, known.received_ms), repeated: true });
            }
            if publish.state().is_none() {
                return Err(AppendError::Conflict);
            }
        }
        let id = self.head.next(self.now_ms);
        let record = publish.draft.record(id, self.now_ms);
        self.head = id;
        if let (Some(Keyed { hash, fingerprint }), Some(named)) = (key, &publish.idempotency) {
            let row = KeyRow { fingerprint, id, received_ms: self.now_ms, owner: named.owner() };
            self.own_keys.insert(hash, row);
        }
        let user = publish.idempotency.as_ref().map_or_else(String::new, |key| key.user.clone());
        self.alerts.push(Staged { record: record.clone(), user, key });
        Ok(Stored { record, repeated: false })
    }
}
