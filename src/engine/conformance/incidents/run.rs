//! One random sequence of steps on a log, and what must hold after each of them.

mod retract;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::{Backend, Log, NOW, PATIENCE, UNLIMITED, filter};
use super::fold::{self, Fold};
use super::model::{Alert, Model, Shown, Told};
use super::{incident, key, plain};
use crate::alert::{Id, Level, Record, RecordKind, Start};
use crate::engine::{
    ActFailure, AppendError, Direction, Feed, Idempotency, Publish, Range, Retention, Stored, Tracking,
};
use crate::histogram::Distribution;
use crate::incident::{Act, Action, Counts, Happened, Key, Query, Row, Settings, State, Wanted};
use crate::random::Random;

const TOPICS: [&str; 2] = ["ops", "ops.db"];
const NAMES: [&str; 2] = ["disk", "a/b \u{e4}"];
const USERS: [&str; 2] = ["alice", "bob"];

/// A log, its model, and what was seen of it.
pub(super) struct Run {
    backend: Arc<Backend>,
    name: String,
    retention: Retention,
    random: Random,
    settings: Settings,
    log: Log,
    model: Model,
    /// Everything that was fed, in order.
    fed: Vec<Record>,
    fold: Fold,
    /// Alerts with an idempotency key, and what was answered.
    keyed: Vec<(Publish, Stored)>,
    /// Alerts that were retracted.
    retracted: BTreeSet<Id>,
}

impl Run {
    pub(super) async fn new(backend: Arc<Backend>, seed: u64, retention: Retention) -> Self {
        let (name, mut random) = (format!("log-{seed}"), Random::new(seed));
        let settings = Settings {
            repeat_interval_ms: if random.chance(60) { 4000 } else { 0 },
            remind_after_ms: if random.chance(60) { 7000 } else { 0 },
            remind_level: if random.chance(50) { Level::Error } else { Level::Warn },
            max_open: if random.chance(40) { 2 } else { 100 },
            max_open_per_user: if random.chance(40) { 1 } else { 100 },
        };
        let log = backend.open(&name, retention).await;
        log.engine.set_incidents(settings);
        let (model, fold) = (Model::new(NOW, settings), Fold::default());
        let (fed, keyed, retracted) = Default::default();
        Self { backend, name, retention, random, settings, log, model, fed, fold, keyed, retracted }
    }

    fn any_key(&mut self) -> Key {
        key(TOPICS[self.random.index(2)], NAMES[self.random.index(2)])
    }

    /// Waits for so many records of the feed, and remembers them.
    async fn hear(&mut self, count: usize) -> Vec<Record> {
        let before = self.fed.len();
        while self.fed.len() < before + count {
            let feed = tokio::time::timeout(PATIENCE, self.log.feed.recv());
            if let Feed::Alerts(records) = feed.await.expect("nothing is fed").unwrap() {
                records.iter().for_each(|record| self.fold.apply(record));
                self.fed.extend_from_slice(&records);
            }
        }
        assert!(self.fed.is_sorted_by(|a, b| a.id < b.id), "{}", self.name);
        assert_eq!(self.fed.len(), before + count, "{}: {:?}", self.name, self.fed);
        self.fed[before..].to_vec()
    }

    async fn step(&mut self) {
        match self.random.below(100) {
            0..45 => self.publish().await,
            45..50 => self.repeat().await,
            50..66 => self.act().await,
            66..72 => self.retract().await,
            72..82 => {
                let ms = 500 + self.random.below(9000);
                self.model.now_ms += ms;
                self.log.clock.store(self.model.now_ms, Ordering::Relaxed);
                self.pass_time().await;
            }
            82..85 => {
                self.settings.remind_after_ms = if self.random.chance(50) { 0 } else { 3000 };
                self.model.settings = self.settings;
                self.log.engine.set_incidents(self.settings);
                self.pass_time().await;
            }
            85..95 => {
                let count = 1 + self.random.index(4);
                self.log.engine.append_all((0..count).map(|_| plain("other")).collect()).await.unwrap();
                self.hear(count).await;
            }
            _ => self.restart().await,
        }
        self.check().await;
    }

