//! The tests that every engine must pass, run against each of them.

mod expectations;
mod idempotency;
mod incidents;
mod pages;
mod retraction;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::embedded::{Durability, Embedded, OpenError, Settings};
use super::redis::testing::Server;
use super::{Clock, Direction, Engine, Feed, Publish, Range, Retention};
use crate::alert::{Draft, Filter, Id, Level, Pattern, Record, Start};

const NOW: u64 = 1_795_455_190_000;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

const UNLIMITED: Retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };

/// An engine under test, with any number of logs, each by its name.
enum Backend {
    Embedded(tempfile::TempDir, Durability),
    Redis(Server),
}

impl Backend {
    fn all() -> [Self; 3] {
        let directory = || tempfile::tempdir().unwrap();
        [
            Self::Embedded(directory(), Durability::Fsync),
            Self::Embedded(directory(), Durability::None),
            Self::Redis(Server::start()),
        ]
    }

    async fn open(&self, name: &str, retention: Retention) -> Log {
        let clock = Arc::new(AtomicU64::new(NOW));
        let time = Arc::clone(&clock);
        let now: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let (engine, feed) = match self {
            Self::Embedded(directory, durability) => {
                let directory = directory.path().join(name);
                let settings = Settings { directory, durability: *durability, retention, clock: now };
                let began = Instant::now();
                loop {
                    match Embedded::open(settings.clone()) {
                        Ok((embedded, feed)) => break (Engine::Embedded(embedded), feed),
                        // Another test starts a program, which has the lock of the log before until it runs.
                        Err(OpenError::InUse(_)) if began.elapsed() < PATIENCE => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            Self::Redis(server) => {
                let (redis, feed) = server.engine(name, retention, now);
                (Engine::Redis(redis), feed)
            }
        };
        engine.synced().await;
        Log { engine, feed, clock }
    }
}

struct Log {
    engine: Engine,
    feed: Receiver<Feed>,
    clock: Arc<AtomicU64>,
}

fn draft(topic: &str, message: &str, level: Level) -> Draft {
    Draft::from_text(Some(topic.parse().unwrap()), message.as_bytes(), level).unwrap()
}

fn filter(pattern: &str, level: Level) -> Filter {
    Filter::new([pattern.parse::<Pattern>().unwrap()], level)
}

impl Log {
    async fn publish(&mut self, topic: &str, message: &str, level: Level) -> Record {
        let stored = self
            .engine
            .append(Publish { draft: draft(topic, message, level), user: "u".into(), idempotency: None })
            .await;
        let record = stored.unwrap().record;
        loop {
            if let Feed::Alerts(fed) = self.feed.recv().await.unwrap() {
                assert_eq!(*fed, *std::slice::from_ref(&record));
                return record;
            }
        }
    }

    async fn all(&self, pattern: &str, level: Level, after: Id) -> Vec<Id> {
        let (filter, mut after, mut ids) = (filter(pattern, level), after, Vec::new());
        loop {
            let range =
                Range { filter: filter.clone(), after, until: self.engine.head().unwrap(), limit: 3, bytes: 1 << 20 };
            let page = self.engine.read(range, Direction::Forward).await.unwrap();
            ids.extend(page.records.iter().map(|record| record.id));
            match page.next {
                Some(next) => after = next,
                None => return ids,
            }
        }
    }

    async fn back(&self, pattern: &str) -> Vec<Id> {
        let (filter, mut until, mut pages) = (filter(pattern, Level::Info), self.engine.head().unwrap(), Vec::new());
        loop {
            let range = Range { filter: filter.clone(), after: Id::ZERO, until, limit: 3, bytes: 1 << 20 };
            let page = self.engine.read(range, Direction::Backward).await.unwrap();
            pages.push(page.records.iter().map(|record| record.id).collect::<Vec<_>>());
            match page.next {
                Some(next) => until = next.predecessor(),
                None => return pages.into_iter().rev().flatten().collect(),
            }
        }
    }

    async fn gap(&self, cursor: Id, pattern: &str) -> bool {
        let seek = self
            .engine
            .seek(&Start::After(cursor), &filter(pattern, Level::Info), self.engine.head().unwrap(), 0)
            .await;
        seek.unwrap().gap.is_some()
    }

    /// Waits until retention has nothing more to do.
    async fn settled(&self, alerts: u64) {
        while self.engine.stats().await.alerts != alerts {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn ids_rise_whatever_the_clock_does_and_reads_page_in_both_directions() {
    for backend in Backend::all() {
        ids_rise(backend).await;
    }
}

async fn ids_rise(backend: Backend) {
    let mut log = backend.open("log", UNLIMITED).await;
    let mut ids = Vec::new();
    for (i, clock) in [NOW, NOW, NOW - 5000, NOW + 1, NOW, 0, NOW + 2, NOW + 2].into_iter().enumerate() {
        log.clock.store(clock, Ordering::Relaxed);
        let topic = ["ops", "ops.db", "web"][i % 3];
        ids.push(log.publish(topic, "m", if i % 2 == 0 { Level::Info } else { Level::Error }).await.id);
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(ids[0], Id::at(NOW));
    assert_eq!(log.all("*", Level::Info, Id::ZERO).await, ids);
    assert_eq!(log.back("*").await, ids);
    assert_eq!(log.all("*", Level::Warn, ids[2]).await, [ids[3], ids[5], ids[7]]);
    let below = vec![ids[1], ids[4], ids[7]];
    assert_eq!(log.all("ops.*", Level::Info, Id::ZERO).await, below);
    assert_eq!(log.back("ops.*").await, below);
    assert_eq!(log.all("none", Level::Info, Id::ZERO).await, []);
    // A range without an end ends with the log, even if it begins after the log.
    for (after, expected) in [(ids[6], &ids[7..]), (Id::MAX, &[])] {
        let range = Range { filter: filter("*", Level::Info), after, until: Id::MAX, limit: 3, bytes: 1 << 20 };
        for direction in [Direction::Forward, Direction::Backward] {
            let page = log.engine.read(range.clone(), direction).await.unwrap();
            assert_eq!(page.records.iter().map(|record| record.id).collect::<Vec<_>>(), expected);
        }
    }
}

#[tokio::test]
async fn a_restart_keeps_all_and_ids_go_on_above_the_highest() {
    for backend in Backend::all() {
        let mut log = backend.open("log", UNLIMITED).await;
        let first = log.publish("a", "one", Level::Info).await;
        log.engine.close().await;
        assert!(
            log.engine
                .append(Publish { draft: draft("a", "x", Level::Info), user: "u".into(), idempotency: None })
                .await
                .is_err()
        );
        drop(log);
        let mut log = backend.open("log", UNLIMITED).await;
        assert_eq!(log.engine.head().unwrap(), first.id);
        assert_eq!(log.all("*", Level::Info, Id::ZERO).await, [first.id]);
        log.clock.store(1, Ordering::Relaxed);
        assert!(log.publish("a", "two", Level::Info).await.id > first.id);
    }
}

#[tokio::test]
async fn retention_by_count_bytes_age_and_topic_leaves_marks() {
    for backend in Backend::all() {
        retention(backend).await;
    }
}

async fn retention(backend: Backend) {
    let mut log = backend.open("count", Retention { count: 4, ..UNLIMITED }).await;
    let mut ids = Vec::new();
    for i in 0..10 {
        ids.push(log.publish(if i == 0 { "once" } else { "a" }, "m", Level::Info).await.id);
    }
    assert_eq!(log.all("*", Level::Info, Id::ZERO).await, ids[6..]);
    let stats = log.engine.stats().await;
    assert_eq!((stats.alerts, stats.topics, stats.oldest), (4, 1, Some(ids[6])));
    // The newest removed cursor is known, an older one is a gap, and so is one of the future.
    assert!(!log.gap(ids[5], "*").await && !log.gap(ids[9], "*").await);
    assert!(log.gap(ids[4], "*").await && log.gap(Id::at(NOW * 2), "*").await && log.gap(Id::ZERO, "*").await);

    let mut log = backend.open("topic", Retention { topic_count: 2, ..UNLIMITED }).await;
    let quiet = log.publish("quiet", "m", Level::Info).await.id;
    let mut noisy = Vec::new();
    for _ in 0..5 {
        noisy.push(log.publish("noisy", "m", Level::Info).await.id);
    }
    assert_eq!(log.all("*", Level::Info, Id::ZERO).await, [quiet, noisy[3], noisy[4]]);
    // A reader of the quiet topic alone misses nothing; a reader of the noisy one does.
    assert!(!log.gap(quiet, "quiet").await && !log.gap(noisy[1], "quiet").await && !log.gap(noisy[2], "noisy").await);
    assert!(log.gap(quiet, "noisy").await && log.gap(quiet, "*").await);
    // Nothing from the gap's `oldest` on is missing, and the alert right before it is.
    for pattern in ["noisy", "*"] {
        let from = log.engine.seek(&Start::After(quiet), &filter(pattern, Level::Info), noisy[4], 0).await.unwrap();
        let oldest = from.gap.unwrap().oldest.unwrap();
        assert!(noisy[2] < oldest && oldest <= noisy[3], "{oldest}");
    }

    let mut log = backend.open("age", Retention { age_ms: 5000, ..UNLIMITED }).await;
    log.publish("a", "old", Level::Info).await;
    log.clock.store(NOW + 6000, Ordering::Relaxed);
    log.settled(0).await;
    // An emptied log still knows its newest id.
    assert!(log.publish("a", "new", Level::Info).await.id > Id::at(NOW));
    let bytes = log.engine.stats().await.bytes;
    log.engine.set_retention(Retention { bytes: 2 * bytes, ..UNLIMITED });
    for _ in 0..5 {
        log.publish("a", "new", Level::Info).await;
    }
    log.settled(2).await;
}

#[tokio::test]
async fn a_clock_that_leaps_a_year_does_not_empty_the_log() {
    for backend in Backend::all() {
        leap(backend).await;
    }
}

async fn leap(backend: Backend) {
    let day = 86_400_000;
    let mut log = backend.open("log", Retention { age_ms: day, ..UNLIMITED }).await;
    let first = log.publish("a", "one", Level::Info).await.id;
    log.clock.store(NOW + 365 * day, Ordering::Relaxed);
    let second = log.publish("a", "two", Level::Info).await.id;
    // A marker that came after a tick says that retention has seen the new time.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    log.engine.probe(7);
    assert!(matches!(log.feed.recv().await, Some(Feed::Marker(7))));
    log.clock.store(NOW + 1000, Ordering::Relaxed);
    let third = log.publish("a", "three", Level::Info).await.id;
    assert_eq!(log.all("*", Level::Info, Id::ZERO).await, [first, second, third]);
}

#[tokio::test]
async fn latest_is_the_newest_of_each_topic_that_is_young_and_passes() {
    for backend in Backend::all() {
        latest(backend).await;
    }
}

async fn latest(backend: Backend) {
    let mut log = backend.open("log", UNLIMITED).await;
    log.publish("old", "m", Level::Error).await;
    log.clock.store(NOW + 1000, Ordering::Relaxed);
    log.publish("a", "m", Level::Error).await;
    let a = log.publish("a", "m", Level::Info).await;
    let b = log.publish("b", "m", Level::Warn).await;
    let until = log.engine.head().unwrap();
    log.publish("b", "beyond", Level::Warn).await;
    let ask = |level| {
        let engine = log.engine.clone();
        async move { engine.seek(&Start::Latest, &filter("*", level), until, NOW + 1000).await.unwrap() }
    };
    let seek = ask(Level::Info).await;
    assert_eq!((seek.latest, seek.after), (vec![a, b.clone()], until));
    assert_eq!(ask(Level::Warn).await.latest.len(), 2);
    assert_eq!(ask(Level::Error).await.latest.len(), 1);
}
