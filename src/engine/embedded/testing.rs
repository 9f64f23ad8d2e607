//! What the tests over a simulated disk share: a log on it, alerts for it, and reading all of it as a stream does.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::Durability;
use super::disk::simulated::SimulatedDisk;
use super::inventory::RecoverError;
use super::keeper::Keeper;
use super::read::View;
use super::store::{Options, Store};
use crate::alert::{Draft, Filter, Id, Level, Record};
use crate::engine::{Idempotency, Publish, Range, Retention, Retract, Retractable, Retracted};

pub(super) const NOW: u64 = 1_795_455_190_000;
pub(super) const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

/// The ids that a gap covers: after the first, up to the second.
pub(super) type Told = (Id, Id);

/// A log on a simulated disk, driven without threads.
pub(super) struct Log {
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    pub(super) view: View,
    pub(super) damage: Vec<String>,
    pub(super) retention: Retention,
    pub(super) now_ms: u64,
}

impl Log {
    pub(super) fn open(
        disk: &SimulatedDisk,
        durability: Durability,
        retention: Retention,
    ) -> Result<Self, RecoverError> {
        let options = Options { durability, segment_bytes: 12 << 10 };
        // A start is later than all that was written before.
        let (mut store, damage) = Store::open(Arc::new(disk.clone()), options, NOW + 3_600_000)?;
        store.advance(NOW, 0);
        let (keeper, view) = (store.keeper(), View::new(Arc::clone(&store.catalog)));
        Ok(Self { store, keeper, view, damage, retention, now_ms: NOW })
    }

    /// Stores groups; the keeper's work is done at once, and its errors do not matter.
    pub(super) fn append(
        &mut self,
        groups: &[Vec<Publish>],
    ) -> io::Result<Vec<Result<Vec<crate::engine::Stored>, String>>> {
        let groups = groups.iter().map(|group| &group[..]);
        let stored = self.store.append(groups, self.now_ms, &self.retention, 512);
        self.work();
        Ok(stored?.into_iter().map(|outcome| outcome.map_err(|error| error.to_string())).collect())
    }

    pub(super) fn work(&mut self) {
        for chore in self.store.take_chores() {
            let _ = self.keeper.perform(chore, &mut || ());
        }
        let _ = self.keeper.erase_copies();
    }

    /// Takes an alert back and overwrites it. None if the log has no such alert.
    pub(super) fn retract(&mut self, record: &Record) -> io::Result<Option<Retracted>> {
        let (topic, id) = (record.topic.clone(), record.id);
        let request = Retract { topic, id, by: "carol".into(), allowed: Retractable::All };
        let (mut outcomes, _) = self.store.retract(&[request], self.now_ms, &self.retention)?;
        self.store.redo_erasures()?;
        Ok(outcomes.remove(0)?.ok())
    }

    pub(super) fn stop(mut self) -> io::Result<()> {
        self.store.stop(&self.keeper)
    }

    /// Everything that passes, read in pages, and the ids that each gap of a stream would cover.
    pub(super) fn read(&self, filter: &Filter) -> io::Result<(Vec<Record>, Vec<Told>)> {
        let (mut records, mut gaps) = (Vec::new(), Vec::new());
        let until = self.store.head();
        let (mut cursor, mut trimmed) = (Id::ZERO, self.store.catalog.read().trimmed(filter));
        for page in 0.. {
            assert!(page < 100_000, "reading does not come to an end");
            let range = Range { filter: filter.clone(), after: cursor, until, limit: 7, bytes: 1 << 20 };
            let page = self.view.read(&range, false)?;
            if page.trimmed > trimmed && page.trimmed > cursor {
                gaps.push((cursor, page.trimmed));
            }
            trimmed = trimmed.max(page.trimmed);
            records.extend(page.records);
            match page.next {
                Some(next) => {
                    assert!(next > cursor, "reading makes no progress");
                    cursor = next;
                }
                None => break,
            }
        }
        Ok((records, gaps))
    }

    /// The same, the newest first; the gaps are those of single pages.
    pub(super) fn read_back(&self, filter: &Filter) -> io::Result<(Vec<Record>, Vec<Id>)> {
        let (mut pages, mut gaps, mut until) = (Vec::new(), Vec::new(), self.store.head());
        for page in 0.. {
            assert!(page < 100_000, "reading does not come to an end");
            let range = Range { filter: filter.clone(), after: Id::ZERO, until, limit: 7, bytes: 1 << 20 };
            let page = self.view.read(&range, true)?;
            gaps.push(page.trimmed);
            pages.push(page.records);
            match page.next {
                Some(next) => {
                    assert!(next <= until, "reading makes no progress");
                    until = next.predecessor();
                }
                None => break,
            }
        }
        Ok((pages.into_iter().rev().flatten().collect(), gaps))
    }
}

pub(super) fn filter(pattern: &str) -> Filter {
    Filter::new([pattern.parse().unwrap()], Level::Info)
}

pub(super) fn publish(topic: &str, message: &str, level: Level, key: Option<&str>) -> Publish {
    let draft = Draft::from_text(Some(topic.parse().unwrap()), message.as_bytes(), level).unwrap();
    let idempotency = key.map(|key| Idempotency { user: "alice".into(), key: key.into(), state: None });
    Publish { draft, user: "u".into(), idempotency }
}

pub(super) fn by_id(records: &[Record]) -> BTreeMap<Id, Record> {
    records.iter().map(|record| (record.id, record.clone())).collect()
}

/// How many runs a test makes: `ALERTD_TEST_RUNS` times `base`, which a long run sets to more than 1.
pub(super) fn runs(base: u64) -> u64 {
    std::env::var("ALERTD_TEST_RUNS").ok().and_then(|runs| runs.parse::<u64>().ok()).unwrap_or(1) * base
}
