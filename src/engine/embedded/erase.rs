//! Erasing the content of retracted alerts in place.
//!
//! A batch with the retraction and a record that names the alert is written and synced first, and the alert is hidden from
//! readers in the step that shows them the retraction. Then the content is overwritten. A start repeats that for every such
//! record whose alert is still readable, so that a crash at any moment leaves either a whole alert, or one that will be
//! erased before anybody can read it. Copies in incidents, and fingerprints, the keeper erases ([`copies`](super::copies)).

use std::io;
use std::sync::Arc;

use super::catalog::Catalog;
use super::codec::Writer;
use super::overwrite::overwrite;
use super::segment::Segment;
use super::store::Store;
use crate::alert::{Id, Record, Topic};
use crate::engine::{Retention, Retract, RetractFailure, Retracted};

/// What became of a request; an error if it could not be found out.
pub(super) type Outcome = io::Result<Result<Retracted, RetractFailure>>;

/// The place of a record.
#[derive(Clone)]
pub(super) struct Located {
    pub(super) segment: Arc<Segment>,
    pub(super) ordinal: u32,
    pub(super) offset: u64,
    pub(super) size: u32,
}

/// An alert whose content is to be erased.
pub(super) struct Erasure {
    pub(super) id: Id,
    pub(super) topic: Topic,
    /// None if retention has removed it from the log, but not from its incident.
    pub(super) at: Option<Located>,
    /// Whether records of incidents and keys may have its text or its fingerprint.
    pub(super) has_copies: bool,
}

impl Erasure {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // No segment has the number 0.
        let (segment, offset) = self.at.as_ref().map_or((0, 0), |at| (at.segment.number(), at.offset));
        out.u32(segment);
        out.u64(offset);
        out.u8(self.has_copies.into());
        out.0
    }

    /// Hides the alert from readers.
    pub(super) fn hide(&self, catalog: &mut Catalog) {
        catalog.erased += 1;
        let Some(Located { segment, ordinal, size, .. }) = &self.at else { return };
        let is_retained = catalog.is_retained(self.topic.as_str(), self.id);
        segment.index.write().erase(*ordinal, (*size).into());
        if is_retained && let Some(number) = catalog.topics.number(self.topic.as_str()) {
            catalog.topics.remove(number, 1);
            catalog.count = catalog.count.saturating_sub(1);
            catalog.bytes = catalog.bytes.saturating_sub(u64::from(*size));
            catalog.remove_retained(segment.number(), 1);
        }
    }
}

