//! The log of alerts: one contract, whatever keeps it.
//!
//! Called by the service (publish, read) and by the daemon (feed, probe, close). It gives ids, stores, trims and
//! reads; it knows nothing of subscribers: what it stored it hands out, in order, through the feed.

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod redis;
pub mod topics;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::alert::{Draft, Filter, Id, Record, Start};
use crate::api::EngineStatus;
use crate::histogram::Distribution;
use crate::sse::Gap;

use embedded::Embedded;
use redis::Redis;

/// Scopes an `Idempotency-Key` to its user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// The user, so that two users' keys do not meet.
    pub user: String,
    /// The key as it was sent.
    pub key: String,
    /// None where the key stands for one alert, and another alert under it is a conflict. Else the key names something that
    /// changes its state: the same state again is a repeat, whatever the alert says, and another one is a new alert that takes
    /// over the key.
    pub state: Option<String>,
}

impl Idempotency {
    /// Stands for the key; a user name has no NUL, so two users' keys cannot meet.
    fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(&self.user).chain_update([0]).chain_update(&self.key).finalize().into()
    }
}

/// An alert to be stored.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The validated alert.
    pub draft: Draft,
    /// Present where a retry must not store it twice.
    pub idempotency: Option<Idempotency>,
}

impl Publish {
    /// Tells whether two publishes under one key are the same.
    fn fingerprint(&self) -> [u8; 32] {
        match self.state() {
            Some(state) => Sha256::digest(state).into(),
            None => Sha256::digest(self.draft.canonical()).into(),
        }
    }

    /// Of what the key names, if that may change.
    fn state(&self) -> Option<&str> {
        self.idempotency.as_ref()?.state.as_deref()
    }
}

/// How much is retained; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds.
    pub age_ms: u64,
    /// Alerts.
    pub count: u64,
    /// Bytes of alerts.
    pub bytes: u64,
    /// Alerts of one topic.
    pub topic_count: u64,
}

/// The alert is in the log, as durably as configured.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The alert with its id.
    pub record: Record,
    /// True where an earlier publish with the same idempotency key had stored it.
    pub repeated: bool,
}

/// Why an alert was not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The idempotency key was used for another alert.
    #[error("the Idempotency-Key was used for another alert within the last 24 hours: use a new key for a new alert")]
    Conflict,
    /// Not stored, or not known whether stored: try again with the same idempotency key.
    #[error("{0}")]
    Unavailable(String),
}

/// Why the log cannot be read now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// Where a stream begins: what [`seek`](Engine) found for a [`Start`](crate::alert::Start).
#[derive(Clone, Debug)]
pub struct Seek {
    /// Something asked for may be missing.
    pub gap: Option<Gap>,
    /// For `latest`: the newest matching alert of each topic, oldest first.
    pub latest: Vec<Record>,
    /// The replay goes on behind this id.
    pub after: Id,
    /// The newest id that retention removed and that may have passed the filter.
    pub trimmed: Id,
    /// The log has the cursor, and this node is not there yet: nothing can be said before the hub has reached this id.
    pub awaited: Option<Id>,
}

/// What a log knows that decides where a stream begins.
struct Known {
    /// The newest id.
    head: Id,
    /// The newest id that was removed and may have passed the filter.
    trimmed: Id,
    /// The oldest alert that is retained.
    oldest: Option<Id>,
    /// Whether the log gave the cursor of [`Start::After`], and nothing behind it was removed from the old end.
    has_cursor: bool,
}

impl Seek {
    /// Decides, for a stream that hears from the hub what comes after `until`.
    fn new(start: &Start, until: Id, known: Known, latest: Vec<Record>) -> Self {
        let Known { head, trimmed, oldest, has_cursor } = known;
        let mut awaited = None;
        let gap = |requested: String| Some(Gap { requested, oldest, head });
        let (gap, after) = match start {
            Start::Live | Start::Latest => (None, until),
            Start::All => (None, Id::ZERO),
            Start::Time(ms) => {
                let is_missing = trimmed != Id::ZERO && trimmed >= Id::at(*ms);
                let gap = if is_missing { gap(crate::alert::rfc3339(*ms)) } else { None };
                (gap, Id::at(*ms).predecessor().min(until))
            }
            Start::After(cursor) => {
                let is_missing = !has_cursor || trimmed > *cursor;
                // Another node of a fleet may well be ahead of this one.
                awaited = Some(*cursor).filter(|cursor| *cursor > until && (has_cursor || *cursor <= head));
                // Beyond the head nothing comes after it, and what is given next may have a smaller id.
                let after = if *cursor > head { until } else { (*cursor).min(until) };
                (if is_missing { gap(cursor.to_string()) } else { None }, after)
            }
            Start::Unreadable(text) => (gap(text.clone()), Id::ZERO),
        };
        Self { gap, latest, after, trimmed, awaited }
    }
}

/// Which alerts to read: those that pass the filter, with `after < id <= until`.
#[derive(Clone, Debug)]
pub struct Range {
    /// Topics and level.
    pub filter: Filter,
    /// Exclusive.
    pub after: Id,
    /// Inclusive.
    pub until: Id,
    /// So many at the most.
    pub limit: usize,
    /// About so many bytes of them at the most, but one alert at the least.
    pub bytes: usize,
}

/// A part of a range. It may be short, or empty, and still not be the end: the work per page is bounded.
#[derive(Clone, Debug)]
pub struct Page {
    /// Oldest first, in both directions.
    pub records: Vec<Record>,
    /// Forward: all up to this id has been seen. Backward: all from this id on. None where the range is exhausted.
    pub next: Option<Id>,
    /// The newest id that retention removed and that may have passed the filter.
    pub trimmed: Id,
    /// The oldest alert that is retained.
    pub oldest: Option<Id>,
}

