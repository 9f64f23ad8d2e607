//! Incidents, as both engines keep them: a row for each, changed in the step that stores the record.
//!
//! Called by the service. What an alert, an act or time makes of an incident is decided in
//! [`incident`](crate::incident); the engines store it, and see to it that two nodes never decide from the same row. They
//! also do what time makes due, on their own clock and once.

use super::{AppendError, Engine, Unavailable};
use crate::alert::{Id, Record, Topic};
use crate::incident::{Act, ActError, Counts, Key, Query, Row, Settings};

/// An incident after an act.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub row: Row,
    /// None if the incident was as wanted already.
    pub record: Option<Record>,
}

/// Why nothing was done about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActFailure {
    Refused(ActError),
    /// The outcome is that of an alert which failed in this way.
    Failed(AppendError),
}

/// A page of incidents, the one that changed last first.
#[derive(Clone, Debug, Default)]
pub(crate) struct IncidentPage {
    pub incidents: Vec<(Key, Row)>,
    /// Where the next page goes on; none at the end.
    pub next: Option<Id>,
}

impl Engine {
    /// Changes an incident, and answers when that is as durable as configured.
    ///
    /// # Errors
    /// [`ActFailure`].
    pub(crate) async fn act(&self, act: Act) -> Result<Changed, ActFailure> {
        match self {
            Self::Embedded(embedded) => embedded.act(act).await,
            Self::Redis(redis) => redis.act(act).await,
        }
    }

    /// The incidents that a query asks for.
    ///
    /// # Errors
    /// They cannot be read now.
    pub(crate) async fn incidents(&self, query: Query) -> Result<IncidentPage, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.incidents(&query)),
            Self::Redis(redis) => redis.incidents(&query).await,
        }
    }

    /// One incident.
    ///
    /// # Errors
    /// It cannot be read now.
    pub(crate) async fn incident(&self, key: Key) -> Result<Option<Row>, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.incident(&key)),
            Self::Redis(redis) => redis.incident(&key).await,
        }
    }

    /// An alert that retention may have removed from the log, but not from its unresolved incident.
    ///
    /// # Errors
    /// It cannot be read now.
    pub(crate) async fn incident_alert(&self, topic: Topic, id: Id) -> Result<Option<Record>, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.incident_alert(&topic, id)),
            Self::Redis(redis) => redis.incident_alert(&topic, id).await,
        }
    }

    /// How many incidents there are. In a fleet, those of all nodes.
    ///
    /// # Errors
    /// They cannot be counted now.
    pub(crate) async fn incident_counts(&self) -> Result<Counts, Unavailable> {
        match self {
            Self::Embedded(embedded) => Ok(embedded.incident_counts()),
            Self::Redis(redis) => redis.incident_counts().await,
        }
    }

    /// Changes the settings of incidents, from the next one on.
    pub(crate) fn set_incidents(&self, settings: Settings) {
        match self {
            Self::Embedded(embedded) => embedded.set_incidents(settings),
            Self::Redis(redis) => redis.set_incidents(settings),
        }
    }
}
