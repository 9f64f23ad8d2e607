//! The engine of a fleet: alerts in one Redis or Valkey that any number of alertd share.
//!
//! The Redis stream `{prefix}:log` is authoritative; announcements on the channel `{prefix}:live` make it fast. One task
//! stores ([`writer`]), one follows the log and feeds the hub ([`follower`]), each on connections of its own; queries share
//! the follower's ([`queries`]). Everything that must be one step is one script (`lua/`; its `log.lua` describes the stored
//! formats), and all keys are in one slot, so one server holds them all: the topologies differ only in how that server is
//! found ([`link`]).
//!
//! Always: ids never go back; the hub gets what the log made visible, in its order; and if a part of the log was lost,
//! every node and stream that had not read it is told.

mod belief;
mod chain;
mod codec;
mod compare;
#[cfg(test)]
mod crowd;
mod damaged;
mod decided;
mod expectations;
mod export;
mod exported_page;
mod failure;
mod fleet;
mod follower;
#[cfg(test)]
mod formats;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod incident_nodes;
mod incident_row;
mod incidents;
mod kept_pages;
mod keys;
mod last_seen;
mod latest;
mod link;
mod look;
#[cfg(test)]
mod lost_parts;
#[cfg(test)]
mod model;
#[cfg(test)]
mod outdated_pages;
mod plan;
mod primary;
mod queries;
mod reader;
#[cfg(test)]
mod refusals;
mod restore;
mod retraction;
#[cfg(test)]
mod retraction_nodes;
#[cfg(test)]
mod retractions;
mod rewrite;
#[cfg(test)]
mod rewrites;
mod script;
mod seen;
mod server_warnings;
mod shared;
mod single_flight;
mod step;
mod store_script;
#[cfg(test)]
pub(crate) mod testing;
mod ticked;
mod tickets;
mod topics;
mod trial;
mod watcher;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use zeroize::Zeroizing;

use super::incident_meter::IncidentMeter;
use super::intake::{Intake, Job, Outcome};
use super::{Cause, Clock, Feed, Publish, Retention, Status, Unavailable};
use crate::alert::Id;
use crate::api::EngineStatus;
use crate::histogram::Histogram;
use crate::supervisor;
pub(crate) use export::Export;
pub(crate) use fleet::Fleet;
use follower::Follower;
use kept_pages::KeptPages;
use last_seen::LastSeen;
use link::Link;
pub(crate) use link::Topology;
use queries::Queries;
use reader::Reader;
pub(crate) use restore::{Existing, Restore, RestoreError};
use seen::Seen;
use shared::{Shared, State};
use writer::Writer;

/// Groups that may wait for the writer; more are refused at once.
const MAX_QUEUED: usize = 4096;
/// Batches that may wait for the hub.
const MAX_FEED: usize = 256;
/// How long a publish may take; after that its outcome is unknown.
const ANSWER_WITHIN: Duration = Duration::from_millis(950);
/// How long Redis accepts a publish; it refuses a later one, so that nothing is stored after its publisher was told
/// that the outcome is unknown.
const TAKE_WITHIN: Duration = Duration::from_millis(800);

/// When a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the primary has it, as durably as its own settings say.
    Primary,
    /// When this many replicas have it too.
    Replicas(u32),
}

#[derive(Clone)]
pub(crate) struct Tls {
    /// PEM of the trusted certificates; none for those of the system.
    pub ca: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub topology: Topology,
    /// The ACL user; none for the default one.
    pub username: Option<String>,
    /// The password of that user, for servers and Sentinels.
    pub password: Option<Zeroizing<String>>,
    pub tls: Option<Tls>,
    pub key_prefix: String,
    /// When a publish is answered.
    pub durability: Durability,
    /// How much is kept; if the nodes differ, the lowest limits take effect.
    pub retention: Retention,
    /// Where this node keeps what it has seen; none for a node that forgets it.
    pub directory: Option<PathBuf>,
    /// The name of this node in the list of nodes.
    pub node: String,
    /// None to use the time of Redis, which is the same for all nodes.
    pub clock: Option<Clock>,
    /// This node's own clock: compared with the server's, and used until that is known.
    pub local: Clock,
}

/// The engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Redis(Arc<Inner>);

struct Inner {
    queries: Arc<Queries>,
    reader: Reader,
    kept_pages: KeptPages,
    fleet: Fleet,
    jobs: mpsc::Sender<Job>,
    intake: Intake,
}