impl Store {
    /// Takes alerts back. Nothing reads their content from then on; [`redo_erasures`](Self::redo_erasures) removes it from the
    /// disk. Returns what became of each, and the new records, in order.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) fn retract(
        &mut self,
        requests: &[Retract],
        now_ms: u64,
        retention: &Retention,
    ) -> io::Result<(Vec<Outcome>, Arc<[Record]>)> {
        // An alert that is erased must not move to another segment afterwards.
        self.appender.sync()?;
        // Nothing is removed in the same batch, because that could be one of these alerts.
        self.commit(now_ms, retention, 0, |stage| requests.iter().map(|request| stage.retract(request)).collect())
    }

    /// Does what follows from a retraction that was written.
    pub(super) fn hidden(&mut self, erasure: &Erasure) {
        self.keys.erase(erasure.id);
        self.retracted.lock().insert(erasure.id, erasure.has_copies);
        if let Some(Located { segment, offset, .. }) = &erasure.at {
            self.erasures.push((segment.number(), *offset));
            self.unfinished_erasures.push((Arc::clone(segment), *offset));
        }
        self.ahead.forget();
        self.pass_oldest(erasure.id);
    }

    /// Overwrites what is not overwritten yet. After an error both the write and the sync are done again by the next call:
    /// after a failed sync the kernel may consider data written that never reached the disk.
    pub(super) fn redo_erasures(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        self.unfinished_erasures.retain(|(segment, offset)| {
            let done = if segment.is_dropped() { Ok(()) } else { overwrite(segment, *offset) };
            let is_left = done.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(done);
            is_left
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::disk::Disk;
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::testing::{Log, UNLIMITED, filter, publish};
    use crate::alert::{Id, Level, Record, RecordKind, Start};
    use crate::engine::{Retention, Retracted};
    use crate::random::Random;

    const BOTH: [Durability; 2] = [Durability::Fsync, Durability::None];

    fn put(log: &mut Log, topic: &str, message: &str) -> Record {
        let group = vec![publish(topic, message, Level::Warn, Some(message))];
        log.append(&[group]).unwrap().remove(0).unwrap().remove(0).record
    }

    fn fill(log: &mut Log, alerts: usize) -> Vec<Record> {
        (0..alerts).map(|i| put(log, ["a", "b", "c"][i % 3], &format!("message-{i:04}-{}", "x".repeat(200)))).collect()
    }

    /// Whether the file system has the alert's text anywhere.
    fn is_on(disk: &SimulatedDisk, number: usize) -> bool {
        let text = format!("message-{number:04}");
        let has = |name: &String| disk.content(name).windows(text.len()).any(|part| part == text.as_bytes());
        disk.list().unwrap().iter().any(has)
    }

    /// Whether the log has, or had, such an alert.
    fn erase(log: &mut Log, record: &Record) -> bool {
        let erased = log.retract(record).unwrap();
        log.work();
        erased.is_some()
    }

    /// The alerts among what is read; all else are retractions.
    fn alerts(read: Vec<Record>) -> Vec<Record> {
        read.into_iter().filter(|record| record.kind == RecordKind::Alert).collect()
    }

    /// All alerts but the erased ones can be read, in each way.
    fn check(log: &Log, disk: &SimulatedDisk, records: &[Record], erased: &[usize], at: &str) {
        let is_left = |(i, _): &(usize, &Record)| !erased.contains(i);
        let left: Vec<_> = records.iter().enumerate().filter(is_left).map(|(_, record)| record.clone()).collect();
        assert_eq!(log.damage, Vec::<String>::new(), "{at}");
        let (read, gaps) = log.read(&filter("*")).unwrap();
        let count = read.len() as u64;
        assert_eq!(log.read_back(&filter("*")).unwrap().0, read, "{at}");
        assert_eq!((alerts(read), gaps), (left.clone(), vec![]), "{at}");
        for topic in ["a", "b", "c"] {
            let of_topic: Vec<_> = left.iter().filter(|record| record.topic.as_str() == topic).cloned().collect();
            assert_eq!(alerts(log.read(&filter(topic)).unwrap().0), of_topic, "{at}");
            let latest = log.view.seek(&Start::Latest, &filter(topic), log.store.head(), 0).unwrap().latest;
            assert_eq!(latest.first(), of_topic.last(), "{at}");
        }
        let catalog = log.store.catalog.read();
        assert_eq!((catalog.count, catalog.oldest), (count, left.first().map(|record| record.id)), "{at}");
        drop(catalog);
        for number in erased {
            assert!(!is_on(disk, *number), "{at}: {number} is on the disk");
            let cursor = Start::After(records[*number].id);
            let seek = log.view.seek(&cursor, &filter("*"), log.store.head(), 0).unwrap();
            assert!(seek.gap.is_none(), "{at}: {number} is no cursor any more");
        }
    }

    #[test]
    fn an_erased_alert_is_gone_wherever_it_lies_and_stays_a_cursor() {
        for durability in BOTH {
            let disk = SimulatedDisk::default();
            let mut log = Log::open(&disk, durability, UNLIMITED).unwrap();
            let mut records = fill(&mut log, 120);
            // The oldest ones, one in the middle of a sealed segment, two neighbours, and the newest of each topic.
            let erased = [0, 1, 2, 50, 60, 61, 117, 118, 119];
            for (done, number) in erased.iter().enumerate() {
                assert!(erase(&mut log, &records[*number]) && erase(&mut log, &records[*number]));
                check(&log, &disk, &records, &erased[..=done], "erased");
            }
            for other in [Id::ZERO, Id { ms: records[3].id.ms, seq: 99_999 }, Id::MAX, log.store.head()] {
                assert!(!erase(&mut log, &Record { id: other, ..records[0].clone() }));
            }
            for number in [0, 3] {
                assert!(!erase(&mut log, &Record { topic: "other".parse().unwrap(), ..records[number].clone() }));
            }
            // Its key still stands for it, and for nothing else.
            let text = format!("message-0000-{}", "x".repeat(200));
            let check_key = |mut log: Log| {
                let repeat = vec![publish("a", &text, Level::Warn, Some(&text))];
                assert!(log.append(&[repeat]).unwrap().remove(0).unwrap_err().contains("retracted"));
                log
            };
            log = check_key(log);
            let again = vec![publish("a", &text, Level::Warn, None)];
            records.push(log.append(&[again]).unwrap().remove(0).unwrap().remove(0).record);
            assert!(erase(&mut log, &records[120]));
            let erased = [&erased[..], &[120]].concat();
            let killed = disk.copy();
            let reopened = Log::open(&killed, durability, UNLIMITED).unwrap();
            check(&reopened, &killed, &records, &erased, "killed");
            check_key(reopened);
            log.stop().unwrap();
            let mut log = Log::open(&disk, durability, UNLIMITED).unwrap();
            check(&log, &disk, &records, &erased, "stopped");
            assert!(matches!(log.retract(&records[50]), Ok(Some(Retracted::Before))));
            check_key(log);
        }
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_a_whole_alert_or_none() {
        for durability in BOTH {
            for fuel in 0.. {
                let disk = SimulatedDisk::default();
                let mut log = Log::open(&disk, durability, UNLIMITED).unwrap();
                let records = fill(&mut log, 60);
                log.store.appender.sync().unwrap();
                disk.set_fuel(Some(fuel));
                let outcome = log.retract(&records[5]);
                let is_over = outcome.is_ok() && disk.list().is_ok();
                for seed in 0..8 {
                    let disk = disk.after_power_cut(&mut Random::new(100 * fuel + seed));
                    let log = Log::open(&disk, durability, UNLIMITED).unwrap();
                    let is_there = log.read(&filter("*")).unwrap().0.contains(&records[5]);
                    assert!(outcome.is_err() || !is_there, "fuel {fuel}: an answered erase was undone");
                    let erased: &[usize] = if is_there { &[] } else { &[5] };
                    check(&log, &disk, &records, erased, &format!("{durability:?} fuel {fuel} seed {seed}"));
                }
                if is_over {
                    break;
                }
            }
        }
    }

    #[test]
    fn an_alert_that_a_failed_sync_moves_is_erased_where_it_lies_then() {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::None, UNLIMITED).unwrap();
        let records = fill(&mut log, 10);
        assert!(log.store.appender.pending().is_some());
        disk.fail_syncs(1);
        assert!(erase(&mut log, &records[7]));
        check(&log, &disk, &records, &[7], "moved");
        let killed = disk.copy();
        check(&Log::open(&killed, Durability::None, UNLIMITED).unwrap(), &killed, &records, &[7], "killed");
    }

    #[test]
    fn an_overwrite_that_failed_is_hidden_at_once_and_done_again() {
        for (is_restarted, fuel) in [(false, 2), (false, 3), (true, 2), (true, 3)] {
            let disk = SimulatedDisk::default();
            let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
            // Without zeros in advance, so that a record is one write and one sync.
            log.store.appender.fill_step = 0;
            let records = fill(&mut log, 59);
            // The record that announces it is written, then the disk fails before the overwriting or before its sync.
            disk.set_fuel(Some(fuel));
            assert!(log.retract(&records[5]).is_err());
            disk.set_fuel(None);
            assert!(!log.read(&filter("*")).unwrap().0.contains(&records[5]));
            if is_restarted {
                let _ = log.stop();
                log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
            } else {
                assert!(erase(&mut log, &records[5]));
            }
            check(&log, &disk, &records, &[5], "done again");
        }
    }

    #[test]
    fn erasing_the_oldest_looks_on_from_its_place_and_reads_no_more_however_many_are_erased() {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        let records = fill(&mut log, 300);
        let mut reads = Vec::new();
        for record in &records[..200] {
            let before = disk.reads();
            assert!(log.retract(record).unwrap().is_some());
            reads.push(disk.reads() - before);
        }
        let (early, late) = (reads[10..60].iter().sum::<u64>(), reads[150..].iter().sum::<u64>());
        assert!(late <= 2 * early, "{early} reads for 50 erasures at first, {late} at last");
    }

    #[test]
    fn what_was_erased_counts_for_nothing_in_limits_and_does_not_keep_its_segment() {
        let retention = Retention { topic_count: 40, ..UNLIMITED };
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, retention).unwrap();
        let alone = put(&mut log, "alone", "message-9999");
        fill(&mut log, 300);
        let first = disk.list().unwrap().into_iter().find(|name| name.ends_with(".seg")).unwrap();
        assert!(erase(&mut log, &alone));
        fill(&mut log, 3);
        assert!(!disk.list().unwrap().contains(&first), "{:?}", disk.list());
        let (records, _) = log.read(&filter("*")).unwrap();
        // With the retraction.
        assert_eq!((records.len(), log.store.catalog.read().count), (121, 121));
        let log = Log::open(&disk.copy(), Durability::Fsync, retention).unwrap();
        assert_eq!(log.read(&filter("*")).unwrap().0, records);
    }
}
