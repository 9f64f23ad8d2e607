//! Exports of logs on a simulated disk, and of one under publishers and retention.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::super::disk::Disk;
use super::super::disk::simulated::SimulatedDisk;
use super::super::import::Import;
use super::super::incident_power::{alert, rows};
use super::super::testing::{Log, NOW, UNLIMITED, filter, publish};
use super::super::{Durability, Settings};
use super::*;
use crate::alert::{Level, Record, RecordKind, Start};
use crate::engine::Retention;
use crate::incident::{Action, Row};

fn put(log: &mut Log, topic: &str, message: &str) -> Record {
    let group = vec![publish(topic, message, Level::Warn, Some(message))];
    log.append(&[group]).unwrap().remove(0).unwrap().remove(0).record
}

fn message(number: usize) -> String {
    format!("message-{number:05}-{}", "x".repeat(150))
}

fn fill(log: &mut Log, from: usize, alerts: usize) -> Vec<Record> {
    (from..from + alerts).map(|i| put(log, ["a", "b", "c"][i % 3], &message(i))).collect()
}

fn all(export: &mut Export) -> Vec<Part> {
    let mut parts = Vec::new();
    loop {
        match export.next().unwrap() {
            next if next.is_empty() => return parts,
            next => parts.extend(next),
        }
    }
}

fn alerts(parts: &[Part]) -> Vec<Record> {
    let alert = |part: &Part| match part {
        Part::Alert { record, .. } => Some(record.clone()),
        _ => None,
    };
    parts.iter().filter_map(alert).collect()
}

/// A log made of an export.
fn restore(extent: Extent, parts: Vec<Part>, retention: Retention) -> Log {
    let disk = SimulatedDisk::default();
    let mut import = Import::begin(Arc::new(disk.clone()), extent, NOW).unwrap();
    parts.into_iter().for_each(|part| import.add(part).unwrap());
    import.finish(extent.until).unwrap();
    Log::open(&disk, Durability::Fsync, retention).unwrap()
}

#[test]
fn a_log_made_of_an_export_has_the_alerts_cursors_keys_and_limits_of_the_first() {
    let retention = Retention { topic_count: 40, ..UNLIMITED };
    for durability in [Durability::Fsync, Durability::None] {
        let mut log = Log::open(&SimulatedDisk::default(), durability, retention).unwrap();
        let quiet = put(&mut log, "quiet", "message-quiet");
        let records = fill(&mut log, 0, 300);
        log.retract(&records[290]).unwrap().unwrap();
        log.work();
        log.store.appender.sync().unwrap();
        let mut export = Export::begin(&log.keeper).unwrap();
        let extent = export.extent;
        assert_eq!((extent.until, export.alerts), (log.store.head(), log.store.catalog.read().count));
        let parts = all(&mut export);
        assert_eq!(alerts(&parts), log.read(&filter("*")).unwrap().0);
        let by = |part: &Part| match part {
            Part::Alert { record, .. } if record.kind != RecordKind::Alert => "carol",
            _ => "u",
        };
        let is_by = |part: &Part| !matches!(part, Part::Alert { user, .. } if user != by(part));
        assert!(parts.iter().all(is_by) && alerts(&parts)[0] == quiet);
        let mut restored = restore(extent, parts, retention);
        assert_eq!(restored.read(&filter("*")).unwrap(), log.read(&filter("*")).unwrap());
        for cursor in records.iter().step_by(7).map(|record| record.id).chain([records[290].id, Id::ZERO]) {
            for pattern in ["*", "a", "quiet"] {
                let is_told = |log: &Log| {
                    let start = Start::After(cursor);
                    log.view.seek(&start, &filter(pattern), log.store.head(), 0).unwrap().gap.is_some()
                };
                // Dropped ids are a range in one log and missing in the other; an additional gap is not a loss.
                assert!(is_told(&restored) || !is_told(&log), "{cursor} {pattern}");
                let is_left = cursor >= records[200].id;
                assert!(!is_left || is_told(&restored) == is_told(&log), "{cursor} {pattern}");
            }
        }
        let again = put(&mut restored, "a", &format!("message-00297-{}", "x".repeat(150)));
        assert_eq!(again, records[297]);
        let retracted = publish("c", &message(290), Level::Warn, Some(&message(290)));
        let refused = restored.append(&[vec![retracted]]).unwrap().remove(0);
        assert!(refused.unwrap_err().contains("retracted"));
        assert!(put(&mut restored, "a", "new").id > extent.until);
    }
}

