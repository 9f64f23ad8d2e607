//! The incidents in memory: the latest occurrence of each, in the order of their last changes.
//!
//! The writer changes the table after a commit, readers lock it for a moment, and a start and the keeper rebuild it from the
//! log. Always: no more resolved incidents than [`MAX_RESOLVED`] are kept, so that only the limits of unresolved ones, which
//! alerts are counted against, bound the memory; and the same changes in the same order lead to the same table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::retracted::Retracted;
use crate::alert::{Id, Record, Topic};
use crate::incident::settings::MAX_RESOLVED;
use crate::incident::{Counts, Key, Query, Row, Settings};

#[derive(Debug)]
pub(super) struct Incident {
    pub(super) key: Key,
    pub(super) row: Row,
}

impl Incident {
    /// The id of its last alert, or else of its last change.
    pub(super) fn last(&self) -> Id {
        self.row.last.as_ref().and_then(|last| last.id).or(self.row.changed).unwrap_or_default()
    }
}

/// By the id of the last change.
type ByChange = BTreeMap<Id, Arc<Incident>>;

#[derive(Clone, Default)]
pub(super) struct IncidentTable {
    settings: Settings,
    counts: Counts,
    by_key: HashMap<Key, Arc<Incident>>,
    unresolved: ByChange,
    resolved: ByChange,
    /// Unresolved incidents by the id of their last alert.
    by_alert: HashMap<Id, Arc<Incident>>,
    /// How many unresolved incidents the alerts of each user opened.
    users: HashMap<String, usize>,
    /// When something is due, with the id of the last change.
    due: BTreeSet<(u64, Id)>,
}

impl IncidentTable {
    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        let due = self.unresolved.iter().filter_map(|(id, incident)| Some((incident.row.due_ms(&settings)?, *id)));
        self.due = due.collect();
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Row> {
        self.by_key.get(key).map(|incident| &incident.row)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Incident> {
        self.unresolved.values().chain(self.resolved.values()).map(|incident| &**incident)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many are unresolved.
    pub(super) fn unresolved(&self) -> usize {
        self.unresolved.len()
    }

    /// How many unresolved ones the alerts of a user opened.
    pub(super) fn unresolved_of(&self, user: &str) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// An incident has changed, or is removed.
    pub(super) fn set(&mut self, key: Key, row: Option<Row>) {
        self.remove(&key);
        let Some((row, changed)) = row.and_then(|row| row.changed.map(|changed| (row, changed))) else { return };
        // No record changes two incidents; a table that was read may claim so.
        let other = self.unresolved.get(&changed).or_else(|| self.resolved.get(&changed)).cloned();
        other.iter().for_each(|other| self.remove(&other.key));
        let incident = Arc::new(Incident { key: key.clone(), row });
        self.counts.add(&incident.row);
        if incident.row.is_resolved() {
            self.resolved.insert(changed, Arc::clone(&incident));
        } else {
            self.unresolved.insert(changed, Arc::clone(&incident));
            self.by_alert.insert(incident.last(), Arc::clone(&incident));
            *self.users.entry(incident.row.user.clone()).or_default() += 1;
            self.due.extend(incident.row.due_ms(&self.settings).map(|ms| (ms, changed)));
        }
        self.by_key.insert(key, incident);
        if self.resolved.len() > MAX_RESOLVED
            && let Some((_, oldest)) = self.resolved.pop_first()
        {
            self.by_key.remove(&oldest.key);
            self.counts.remove(&oldest.row);
        }
    }

    fn remove(&mut self, key: &Key) {
        let Some(incident) = self.by_key.remove(key) else { return };
        self.counts.remove(&incident.row);
        let changed = incident.row.changed.unwrap_or_default();
        self.resolved.remove(&changed);
        if self.unresolved.remove(&changed).is_none() {
            return;
        }
        self.by_alert.remove(&incident.last());
        if let Some(ms) = incident.row.due_ms(&self.settings) {
            self.due.remove(&(ms, changed));
        }
        if let Some(count) = self.users.get_mut(&incident.row.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&incident.row.user);
            }
        }
    }

