//! Incidents: listed, looked at, and changed by callers.

use std::time::Instant;

use super::actor::Actor;
use super::{Caller, PublishPermit, Refusal, Service};
use crate::alert::{Filter, Id, Pattern, Record, Topic, rfc3339};
use crate::api;
use crate::engine::{ActFailure, Changed, Direction, IncidentPage, Range};
use crate::incident::action::MAX_NOTE;
use crate::incident::{Act, ActError, Action, Key, Query, Row, State, Untracked};
use crate::key::Scope;
use crate::log::Event;

impl Service {
    /// The incidents that a query asks for.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] if the key does not cover the query, [`Refusal::Unavailable`] if the engine
    /// is.
    pub(crate) async fn incidents(&self, caller: &Caller, query: Query) -> Result<api::Incidents, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(query.filter.patterns())?;
        let IncidentPage { incidents, next } = self.engine.incidents(query).await?;
        Ok(api::Incidents { incidents: incidents.iter().map(|(key, row)| show(key, row)).collect(), next })
    }

    /// One incident.
    ///
    /// # Errors
    /// As [`incidents`](Self::incidents), and [`Refusal::NotFound`].
    pub(crate) async fn incident(&self, caller: &Caller, key: Key) -> Result<api::Incident, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&[Pattern::Exact(key.topic.clone())])?;
        let row = self.engine.incident(key.clone()).await?.ok_or_else(|| unknown(&key))?;
        Ok(show(&key, &row))
    }

    /// One alert. The last one of an unresolved incident is there for as long as that.
    ///
    /// # Errors
    /// As [`incidents`](Self::incidents), and [`Refusal::NotFound`].
    pub(crate) async fn alert(&self, caller: &Caller, topic: Topic, id: Id) -> Result<Record, Refusal> {
        caller.require(Scope::Subscribe)?;
        let pattern = Pattern::Exact(topic.clone());
        caller.require_topics(std::slice::from_ref(&pattern))?;
        let filter = Filter::new([pattern], crate::alert::Level::Info);
        let range = Range { filter, after: id.predecessor(), until: id, limit: 1, bytes: 1 };
        let page = self.engine.read(range, Direction::Forward).await?;
        if let Some(record) = page.records.into_iter().find(Record::is_alert) {
            return Ok(record);
        }
        let kept = self.engine.incident_alert(topic.clone(), id).await?;
        kept.ok_or_else(|| Refusal::NotFound(format!("there is no alert {id} on {topic}")))
    }

    pub(super) async fn incident_status(&self) -> api::IncidentStatus {
        let counted = self.engine.incident_counts().await.ok();
        let (counts, max_open) = (counted.unwrap_or_default(), self.settings.load().max_open_incidents);
        // Who sets the limit to 0 wants no incidents.
        let is_full = counted.is_some() && max_open > 0 && counts.unresolved() >= max_open as u64;
        api::IncidentStatus {
            counted: counted.is_some(),
            open: counts.of_state(State::Open),
            acknowledged: counts.of_state(State::Acknowledged),
            limit: max_open as u64,
            untracked: self.untracked.counts().iter().map(|(_, count)| count).sum(),
            warning: self.untracked.warning(is_full.then_some(Untracked::MaxOpen(max_open)), Instant::now()),
        }
    }
}

impl PublishPermit<'_> {
    /// Changes an incident, and returns it as it is then.
    ///
    /// # Errors
    /// [`Refusal::Topic`] for a topic that the key does not cover, [`Refusal::Invalid`] for a note that is too long,
    /// [`Refusal::NotFound`], [`Refusal::Conflict`] for the acknowledgement of a resolved incident, and
    /// [`Refusal::Unavailable`] if the outcome is unknown.
    pub(crate) async fn act(self, key: Key, action: Action, note: Option<String>) -> Result<api::Incident, Refusal> {
        let Self { service, caller } = self;
        caller.require_topics(&[Pattern::Exact(key.topic.clone())])?;
        let note = note.filter(|note| !note.is_empty());
        if note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE) {
            return Err(Refusal::invalid("note", format!("has more than {MAX_NOTE} characters: shorten it")));
        }
        let by = Actor::of(caller).await;
        let act = Act { key: key.clone(), action, by: by.person(), note };
        let Changed { row, record } = service.engine.act(act).await.map_err(|failure| refusal(&key, failure))?;
        if let Some(record) = record {
            tracing::info!(
                message_id = %Event::IncidentChanged,
                topic = %key.topic,
                incident = %key.name,
                alert_id = %record.id,
                by = by.id(),
                by_user = by.user(),
                by_uid = by.uid(),
                address = by.address(),
                "the incident {} on {} is {} now: changed by {by}", key.name, key.topic, row.state
            );
        }
        Ok(show(&key, &row))
    }
}

fn unknown(key: &Key) -> Refusal {
    Refusal::NotFound(format!("there is no incident {:?} on {}", key.name.as_str(), key.topic))
}

fn refusal(key: &Key, failure: ActFailure) -> Refusal {
    match failure {
        ActFailure::Refused(ActError::Unknown) => unknown(key),
        ActFailure::Refused(ActError::Resolved) => Refusal::Conflict(format!(
            "the incident {:?} on {} is resolved: reopen it, or wait for its next alert",
            key.name.as_str(),
            key.topic
        )),
        ActFailure::Refused(ActError::Full) => Refusal::unavailable(
            "no more incidents may be open (incidents.max_open, incidents.max_open_per_user): resolve others first",
        ),
        ActFailure::Failed(error) => error.into(),
    }
}

fn show(key: &Key, row: &Row) -> api::Incident {
    let Row { occurrence, state, level, count, .. } = *row;
    let (acknowledged, resolved) = (row.acknowledged.as_ref(), row.resolved.as_ref());
    api::Incident {
        topic: key.topic.clone(),
        incident: key.name.clone(),
        occurrence,
        state,
        level,
        message: row.last.as_ref().map(|last| last.message.clone()),
        title: row.last.as_ref().and_then(|last| last.title()),
        opened_at: rfc3339(row.opened_ms),
        updated_at: rfc3339(row.updated_ms),
        count,
        alert: row.last.as_ref().and_then(|last| last.id),
        acknowledged_by: acknowledged.and_then(|deed| deed.by.clone()),
        acknowledged_at: acknowledged.map(|deed| rfc3339(deed.ms)),
        resolved_by: resolved.and_then(|deed| deed.by.clone()),
        resolved_at: resolved.map(|deed| rfc3339(deed.ms)),
        note: row.note.clone(),
        ttl: row.ends_ms.map(rfc3339),
    }
}
