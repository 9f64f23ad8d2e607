//! What is expected on topics: made, listed and removed by callers, and made by alerts that say when to expect the next.

use super::actor::Actor;
use super::read::readable;
use super::{Caller, Refusal, Service};
use crate::alert::{Every, Level, Pattern, Topic, rfc3339};
use crate::api;
use crate::engine::{Publish, Stored};
use crate::expectation::{Change, MAX, Watched};
use crate::key::Scope;
use crate::log::Event;

impl Service {
    /// What is expected on the topics that the caller may read.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `subscribe`, [`Refusal::Unavailable`] if the store is.
    pub(crate) async fn expectations(&self, caller: &Caller) -> Result<api::Expectations, Refusal> {
        caller.require(Scope::Subscribe)?;
        self.refresh_expectations().await?;
        let table = self.watch.table.lock();
        let is_readable = |topic: &Topic| readable(caller).iter().any(|pattern| pattern.matches(topic.as_str()));
        let shown = table.iter().filter(|(topic, _)| is_readable(topic));
        Ok(api::Expectations {
            expectations: shown.map(|(topic, watched)| show(topic, watched, table.begun_ms())).collect(),
        })
    }

    /// What is expected on one topic.
    ///
    /// # Errors
    /// As [`expectations`](Self::expectations), [`Refusal::Topic`], and [`Refusal::NotFound`].
    pub(crate) async fn expectation(&self, caller: &Caller, topic: &Topic) -> Result<api::Expectation, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        self.refresh_expectations().await?;
        self.shown(topic)
    }

    fn shown(&self, topic: &Topic) -> Result<api::Expectation, Refusal> {
        let table = self.watch.table.lock();
        let watched = table.get(topic).ok_or_else(|| nothing(topic))?;
        Ok(show(topic, watched, table.begun_ms()))
    }

    /// Expects something on a topic, from now on.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] if the key does not cover publishing there, [`Refusal::TooMany`] over the
    /// rate of publishes, [`Refusal::Invalid`] for an incident, [`Refusal::Unavailable`] at a limit, or if the store is.
    pub(crate) async fn expect(
        &self,
        caller: &Caller,
        topic: Topic,
        new: api::NewExpectation,
    ) -> Result<api::Expectation, Refusal> {
        let _within_rate = self.may_publish(caller)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        let api::NewExpectation { every, level, incident } = new;
        refuse_incident(incident.as_deref())?;
        let (user, now_ms) = (caller.user().to_owned(), self.now_ms());
        self.change_expectations(&[Change::Expect { topic: topic.clone(), every, level, user, now_ms }]).await?;
        self.audit_expected(caller, &topic, every, level).await;
        // What the log has of the topic; if it cannot be read, the watch reads it later.
        if let Ok(seen) = self.seen(&topic).await
            && let Some(last_ms) = seen.last_ms
        {
            self.watch.table.lock().heard(&topic, last_ms);
        }
        self.shown(&topic)
    }

    /// # Errors
    /// As [`expect`](Self::expect), and [`Refusal::NotFound`] if nothing is expected there.
    pub(crate) async fn expect_nothing(
        &self,
        caller: &Caller,
        topic: Topic,
        incident: Option<String>,
    ) -> Result<(), Refusal> {
        let _within_rate = self.may_publish(caller)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        refuse_incident(incident.as_deref())?;
        self.refresh_expectations().await?;
        if self.watch.table.lock().get(&topic).is_none() {
            return Err(nothing(&topic));
        }
        self.change_expectations(&[Change::Remove { topic: topic.clone() }]).await?;
        let by = Actor::of(caller).await;
        tracing::info!(
            message_id = %Event::ExpectationRemoved,
            topic = %topic,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "nothing is expected on {topic} any more: removed by {by}"
        );
        Ok(())
    }

    /// What alerts say about the next one, as changes that would be made now.
    ///
    /// # Errors
    /// As [`expect`](Self::expect), before anything is stored.
    pub(super) async fn announced_next(&self, caller: &Caller, alerts: &[Publish]) -> Result<Vec<Change>, Refusal> {
        let change = |Publish { draft, .. }: &Publish| {
            let (user, now_ms) = (caller.user().to_owned(), self.now_ms());
            Some(Change::Within { topic: draft.topic().clone(), every: draft.expect_within()?, user, now_ms })
        };
        let changes: Vec<_> = alerts.iter().filter_map(change).collect();
        if !changes.is_empty() {
            // Boxed, because every publish has room for it, and few need it.
            Box::pin(self.refresh_expectations()).await?;
            let fits = self.watch.table.lock().difference(&changes).map(drop);
            fits.map_err(|full| self.refuse_expectation(&full))?;
        }
        Ok(changes)
    }

    /// Makes these changes, once the alerts are stored.
    pub(super) async fn expect_next(
        &self,
        caller: &Caller,
        changes: &[Change],
        alerts: &[Stored],
    ) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        // Boxed, because every publish has room for it, and few need it.
        Box::pin(self.make_expected(caller, changes, alerts)).await
    }

    async fn make_expected(&self, caller: &Caller, changes: &[Change], alerts: &[Stored]) -> Result<(), Refusal> {
        let new = self.watch.table.lock().difference(changes).unwrap_or_default();
        self.change_expectations(changes).await?;
        for Stored { record, repeated, .. } in alerts {
            // The feed may have told of them before anything was expected.
            if *repeated {
                self.heard_again(&record.topic);
            } else {
                self.heard(std::slice::from_ref(record));
            }
        }
        for (topic, stored) in new {
            if let Some(stored) = stored {
                self.audit_expected(caller, &topic, stored.every, stored.level).await;
            }
        }
        Ok(())
    }

    async fn audit_expected(&self, caller: &Caller, topic: &Topic, every: Every, level: Level) {
        let by = Actor::of(caller).await;
        tracing::info!(
            message_id = %Event::ExpectationMade,
            topic = %topic,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "something is expected on {topic} every {every}, or else there is an alert of level {level}: made by {by}"
        );
    }

    /// The numbers of expectations: those that are waited for, those that were missed, and the limit.
    pub(super) fn count_expectations(&self) -> [usize; 3] {
        let table = self.watch.table.lock();
        let missed = table.iter().filter(|(_, watched)| watched.stored.missed_ms.is_some()).count();
        [table.iter().count() - missed, missed, MAX]
    }
}

fn nothing(topic: &Topic) -> Refusal {
    Refusal::NotFound(format!("nothing is expected on {topic}"))
}

/// An expectation of the alerts of one incident is not supported.
fn refuse_incident(incident: Option<&str>) -> Result<(), Refusal> {
    match incident {
        None => Ok(()),
        Some(_) => Err(Refusal::invalid("incident", "an expectation is about a whole topic: leave it out")),
    }
}

fn show(topic: &Topic, watched: &Watched, from_ms: u64) -> api::Expectation {
    let due_ms = watched.stored.missed_ms.unwrap_or_else(|| watched.judged_ms(from_ms));
    api::Expectation {
        topic: topic.clone(),
        incident: None,
        every: watched.stored.every,
        level: watched.stored.level,
        last: watched.last_ms().map(rfc3339),
        due: rfc3339(due_ms),
        missed: watched.stored.missed_ms.is_some(),
    }
}
