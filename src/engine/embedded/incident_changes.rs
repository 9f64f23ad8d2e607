//! The incidents of a batch that is not written yet, over those of the log.

use std::collections::{BTreeMap, HashMap};

use super::incident_table::IncidentTable;
use crate::alert::{Id, Topic};
use crate::incident::{Happened, Key, Room, Row, Settings};

/// Incidents after a batch; none for one that is removed.
pub(super) type ChangedRows = BTreeMap<Key, Option<Row>>;

pub(super) struct IncidentChanges<'t> {
    table: &'t IncidentTable,
    changed: ChangedRows,
    /// How many more, or fewer, are unresolved, in all and of each user.
    more: isize,
    more_of: HashMap<String, isize>,
    happened: Happened,
}

impl<'t> IncidentChanges<'t> {
    pub(super) fn new(table: &'t IncidentTable) -> Self {
        Self { table, changed: ChangedRows::new(), more: 0, more_of: HashMap::new(), happened: Happened::default() }
    }

    pub(super) const fn settings(&self) -> &'t Settings {
        self.table.settings()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Row> {
        self.changed.get(key).map_or_else(|| self.table.get(key), Option::as_ref)
    }

    /// The incident whose last alert this is, as far as it is unresolved in the log.
    pub(super) fn of_alert(&self, topic: &Topic, id: Id) -> Option<&'t Key> {
        self.table.of_alert(topic, id)
    }

    pub(super) fn set(&mut self, key: Key, row: Option<Row>) {
        let former = self.changed.get(&key).map_or_else(|| self.table.get(&key), Option::as_ref);
        if let Some(row) = &row {
            self.happened.change(former, row);
        }
        let unresolved = |row: Option<&Row>| row.filter(|row| !row.is_resolved()).map(|row| row.user.clone());
        let before = unresolved(former).map(|user| (user, -1));
        let after = unresolved(row.as_ref()).map(|user| (user, 1));
        for (user, more) in before.into_iter().chain(after) {
            self.more += more;
            *self.more_of.entry(user).or_default() += more;
        }
        self.changed.insert(key, row);
    }

    /// Whether an alert of this user may open one more.
    pub(super) fn room(&self, user: &str) -> Room {
        let more_of = self.more_of.get(user).copied().unwrap_or(0);
        let open = self.table.unresolved().saturating_add_signed(self.more);
        let own = self.table.unresolved_of(user).saturating_add_signed(more_of);
        self.settings().room(open, own)
    }

    pub(super) fn into_changed(self) -> (ChangedRows, Happened) {
        (self.changed, self.happened)
    }
}
