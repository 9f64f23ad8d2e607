//! The log of alerts: one contract for all engines.
//!
//! Called by the service (publish, read) and by the daemon (feed, probe, close). An engine gives ids, stores, removes and
//! reads alerts; it knows nothing of subscribers. Everything that it stored goes, in order, into the feed.

#[cfg(test)]
mod conformance;
pub(crate) mod embedded;
mod expectations;
mod export;
mod incident_meter;
mod incidents;
mod intake;
mod limits;
mod publish;
mod read;
pub(crate) mod redis;
mod retraction;
mod status;
pub(crate) mod topics;
mod unavailable;

use std::sync::Arc;

use crate::alert::{Filter, Id, Record, Start};
use crate::api::EngineStatus;

use embedded::Embedded;
pub(crate) use expectations::{StoredTexts, TextChange};
pub(crate) use export::Export;
pub(crate) use incident_meter::IncidentTimes;
pub(crate) use incidents::{ActFailure, Changed, IncidentPage};
pub(crate) use publish::{AppendError, Idempotency, Publish, Retention, Stored, Tracking};
use read::Known;
pub(crate) use read::{Direction, Page, Range, Seek, complete_from};
pub(crate) use redis::Fleet;
use redis::Redis;
pub(crate) use retraction::{Retract, RetractFailure, Retractable, Retracted};
pub(crate) use status::Status;
pub(crate) use unavailable::{Cause, Unavailable};

/// What an engine feeds the hub with, in the order of the log.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// Alerts, transitions and retractions of one commit.
    Alerts(Arc<[Record]>),
    /// The feed has a break: the log continues after this id, and everything before it must be read from the log.
    Reset(Id),
    /// The watchdog's marker; streams do not see it.
    Marker(u64),
}

/// Milliseconds since 1970, for ids and retention.
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
        let nothing = || Unavailable::new(Cause::StoreFailing, "the engine answered nothing");
        stored.pop().ok_or_else(|| AppendError::Unknown(nothing()))
    }

    /// Stores all of these in one step and in this order, or none of them; each has its own idempotency key, and one that
    /// was stored before is answered as it was.
    ///
    /// # Errors
    /// [`AppendError`]; it is true of all of them.
    pub(crate) async fn append_all(&self, alerts: Vec<Publish>) -> Result<Vec<Stored>, AppendError> {
        if alerts.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Embedded(embedded) => embedded.append_all(alerts).await,
            Self::Redis(redis) => redis.append_all(alerts).await,
        }
    }

    /// Finds where a stream begins. Nothing after `until` is looked at: it comes through the hub.
    /// A `latest` alert must have come in at or after `latest_after_ms`.
    ///
    /// # Errors
    /// The log cannot be read now.
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

    /// One end of a range, sorted by id in both directions.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn read(&self, range: Range, direction: Direction) -> Result<Page, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.read(range, direction).await,
            Self::Redis(redis) => redis.read(range, direction).await,
        }
    }

    /// The version of a page of what follows `after` that is read from now on, for [`is_page_true`](Self::is_page_true). None if
    /// this page is not to be kept.
    pub(crate) fn page_version(&self, filter: &Filter, after: Id) -> Option<u64> {
        match self {
            Self::Embedded(embedded) => embedded.page_version(filter, after),
            Self::Redis(redis) => Some(redis.page_version()),
        }
    }

    /// Whether a page of what follows `after` that was read before can be sent to a stream that reads up to `until`, and not
    /// before it. The page was whole: no alert after that id that passes the filter had been removed, and none was damaged.
    /// Since it was read none of them was removed or retracted, and no damage was found. The answer is not from before the call.
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn is_page_true(
        &self,
        version: u64,
        filter: &Filter,
        after: Id,
        until: Id,
    ) -> Result<bool, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.page_version(filter, after) == Some(version)),
            Self::Redis(redis) => redis.is_page_true(version, filter, after, until).await,
        }
    }

    /// The newest id that the log ever gave, as far as this node knows; none before it first reached the log.
    #[must_use]
    pub(crate) fn head(&self) -> Option<Id> {
        match self {
            Self::Embedded(embedded) => Some(embedded.head()),
            Self::Redis(redis) => redis.head(),
        }
    }

    /// Waits until [`head`](Self::head) is known. Safe to cancel.
    pub(crate) async fn synced(&self) {
        if let Self::Redis(redis) = self {
            redis.synced().await;
        }
    }

    /// Changes how much is kept, from the next step of retention on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        match self {
            Self::Embedded(embedded) => embedded.set_retention(retention),
            Self::Redis(redis) => redis.set_retention(retention),
        }
    }

    /// Takes over the password and the certificates in these settings, for connections from now on.
    pub(crate) fn set_secrets(&self, settings: &redis::Settings) {
        if let Self::Redis(redis) = self {
            redis.set_secrets(settings);
        }
    }

    /// What the engine knows without asking the store.
    #[must_use]
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Embedded(embedded) => embedded.status(),
            Self::Redis(redis) => redis.status(),
        }
    }

    /// The sizes of the log, for which it asks the store.
    pub(crate) async fn stats(&self) -> EngineStatus {
        match self {
            Self::Embedded(embedded) => embedded.stats().await,
            Self::Redis(redis) => redis.stats().await,
        }
    }

    /// What the nodes of a fleet share besides alerts; none for an engine of one node.
    #[must_use]
    pub(crate) fn fleet(&self) -> Option<&Fleet> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(redis) => Some(redis.fleet()),
        }
    }

    /// Sends the watchdog's marker through the writer into the feed, as an alert would go. Does not wait for it.
    pub(crate) fn probe(&self, marker: u64) {
        match self {
            Self::Embedded(embedded) => embedded.probe(marker),
            Self::Redis(redis) => redis.probe(marker),
        }
    }

    /// Stores what is queued, makes everything durable, and closes the store.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
            Self::Redis(redis) => redis.close().await,
        }
    }
}
