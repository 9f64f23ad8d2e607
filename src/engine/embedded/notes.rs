//! What a batch says besides its records with an id.

use super::codec::Keyed;
use super::erase::Erasure;
use super::incident_changes::ChangedRows;
use crate::alert::Id;

/// An idempotency key of an alert that was only counted.
pub(super) struct CountedKey {
    pub(super) key: Keyed,
    /// Whose key it is.
    pub(super) user: String,
    /// The alert that answers a repeat.
    pub(super) id: Id,
    pub(super) received_ms: u64,
}

/// What a batch says besides its records with an id.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) keys: Vec<CountedKey>,
    pub(super) incidents: ChangedRows,
    pub(super) erasures: Vec<Erasure>,
}

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.incidents.is_empty() && self.erasures.is_empty()
    }
}