    async fn publish(&mut self) {
        let (mut group, mut alerts) = (Vec::new(), Vec::new());
        for _ in 0..=self.random.below(3) {
            let alert = Alert {
                key: self.any_key(),
                user: USERS[self.random.index(2)],
                message: ["full", "still full"][self.random.index(2)],
                level: Level::ALL[self.random.index(3)],
                is_end: self.random.chance(15),
                ttl_s: self.random.chance(25).then(|| 1 + self.random.below(12)),
            };
            let idempotency = self.random.chance(30).then(|| Idempotency {
                user: alert.user.to_owned(),
                key: format!("key {}", self.random.next()),
                state: None,
            });
            group.push(Publish { draft: incident(&alert), user: alert.user.into(), idempotency });
            alerts.push(alert);
        }
        let stored = self.log.engine.append_all(group.clone()).await.unwrap();
        let (mut answers, mut new, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (alert, stored) in alerts.iter().zip(&stored) {
            let told = self.model.publish(alert, stored.record.id);
            let expected = match told {
                Told::Plain => Tracking::None,
                Told::Tracked => Tracking::Tracked,
                Told::Untracked(why) => Tracking::Untracked(why),
                Told::Counted(_) => Tracking::Counted,
            };
            assert_eq!((stored.incident, stored.repeated), (expected, false), "{}: {alert:?}", self.name);
            match told {
                Told::Counted(id) => answers.push((id, stored.record.clone())),
                _ => {
                    let shown = self.model.shown(&alert.key).filter(|shown| shown.changed == stored.record.id);
                    places.push(shown.map(|shown| (shown.occurrence, shown.count)));
                    new.push(stored.record.clone());
                }
            }
        }
        self.keyed.extend(group.into_iter().zip(stored).filter(|(publish, _)| publish.idempotency.is_some()));
        assert_eq!(self.hear(new.len()).await, new, "{}", self.name);
        assert!(new.iter().map(fold::place).eq(places), "{}: {new:?}", self.name);
        for (id, record) in answers {
            // The alert that was broadcast, as it was broadcast.
            assert_eq!(Some(&record), self.fed.iter().find(|fed| fed.id == id), "{}", self.name);
        }
    }

    /// Sends again what was stored under an idempotency key: nothing changes.
    async fn repeat(&mut self) {
        if self.keyed.is_empty() {
            return;
        }
        let (publish, first) = self.keyed[self.random.index(self.keyed.len())].clone();
        let again = self.log.engine.append(publish).await;
        if self.retracted.contains(&first.record.id) {
            assert!(matches!(again, Err(AppendError::Retracted)), "{}: {again:?}", self.name);
            return;
        }
        let again = again.unwrap();
        assert_eq!((again.record.id, again.repeated), (first.record.id, true), "{}", self.name);
        if self.retention == UNLIMITED {
            assert_eq!(again.record, first.record, "{}", self.name);
        }
    }

    async fn act(&mut self) {
        let key = self.any_key();
        let action = [Action::Acknowledge, Action::Resolve, Action::Reopen][self.random.index(3)];
        let by = USERS[self.random.index(2)].to_owned();
        let note = self.random.chance(30).then(|| format!("note {}", self.fed.len()));
        let act = Act { key: key.clone(), action, by, note };
        let expected = self.model.act(&act);
        match (self.log.engine.act(act).await, expected) {
            (Ok(changed), Ok(is_changed)) => {
                assert_eq!(changed.record.is_some(), is_changed, "{}: {changed:?}", self.name);
                let Some(record) = changed.record else { return };
                assert_eq!(self.hear(1).await, std::slice::from_ref(&record), "{}", self.name);
                assert_eq!((record.kind, &record.topic), (RecordKind::Transition, &key.topic), "{}", self.name);
                self.model.changed(&key, record.id);
                assert_eq!(self.model.shown(&key), Some(Shown::of(&changed.row)), "{}", self.name);
                let place = (changed.row.occurrence, changed.row.count);
                assert_eq!(fold::place(&record), Some(place), "{}", self.name);
            }
            (Err(ActFailure::Refused(refused)), Err(expected)) => assert_eq!(refused, expected, "{}", self.name),
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// Waits for what is due now: each change once, in any order.
    async fn pass_time(&mut self) {
        let mut due = self.model.pass_time();
        for record in self.hear(due.len()).await {
            let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
            let key = key(json["topic"].as_str().unwrap(), json["incident"].as_str().unwrap());
            let reminder = due.remove(&key).expect("it was not due");
            let is_as_due = match reminder {
                Some(number) => record.kind == RecordKind::Alert && json["metadata"]["reminder"] == number,
                None => record.kind == RecordKind::Transition && json["reason"] == "ttl" && json["by"].is_null(),
            };
            assert!(is_as_due, "{}: {json}", self.name);
            if reminder.is_some() {
                self.model.reminded(&key, record.id);
            }
            self.model.changed(&key, record.id);
        }
    }

    async fn restart(&mut self) {
        self.log.engine.close().await;
        self.log = self.backend.open(&self.name, self.retention).await;
        self.log.clock.store(self.model.now_ms, Ordering::Relaxed);
        self.log.engine.set_incidents(self.settings);
        self.model.happened = Happened::default();
    }

    /// All incidents, in pages.
    async fn all(&self, wanted: Wanted) -> Vec<(Key, Row)> {
        let (mut before, mut all) = (None, Vec::new());
        loop {
            let query = Query { filter: filter("*", Level::Info), wanted, before, limit: 2 };
            let page = self.log.engine.incidents(query).await.unwrap();
            assert!(page.incidents.len() == 2 || page.next.is_none(), "{}", self.name);
            all.extend(page.incidents);
            match page.next {
                Some(next) => before = Some(next),
                None => return all,
            }
        }
    }

    async fn read(&self, after: Id, level: Level) -> Vec<Record> {
        let (mut after, mut records) = (after, Vec::new());
        loop {
            let until = self.log.engine.head().unwrap();
            let range = Range { filter: filter("*", level), after, until, limit: 5, bytes: 1 << 20 };
            let page = self.log.engine.read(range, Direction::Forward).await.unwrap();
            records.extend(page.records);
            match page.next {
                Some(next) => after = next,
                None => return records,
            }
        }
    }

    /// The engine, the model and the fold agree. Retention may take a moment to remove incidents.
    async fn check(&mut self) {
        let began = tokio::time::Instant::now();
        let rows = loop {
            let retained = self.read(Id::ZERO, Level::Info).await;
            let alerts = retained.iter().filter(|record| record.kind == RecordKind::Alert).count() as u64;
            let oldest = retained.first().map_or(Id::MAX, |record| record.id);
            if self.retention != UNLIMITED {
                self.model.retain(oldest);
            }
            let rows = self.all(Wanted::All).await;
            let expected = self.model.all();
            let found: Vec<_> = rows.iter().map(|(key, row)| (key.clone(), Shown::of(row))).collect();
            if found == expected
                && self.is_measured()
                && (self.retention == UNLIMITED || alerts <= self.retention.count)
            {
                let fed: Vec<_> = self.fed.iter().filter(|record| record.id >= oldest).cloned().collect();
                assert_eq!(retained, fed, "{}", self.name);
                break rows;
            }
            let now = self.model.now_ms - NOW;
            let measured = (self.log.engine.status().incidents, &self.model.happened);
            let seen = (&found, &expected, measured);
            assert!(began.elapsed() < PATIENCE, "{} at {now}: found, expected, measured: {seen:#?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut counts = Counts::default();
        rows.iter().for_each(|(_, row)| counts.add(row));
        assert_eq!(self.log.engine.incident_counts().await.unwrap(), counts, "{}", self.name);
        let unresolved: Vec<_> = rows.iter().filter(|(_, row)| row.state != State::Resolved).cloned().collect();
        assert_eq!(self.all(Wanted::Unresolved).await, unresolved, "{}", self.name);
        let resolved: Vec<_> = rows.iter().filter(|(_, row)| row.state == State::Resolved).cloned().collect();
        assert_eq!(self.all(Wanted::Only(State::Resolved)).await, resolved, "{}", self.name);
        for (key, row) in &rows {
            self.fold.check(key, row, &self.name);
            assert_eq!(self.log.engine.incident(key.clone()).await.unwrap().as_ref(), Some(row), "{}", self.name);
        }
        for (key, row) in unresolved {
            // Whatever retention does.
            let Some(id) = row.last.and_then(|last| last.id) else { continue };
            let alert = self.log.engine.incident_alert(key.topic.clone(), id).await.unwrap();
            assert_eq!(alert.as_ref(), self.fed.iter().find(|fed| fed.id == id), "{}", self.name);
        }
    }

    /// Whether the engine has measured what happened since its start. A node of a fleet may do so after the feed has told.
    fn is_measured(&self) -> bool {
        let measured = self.log.engine.status().incidents;
        let Happened { acknowledged_ms, resolved_ms, reminders } = &self.model.happened;
        let is = |seen: &Distribution, ms: &[u64]| {
            (seen.count(), seen.sum()) == (ms.len() as u64, Duration::from_millis(ms.iter().sum()))
        };
        is(&measured.acknowledgement, acknowledged_ms)
            && is(&measured.resolution, resolved_ms)
            && measured.reminders == *reminders
    }

    pub(super) async fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step().await;
        }
        // Nothing more is fed than was expected.
        let end = self.log.engine.append(plain("other")).await.unwrap().record;
        assert_eq!(self.hear(1).await, [end], "{}", self.name);
        let all = self.read(Id::ZERO, Level::Info).await;
        for level in Level::ALL {
            // Every filter by level passes transitions and retractions.
            let is_read = |record: &&Record| record.kind != RecordKind::Alert || record.level >= level;
            let after = self.fed[self.random.index(self.fed.len())].id;
            let expected: Vec<_> = all.iter().filter(|record| record.id > after).filter(is_read).cloned().collect();
            assert_eq!(self.read(after, level).await, expected, "{}: {level} after {after}", self.name);
        }
        // Neither is ever the latest alert of a topic.
        let (start, until) = (Start::Latest, self.log.engine.head().unwrap());
        let latest = self.log.engine.seek(&start, &filter("*", Level::Info), until, 0).await.unwrap().latest;
        let mut expected = BTreeMap::new();
        let alerts = self.fed.iter().filter(|record| record.kind == RecordKind::Alert);
        let first = all.first().map_or(Id::ZERO, |record| record.id);
        alerts.for_each(|record| drop(expected.insert(record.topic.clone(), record.clone())));
        let mut expected: Vec<_> = expected.into_values().collect();
        expected.retain(|record| self.retention == UNLIMITED || record.id >= first);
        expected.sort_by_key(|record| record.id);
        assert_eq!(latest, expected, "{}", self.name);
        self.log.engine.close().await;
    }
}
