//! The log of alerts: one contract, whatever keeps it.
//!
//! Called by the service (publish, read) and by the daemon (feed, probe, close). It gives ids, stores, trims and
//! reads; it knows nothing of subscribers: what it stored it hands out, in order, through the feed.

#[cfg(test)]
mod conformance;
pub(crate) mod embedded;
mod intake;
mod publish;
mod read;
pub(crate) mod redis;
pub(crate) mod topics;
mod unavailable;

use std::sync::Arc;

use crate::alert::{Filter, Id, Record, Start};
use crate::api::EngineStatus;
use crate::histogram::Distribution;

use embedded::Embedded;
pub(crate) use publish::{AppendError, Idempotency, Publish, Retention, Stored};
use read::Known;
pub(crate) use read::{Page, Range, Seek};
use redis::Redis;
pub(crate) use unavailable::{Cause, Unavailable};

/// What the engine hands to the hub, in the order of the log.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// Alerts of one commit.
    Alerts(Arc<[Record]>),
    /// The log goes on behind this id, and what was before it must be looked up: the feed has a break here.
    Reset(Id),
    /// The watchdog's marker: no alert, no id, seen by no stream.
    Marker(u64),
}

/// Milliseconds since 1970; ids and retention go by it.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The engine in use; cheap to clone.
#[derive(Clone)]
pub(crate) enum Engine {
    /// Alerts on this machine's disk.
    Embedded(Embedded),
    /// Alerts in Redis or Valkey, shared by a fleet.
    Redis(Redis),
}

impl Engine {
    /// Stores an alert, and answers when it is as durable as configured.
    ///
    /// # Errors
    /// [`AppendError`].
    pub(crate) async fn append(&self, publish: Publish) -> Result<Stored, AppendError> {
        let mut stored = self.append_all(vec![publish]).await?;
        stored
            .pop()
            .ok_or_else(|| AppendError::Unknown(Unavailable::new(Cause::StoreFailing, "the engine answered nothing")))
    }

    /// Stores all of these in one step and in this order, or none of them; each has its own idempotency key, and one that
    /// was stored before is answered as it was.
    ///
    /// # Errors
    /// As [`append`](Self::append); it is true of all of them.
    pub(crate) async fn append_all(&self, group: Vec<Publish>) -> Result<Vec<Stored>, AppendError> {
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
    pub(crate) fn horizon(&self) -> Id {
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
    pub(crate) async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.seek(start, filter, until, latest_after_ms).await,
            Self::Redis(redis) => redis.seek(start, filter, until, latest_after_ms).await,
        }
    }

    /// The oldest part of a range.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub(crate) async fn read(&self, range: Range) -> Result<Page, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.read(range).await,
            Self::Redis(redis) => redis.read(range, false).await,
        }
    }

    /// The newest part of a range; its alerts are still oldest first.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub(crate) async fn read_back(&self, range: Range) -> Result<Page, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.read_back(range).await,
            Self::Redis(redis) => redis.read(range, true).await,
        }
    }

    /// The newest id in the log, or that was in it.
    #[must_use]
    pub(crate) fn head(&self) -> Id {
        match self {
            Self::Embedded(embedded) => embedded.head(),
            Self::Redis(redis) => redis.head(),
        }
    }

    /// Whether the newest id is known; an engine on this machine knows it from the start.
    #[must_use]
    pub(crate) fn has_met(&self) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Redis(redis) => redis.has_met(),
        }
    }

    /// Waits until the newest id is known. Safe to cancel.
    pub(crate) async fn met(&self) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(redis) => redis.met().await,
        }
    }

    /// Changes how much is kept, from the next step of retention on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        match self {
            Self::Embedded(embedded) => embedded.set_retention(retention),
            Self::Redis(redis) => redis.set_retention(retention),
        }
    }

    /// The log in numbers.
    pub(crate) async fn stats(&self) -> EngineStatus {
        match self {
            Self::Embedded(embedded) => embedded.stats().await,
            Self::Redis(redis) => redis.stats().await,
        }
    }

    /// `embedded` or `redis`.
    #[must_use]
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Redis(_) => "redis",
        }
    }

    /// How long each write to the log took: a commit of the embedded store, a call of Redis with what it waits for.
    #[must_use]
    pub(crate) fn commits(&self) -> Distribution {
        match self {
            Self::Embedded(embedded) => embedded.commits(),
            Self::Redis(redis) => redis.commits(),
        }
    }

    /// Whether a publish would work now.
    ///
    /// # Errors
    /// Why not, and the remedy.
    pub(crate) fn health(&self) -> Result<(), Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.health(),
            Self::Redis(redis) => redis.health(),
        }
    }

    /// What the nodes of a fleet share beside their alerts; none where there is one node.
    #[must_use]
    pub(crate) const fn shared(&self) -> Option<&Redis> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(redis) => Some(redis),
        }
    }

    /// What the settings of a server can lose of what was answered, with the remedy.
    #[must_use]
    pub(crate) fn notes(&self) -> Vec<String> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Redis(redis) => redis.notes(),
        }
    }

    /// Tells the other nodes of a fleet how many streams are open here.
    pub(crate) fn set_streams(&self, streams: u64) {
        if let Self::Redis(redis) = self {
            redis.set_streams(streams);
        }
    }

    /// Sends a marker on the road of the alerts, through the writer into the feed. Does not wait for it.
    pub(crate) fn probe(&self, marker: u64) {
        match self {
            Self::Embedded(embedded) => embedded.probe(marker),
            Self::Redis(redis) => redis.probe(marker),
        }
    }

    /// Finishes what is queued, makes all of it durable, and lets go of the store.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
            Self::Redis(redis) => redis.close().await,
        }
    }
}
