//! Publishing: who may, how fast, and what the log says of it.

use std::time::{Duration, Instant};

use super::{Caller, Refusal, Service};
use crate::alert::{Draft, Level, Pattern, Record};
use crate::engine::{AppendError, Idempotency, Publish, Stored};
use crate::key::Scope;

impl Service {
    /// Checks whether the caller may publish at all, before its body is read.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn may_publish(&self, caller: &Caller) -> Result<(), Refusal> {
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
    pub async fn publish(&self, caller: &Caller, draft: Draft, key: Option<String>) -> Result<Stored, Refusal> {
        caller.require_topics(&[Pattern::Exact(draft.topic().clone())])?;
        let idempotency = key.map(|key| Idempotency { user: caller.user().to_owned(), key, state: None });
        self.pace.keep().await;
        let stored = self.engine.append(Publish { draft, idempotency }).await;
        if let Err(AppendError::Unavailable(_)) = stored {
            self.numbers.publish_failed();
        }
        let stored = stored?;
        if !stored.repeated {
            self.numbers.accepted(&stored.record);
            tracing::debug!(topic = %stored.record.topic, alert_id = %stored.record.id, user = caller.user(), "stored");
            if self.settings.load().mirror_alerts {
                mirror(&stored.record, caller.user());
            }
        }
        Ok(stored)
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
