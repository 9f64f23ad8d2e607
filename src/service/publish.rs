//! Publishing: who may, how fast, and what the log says of it.

use std::time::{Duration, Instant};

use super::{Caller, Refusal, Service};
use crate::alert::{Draft, Level, Pattern, Record};
use crate::engine::{AppendError, Idempotency, Publish, Stored};
use crate::hooks::Entry;
use crate::key::Scope;

impl Service {
    /// Checks whether the caller may publish at all, before its body is read.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub(crate) fn may_publish(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.require(Scope::Publish)?;
        let rate = self.settings.load().publish_rate;
        let limited = !matches!(caller, Caller::Control);
        if limited
            && let Err(retry_after) =
                self.publish_rate.take(caller.name().to_owned(), rate, Duration::from_secs(1), Instant::now())
        {
            return Err(Refusal::TooMany {
                what: format!("over {rate} alerts a second (limits.publish_rate): send slower"),
                retry_after,
            });
        }
        Ok(())
    }

    /// Stores an alert and returns it once it is as durable as configured. Call [`may_publish`](Self::may_publish) first.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] where the key does not reach, [`Refusal::Conflict`] for a reused
    /// idempotency key, [`Refusal::Unavailable`] where the outcome is unknown.
    pub(crate) async fn publish(&self, caller: &Caller, draft: Draft, key: Option<String>) -> Result<Stored, Refusal> {
        caller.require_topics(&[Pattern::Exact(draft.topic().clone())])?;
        let idempotency = key.map(|key| Idempotency { user: caller.user().to_owned(), key, state: None });
        self.pace.keep().await;
        let stored = self.engine.append(Publish { draft, idempotency }).await;
        self.note(caller, stored.as_ref().map(std::slice::from_ref));
        Ok(stored?)
    }

    /// Stores the alerts of a hook, all of them or none. Call [`may_publish`](Self::may_publish) first. Each alert counts for
    /// the rate; a payload that is larger than what is left of it is taken, and the next one waits.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), but for the conflict: what a hook repeats is no contradiction.
    pub(crate) async fn publish_all(&self, caller: &Caller, entries: Vec<Entry>) -> Result<Vec<Stored>, Refusal> {
        for entry in &entries {
            caller.require_topics(&[Pattern::Exact(entry.draft.topic().clone())])?;
        }
        if !matches!(caller, Caller::Control) {
            let more = u32::try_from(entries.len().saturating_sub(1)).unwrap_or(u32::MAX);
            let rate = self.settings.load().publish_rate;
            self.publish_rate.owe(caller.name().to_owned(), more, rate, Duration::from_secs(1), Instant::now());
        }
        let publish = |Entry { draft, key, state }| {
            let idempotency = Idempotency { user: caller.user().to_owned(), key, state: Some(state) };
            Publish { draft, idempotency: Some(idempotency) }
        };
        self.pace.keep().await;
        let stored = self.engine.append_all(entries.into_iter().map(publish).collect()).await;
        self.note(caller, stored.as_deref());
        Ok(stored?)
    }

    fn note(&self, caller: &Caller, stored: Result<&[Stored], &AppendError>) {
        if let Err(AppendError::Unavailable(_)) = stored {
            self.numbers.publish_failed();
        }
        for Stored { record, .. } in stored.unwrap_or_default().iter().filter(|stored| !stored.repeated) {
            self.numbers.accepted(record);
            tracing::debug!(topic = %record.topic, alert_id = %record.id, user = caller.user(), "stored");
            if self.settings.load().mirror_alerts {
                mirror(record, caller.user());
            }
        }
    }
}

/// One event for an alert, at the alert's own level; the target lets it through whatever `log.level` says.
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