impl Redis {
    /// Starts the tasks, which connect and reconnect by themselves. The receiver gets everything that the log makes
    /// visible from now on, in order; it must be read.
    #[must_use]
    pub(crate) fn start(settings: Settings) -> (Self, mpsc::Receiver<Feed>) {
        let link = Link::new(&settings);
        let store = link.topology().to_string();
        let trouble = Some(Unavailable::new(Cause::NotReached, format!("{store} has not been reached yet")));
        let intake = Intake::new(store, TAKE_WITHIN, ANSWER_WITHIN);
        let last_seen = LastSeen::open(settings.directory.as_deref(), link.log_name());
        let seen = last_seen.at_start.as_ref().map(|seen| Seen::id(seen.newest)).unwrap_or_default();
        let shared = Arc::new(Shared {
            link,
            last_seen: Arc::new(last_seen),
            durability: settings.durability,
            retention: Mutex::new(settings.retention),
            incidents: Mutex::default(),
            incident_meter: IncidentMeter::default(),
            due: Mutex::default(),
            ticked: Notify::new(),
            clock: settings.clock,
            local: settings.local,
            node: settings.node,
            state: Mutex::new(State { trouble, seen, ..State::default() }),
            epoch: watch::Sender::new(None),
            primary: watch::Sender::new(None),
            keys: watch::Sender::new(None),
            rewrite: Notify::new(),
            rewrite_warning: Mutex::default(),
            streams: AtomicU64::new(0),
            compare_now: Notify::new(),
            left: Notify::new(),
            marker: AtomicU64::new(0),
            retractions: AtomicU64::new(0),
            heard: watch::Sender::new(Id::ZERO),
            stopping: AtomicBool::new(false),
            commits: Histogram::default(),
            damaged: damaged::DamagedEntries::default(),
        });
        let (jobs, queued) = mpsc::channel(MAX_QUEUED);
        let (feed, fed) = mpsc::channel(MAX_FEED);
        let (markers, marked) = watch::channel(0);
        supervisor::essential("redis-writer", Writer::new(Arc::clone(&shared), markers).run(queued));
        supervisor::essential("redis-follower", Follower::new(Arc::clone(&shared), feed).run(marked));
        if matches!(shared.link.topology(), Topology::Sentinel { .. }) {
            supervisor::essential("redis-watcher", watcher::run(Arc::clone(&shared)));
        }
        let queries = Arc::new(Queries::new(shared));
        supervisor::essential("redis-rewriter", rewrite::run(Arc::clone(&queries)));
        let fleet = Fleet(Arc::clone(&queries));
        let (reader, kept_pages) = (Reader::new(), KeptPages::new());
        (Self(Arc::new(Inner { queries, reader, kept_pages, fleet, jobs, intake })), fed)
    }

    pub(super) fn set_retention(&self, retention: Retention) {
        *self.0.queries.shared.retention.lock() = retention;
    }

    pub(super) fn set_secrets(&self, settings: &Settings) {
        self.0.queries.shared.link.set_secrets(settings);
    }

    pub(super) async fn append_all(&self, alerts: Vec<Publish>) -> Outcome {
        self.0.intake.submit(alerts, async |job| self.0.jobs.try_send(job)).await
    }

    pub(super) fn head(&self) -> Option<Id> {
        let shared = &self.0.queries.shared;
        let is_synced = shared.epoch.borrow().is_some();
        is_synced.then(|| shared.head())
    }

    /// Safe to cancel.
    pub(super) async fn synced(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.queries.shared.epoch.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn status(&self) -> Status {
        let shared = &self.0.queries.shared;
        let (trouble, server_warnings) = shared.state(|state| (state.trouble.clone(), state.server_warnings.clone()));
        Status {
            kind: "redis",
            health: trouble.map_or(Ok(()), Err),
            server_warnings,
            commits: shared.commits.read(),
            incidents: shared.incident_meter.read(),
        }
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    pub(super) async fn stats(&self) -> EngineStatus {
        let shared = &self.0.queries.shared;
        let counted = match shared.state(|state| state.connection.clone()) {
            Some((_, mut connection)) => codec::Sizes::ask(&shared.link, &mut connection).await.ok(),
            None => None,
        };
        let (is_counted, counted) = (counted.is_some(), counted.unwrap_or_default());
        EngineStatus {
            kind: "redis".into(),
            durability: match shared.durability {
                Durability::Primary => "primary".into(),
                Durability::Replicas(n) => format!("replicas:{n}"),
            },
            head: self.head().unwrap_or_default(),
            counted: is_counted,
            oldest: counted.oldest,
            alerts: counted.alerts,
            bytes: counted.bytes,
            topics: counted.topics,
            store_bytes: counted.memory,
            held_bytes: 0,
            damaged: shared.damaged.count(counted.oldest) as u64,
            scrubbed_at: None,
            server_warnings: shared.state(|state| state.server_warnings.clone()),
            nodes: counted.nodes,
        }
    }

    pub(super) fn probe(&self, marker: u64) {
        self.0.queries.shared.marker.store(marker, Ordering::Release);
        // A full queue wakes the writer as well.
        let _ = self.0.jobs.try_send(Job::Wake);
    }

    pub(super) async fn close(&self) {
        self.0.queries.shared.stopping.store(true, Ordering::Release);
        self.0.queries.shared.compare_now.notify_one();
        if self.0.jobs.send(Job::Close).await.is_ok() {
            // The writer drops its end of the queue when it is done.
            let _ = tokio::time::timeout(2 * ANSWER_WITHIN, self.0.jobs.closed()).await;
        }
        if let Some(writing) = self.0.queries.shared.keep_seen() {
            let _ = tokio::time::timeout(ANSWER_WITHIN, writing).await;
        }
        let _ = tokio::time::timeout(ANSWER_WITHIN, self.0.queries.shared.left.notified()).await;
        self.0.queries.shared.set_trouble(Some(Unavailable::stopping()));
    }
}

/// Half to one and a half times the pause, so that nodes do not connect at the same time.
fn jittered(pause: Duration) -> Duration {
    crate::random::between(pause / 2, pause * 3 / 2)
}
