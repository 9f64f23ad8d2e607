//! The engine of a fleet: alerts in one Redis or Valkey that any number of alertd share.
//!
//! The stream `{prefix}:log` is the truth, its announcements on `{prefix}:live` are the live path. One task publishes
//! ([`writer`]), one follows ([`follow`]) and feeds the hub, each on connections of its own; whoever reads shares one more
//! with the follower. Everything that must be one step is one script (`lua/`), and all keys lie in one slot, so one
//! server holds them all: the topologies differ only in how it is found ([`link`]).
//!
//! Always true: ids of the log never go back; what the hub was fed with is what the log has shown, in its order; and
//! where a part of the log was lost, every node and stream behind it learns so.

mod caution;
mod codec;
mod follow;
mod keys;
mod link;
mod script;
mod shared;
#[cfg(test)]
pub(crate) mod testing;
mod tickets;
mod topics;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::intake::{Intake, Job, Outcome};
use super::{Cause, Clock, Feed, Page, Publish, Range, Retention, Seek, Unavailable};
use crate::alert::{Filter, Id, Start};
use crate::api::EngineStatus;
use crate::histogram::{Distribution, Histogram};
use crate::supervisor;
use follow::Follower;
use link::Link;
pub(crate) use link::Topology;
use shared::{Shared, State};
use writer::Writer;

/// Publishes that wait for the writer at the most; beyond that they are refused at once.
const QUEUE: usize = 4096;
/// Announcements that wait for the hub.
const FEED: usize = 256;
/// Reads at the same time.
const READERS: usize = 8;
/// How long a publish may take in all; then its answer is "unavailable".
const ANSWER_WITHIN: Duration = Duration::from_millis(950);
/// How long Redis may still take it up: what comes later is refused there, so that it does not surface after that answer.
const TAKE_WITHIN: Duration = Duration::from_millis(800);

/// When a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the primary has it, as durably as its own settings say.
    Primary,
    /// When so many replicas have it too.
    Replicas(u32),
}

/// TLS to the servers.
#[derive(Clone)]
pub(crate) struct Tls {
    /// PEM of the certificates that are trusted; none for those of the system.
    pub ca: Option<Vec<u8>>,
}

/// What the engine needs to know.
#[derive(Clone)]
pub(crate) struct Settings {
    /// How the server is found.
    pub topology: Topology,
    /// The ACL user; none for the default one.
    pub username: Option<String>,
    /// Its password, of the servers and of the Sentinels.
    pub password: Option<Zeroizing<String>>,
    /// None for plain TCP.
    pub tls: Option<Tls>,
    /// What all keys begin with.
    pub key_prefix: String,
    /// When a publish is answered.
    pub durability: Durability,
    /// How much is kept; the same on each node, or the least of them counts.
    pub retention: Retention,
    /// What this node is called in the list of nodes.
    pub node: String,
    /// None for Redis's own time, which is the same for all nodes.
    pub clock: Option<Clock>,
    /// This node's own clock: compared with the server's, and in its place until that was heard.
    pub local: Clock,
}

/// The engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Redis(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    intake: Intake,
    readers: Semaphore,
}

impl Redis {
    /// Starts the tasks; they connect when they can, and again whenever they must. The receiver gets all that the log
    /// shows from now on, in order; it must be read.
    #[must_use]
    pub(crate) fn start(settings: Settings) -> (Self, mpsc::Receiver<Feed>) {
        let link = Link::new(&settings);
        let store = link.topology().to_string();
        let trouble = Some(Unavailable::new(Cause::NotReached, format!("{store} was not reached yet")));
        let intake = Intake { store, take_within: TAKE_WITHIN, answer_within: ANSWER_WITHIN };
        let shared = Arc::new(Shared {
            link,
            durability: settings.durability,
            retention: Mutex::new(settings.retention),
            clock: settings.clock,
            local: settings.local,
            node: settings.node,
            state: Mutex::new(State { trouble, ..State::default() }),
            epoch: watch::Sender::new(None),
            keys: watch::Sender::new(None),
            streams: AtomicU64::new(0),
            kick: Notify::new(),
            marker: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            commits: Histogram::default(),
        });
        let (jobs, queued) = mpsc::channel(QUEUE);
        let (feed, fed) = mpsc::channel(FEED);
        let (markers, marked) = watch::channel(0);
        supervisor::essential("redis-writer", Writer::new(Arc::clone(&shared), markers).run(queued));
        supervisor::essential("redis-follower", Follower::new(Arc::clone(&shared), feed).run(marked));
        (Self(Arc::new(Inner { shared, jobs, intake, readers: Semaphore::new(READERS) })), fed)
    }

    /// The clock of the server, which counts for all nodes alike; before it was heard, this node's.
    #[must_use]
    pub(crate) fn clock(&self) -> Clock {
        let shared = Arc::clone(&self.0.shared);
        Arc::new(move || match shared.server_ms(Instant::now()) {
            0 => (shared.local)(),
            ms => ms,
        })
    }