#[test]
fn incidents_and_transitions_are_restored_as_they_were_at_the_last_record_of_the_export() {
    let mut log = Log::open(&SimulatedDisk::default(), Durability::None, UNLIMITED).unwrap();
    for name in ["disk", "net", "disk"] {
        log.append(&[vec![alert(name, "full", Level::Warn, "", None)]]).unwrap();
    }
    log.act("disk", Action::Acknowledge).unwrap();
    log.act("net", Action::Resolve).unwrap();
    log.store.appender.sync().unwrap();
    let (exported, records) = (rows(&log), log.read(&filter("*")).unwrap().0);
    // Not on the disk yet, and so not in the export.
    log.act("disk", Action::Resolve).unwrap();
    let mut export = Export::begin(&log.keeper).unwrap();
    let (extent, parts) = (export.extent, all(&mut export));
    let mut restored = restore(extent, parts, UNLIMITED);
    assert_eq!((rows(&restored), restored.read(&filter("*")).unwrap().0), (exported, records));
    restored.act("disk", Action::Resolve).unwrap();
    assert!(rows(&restored).values().all(Row::is_resolved) && restored.store.head() > extent.until);
}

#[test]
fn retention_and_commits_change_nothing_of_an_export_and_an_erase_does() {
    let disk = SimulatedDisk::default();
    let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
    let records = fill(&mut log, 0, 300);
    let mut export = Export::begin(&log.keeper).unwrap();
    let mut parts = export.next().unwrap();
    assert!(alerts(&parts).len() < 200);
    for number in [250, 299] {
        log.retract(&records[number]).unwrap().unwrap();
    }
    log.retention = Retention { count: 10, ..UNLIMITED };
    fill(&mut log, 300, 600);
    let dropped = |disk: &SimulatedDisk| disk.list().unwrap().iter().filter(|name| name.ends_with("dropped")).count();
    assert!(dropped(&disk) > 3, "{:?}", disk.list());
    log.keeper.catch_up(&mut || ()).unwrap();
    assert!(dropped(&disk) > 3, "given back although it is read");
    parts.extend(all(&mut export));
    let expected = records.iter().enumerate().filter(|(i, _)| ![250, 299].contains(i));
    // The retractions came after it began.
    assert_eq!(alerts(&parts), expected.map(|(_, record)| record.clone()).collect::<Vec<_>>());
    assert!(parts.contains(&Part::Retired(records[250].id)) && parts.contains(&Part::Retired(records[299].id)));
    drop(export);
    log.keeper.catch_up(&mut || ()).unwrap();
    assert_eq!(dropped(&disk), 0);
}

#[test]
fn what_damage_took_is_told_in_an_export() {
    for bit in 0..60 {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        let records = fill(&mut log, 0, 120);
        log.stop().unwrap();
        let name = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".seg")).nth(1).unwrap();
        disk.alter(&name, |bytes| {
            let at = 4096 + 131 * bit % (bytes.len() - 4096);
            bytes[at] ^= 1;
        });
        // Found by reading, and found by the start.
        for has_index in [true, false] {
            if !has_index {
                disk.unlink(&name.replace(".seg", ".idx")).unwrap();
            }
            let log = Log::open(&disk.copy(), Durability::Fsync, UNLIMITED).unwrap();
            let parts = all(&mut Export::begin(&log.keeper).unwrap());
            let found = alerts(&parts);
            let is_lost = |id: Id| {
                parts.iter().any(|part| matches!(part, Part::Lost { after, upto } if *after < id && id <= *upto))
            };
            let is_there = |record: &Record| found.contains(record) || is_lost(record.id);
            assert!(records.iter().all(is_there) && found.iter().all(|record| records.contains(record)), "{bit}");
        }
    }
}

