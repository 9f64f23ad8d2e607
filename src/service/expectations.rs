//! What is expected on topics: made, listed and removed by callers, and made by alerts that say when to expect the next.

use super::actor::Actor;
use super::read::readable;
use super::{Caller, Refusal, Service};
use crate::alert::{Every, IncidentName, Level, Pattern, Topic, rfc3339};
use crate::api;
use crate::engine::{Publish, Stored};
use crate::expectation::{Change, MAX, Subject, Watched};
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
        let shown = table.iter().filter(|(subject, _)| is_readable(&subject.topic));
        Ok(api::Expectations {
            expectations: shown.map(|(subject, watched)| show(subject, watched, table.begun_ms())).collect(),
        })
    }

    /// What is expected on one topic, or of one incident on it.
    ///
    /// # Errors
    /// As [`expectations`](Self::expectations), [`Refusal::Topic`], [`Refusal::Invalid`], and [`Refusal::NotFound`].
    pub(crate) async fn expectation(
        &self,
        caller: &Caller,
        topic: Topic,
        incident: Option<IncidentName>,
    ) -> Result<api::Expectation, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        let subject = subject(topic, incident)?;
        self.refresh_expectations().await?;
        self.shown(&subject)
    }

    fn shown(&self, subject: &Subject) -> Result<api::Expectation, Refusal> {
        let table = self.watch.table.lock();
        let watched = table.get(subject).ok_or_else(|| nothing(subject))?;
        Ok(show(subject, watched, table.begun_ms()))
    }

    /// Expects something on a topic, or of one incident on it, from now on.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] if the key does not cover publishing there, [`Refusal::TooMany`] over the
    /// rate of publishes, [`Refusal::Invalid`] for an incident that cannot be expected, [`Refusal::Unavailable`] at a limit, or
    /// if the store is.
    pub(crate) async fn expect(
        &self,
        caller: &Caller,
        topic: Topic,
        new: api::NewExpectation,
    ) -> Result<api::Expectation, Refusal> {
        let _within_rate = self.may_publish(caller)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        let api::NewExpectation { every, level, incident } = new;
        let subject = subject(topic, incident)?;
        let (user, now_ms) = (caller.user().to_owned(), self.now_ms());
        self.change_expectations(&[Change::Expect { subject: subject.clone(), every, level, user, now_ms }]).await?;
        self.audit_expected(caller, &subject, every, level).await;
        // What the log has of it; if it cannot be read, the watch reads it later.
        if let Ok(seen) = self.seen(&subject).await
            && let Some(last_ms) = seen.last_ms
        {
            self.watch.table.lock().heard(&subject.topic, subject.incident.as_ref(), last_ms);
        }
        self.shown(&subject)
    }

    /// # Errors
    /// As [`expect`](Self::expect), and [`Refusal::NotFound`] if nothing is expected there.
    pub(crate) async fn expect_nothing(
        &self,
        caller: &Caller,
        topic: Topic,
        incident: Option<IncidentName>,
    ) -> Result<(), Refusal> {
        let _within_rate = self.may_publish(caller)?;
        caller.require_topics(&[Pattern::Exact(topic.clone())])?;
        let subject = subject(topic, incident)?;
        self.refresh_expectations().await?;
        if self.watch.table.lock().get(&subject).is_none() {
            return Err(nothing(&subject));
        }
        self.change_expectations(&[Change::Remove { subject: subject.clone() }]).await?;
        let by = Actor::of(caller).await;
        tracing::info!(
            message_id = %Event::ExpectationRemoved,
            topic = %subject.topic,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "nothing is expected on {subject} any more: removed by {by}"
        );
        Ok(())
    }

    /// What alerts say about the next one, as changes that would be made now.
    ///
    /// # Errors
    /// As [`expect`](Self::expect), before anything is stored.
    pub(super) async fn announced_next(&self, caller: &Caller, alerts: &[Publish]) -> Result<Vec<Change>, Refusal> {
        let change = |Publish { draft, .. }: &Publish| {
            let every = draft.expect_within()?;
            let (user, now_ms) = (caller.user().to_owned(), self.now_ms());
            Some(Change::Within { subject: Subject::topic(draft.topic().clone()), every, user, now_ms })
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
        for stored in alerts {
            // The feed may have told of them before anything was expected.
            if stored.is_repeat() {
                self.heard_again(&stored.record);
            } else {
                self.heard(std::slice::from_ref(&stored.record));
            }
        }
        for (subject, stored) in new {
            if let Some(stored) = stored {
                self.audit_expected(caller, &subject, stored.every, stored.level).await;
            }
        }
        Ok(())
    }

    async fn audit_expected(&self, caller: &Caller, subject: &Subject, every: Every, level: Level) {
        let by = Actor::of(caller).await;
        tracing::info!(
            message_id = %Event::ExpectationMade,
            topic = %subject.topic,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "something is expected on {subject} every {every}, or else there is an alert of level {level}: made by {by}"
        );
    }

    /// The numbers of expectations: those that are waited for, those that were missed, and the limit.
    pub(super) fn count_expectations(&self) -> [usize; 3] {
        let table = self.watch.table.lock();
        let missed = table.iter().filter(|(_, watched)| watched.stored.missed_ms.is_some()).count();
        [table.iter().count() - missed, missed, MAX]
    }
}

fn nothing(subject: &Subject) -> Refusal {
    Refusal::NotFound(format!("nothing is expected on {subject}"))
}

fn subject(topic: Topic, incident: Option<IncidentName>) -> Result<Subject, Refusal> {
    Subject::new(topic, incident).map_err(|reason| Refusal::invalid("incident", reason))
}

fn show(subject: &Subject, watched: &Watched, from_ms: u64) -> api::Expectation {
    let due_ms = watched.stored.missed_ms.unwrap_or_else(|| watched.judged_ms(from_ms));
    api::Expectation {
        topic: subject.topic.clone(),
        incident: subject.incident.clone(),
        every: watched.stored.every,
        level: watched.stored.level,
        last: watched.last_ms().map(rfc3339),
        due: rfc3339(due_ms),
        missed: watched.stored.missed_ms.is_some(),
    }
}