/// What the engine hands to the hub, in the order of the log.
#[derive(Clone, Debug)]
pub enum Feed {
    /// Alerts of one commit.
    Alerts(Arc<[Record]>),
    /// The log goes on behind this id, and what was before it must be looked up: the feed has a break here.
    Reset(Id),
    /// The watchdog's marker: no alert, no id, seen by no stream.
    Marker(u64),
}

/// Milliseconds since 1970; ids and retention go by it.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The engine in use; cheap to clone.
#[derive(Clone)]
pub enum Engine {
    /// Alerts on this machine's disk.
    Embedded(Embedded),
    /// Alerts in Redis or Valkey, shared by a fleet.
    Redis(Redis),
}

impl Engine {
    /// Stores an alert, and answers when it is as durable as configured.
    ///
    /// # Errors
    /// [`AppendError`]; after `Unavailable` the outcome is unknown until a retry with the same idempotency key.
    pub async fn append(&self, publish: Publish) -> Result<Stored, AppendError> {
        let mut stored = self.append_all(vec![publish]).await?;
        stored.pop().ok_or_else(|| AppendError::Unavailable("the engine answered nothing: try again".into()))
    }

    /// Stores all of these in one step and in this order, or none of them; each has its own idempotency key, and one that
    /// was stored before is answered as it was.
    ///
    /// # Errors
    /// As [`append`](Self::append); it is true of all of them.
    pub async fn append_all(&self, group: Vec<Publish>) -> Result<Vec<Stored>, AppendError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Embedded(embedded) => embedded.append_all(group).await,
            Self::Redis(redis) => redis.append_all(group).await,
        }
    }

    /// Up to where a page may read. The log of a fleet may be ahead of this node, and says itself where it ends.
    #[must_use]
    pub fn horizon(&self) -> Id {
        match self {
            Self::Embedded(embedded) => embedded.head(),
            Self::Redis(_) => Id::MAX,
        }
    }

    /// Finds where a stream begins. Nothing after `until` is looked at: it comes through the hub.
    /// A `latest` alert must have come in at or after `latest_after_ms`.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, ReadError> {
        match self {
            Self::Embedded(embedded) => embedded.seek(start, filter, until, latest_after_ms).await,
            Self::Redis(redis) => redis.seek(start, filter, until, latest_after_ms).await,
        }
    }

    /// The oldest part of a range.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub async fn read(&self, range: Range) -> Result<Page, ReadError> {
        match self {
            Self::Embedded(embedded) => embedded.read(range).await,
            Self::Redis(redis) => redis.read(range, false).await,
        }
    }

    /// The newest part of a range; its alerts are still oldest first.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub async fn read_back(&self, range: Range) -> Result<Page, ReadError> {
        match self {
            Self::Embedded(embedded) => embedded.read_back(range).await,
            Self::Redis(redis) => redis.read(range, true).await,
        }
    }

    /// The newest id in the log, or that was in it.
    #[must_use]
    pub fn head(&self) -> Id {
        match self {
            Self::Embedded(embedded) => embedded.head(),
            Self::Redis(redis) => redis.head(),
        }
    }

    /// Whether the newest id is known; an engine on this machine knows it from the start.
    #[must_use]
    pub fn has_met(&self) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Redis(redis) => redis.has_met(),
        }
    }

    /// Waits until the newest id is known. Safe to cancel.
    pub async fn met(&self) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(redis) => redis.met().await,
        }
    }

    /// Changes how much is kept, from the next step of retention on.
    pub fn set_retention(&self, retention: Retention) {
        match self {
            Self::Embedded(embedded) => embedded.set_retention(retention),
            Self::Redis(redis) => redis.set_retention(retention),
        }
    }

    /// The log in numbers.
    pub async fn stats(&self) -> EngineStatus {
        match self {
            Self::Embedded(embedded) => embedded.stats().await,
            Self::Redis(redis) => redis.stats().await,
        }
    }

    /// `embedded` or `redis`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Redis(_) => "redis",
        }
    }

    /// How long each write to the log took: a commit of the embedded store, a call of Redis with what it waits for.
    #[must_use]
    pub fn commits(&self) -> Distribution {
        match self {
            Self::Embedded(embedded) => embedded.commits(),
            Self::Redis(redis) => redis.commits(),
        }
    }

    /// Whether a publish would work now.
    ///
    /// # Errors
    /// Why not, and the remedy.
    pub fn health(&self) -> Result<(), String> {
        match self {
            Self::Embedded(embedded) => embedded.health(),
            Self::Redis(redis) => redis.health(),
        }
    }

    /// What the nodes of a fleet share beside their alerts; none where there is one node.
    #[must_use]
    pub const fn shared(&self) -> Option<&Redis> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(redis) => Some(redis),
        }
    }

    /// What the settings of a server can lose of what was answered, with the remedy.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Redis(redis) => redis.notes(),
        }
    }

    /// Tells the other nodes of a fleet how many streams are open here.
    pub fn set_streams(&self, streams: u64) {
        if let Self::Redis(redis) = self {
            redis.set_streams(streams);
        }
    }

    /// Sends a marker on the road of the alerts, through the writer into the feed. Does not wait for it.
    pub fn probe(&self, marker: u64) {
        match self {
            Self::Embedded(embedded) => embedded.probe(marker),
            Self::Redis(redis) => redis.probe(marker),
        }
    }

    /// Finishes what is queued, makes all of it durable, and lets go of the store.
    pub async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
            Self::Redis(redis) => redis.close().await,
        }
    }
}
