//! Incidents over power cuts and failures of the disk: each row is that of the record that changed it last.

use std::collections::BTreeMap;

use super::Durability;
use super::disk::Disk;
use super::disk::simulated::SimulatedDisk;
use super::header::SUFFIX;
use super::incident_table::IncidentTable;
use super::testing::{Log, UNLIMITED, filter, runs};
use crate::alert::{Draft, Id, Level, Record, RecordKind};
use crate::engine::{Idempotency, Publish, Retention, Stored, Tracking};
use crate::incident::{Act, Action, Key, Row, Settings, State};
use crate::random::Random;

const SETTINGS: Settings = Settings {
    repeat_interval_ms: 1000,
    remind_after_ms: 3000,
    remind_level: Level::Warn,
    max_open: 3,
    max_open_per_user: 3,
};

pub(super) type Rows = BTreeMap<Key, Row>;

fn key(name: &str) -> Key {
    Key { topic: "ops".parse().unwrap(), name: name.parse().unwrap() }
}

pub(super) fn alert(name: &str, message: &str, level: Level, extra: &str, key: Option<&str>) -> Publish {
    let body = format!(r#"{{"topic":"ops","message":"{message}","level":"{level}","incident":"{name}"{extra}}}"#);
    let draft = Draft::from_json(None, body.as_bytes()).unwrap();
    let idempotency = key.map(|key| Idempotency { user: "alice".into(), key: key.into(), state: None });
    Publish { draft, user: "alice".into(), idempotency }
}

fn open(disk: &SimulatedDisk, durability: Durability, retention: Retention) -> Log {
    let log = Log::open(disk, durability, retention).unwrap();
    log.store.incidents.write().set_settings(SETTINGS);
    assert_eq!(log.damage, Vec::<String>::new());
    log
}

pub(super) fn rows(log: &Log) -> Rows {
    rows_of(&log.store.incidents.read())
}

pub(super) fn rows_of(table: &IncidentTable) -> Rows {
    table.iter().map(|incident| (incident.key.clone(), incident.row.clone())).collect()
}

fn put(log: &mut Log, publish: Publish) -> Stored {
    log.append(&[vec![publish]]).unwrap().remove(0).unwrap().remove(0)
}

impl Log {
    pub(super) fn act(&mut self, name: &str, action: Action) -> std::io::Result<()> {
        let act = Act { key: key(name), action, by: "bob".into(), note: None };
        let done = self.store.commit(self.now_ms, &self.retention, 512, |stage| drop(stage.act(&act)));
        self.work();
        done.map(drop)
    }

    fn keep_up(&mut self) -> std::io::Result<Vec<Record>> {
        let done = self.store.keep_up_incidents(self.now_ms, &self.retention);
        self.work();
        done.map(|records| records.to_vec())
    }
}

fn check_log(log: &Log, at: &str) {
    let rows = rows(log);
    assert_eq!(check_rows(&log.read(&filter("*")).unwrap().0, &rows, at), rows.len(), "{at}");
}

/// Each row is that of the newest record of its incident, and no record lacks a row. Returns how many were compared.
pub(super) fn check_rows(records: &[Record], rows: &Rows, at: &str) -> usize {
    let mut newest = BTreeMap::new();
    for record in records {
        let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
        if json["occurrence"].is_number() {
            let name = json["incident"].as_str().unwrap().parse().unwrap();
            newest.insert(Key { topic: record.topic.clone(), name }, (record, json));
        }
    }
    for (key, (record, json)) in &newest {
        let row = &rows[key];
        assert_eq!((row.changed, Some(row.occurrence)), (Some(record.id), json["occurrence"].as_u64()), "{at}: {json}");
        assert!(row.count >= json["count"].as_u64().unwrap(), "{at}: {json}");
        match record.kind {
            RecordKind::Transition => assert_eq!(row.state.as_str(), json["state"], "{at}"),
            RecordKind::Alert => assert_eq!(row.state == State::Resolved, json["status"] == "resolved", "{at}"),
            RecordKind::Retraction(_) => unreachable!("it has no occurrence"),
        }
    }
    newest.len()
}

/// A random change; whether it succeeded.
fn step(log: &mut Log, random: &mut Random, number: u64) -> bool {
    let name = ["a", "b", "c", "d"][random.index(4)];
    match random.below(10) {
        0..6 => {
            let groups: Vec<_> = (0..=random.below(2))
                .map(|group| {
                    let extra = match random.below(10) {
                        0 => r#","status":"resolved""#,
                        1 | 2 => r#","ttl":"2s""#,
                        _ => "",
                    };
                    let message = ["full", "fuller"][random.index(2)];
                    let padding = "x".repeat(usize::try_from(random.below(400)).unwrap());
                    let message = if random.chance(60) { message.to_owned() } else { message.to_owned() + &padding };
                    let named = random.chance(30).then(|| format!("key-{number}-{group}"));
                    vec![alert(name, &message, Level::ALL[random.index(3)], extra, named.as_deref())]
                })
                .collect();
            log.append(&groups).is_ok()
        }
        6 | 7 => log.act(name, [Action::Acknowledge, Action::Resolve, Action::Reopen][random.index(3)]).is_ok(),
        8 => {
            log.now_ms += random.below(2500);
            log.keep_up().is_ok()
        }
        _ => log.store.appender.sync().is_ok(),
    }
}

/// The log without what is derived from its segments.
fn segments(disk: &SimulatedDisk) -> SimulatedDisk {
    let copy = disk.copy();
    for name in copy.list().unwrap().iter().filter(|name| !name.ends_with(SUFFIX)) {
        copy.unlink(name).unwrap();
    }
    copy
}

#[test]
fn a_power_cut_at_any_moment_leaves_each_row_with_its_record() {
    for durability in [Durability::Fsync, Durability::None] {
        for seed in 1..=runs(60) {
            let (mut random, mut disk) = (Random::new(seed), SimulatedDisk::default());
            for round in 0..3 {
                let at = format!("{durability:?} seed {seed} round {round}");
                let mut log = open(&disk, durability, UNLIMITED);
                check_log(&log, &at);
                disk.set_fuel(Some(3 + random.below(120)));
                // After each change.
                let mut known = vec![(log.store.head(), rows(&log))];
                let (mut is_stopped, mut is_done) = (false, true);
                for number in 0.. {
                    is_done = step(&mut log, &mut random, 1000 * round + number);
                    if !is_done {
                        assert_eq!(rows(&log), known.last().unwrap().1, "{at}: a failed write changed a row");
                    }
                    known.push((log.store.head(), rows(&log)));
                    is_stopped = disk.list().is_ok() && random.chance(3) && log.store.stop(&log.keeper).is_ok();
                    if is_stopped || disk.list().is_err() {
                        break;
                    }
                }
                disk = disk.after_power_cut(&mut random);
                let log = open(&disk, durability, UNLIMITED);
                check_log(&log, &at);
                let found = (log.store.head(), rows(&log));
                let is_known = match durability {
                    Durability::Fsync => known.last() == Some(&found),
                    Durability::None if is_stopped => known.last() == Some(&found),
                    Durability::None => known.contains(&found),
                };
                // A batch that failed right before the cut may be there nevertheless.
                let is_known = is_known || (!is_done && known.iter().all(|(head, _)| *head <= found.0));
                assert!(is_known, "{at}: {found:?}\n{known:?}");
                assert_eq!(rows(&open(&segments(&disk), durability, UNLIMITED)), found.1, "{at}: rebuilt");
            }
        }
    }
}

#[test]
fn a_repeat_that_was_counted_is_recognised_after_a_crash() {
    for is_stopped in [false, true] {
        let mut disk = SimulatedDisk::default();
        let mut log = open(&disk, Durability::Fsync, UNLIMITED);
        let first = put(&mut log, alert("a", "full", Level::Warn, "", Some("one")));
        let counted = put(&mut log, alert("a", "full", Level::Warn, "", Some("two")));
        assert_eq!((counted.incident, counted.repeated, &counted.record), (Tracking::Counted, false, &first.record));
        put(&mut log, alert("a", "fuller", Level::Warn, "", None));
        if is_stopped {
            log.stop().unwrap();
        } else {
            disk = disk.after_power_cut(&mut Random::new(1));
        }
        let mut log = open(&disk, Durability::Fsync, UNLIMITED);
        for (key, message) in [("one", "full"), ("two", "full")] {
            let again = put(&mut log, alert("a", message, Level::Warn, "", Some(key)));
            assert_eq!((again.repeated, &again.record), (true, &first.record), "{key}");
        }
        let other = alert("a", "other", Level::Warn, "", Some("two"));
        assert!(log.append(&[vec![other]]).unwrap()[0].is_err());
        assert_eq!(rows(&log)[&key("a")].count, 3);
    }
}

#[test]
fn a_disk_that_fails_changes_no_row_and_what_is_due_is_done_later_once() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk, Durability::Fsync, UNLIMITED);
    put(&mut log, alert("a", "full", Level::Warn, r#","ttl":"10s""#, None));
    let before = rows(&log);
    disk.set_fuel(Some(0));
    assert!(log.append(&[vec![alert("a", "fuller", Level::Error, "", None)]]).is_err());
    assert!(log.act("a", Action::Resolve).is_err());
    log.now_ms += 4000;
    assert!(log.keep_up().is_err());
    assert_eq!(rows(&log), before);
    disk.set_fuel(None);
    log.store.appender.go_on().unwrap();
    assert_eq!(log.keep_up().unwrap().len(), 1);
    assert_eq!(rows(&log)[&key("a")].reminders, 1);
    assert_eq!(log.keep_up().unwrap(), []);
    log.now_ms += 6000;
    let ended = log.keep_up().unwrap();
    assert_eq!((ended.len(), ended[0].kind), (1, RecordKind::Transition));
    let mut log = open(&disk.after_power_cut(&mut Random::new(1)), Durability::Fsync, UNLIMITED);
    log.now_ms = before[&key("a")].opened_ms + 60_000;
    assert_eq!(log.keep_up().unwrap(), []);
    check_log(&log, "at the end");
}

#[test]
fn retention_keeps_unresolved_incidents_and_takes_resolved_ones_with_their_last_alert() {
    let retention = Retention { count: 20, ..UNLIMITED };
    let disk = SimulatedDisk::default();
    let mut log = open(&disk, Durability::Fsync, retention);
    let kept = put(&mut log, alert("kept", "full", Level::Warn, "", None)).record;
    put(&mut log, alert("gone", "full", Level::Warn, "", None));
    put(&mut log, alert("gone", "fine", Level::Info, r#","status":"resolved""#, None));
    let fill = |log: &mut Log| {
        for _ in 0..300 {
            log.append(&[vec![super::testing::publish("other", &"x".repeat(300), Level::Info, None)]]).unwrap();
        }
    };
    assert_eq!(log.keep_up().unwrap(), []);
    assert_eq!(rows(&log).len(), 2);
    fill(&mut log);
    assert_eq!(log.keep_up().unwrap(), []);
    assert!(rows(&log).keys().eq([&key("kept")]));
    // Its segment is dropped, and so is the one that says that the other one is gone.
    fill(&mut log);
    assert!(log.store.catalog.read().segments[0].header.number > 5);
    let check = |log: &Log| {
        assert!(rows(log).keys().eq([&key("kept")]));
        let alert = log.store.incidents.read().alert(&kept.topic, kept.id);
        assert_eq!(alert.as_ref(), Some(&kept));
        assert!(!log.read(&filter("*")).unwrap().0.contains(&kept));
    };
    check(&log);
    check(&open(&disk.after_power_cut(&mut Random::new(1)), Durability::Fsync, retention));
    log.stop().unwrap();
    let mut log = open(&disk, Durability::Fsync, retention);
    check(&log);
    log.act("kept", Action::Resolve).unwrap();
    log.keep_up().unwrap();
    assert_eq!((rows(&log).len(), log.store.incidents.read().alert(&kept.topic, kept.id)), (0, None));
    assert_eq!(rows(&open(&disk.after_power_cut(&mut Random::new(1)), Durability::Fsync, retention)).len(), 0);
}

#[test]
fn incidents_keep_a_segment_until_the_snapshot_has_them() {
    let retention = Retention { count: 5, ..UNLIMITED };
    let disk = SimulatedDisk::default();
    let mut log = open(&disk, Durability::Fsync, retention);
    put(&mut log, alert("kept", "full", Level::Warn, "", None));
    // The keeper does nothing, and the keys become too old to matter.
    let publish = [super::testing::publish("other", &"x".repeat(300), Level::Info, None)];
    for _ in 0..100 {
        log.store.append([&publish[..]].into_iter(), log.now_ms, &retention, 512).unwrap();
    }
    log.now_ms += 10 * 86_400_000;
    log.store.advance(log.now_ms, 86_400_000);
    log.store.append([&publish[..]].into_iter(), log.now_ms, &retention, 512).unwrap();
    assert_eq!(log.store.catalog.read().segments[0].header.number, 1);
    log.work();
    log.append(&[]).unwrap();
    assert!(log.store.catalog.read().segments[0].header.number > 1);
    log.work();
    let log = open(&disk.after_power_cut(&mut Random::new(1)), Durability::Fsync, retention);
    assert!(rows(&log).keys().eq([&key("kept")]));
}

#[test]
fn the_latest_alert_is_found_behind_transitions_of_any_number_of_segments() {
    let disk = SimulatedDisk::default();
    let mut log = open(&disk, Durability::Fsync, UNLIMITED);
    let first = put(&mut log, alert("a", "full", Level::Warn, "", None)).record;
    for _ in 0..100 {
        log.act("a", Action::Acknowledge).unwrap();
        log.act("a", Action::Reopen).unwrap();
    }
    let latest = |log: &Log| {
        let start = crate::alert::Start::Latest;
        log.view.seek(&start, &filter("ops"), log.store.head(), 0).unwrap().latest
    };
    assert_eq!(latest(&log), std::slice::from_ref(&first));
    assert_eq!(log.store.catalog.read().count, 201);
    log.stop().unwrap();
    let mut log = open(&disk, Durability::Fsync, UNLIMITED);
    assert!(log.store.catalog.read().segments.len() > 2);
    assert_eq!((latest(&log), log.store.catalog.read().count), (vec![first.clone()], 201));
    assert_eq!(latest(&open(&segments(&disk), Durability::Fsync, UNLIMITED)), [first]);
    let second = put(&mut log, alert("a", "fuller", Level::Warn, "", None)).record;
    assert_eq!(latest(&log), [second]);
    assert!(log.store.head() > Id::ZERO);
}
