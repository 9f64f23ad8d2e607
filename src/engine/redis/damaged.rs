//! Entries of the log that cannot be decoded: readers get a gap, and the journal names each once.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::Topology;
use crate::alert::Id;
use crate::log::Event;

/// Entries that are remembered; further ones are not named.
const NAMED: usize = 10_000;

#[derive(Default)]
pub(super) struct DamagedEntries(Mutex<BTreeSet<Id>>);

impl DamagedEntries {
    pub(super) fn name(&self, ids: &[Id], server: &Topology) {
        for id in ids {
            let mut named = self.0.lock();
            if named.len() < NAMED && named.insert(*id) {
                tracing::error!(
                    message_id = %Event::StoreDamaged,
                    "{server}: the entry {id} of the log is not one that alertd writes: its alert is lost, and readers get a gap"
                );
            }
        }
    }

    /// How many of them retention has left, if it has removed everything before `oldest`.
    pub(super) fn count(&self, oldest: Option<Id>) -> usize {
        self.0.lock().range(oldest.unwrap_or_default()..).count()
    }
}
