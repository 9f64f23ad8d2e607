//! What the writer, the follower and readers of a node know together.
//!
//! Locks are held for a look and never across an await.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Durability;
use super::link::Link;
use crate::alert::Id;
use crate::engine::{Cause, Clock, Retention, Unavailable};
use crate::histogram::Histogram;
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

/// Between two words on a trouble that lasts and changes.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// What the tasks know together.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) durability: Durability,
    pub(super) retention: Mutex<Retention>,
    pub(super) clock: Option<Clock>,
    pub(super) local: Clock,
    pub(super) node: String,
    pub(super) state: Mutex<State>,
    /// The epoch of the log that this node follows; none before it has met one.
    pub(super) epoch: watch::Sender<Option<String>>,
    /// What was heard of the keys that the fleet shares.
    pub(super) keys: watch::Sender<Option<KeysHeard>>,
    /// Open streams, for the list of nodes.
    pub(super) streams: AtomicU64,
    /// Asks the follower to look now.
    pub(super) kick: Notify,
    /// The watchdog's marker that waits; 0 is none.
    pub(super) marker: AtomicU64,
    pub(super) stopping: AtomicBool,
    pub(super) commits: Histogram,
}

#[derive(Default)]
pub(super) struct State {
    /// The newest id that this node has seen, be it by answer or by announcement.
    pub(super) head: Id,
    /// Why publishing would fail, if it would.
    pub(super) trouble: Option<Unavailable>,
    /// What the log was told of it last, and when.
    pub(super) said: Option<(Unavailable, Instant)>,
    /// For readers; none while the server is away.
    pub(super) connection: Option<MultiplexedConnection>,
    /// What the settings of the server may lose.
    pub(super) server_warnings: Vec<String>,
    /// The server's clock, milliseconds since 1970, and when it was heard.
    pub(super) time: Option<(u64, Instant)>,
}

impl Shared {
    pub(super) fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Why the log cannot be read or written now.
    pub(super) fn trouble(&self) -> Unavailable {
        let trouble = self.state(|state| state.trouble.clone());
        let away = || Unavailable::new(Cause::NotReached, format!("{} cannot be reached", self.link.topology()));
        trouble.unwrap_or_else(away)
    }

    /// The server did not answer in time.
    pub(super) fn timed_out(&self) -> Unavailable {
        Unavailable::new(Cause::TimedOut, format!("{} did not answer in time", self.link.topology()))
    }

    /// The server refused, or the connection broke.
    pub(super) fn failed(&self, error: &redis::RedisError) -> Unavailable {
        let cause = match error.code() {
            Some("OOM") => Cause::StoreFull,
            Some("READONLY") => Cause::ReadOnly,
            Some("NOREPLICAS") => Cause::NotSafe,
            Some(_) => Cause::StoreFailing,
            None if error.is_timeout() => Cause::TimedOut,
            None => Cause::NotReached,
        };
        Unavailable::new(cause, format!("{}: {error}", self.link.topology()))
    }

    /// The server holds something that is not as the scripts write it.
    pub(super) fn damaged(&self) -> Unavailable {
        let detail = format!("{} holds an entry that alertd did not write", self.link.topology());
        Unavailable::new(Cause::Damaged, detail)
    }

    pub(super) fn retention(&self) -> Retention {
        *self.retention.lock()
    }

    pub(super) fn saw(&self, id: Id) {
        self.state(|state| state.head = state.head.max(id));
    }

    /// Notes the server's clock. It was later by what the answer took, so what is reckoned from it is never late.
    pub(super) fn heard_time(&self, server_ms: u64) {
        self.state(|state| state.time = Some((server_ms, Instant::now())));
    }

    /// The server's clock at `then`, by what was heard last.
    pub(super) fn server_ms(&self, then: Instant) -> u64 {
        let Some((ms, heard)) = self.state(|state| state.time) else { return 0 };
        let later = u64::try_from(then.saturating_duration_since(heard).as_millis()).unwrap_or(u64::MAX);
        let earlier = u64::try_from(heard.saturating_duration_since(then).as_millis()).unwrap_or(u64::MAX);
        ms.saturating_add(later).saturating_sub(earlier)
    }

    /// For the scripts: empty where the server's own clock counts.
    pub(super) fn time_argument(&self) -> String {
        self.clock.as_ref().map_or_else(String::new, |clock| clock().to_string())
    }

    /// Notes why publishing would fail, or that it would not. A trouble that lasts is said again when it is another one, but
    /// not with every try.
    pub(super) fn set_trouble(&self, trouble: Option<Unavailable>) {
        let is_news = self.state(|state| {
            let was_away = state.trouble.is_some();
            state.trouble.clone_from(&trouble);
            let Some(trouble) = &trouble else {
                state.said = None;
                return was_away;
            };
            let is_known = |(said, at): &(Unavailable, Instant)| said == trouble || at.elapsed() < SAID_AGAIN;
            let is_news = !state.said.as_ref().is_some_and(is_known);
            if is_news {
                state.said = Some((trouble.clone(), Instant::now()));
            }
            is_news
        });
        match trouble {
            Some(trouble) if is_news => tracing::error!(message_id = %Event::EngineAway, "{}", trouble.detail),
            None if is_news => tracing::info!(message_id = %Event::EngineBack, "{} takes alerts", self.link.topology()),
            _ => {}
        }
    }
}
