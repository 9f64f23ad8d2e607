//! Publishing: the permit that every publish needs, its rate, and the optional copy of each alert in the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Caller, Refusal, Service};
use crate::alert::{Draft, Level, Pattern, Record};
use crate::engine::{AppendError, Idempotency, Publish, Stored, Tracking};
use crate::hooks::{Entry, Identity};
use crate::key::Scope;

/// The time to which `limits.publish_rate` applies.
const RATE_PERIOD: Duration = Duration::from_secs(1);

/// Proof that a caller may publish and is within its rate.
///
/// [`Service::may_publish`] is its only constructor, and its methods are the only code that appends to the log for a caller,
/// so no route can store an alert without the check. Announcements of silent topics have no caller. A permit is for one request.
pub(crate) struct PublishPermit<'a> {
    pub(super) service: &'a Service,
    pub(super) caller: &'a Caller,
}

/// One of several alerts in a body, with the key that identifies its repeats.
#[derive(Debug)]
pub(crate) struct Line {
    pub draft: Draft,
    pub key: Option<String>,
}

impl Service {
    /// Checks the scope and the rate of the caller. Must be called before the body is read, so that a refused request costs
    /// no memory.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `publish`, [`Refusal::TooMany`] over the rate.
    pub(crate) fn may_publish<'a>(&'a self, caller: &'a Caller) -> Result<PublishPermit<'a>, Refusal> {
        caller.require(Scope::Publish)?;
        let rate = self.settings.load().publish_rate;
        if caller.is_rate_limited()
            && let Err(retry_after) = self.publish_rate.take(caller.name(), rate, RATE_PERIOD, Instant::now())
        {
            return Err(Refusal::TooMany {
                what: format!("more than {rate} alerts per second (limits.publish_rate): send more slowly"),
                retry_after,
            });
        }
        Ok(PublishPermit { service: self, caller })
    }
}

impl PublishPermit<'_> {
    /// Stores an alert and returns it once it is as durable as configured.
    ///
    /// # Errors
    /// [`Refusal::Topic`] for a topic that the key does not cover, [`Refusal::Conflict`] for a reused idempotency key,
    /// [`Refusal::Unavailable`] if the outcome is unknown.
    pub(crate) async fn publish(self, draft: Draft, key: Option<String>) -> Result<Stored, Refusal> {
        let caller = self.caller;
        let idempotency = key.map(|key| Idempotency { user: caller.user().to_owned(), key, state: None });
        let publish = Publish { draft, user: caller.publisher(), idempotency };
        let mut stored = self.publish_group(vec![publish]).await?;
        stored.pop().ok_or_else(|| Refusal::unavailable("the engine answered nothing"))
    }

    /// Stores all alerts of a payload, or none of them. Each counts towards the rate. A payload that exceeds it is stored
    /// nevertheless, and the caller's next request waits.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish) except [`Refusal::Conflict`]: for a repeated entry the stored alert is returned.
    pub(crate) async fn publish_all(self, entries: Vec<Entry>) -> Result<Vec<Stored>, Refusal> {
        let (user, publisher) = (self.caller.user().to_owned(), self.caller.publisher());
        let publish = |Entry { draft, identity }| {
            let known = |Identity { key, state }| Idempotency { user: user.clone(), key, state: Some(state) };
            Publish { draft, user: Arc::clone(&publisher), idempotency: identity.map(known) }
        };
        self.publish_group(entries.into_iter().map(publish).collect()).await
    }

    /// Stores the alerts of all lines, or none of them; each counts towards the rate as in a payload.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub(crate) async fn publish_lines(self, lines: Vec<Line>) -> Result<Vec<Stored>, Refusal> {
        let (user, publisher) = (self.caller.user().to_owned(), self.caller.publisher());
        let publish = |Line { draft, key }| {
            let idempotency = key.map(|key| Idempotency { user: user.clone(), key, state: None });
            Publish { draft, user: Arc::clone(&publisher), idempotency }
        };
        self.publish_group(lines.into_iter().map(publish).collect()).await
    }

    async fn publish_group(self, alerts: Vec<Publish>) -> Result<Vec<Stored>, Refusal> {
        let Self { service, caller } = self;
        for alert in &alerts {
            caller.require_topics(&[Pattern::Exact(alert.draft.topic().clone())])?;
        }
        let further = u32::try_from(alerts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if further > 0 && caller.is_rate_limited() {
            let rate = service.settings.load().publish_rate;
            service.publish_rate.owe(caller.name().to_owned(), further, rate, RATE_PERIOD, Instant::now());
        }
        let next = service.announced_next(caller, &alerts).await?;
        service.delivery.backpressure().wait().await;
        let stored = service.engine.append_all(alerts).await;
        service.record_outcome(caller, stored.as_deref());
        let stored = stored?;
        service.expect_next(caller, &next, &stored).await?;
        Ok(stored)
    }
}

impl Service {
    /// Counts and logs the outcome of a publish.
    fn record_outcome(&self, caller: &Caller, stored: Result<&[Stored], &AppendError>) {
        if stored.is_err_and(|error| error.unavailable().is_some()) {
            self.counters.publish_failed();
        }
        for stored in stored.unwrap_or_default() {
            if stored.is_repeat() {
                self.counters.repeated(&stored.record);
                self.heard_again(&stored.record);
                continue;
            }
            self.record_accepted(stored, caller.user());
        }
    }

    /// Counts and logs a new alert.
    pub(super) fn record_accepted(&self, Stored { record, incident, .. }: &Stored, user: &str) {
        self.counters.accepted(record);
        if let Tracking::Untracked(why) = incident {
            self.untracked.note(*why, record, user, Instant::now());
        }
        tracing::debug!(topic = %record.topic, alert_id = %record.id, user, "stored");
        if self.settings.load().mirror_alerts {
            mirror(record, user);
        }
    }
}

/// Writes an alert to the process's log, with its own level. This target is logged whatever `log.level` is.
fn mirror(record: &Record, user: &str) {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let Ok(Message { message }) = serde_json::from_slice(&record.json) else { return };
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "alertd::alert", tracing::Level::$level,
                topic = %record.topic, alert_id = %record.id, user, "{message}"
            )
        };
    }
    match record.level {
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
}
