//! Power cuts at any moment, on a disk that keeps any part of what was not synced, and that fails now and then.

use std::collections::{BTreeMap, HashSet};

use super::Durability;
use super::disk::Disk;
use super::disk::simulated::SimulatedDisk;
use super::header::SUFFIX;
use super::testing::{Log, by_id, filter, publish, runs};
use crate::alert::{Id, Level, Record, RecordKind};
use crate::engine::Retention;
use crate::random::Random;

/// What was answered, and what must be true after a cut.
#[derive(Default)]
struct Model {
    answered: BTreeMap<Id, Record>,
    /// Those of them that must survive a power cut.
    synced: Id,
    erased: HashSet<Id>,
    /// Alerts that may or may not have been erased.
    half_erased: HashSet<Id>,
    /// Messages of batches that failed right before the cut.
    unknown: HashSet<String>,
    keyed: Vec<(String, String, Id)>,
    highest: Id,
    messages: u64,
}

fn text(record: &Record) -> String {
    let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
    json["message"].as_str().unwrap().to_owned()
}

struct Run {
    seed: u64,
    random: Random,
    durability: Durability,
    retention: Retention,
    faults: bool,
    erases: bool,
    model: Model,
}

impl Run {
    fn new(seed: u64, durability: Durability) -> Self {
        let mut random = Random::new(seed);
        let count = if random.chance(50) { 0 } else { 20 + random.below(40) };
        let topic_count = if random.chance(70) { 0 } else { 5 };
        let retention = Retention { age_ms: 0, count, bytes: 0, topic_count };
        let faults = random.chance(40);
        let erases = random.chance(40);
        Self { seed, random, durability, retention, faults, erases, model: Model::default() }
    }

    fn run(&mut self) {
        let mut disk = SimulatedDisk::default();
        for round in 0..4 {
            let mut log = Log::open(&disk, self.durability, self.retention).unwrap();
            self.check(&log, &disk, round);
            let fuel = 3 + self.random.below(150);
            disk.set_fuel(Some(fuel));
            let stopped = loop {
                if !self.step(&mut log, &disk) {
                    break false;
                }
                if self.random.chance(3) {
                    break log.store.stop(&log.keeper).is_ok();
                }
            };
            if !self.erases && !stopped {
                assert_eq!(disk.synced_after_failure(), 0, "seed {}", self.seed);
            }
            if stopped {
                self.model.synced = self.model.highest;
                self.model.unknown.clear();
            }
            disk = disk.after_power_cut(&mut self.random);
        }
        let log = Log::open(&disk, self.durability, self.retention).unwrap();
        self.check(&log, &disk, 4);
    }

    /// Performs one random operation; false when the power has failed.
    fn step(&mut self, log: &mut Log, disk: &SimulatedDisk) -> bool {
        let powered = |disk: &SimulatedDisk| disk.list().is_ok();
        if self.faults {
            match self.random.below(30) {
                0 => disk.fail_syncs(1 + self.random.below(2)),
                1 => disk.set_space(Some(self.random.below(9000))),
                2..=6 => disk.set_space(None),
                _ => {}
            }
        }
        if self.random.chance(10) {
            let _ = log.store.appender.sync();
        }
        if self.erases && self.random.chance(10) && !self.model.answered.is_empty() {
            let at = usize::try_from(self.random.below(self.model.answered.len() as u64)).unwrap();
            let record = self.model.answered.values().nth(at).unwrap().clone();
            match log.retract(&record) {
                Ok(Some(_)) => drop(self.model.erased.insert(record.id)),
                Ok(None) => {}
                Err(_) => drop(self.model.half_erased.insert(record.id)),
            }
            log.work();
        }
        log.now_ms += self.random.below(3);
        self.append(log);
        if log.store.appender.pending().is_none() {
            self.model.synced = self.model.highest;
        }
        powered(disk)
    }

