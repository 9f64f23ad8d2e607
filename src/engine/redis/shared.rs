//! State of a node that the writer, the follower and the queries share.
//!
//! Locks are held for a moment and never across an await.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Durability;
use super::belief::Address;
use super::damaged::DamagedEntries;
use super::last_seen::LastSeen;
use super::link::Link;
use super::seen::Seen;
use crate::alert::Id;
use crate::engine::incident_meter::IncidentMeter;
use crate::engine::{Cause, Clock, Retention, Unavailable};
use crate::histogram::Histogram;
use crate::incident::{Key, Settings as Incidents};
use crate::log::Event;

/// The state of the keys that each tick reads, as long as the server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysHeard {
    /// Grows with each change.
    pub revision: u64,
    /// Whether the server has as many keys as were saved.
    pub are_whole: bool,
    /// When the tick was sent.
    pub at: Instant,
}

/// The shortest time between two log lines about the same trouble.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Different kinds of trouble that are logged within that time, so that ever new error texts do not fill the journal.
const MAX_LOGGED: usize = 8;

pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) last_seen: Arc<LastSeen>,
    pub(super) durability: Durability,
    pub(super) retention: Mutex<Retention>,
    pub(super) incidents: Mutex<Incidents>,
    pub(super) incident_meter: IncidentMeter,
    /// Incidents for which something was due at the last comparison; at most [`MAX_DUE`](super::script::MAX_DUE).
    pub(super) due: Mutex<Vec<Key>>,
    /// The follower has compared this node with the log, or settings of incidents were changed.
    pub(super) ticked: Notify,
    pub(super) clock: Option<Clock>,
    pub(super) local: Clock,
    pub(super) node: String,
    pub(super) state: Mutex<State>,
    /// The epoch of the log that this node follows; none before the log was reached first.
    pub(super) epoch: watch::Sender<Option<String>>,
    /// The server that the Sentinels name; none without Sentinels, or before they were asked.
    pub(super) primary: watch::Sender<Option<Address>>,
    /// The newest state of the keys that the fleet shares.
    pub(super) keys: watch::Sender<Option<KeysHeard>>,
    /// This node is to rewrite the log.
    pub(super) rewrite: Notify,
    /// Why the log cannot be rewritten; none if it can.
    pub(super) rewrite_warning: Mutex<Option<String>>,
    /// Open streams, for the list of nodes.
    pub(super) streams: AtomicU64,
    /// Makes the follower compare this node with the log now.
    pub(super) compare_now: Notify,
    /// The follower has ended, and this node has left the list of nodes.
    pub(super) left: Notify,
    /// The watchdog's marker that is waiting; 0 for none.
    pub(super) marker: AtomicU64,
    /// Changes whenever alerts may have been taken back, so that nobody gets the answer of a query that ran before.
    pub(super) retractions: AtomicU64,
    /// The follower has everything up to this id, and has counted the retractions among it.
    pub(super) heard: watch::Sender<Id>,
    pub(super) stopping: AtomicBool,
    pub(super) commits: Histogram,
    pub(super) damaged: DamagedEntries,
}

#[derive(Default)]
pub(super) struct State {
    /// The newest that this node has seen, in an answer or in an announcement.
    pub(super) seen: Seen,
    /// Why publishing would fail; none if it would work.
    pub(super) trouble: Option<Unavailable>,
    /// Trouble that was logged lately, and when.
    pub(super) logged: Vec<(Unavailable, Instant)>,
    /// For queries; none while the server cannot be reached.
    pub(super) connection: Option<(Address, MultiplexedConnection)>,
    /// What the settings of the server may lose.
    pub(super) server_warnings: Vec<String>,
    /// The server's clock, milliseconds since 1970, and when it was received.
    pub(super) time: Option<(u64, Instant)>,
}

impl Shared {
    pub(super) fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Whether the Sentinels have named another server than this.
    pub(super) fn is_replaced(&self, server: &Address) -> bool {
        self.primary.borrow().as_ref().is_some_and(|named| named != server)
    }

    /// Asks who the primary is now, without waiting for the next round. Without a majority it is not known, and nothing
    /// changes.
    pub(super) async fn ask_for_primary(&self) {
        if let Ok(server) = self.link.server().await {
            self.primary.send_if_modified(|named| {
                let is_other = named.as_ref() != Some(&server);
                *named = Some(server);
                is_other
            });
        }
    }

    /// Why the log cannot be read or written now.
    pub(super) fn trouble(&self) -> Unavailable {
        let trouble = self.state(|state| state.trouble.clone());
        let away = || Unavailable::new(Cause::NotReached, format!("{} cannot be reached", self.link.topology()));
        trouble.unwrap_or_else(away)
    }

    pub(super) fn retention(&self) -> Retention {
        *self.retention.lock()
    }

    pub(super) fn saw(&self, seen: Seen) {
        self.state(|state| state.seen.raise(seen));
    }

    /// The newest id that this node has seen.
    pub(super) fn head(&self) -> Id {
        self.state(|state| state.seen.id)
    }

    /// Stores what this node has seen, for its next start. The write that is started may be awaited.
    pub(super) fn keep_seen(&self) -> Option<JoinHandle<()>> {
        let epoch = self.epoch.borrow().clone()?;
        self.last_seen.keep(&epoch, self.head())
    }

    /// Records the server's clock. Because the answer took a moment, a time computed from it is too early rather than
    /// too late.
    pub(super) fn heard_time(&self, server_ms: u64) {
        self.state(|state| state.time = Some((server_ms, Instant::now())));
    }

    /// The server's clock at `then`; 0 before it is known.
    pub(super) fn server_ms(&self, then: Instant) -> u64 {
        let Some((ms, heard)) = self.state(|state| state.time) else { return 0 };
        let later = u64::try_from(then.saturating_duration_since(heard).as_millis()).unwrap_or(u64::MAX);
        let earlier = u64::try_from(heard.saturating_duration_since(then).as_millis()).unwrap_or(u64::MAX);
        ms.saturating_add(later).saturating_sub(earlier)
    }

    /// The time argument of the scripts: empty for the server's own clock.
    pub(super) fn time_argument(&self) -> String {
        self.clock.as_ref().map_or_else(String::new, |clock| clock().to_string())
    }

    /// Records why publishing would fail, or that it would work, and logs changes: each reason once in a while and not
    /// with every attempt, so that the journal names the present one.
    pub(super) fn set_trouble(&self, trouble: Option<Unavailable>) {
        let is_news = self.state(|state| {
            let was_away = state.trouble.is_some();
            state.trouble.clone_from(&trouble);
            let Some(trouble) = &trouble else {
                state.logged.clear();
                return was_away;
            };
            state.logged.retain(|(_, at)| at.elapsed() < TROUBLE_LOG_INTERVAL);
            let is_news = state.logged.len() < MAX_LOGGED && !state.logged.iter().any(|(logged, _)| logged == trouble);
            if is_news {
                state.logged.push((trouble.clone(), Instant::now()));
            }
            is_news
        });
        match trouble {
            // A stop of the process is not a fault of Redis.
            Some(Unavailable { cause: Cause::Stopping, .. }) => {}
            Some(trouble) if is_news => tracing::error!(message_id = %Event::EngineAway, "{}", trouble.detail),
            None if is_news => tracing::info!(message_id = %Event::EngineBack, "{} takes alerts", self.link.topology()),
            _ => {}
        }
    }
}