    /// A page of what a query asks for, and where the next one goes on.
    pub(super) fn page(&self, query: &Query) -> (Vec<Arc<Incident>>, Option<Id>) {
        let (has_unresolved, has_resolved) = query.wanted.unresolved_and_resolved();
        let before = query.before.unwrap_or(Id::MAX);
        let until = |is_wanted: bool| if is_wanted { ..before } else { ..Id::ZERO };
        let mut unresolved = self.unresolved.range(until(has_unresolved)).rev().peekable();
        let mut resolved = self.resolved.range(until(has_resolved)).rev().peekable();
        let mut next = || {
            let (first, second) = (unresolved.peek().map(|one| one.0), resolved.peek().map(|one| one.0));
            if first >= second { unresolved.next() } else { resolved.next() }
        };
        let (mut page, mut last) = (Vec::new(), None);
        while let Some((id, incident)) = next() {
            if !query.matches(&incident.key, &incident.row) {
                continue;
            }
            if page.len() == query.limit {
                return (page, last);
            }
            page.push(Arc::clone(incident));
            last = Some(*id);
        }
        (page, None)
    }

    /// The last alert of an unresolved incident.
    pub(super) fn alert(&self, topic: &Topic, id: Id) -> Option<Record> {
        let incident = self.by_alert.get(&id).filter(|incident| incident.key.topic == *topic)?;
        incident.row.last.as_ref()?.record(&incident.key, incident.row.occurrence)
    }

    /// The unresolved incident whose last alert this is.
    pub(super) fn of_alert(&self, topic: &Topic, id: Id) -> Option<&Key> {
        let incident = self.by_alert.get(&id).filter(|incident| incident.key.topic == *topic)?;
        incident.row.last.as_ref().map(|_| &incident.key)
    }

    /// Removes the texts of retracted alerts. Returns whether there were any.
    pub(super) fn forget(&mut self, retracted: &Retracted) -> bool {
        let has_text = |incident: &&Incident| {
            let last = incident.row.last.as_ref().and_then(|last| last.id);
            last.is_some_and(|id| retracted.contains_key(&id))
        };
        let found: Vec<_> = self.iter().filter(has_text).map(|one| (one.key.clone(), one.row.clone())).collect();
        let is_any = !found.is_empty();
        for (key, mut row) in found {
            row.last = None;
            self.set(key, Some(row));
        }
        is_any
    }

    /// Unresolved incidents for which something is due, at most `most`.
    pub(super) fn due(&self, now_ms: u64, most: usize) -> Vec<Arc<Incident>> {
        let due = self.due.iter().take_while(|(ms, _)| *ms <= now_ms);
        due.take(most).filter_map(|(_, id)| self.unresolved.get(id)).cloned().collect()
    }