    fn append(&mut self, log: &mut Log) {
        let mut groups = Vec::new();
        for _ in 0..=self.random.below(4) {
            let mut group = Vec::new();
            for _ in 0..=self.random.below(2) {
                self.model.messages += 1;
                let length = usize::try_from(self.random.below(900)).unwrap();
                let message = format!("<{}-{}>{}", self.seed, self.model.messages, "x".repeat(length));
                let key = self.random.chance(20).then(|| format!("k{}", self.model.messages));
                // A quiet topic keeps its segment while limits empty the later ones.
                let topic = if self.random.chance(2) { "quiet".into() } else { format!("t{}", self.random.below(4)) };
                let level = Level::ALL[usize::try_from(self.random.below(3)).unwrap()];
                group.push((publish(&topic, &message, level, key.as_deref()), message, key));
            }
            groups.push(group);
        }
        let publishes: Vec<Vec<_>> =
            groups.iter().map(|group| group.iter().map(|(publish, ..)| publish.clone()).collect()).collect();
        match log.append(&publishes) {
            Ok(outcomes) => {
                // A later success settles what failed before: it is not in the log.
                self.model.unknown.clear();
                for (group, outcome) in groups.iter().zip(outcomes) {
                    for ((_, message, key), stored) in group.iter().zip(outcome.unwrap()) {
                        let id = stored.record.id;
                        assert!(id > self.model.highest, "seed {}: {id} was given before", self.seed);
                        self.model.highest = id;
                        if let Some(key) = key {
                            self.model.keyed.push((key.clone(), message.clone(), id));
                        }
                        self.model.answered.insert(id, stored.record);
                    }
                }
            }
            Err(_) => self.model.unknown.extend(groups.iter().flatten().map(|(_, message, _)| message.clone())),
        }
    }

    /// After a start the log has what was answered, and nothing else.
    fn check(&mut self, log: &Log, disk: &SimulatedDisk, round: u64) {
        let at = format!("seed {} round {round} {:?}", self.seed, self.durability);
        assert_eq!(log.damage, Vec::<String>::new(), "{at}");
        let (records, gaps) = log.read(&filter("*")).unwrap();
        assert_eq!(gaps, [], "{at}");
        assert!(records.is_sorted_by(|a, b| a.id < b.id), "{at}");
        assert_eq!(log.read_back(&filter("*")).unwrap().0, records, "{at}");
        let found = by_id(&records);
        let surviving = match self.durability {
            Durability::Fsync => self.model.highest,
            Durability::None => {
                let newest = records.iter().rev().find(|record| self.model.answered.contains_key(&record.id));
                newest.map_or(Id::ZERO, |record| record.id).max(self.model.synced)
            }
        };
        for record in &records {
            let known = self.model.answered.get(&record.id);
            assert!(!self.model.erased.contains(&record.id), "{at}: {} was erased", record.id);
            match known {
                Some(known) => assert_eq!(known, record, "{at}"),
                None if self.is_retraction(record) => {}
                None => assert!(self.model.unknown.contains(&text(record)), "{at}: {} was never answered", record.id),
            }
        }
        let catalog = log.store.catalog.read();
        for (id, record) in &self.model.answered {
            let is_gone = !catalog.is_retained(record.topic.as_str(), *id)
                || self.model.erased.contains(id)
                || self.model.half_erased.contains(id);
            assert!(*id > surviving || is_gone || found.contains_key(id), "{at}: {id} is missing");
        }
        assert_eq!(catalog.count, records.len() as u64, "{at}");
        assert_eq!(catalog.oldest, records.first().map(|record| record.id), "{at}");
        drop(catalog);
        self.check_erased(disk, &at);
        self.check_rebuilt(&records, disk, &at);
        // Alerts that were found or lost by this start stay so from here on.
        self.model.answered.retain(|id, _| *id <= surviving);
        for record in records {
            self.model.highest = self.model.highest.max(record.id);
            self.model.answered.insert(record.id, record);
        }
        self.model.unknown.clear();
        self.model.synced = self.model.highest;
    }

    /// Whether it says that an alert was retracted that is, or may be.
    fn is_retraction(&self, record: &Record) -> bool {
        let RecordKind::Retraction(alert) = record.kind else { return false };
        self.model.erased.contains(&alert) || self.model.half_erased.contains(&alert)
    }

    fn check_erased(&self, disk: &SimulatedDisk, at: &str) {
        for id in &self.model.erased {
            let Some(record) = self.model.answered.get(id) else { continue };
            let (text, _) =
                text(record).split_once('>').map(|(head, tail)| (format!("{head}>"), tail.to_owned())).unwrap();
            for name in disk.list().unwrap() {
                let content = disk.content(&name);
                assert!(!content.windows(text.len()).any(|part| part == text.as_bytes()), "{at}: {id} is in {name}");
            }
        }
    }

