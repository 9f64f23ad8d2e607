//! Retraction: an alert is taken back by whoever published it, or by an administrator.

use std::time::Duration;

use tokio::time::timeout;

use super::actor::Actor;
use super::{Caller, Refusal, Service};
use crate::alert::{Id, Pattern, Topic};
use crate::engine::{Retract, RetractFailure, Retractable, Retracted};
use crate::key::Scope;
use crate::log::Event;

/// How long the answer waits for the hub, which follows the log at once unless the store hangs.
const DROP_WITHIN: Duration = Duration::from_secs(5);

impl Service {
    /// Takes an alert back. When this returns, no answer and no stream of this node has its content any more. Repeating it
    /// changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `publish` or `admin`, [`Refusal::Topic`] for a topic that a key without `admin`
    /// does not cover, [`Refusal::NotOwn`] for somebody else's alert, [`Refusal::NotFound`], and [`Refusal::Unavailable`] if
    /// the outcome is unknown.
    pub(crate) async fn retract(&self, caller: &Caller, topic: Topic, id: Id) -> Result<(), Refusal> {
        caller.require_either(Scope::Publish, Scope::Admin)?;
        let allowed = if caller.require(Scope::Admin).is_ok() {
            Retractable::All
        } else {
            caller.require_topics(&[Pattern::Exact(topic.clone())])?;
            Retractable::OfUser(caller.publisher())
        };
        let by = Actor::of(caller).await;
        let retract = Retract { topic: topic.clone(), id, by: by.person(), allowed };
        let retracted = self.engine.retract(retract).await.map_err(|failure| match failure {
            RetractFailure::Unknown => Refusal::NotFound(format!("there is no alert {id} on {topic}")),
            RetractFailure::OfOthers => Refusal::NotOwn,
            RetractFailure::Failed(error) => error.into(),
        })?;
        if let Retracted::Now(record) = retracted {
            // What streams of this node have in memory is dropped when the hub gets the record.
            let _ = timeout(DROP_WITHIN, self.hub.reach(record.id)).await;
            tracing::info!(
                message_id = %Event::AlertRetracted,
                topic = %topic,
                alert_id = %id,
                by = by.id(),
                by_user = by.user(),
                by_uid = by.uid(),
                address = by.address(),
                "the alert {id} on {topic} was retracted by {by}"
            );
        }
        Ok(())
    }
}