    /// At most `most` resolved incidents that changed last after an id, the oldest first.
    pub(super) fn resolved_after(&self, after: Id, most: usize) -> Vec<Arc<Incident>> {
        let found = self.resolved.range((Bound::Excluded(after), Bound::Unbounded));
        found.take(most).map(|(_, incident)| Arc::clone(incident)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Filter, Level};
    use crate::incident::{State, Wanted};
    use crate::random::Random;

    fn key(number: usize) -> Key {
        Key { topic: ["ops", "web"][number % 2].parse().unwrap(), name: format!("n{number}").parse().unwrap() }
    }

    fn row(changed: u64, state: &str, user: &str, ends_ms: u64) -> Row {
        let json = format!(
            r#"{{"occurrence":1,"state":"{state}","level":"warn","count":1,"user":"{user}","opened_ms":0,"updated_ms":0,"changed":"{changed}-0","announced_ms":0,"ends_ms":{ends_ms}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    /// The number of each incident on the pages of a query.
    fn pages(table: &IncidentTable, wanted: Wanted, limit: usize) -> Vec<Key> {
        let (mut before, mut keys) = (None, Vec::new());
        loop {
            let filter = Filter::new(["*".parse().unwrap()], Level::Info);
            let (page, next) = table.page(&Query { filter, wanted, before, limit });
            assert!(page.len() == limit || (page.len() < limit && next.is_none()));
            keys.extend(page.iter().map(|incident| incident.key.clone()));
            match next {
                Some(next) => before = Some(next),
                None => return keys,
            }
        }
    }

    #[test]
    fn a_table_answers_as_a_plain_list_does() {
        let (mut table, mut plain, mut random) = (IncidentTable::default(), HashMap::new(), Random::new(1));
        for changed in 1..600 {
            let (key, user) = (key(random.index(20)), ["alice", "bob"][random.index(2)]);
            let state = ["open", "acknowledged", "resolved"][random.index(3)];
            let level = Counts::LEVELS[random.index(2)];
            let row = random.chance(90).then(|| {
                let mut row = row(changed, state, user, random.below(1000));
                row.level = level;
                row
            });
            table.set(key.clone(), row.clone());
            plain.insert(key, row);
            plain.retain(|_, row| row.is_some());
            let mut all: Vec<_> = plain.iter().map(|(key, row)| (key.clone(), row.clone().unwrap())).collect();
            all.sort_by_key(|(_, row)| std::cmp::Reverse(row.changed));
            let of = |wanted: fn(&Row) -> bool| -> Vec<Key> {
                all.iter().filter(|(_, row)| wanted(row)).map(|(key, _)| key.clone()).collect()
            };
            assert_eq!(pages(&table, Wanted::All, 3), of(|_| true));
            assert_eq!(pages(&table, Wanted::Unresolved, 4), of(|row| !row.is_resolved()));
            assert_eq!(pages(&table, Wanted::Only(State::Resolved), 1), of(Row::is_resolved));
            assert_eq!(pages(&table, Wanted::Only(State::Open), 2), of(|row| row.state == State::Open));
            let unresolved: Vec<_> = all.iter().filter(|(_, row)| !row.is_resolved()).collect();
            assert_eq!((table.len(), table.unresolved()), (all.len(), unresolved.len()));
            let mut counts = Counts::default();
            all.iter().for_each(|(_, row)| counts.add(row));
            assert_eq!((table.counts(), counts.unresolved()), (counts, unresolved.len() as u64));
            for user in ["alice", "bob"] {
                let count = unresolved.iter().filter(|(_, row)| row.user == user).count();
                assert_eq!(table.unresolved_of(user), count);
            }
            let mut due: Vec<_> = unresolved.iter().filter(|(_, row)| row.ends_ms <= Some(500)).collect();
            due.sort_by_key(|(_, row)| (row.ends_ms, row.changed));
            let found = table.due(500, 5);
            assert!(found.iter().map(|one| &one.key).eq(due.iter().take(5).map(|(key, _)| key)));
        }
        assert!(table.users.len() <= 2 && table.due.len() <= 20 && table.by_alert.len() <= 20);
        // Settings change what is due.
        let settings = Settings { remind_after_ms: 10, remind_level: Level::Error, ..Settings::default() };
        table.set_settings(settings);
        assert_eq!(table.due.len(), table.unresolved());
    }

    #[test]
    fn the_resolved_incident_that_changed_first_makes_room_and_no_other() {
        let mut table = IncidentTable::default();
        table.set(key(0), Some(row(1, "open", "u", 0)));
        for number in 1..=MAX_RESOLVED + 3 {
            table.set(key(number), Some(row(number as u64 + 1, "resolved", "u", 0)));
        }
        assert_eq!((table.len(), table.resolved_after(Id::ZERO, 1)[0].key.clone()), (MAX_RESOLVED + 1, key(4)));
        assert!(table.get(&key(3)).is_none() && table.get(&key(0)).is_some());
        assert_eq!(table.counts().of_state(State::Resolved), MAX_RESOLVED as u64);
    }
}
