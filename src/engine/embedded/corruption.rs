//! Damage of every kind to the files of a stopped log: what is served is right, what is lost is reported, and nothing
//! panics or hangs.

use std::collections::BTreeMap;

use super::Durability;
use super::disk::Disk;
use super::disk::simulated::SimulatedDisk;
use super::testing::{Log, UNLIMITED, filter, publish, runs};
use crate::alert::{Id, Level, Record};
use crate::engine::Retention;
use crate::random::Random;

const TOPICS: u64 = 3;

/// A log of several segments, stopped cleanly. With a limit, some were dropped from within it.
fn image(random: &mut Random, retention: Retention) -> (SimulatedDisk, Vec<Record>) {
    let disk = SimulatedDisk::default();
    let mut log = Log::open(&disk, Durability::Fsync, retention).unwrap();
    let mut records = Vec::new();
    for batch in 0..60_u64 {
        log.now_ms += random.below(3);
        let group: Vec<_> = (0..=random.below(3))
            .map(|i| {
                let message = format!("m{batch}-{i}{}", "y".repeat(usize::try_from(random.below(700)).unwrap()));
                let key = format!("k{batch}-{i}");
                // With a limit, one topic has its first alert in front of what the limit removes.
                let topic = if batch == 0 { 0 } else { random.below(TOPICS - 1) + 1 };
                publish(&format!("t{topic}"), &message, Level::Warn, random.chance(30).then_some(&key))
            })
            .collect();
        let stored = log.append(&[group]).unwrap().remove(0).unwrap();
        records.extend(stored.into_iter().map(|stored| stored.record));
    }
    if retention != UNLIMITED {
        assert!(!log.store.catalog.read().dropped.is_empty());
    }
    log.stop().unwrap();
    (disk, records)
}

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

/// Does one kind of damage to any file, and says which.
fn corrupt(disk: &SimulatedDisk, older: &SimulatedDisk, random: &mut Random) -> String {
    let names = disk.list().unwrap();
    let name = pick(random, &names).clone();
    let segments: Vec<_> = names.iter().filter(|name| name.ends_with(".seg")).cloned().collect();
    let length = disk.content(&name).len() as u64;
    let at = random.below(length);
    let index = |at: u64| usize::try_from(at).unwrap();
    let what = random.below(10);
    match what {
        0 => disk.alter(&name, |bytes| bytes[index(at)] ^= 1 << random.below(8)),
        1 => disk.alter(&name, |bytes| bytes[index(at)] = bytes[index(at)].wrapping_add(1 + random.next() as u8 % 255)),
        2 | 3 => {
            let size = *pick(random, &[512, 4096]);
            disk.alter(&name, |bytes| {
                let from = index(at) / size * size;
                let to = (from + size).min(bytes.len());
                bytes[from..to].iter_mut().for_each(|byte| *byte = if what == 2 { 0 } else { random.next() as u8 });
            });
        }
        4 => disk.alter(&name, |bytes| {
            let size = 512;
            let pages = (bytes.len() / size) as u64;
            let (a, b) = (index(random.below(pages)) * size, index(random.below(pages)) * size);
            if a + size <= bytes.len() && b + size <= bytes.len() {
                let page = bytes[a..a + size].to_vec();
                bytes.copy_within(b..b + size, a);
                bytes[b..b + size].copy_from_slice(&page);
            }
        }),
        5 => disk.alter(&name, |bytes| bytes.truncate(index(at))),
        6 => disk.unlink(&name).unwrap(),
        7 => {
            let other = pick(random, &segments).clone();
            let copy = pick(random, &segments).clone();
            let copy = disk.content(&copy);
            disk.put(&other, copy);
        }
        8 => {
            let segment = pick(random, &segments).clone();
            disk.put(&format!("copy-of-{segment}"), disk.content(&segment));
        }
        _ => {
            // A segment as it was some time ago, or of another log.
            let names: Vec<_> = older.list().unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect();
            let name = pick(random, &names).clone();
            disk.put(&name, older.content(&name));
        }
    }
    format!("damage {what} of {name} at {at} of {length}")
}

/// Everything that is served is as it was stored, and everything else is covered by a gap or was removed by a limit.
fn check(log: &Log, stored: &BTreeMap<Id, Record>, at: &str) {
    for pattern in ["*", "t0", "t1", "t2"] {
        let (records, gaps) = log.read(&filter(pattern)).unwrap();
        let (back, back_gaps) = log.read_back(&filter(pattern)).unwrap();
        assert_eq!(records, back, "{at}: {pattern}");
        assert!(records.is_sorted_by(|a, b| a.id < b.id), "{at}: {pattern}");
        for record in &records {
            assert_eq!(stored.get(&record.id), Some(record), "{at}: {pattern}: {} is wrong", record.id);
        }
        // A stream with any cursor before this gets a gap.
        let trimmed = log.store.catalog.read().trimmed(&filter(pattern));
        let found: std::collections::BTreeSet<_> = records.iter().map(|record| record.id).collect();
        let passes = |record: &&Record| pattern == "*" || record.topic.as_str() == pattern;
        for record in stored.values().filter(passes).filter(|record| !found.contains(&record.id)) {
            let id = record.id;
            let is_told = id <= trimmed || gaps.iter().any(|(after, upto)| *after < id && id <= *upto);
            assert!(is_told, "{at}: {pattern}: {id} is missing and no gap says so: {gaps:?}");
            assert!(back_gaps.iter().any(|gap| *gap >= id), "{at}: {pattern}: {id} is missing backward");
        }
    }
}

/// Damages a log in one way for each seed, opens it, goes on and starts it again.
fn run(retention: Retention, total: u64) {
    let first: u64 = std::env::var("ALERTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random::new(first);
    let (stopped, of_stopped) = image(&mut random, retention);
    let (older, _) = image(&mut random, retention);
    let mut refused = 0;
    for seed in first..first + total {
        let mut random = Random::new(seed);
        let disk = stopped.copy();
        let what = corrupt(&disk, &older, &mut random);
        let at = format!("seed {seed}: {what}");
        let mut stored: BTreeMap<_, _> = of_stopped.iter().map(|record| (record.id, record.clone())).collect();
        let mut log = match Log::open(&disk, Durability::Fsync, retention) {
            Ok(log) => log,
            Err(error) => {
                assert!(error.to_string().contains("cannot be read"), "{at}: {error}");
                refused += 1;
                continue;
            }
        };
        check(&log, &stored, &at);
        // It goes on, and reads the same after the next start.
        for i in 0..3 {
            let outcome = log.append(&[vec![publish("t0", &format!("new{i}"), Level::Info, None)]]).unwrap().remove(0);
            let record = outcome.unwrap().remove(0).record;
            assert!(stored.keys().all(|id| *id < record.id), "{at}: {} is not above all others", record.id);
            stored.insert(record.id, record);
        }
        check(&log, &stored, &at);
        if random.chance(50) {
            log.stop().unwrap();
        }
        let log = Log::open(&disk, Durability::Fsync, retention).unwrap();
        check(&log, &stored, &at);
    }
    assert!(refused * 20 < total, "{refused} of {total} logs were not opened");
}

#[test]
fn damage_is_never_served_and_never_passed_over_in_silence() {
    run(UNLIMITED, runs(300));
}

#[test]
fn damage_beside_segments_that_were_dropped_from_within_the_log_is_told_as_well() {
    run(Retention { topic_count: 12, ..UNLIMITED }, runs(300));
}