    pub(super) fn set_retention(&self, retention: Retention) {
        *self.0.shared.retention.lock() = retention;
    }

    pub(super) async fn append_all(&self, alerts: Vec<Publish>) -> Outcome {
        self.0.intake.submit(alerts, |job| self.0.jobs.try_send(job)).await
    }

    /// Runs a script beside those that store.
    async fn look(&self, arguments: script::Arguments) -> Result<Vec<Vec<u8>>, Unavailable> {
        self.with_connection(async move |connection| arguments.run(connection).await).await
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Unavailable> {
        self.with_connection(async |connection| command.query_async(connection).await).await
    }

    async fn with_connection<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, redis::RedisError>,
    ) -> Result<T, Unavailable> {
        let shared = &self.0.shared;
        let _permit = self.0.readers.acquire().await.map_err(|_| Unavailable::stopping())?;
        let Some(mut connection) = shared.state(|state| state.connection.clone()) else {
            return Err(shared.trouble());
        };
        ask(&mut connection).await.map_err(|error| shared.failed(&error))
    }

    pub(super) async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, Unavailable> {
        let shared = &self.0.shared;
        let since = (*start == Start::Latest).then_some(latest_after_ms);
        let cursor = if let Start::After(cursor) = start { Some(*cursor) } else { None };
        let arguments = script::seek(&shared.link, shared.time_argument(), cursor, until, since, filter);
        let answer = self.look(arguments).await?;
        let found = codec::Found::parse(&answer).ok_or_else(|| shared.damaged())?;
        Ok(Seek::new(start, until, found.known, found.latest))
    }

    pub(super) async fn read(&self, range: Range, backward: bool) -> Result<Page, Unavailable> {
        let shared = &self.0.shared;
        let answer = self.look(script::read(&shared.link, shared.time_argument(), &range, backward)).await?;
        let mut page = codec::page(&answer).ok_or_else(|| shared.damaged())?;
        if backward {
            page.records.reverse();
        }
        Ok(page)
    }

    pub(super) fn head(&self) -> Id {
        self.0.shared.state(|state| state.head)
    }

    pub(super) fn has_met(&self) -> bool {
        self.0.shared.epoch.borrow().is_some()
    }

    /// Waits until this node has met the log. Safe to cancel.
    pub(super) async fn met(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.shared.epoch.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) async fn stats(&self) -> EngineStatus {
        let shared = &self.0.shared;
        let counted = match shared.state(|state| state.connection.clone()) {
            Some(mut connection) => codec::Counted::ask(&shared.link, &mut connection).await.ok(),
            None => None,
        };
        let (is_counted, counted) = (counted.is_some(), counted.unwrap_or_default());
        EngineStatus {
            kind: "redis".into(),
            durability: match shared.durability {
                Durability::Primary => "primary".into(),
                Durability::Replicas(n) => format!("replicas:{n}"),
            },
            head: self.head(),
            counted: is_counted,
            oldest: counted.oldest,
            alerts: counted.alerts,
            bytes: counted.bytes,
            topics: counted.topics,
            store_bytes: counted.memory,
            notes: shared.state(|state| state.notes.clone()),
            nodes: counted.nodes,
        }
    }

    pub(super) fn commits(&self) -> Distribution {
        self.0.shared.commits.read()
    }

    pub(super) fn health(&self) -> Result<(), Unavailable> {
        self.0.shared.state(|state| state.trouble.clone()).map_or(Ok(()), Err)
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.0.shared.state(|state| state.notes.clone())
    }

    pub(super) fn set_streams(&self, streams: u64) {
        self.0.shared.streams.store(streams, Ordering::Relaxed);
    }

    pub(super) fn probe(&self, marker: u64) {
        self.0.shared.marker.store(marker, Ordering::Release);
        // A full queue wakes the writer as well.
        let _ = self.0.jobs.try_send(Job::Wake);
    }

    pub(super) async fn close(&self) {
        self.0.shared.stopping.store(true, Ordering::Release);
        self.0.shared.kick.notify_one();
        if self.0.jobs.send(Job::Close).await.is_ok() {
            // The writer drops its end of the queue when it is done.
            let _ = tokio::time::timeout(2 * ANSWER_WITHIN, self.0.jobs.closed()).await;
        }
        if let Some(mut connection) = self.0.shared.state(|state| state.connection.take()) {
            let mut leave = redis::cmd("HDEL");
            leave.arg(self.0.shared.link.key("nodes")).arg(&self.0.shared.node);
            let _ = tokio::time::timeout(ANSWER_WITHIN, leave.exec_async(&mut connection)).await;
        }
        self.0.shared.set_trouble(Some(Unavailable::stopping()));
    }
}

/// Half as long to half as long again, so that nodes do not come together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness they do, which is only less even.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.5 + f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX))
}
