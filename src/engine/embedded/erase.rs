//! Erasing the content of one alert in place.
//!
//! A record that names the alert is written and synced first, then the content is overwritten. A start repeats the second
//! step for every such record whose alert is still readable, so that a crash at any moment leaves either a whole alert, or
//! one that will be erased before anybody can read it.

use std::io;

use super::codec::Writer;
use super::frame::Kind;
use super::keeper::Chore;
use super::overwrite::overwrite;
use super::segment::{Alert, Found, Segment};
use super::store::Store;
use crate::alert::{Id, RecordKind};

impl Store {
    /// Erases an alert's content; its id stays a valid cursor. Returns false if the log has no such alert. After an
    /// error an alert that was found is no longer read, and the next call or [`redo_erasures`](Self::redo_erasures)
    /// finishes the work.
    #[cfg_attr(not(test), expect(dead_code, reason = "the verb that asks for it comes with retraction"))]
    pub(super) fn erase(&mut self, id: Id) -> io::Result<bool> {
        // The victim must not move to another segment afterwards.
        self.appender.sync()?;
        let Some(segment) = self.catalog.read().segment_behind(id.predecessor()) else { return Ok(false) };
        let ordinal = segment.behind(id.predecessor());
        let Some(offset) = segment.index.read().offset(ordinal) else { return Ok(false) };
        let alert = match segment.read(ordinal)? {
            Found::Alert(alert) if alert.record.id == id && alert.record.kind == RecordKind::Alert => alert,
            Found::Erased(found) if found == id => {
                self.redo_erasures()?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let mut victim = Writer::default();
        victim.u32(segment.number());
        victim.u64(offset);
        // Synced in both modes, so that a power cut does not undo an erase that was answered.
        self.note(Kind::Erase, id, &victim.0)?;
        self.hide(&segment, ordinal, &alert);
        self.erasures.push((segment.number(), offset));
        self.unfinished_erasures.push((segment, offset));
        self.redo_erasures()?;
        Ok(true)
    }

    /// Hides the alert from readers, even if overwriting it then fails.
    fn hide(&mut self, segment: &Segment, ordinal: u32, alert: &Alert) {
        let Alert { record, size } = alert;
        let mut catalog = self.catalog.write();
        let is_retained = catalog.is_retained(record.topic.as_str(), record.id);
        segment.index.write().erase(ordinal, (*size).into());
        if is_retained && let Some(number) = catalog.topics.number(record.topic.as_str()) {
            catalog.topics.remove(number, 1);
            catalog.count = catalog.count.saturating_sub(1);
            catalog.bytes = catalog.bytes.saturating_sub(u64::from(*size));
            catalog.remove_retained(segment.number(), 1);
        }
        drop(catalog);
        if self.keys.erase(record.id) {
            self.chores.push(Chore::EraseKey(record.id));
        }
        self.pass_oldest(record.id);
    }

    /// Overwrites what an earlier attempt could not. Both the write and the sync are done again: after a failed sync
    /// the kernel may consider data written that never reached the disk.
    pub(super) fn redo_erasures(&mut self) -> io::Result<()> {
        while let Some((segment, offset)) = self.unfinished_erasures.last() {
            if !segment.is_dropped() {
                overwrite(segment, *offset)?;
            }
            self.unfinished_erasures.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::disk::Disk;
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::testing::{Log, UNLIMITED, filter, publish};
    use crate::alert::{Id, Level, Record, Start};
    use crate::engine::Retention;
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

    fn erase(log: &mut Log, id: Id) -> bool {
        let erased = log.store.erase(id).unwrap();
        log.work();
        erased
    }

    /// All alerts but the erased ones can be read, in each way.
    fn check(log: &Log, disk: &SimulatedDisk, records: &[Record], erased: &[usize], at: &str) {
        let is_left = |(i, _): &(usize, &Record)| !erased.contains(i);
        let left: Vec<_> = records.iter().enumerate().filter(is_left).map(|(_, record)| record.clone()).collect();
        assert_eq!(log.damage, Vec::<String>::new(), "{at}");
        assert_eq!(log.read(&filter("*")).unwrap(), (left.clone(), vec![]), "{at}");
        assert_eq!(log.read_back(&filter("*")).unwrap().0, left, "{at}");
        for topic in ["a", "b", "c"] {
            let of_topic: Vec<_> = left.iter().filter(|record| record.topic.as_str() == topic).cloned().collect();
            assert_eq!(log.read(&filter(topic)).unwrap().0, of_topic, "{at}");
            let latest = log.view.seek(&Start::Latest, &filter(topic), log.store.head(), 0).unwrap().latest;
            assert_eq!(latest.first(), of_topic.last(), "{at}");
        }
        let catalog = log.store.catalog.read();
        assert_eq!((catalog.count, catalog.oldest), (left.len() as u64, left.first().map(|record| record.id)), "{at}");
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
                assert!(erase(&mut log, records[*number].id) && erase(&mut log, records[*number].id));
                check(&log, &disk, &records, &erased[..=done], "erased");
            }
            for other in [Id::ZERO, Id { ms: records[3].id.ms, seq: 99_999 }, Id::MAX] {
                assert!(!erase(&mut log, other));
            }
            // Its key still stands for it, and for nothing else.
            let again = vec![publish("a", &format!("message-0000-{}", "x".repeat(200)), Level::Warn, None)];
            let key = format!("message-0000-{}", "x".repeat(200));
            let repeat = vec![publish("a", &key, Level::Warn, Some(&key))];
            assert!(log.append(&[repeat]).unwrap()[0].is_err());
            records.push(log.append(&[again]).unwrap().remove(0).unwrap().remove(0).record);
            assert!(erase(&mut log, records[120].id));
            let erased = [&erased[..], &[120]].concat();
            let killed = disk.copy();
            check(&Log::open(&killed, durability, UNLIMITED).unwrap(), &killed, &records, &erased, "killed");
            log.stop().unwrap();
            check(&Log::open(&disk, durability, UNLIMITED).unwrap(), &disk, &records, &erased, "stopped");
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
                let outcome = log.store.erase(records[5].id);
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
        assert!(erase(&mut log, records[7].id));
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
            assert!(log.store.erase(records[5].id).is_err());
            disk.set_fuel(None);
            assert!(!log.read(&filter("*")).unwrap().0.contains(&records[5]));
            if is_restarted {
                let _ = log.stop();
                log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
            } else {
                assert!(erase(&mut log, records[5].id));
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
            assert!(log.store.erase(record.id).unwrap());
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
        assert!(erase(&mut log, alone.id));
        fill(&mut log, 3);
        assert!(!disk.list().unwrap().contains(&first), "{:?}", disk.list());
        let (records, _) = log.read(&filter("*")).unwrap();
        assert_eq!((records.len(), log.store.catalog.read().count), (120, 120));
        let log = Log::open(&disk.copy(), Durability::Fsync, retention).unwrap();
        assert_eq!(log.read(&filter("*")).unwrap().0, records);
    }
}