    /// The log reads the same without its derived files.
    fn check_rebuilt(&self, records: &[Record], disk: &SimulatedDisk, at: &str) {
        let copy = disk.copy();
        for name in copy.list().unwrap() {
            if !name.ends_with(SUFFIX) {
                copy.unlink(&name).unwrap();
            }
        }
        let log = Log::open(&copy, self.durability, self.retention).unwrap();
        for topic in ["*", "t0", "t1"] {
            let of_topic = |record: &&Record| topic == "*" || record.topic.as_str() == topic;
            let expected: Vec<_> = records.iter().filter(of_topic).cloned().collect();
            assert_eq!(log.read(&filter(topic)).unwrap().0, expected, "{at}: rebuilt, {topic}");
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_answered_and_brings_back_nothing_that_was_refused() {
    let first: u64 = std::env::var("ALERTD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + runs(60) {
        for durability in [Durability::Fsync, Durability::None] {
            // The seed of a failure is in its message.
            Run::new(seed, durability).run();
        }
    }
}

#[test]
fn keys_outlive_every_cut_that_their_alerts_outlive() {
    for seed in 1..=runs(30) {
        let mut run = Run::new(seed, Durability::Fsync);
        (run.faults, run.erases) = (false, false);
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, run.durability, run.retention).unwrap();
        disk.set_fuel(Some(20 + run.random.below(200)));
        while run.step(&mut log, &disk) {}
        let disk = disk.after_power_cut(&mut run.random);
        let mut log = Log::open(&disk, run.durability, run.retention).unwrap();
        for (key, message, id) in std::mem::take(&mut run.model.keyed) {
            let record = &run.model.answered[&id];
            let again = publish(record.topic.as_str(), &message, record.level, Some(&key));
            let stored = log.append(&[vec![again]]).unwrap().remove(0).unwrap().remove(0);
            assert!(stored.repeated && stored.record == *record, "seed {seed}: {key}");
        }
    }
}

#[test]
fn readers_of_the_log_and_of_the_hub_see_the_same_over_a_thousand_failed_syncs() {
    let mut failures = 0;
    for seed in 1..=runs(90) {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, super::testing::UNLIMITED).unwrap();
        // What the writer feeds the hub with, in order.
        let (mut fed, mut refused) = (Vec::new(), Vec::<(String, String)>::new());
        for number in 0..60 {
            if random.chance(40) {
                disk.fail_syncs(1 + random.below(2));
            }
            // Senders repeat what was refused, with the same key.
            let mut batch = std::mem::take(&mut refused);
            batch.push((format!("k{number}"), format!("<{seed}-{number}>")));
            let group = batch.iter().map(|(key, message)| publish("ops", message, Level::Warn, Some(key))).collect();
            match log.append(&[group]) {
                Ok(outcomes) => {
                    let stored = outcomes.into_iter().flat_map(Result::unwrap);
                    fed.extend(stored.filter(|stored| !stored.repeated).map(|stored| stored.record));
                }
                Err(_) => {
                    failures += 1;
                    refused = batch;
                    // The writer does it a second later.
                    let _ = log.store.appender.go_on();
                }
            }
            let (read, gaps) = log.read(&filter("*")).unwrap();
            assert_eq!((&read, gaps), (&fed, vec![]), "seed {seed}, batch {number}");
        }
        disk.fail_syncs(0);
        let messages: Vec<_> = fed.iter().map(text).collect();
        let sent: Vec<_> = (0..60 - refused.len()).map(|number| format!("<{seed}-{number}>")).collect();
        assert_eq!(messages, sent, "seed {seed}: each alert once and in order");
        // A crash now: what was refused may come to light, what was answered must.
        let after =
            Log::open(&disk.after_power_cut(&mut random), Durability::Fsync, super::testing::UNLIMITED).unwrap();
        let (read, gaps) = after.read(&filter("*")).unwrap();
        let found = by_id(&read);
        assert!(gaps.is_empty() && fed.iter().all(|record| found.contains_key(&record.id)), "seed {seed}");
    }
    assert!(failures >= 1000, "{failures} failed syncs");
}