#[test]
fn a_log_made_of_a_damaged_one_has_what_is_left_and_tells_of_the_same_losses() {
    for (damaged, at) in [(0, 4200), (1, 5000), (1, 7000), (2, 9000)] {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        let records = fill(&mut log, 0, 120);
        log.stop().unwrap();
        let mut names: Vec<_> = disk.list().unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect();
        names.sort_by_key(|name| super::super::header::number_of(name));
        disk.alter(&names[damaged], |bytes| bytes[at..at + 700].fill(0));
        let log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        let mut export = Export::begin(&log.keeper).unwrap();
        let extent = export.extent;
        let parts = all(&mut export);
        let left = alerts(&parts);
        assert!(left.len() < records.len() && !export.damage.is_empty(), "{damaged} {at}");
        let restored_on = SimulatedDisk::default();
        let mut import = Import::begin(Arc::new(restored_on.clone()), extent, NOW).unwrap();
        parts.into_iter().for_each(|part| import.add(part).unwrap());
        import.finish(extent.until).unwrap();
        // As it was written, and made anew from the records.
        for has_indexes in [true, false] {
            if !has_indexes {
                for name in restored_on.list().unwrap().iter().filter(|name| !name.ends_with(".seg")) {
                    restored_on.unlink(name).unwrap();
                }
            }
            let restored = Log::open(&restored_on, Durability::Fsync, UNLIMITED).unwrap();
            assert_eq!(restored.damage, Vec::<String>::new());
            let (found, gaps) = restored.read(&filter("*")).unwrap();
            assert_eq!(found, left, "{damaged} {at} {has_indexes}");
            let is_told = |id: Id| gaps.iter().any(|(after, upto)| *after < id && id <= *upto);
            let mut lost = records.iter().filter(|record| !left.contains(record));
            assert!(lost.all(|record| is_told(record.id)), "{damaged} {at} {has_indexes}: {gaps:?}");
        }
    }
}

#[test]
fn a_full_disk_takes_back_what_an_export_holds_and_the_export_fails() {
    let disk = SimulatedDisk::default();
    let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
    fill(&mut log, 0, 300);
    let mut export = Export::begin(&log.keeper).unwrap();
    export.next().unwrap();
    assert!(!log.store.give_up_exports(), "nothing is held yet");
    log.retention = Retention { count: 100, ..UNLIMITED };
    fill(&mut log, 300, 300);
    assert!(log.keeper.pins.held_bytes() > 2 * (12 << 10));
    assert!(log.store.give_up_exports());
    log.keeper.catch_up(&mut || ()).unwrap();
    assert_eq!(log.keeper.pins.held_bytes(), 0);
    assert!(!disk.list().unwrap().iter().any(|name| name.ends_with("dropped")), "{:?}", disk.list());
    // The pins of a later export are its own.
    let mut later = Export::begin(&log.keeper).unwrap();
    let failed = loop {
        match export.next() {
            Ok(parts) => assert!(!parts.is_empty(), "the export came to its end over segments that are gone"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(failed.contains("full"), "{failed}");
    drop(export);
    fill(&mut log, 600, 300);
    assert_eq!(alerts(&all(&mut later)).len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_under_publishers_and_retention_hold_each_answered_alert_up_to_their_id() {
    for durability in [Durability::Fsync, Durability::None] {
        let place = tempfile::tempdir().unwrap();
        let retention = Retention { count: 1500, ..UNLIMITED };
        let clock: crate::engine::Clock = Arc::new(|| NOW);
        let settings = Settings { directory: place.path().to_owned(), durability, retention, clock };
        let (engine, mut feed) = Embedded::open(settings).unwrap();
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let (answered, is_over) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
        let publishers: Vec<_> = (0..4)
            .map(|publisher| {
                let (engine, answered, is_over) = (engine.clone(), Arc::clone(&answered), Arc::clone(&is_over));
                tokio::spawn(async move {
                    for turn in 0.. {
                        if is_over.load(Ordering::Acquire) {
                            return;
                        }
                        let message = format!("{publisher}-{turn}-{}", "x".repeat(300));
                        let group = vec![publish("t", &message, Level::Info, None); 3];
                        // A disk that is busy for longer than the deadline answers nothing.
                        for stored in engine.append_all(group).await.into_iter().flatten() {
                            answered.lock().insert(stored.record.id, stored.record);
                        }
                    }
                })
            })
            .collect();
        let mut last = Id::ZERO;
        for turn in 0..20 {
            // Each export is to have something that the one before did not.
            let newest = || answered.lock().keys().next_back().copied().unwrap_or_default();
            while answered.lock().len() < 300 * (turn + 1) || newest() <= last {
                tokio::task::yield_now().await;
            }
            let known = newest();
            let mut export = loop {
                if let Ok(export) = engine.export().await {
                    break export;
                }
            };
            let Extent { trim, until, .. } = export.extent;
            assert!(until >= known && until > last, "an alert that was answered before is not in it");
            last = until;
            let found: BTreeMap<_, _> =
                alerts(&all(&mut export)).into_iter().map(|record| (record.id, record)).collect();
            assert!(found.keys().all(|id| trim < *id && *id <= until));
            for (id, record) in answered.lock().range(trim.successor()..=until) {
                assert_eq!(found.get(id), Some(record), "{durability:?} {turn}");
            }
        }
        is_over.store(true, Ordering::Release);
        for publisher in publishers {
            publisher.await.unwrap();
        }
        engine.close().await;
    }
}
