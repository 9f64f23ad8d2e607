//! The drain that an operator asks for: streams leave one after the other, and load balancers are told to look elsewhere.
//!
//! Publishing, history and everything else goes on. The drain is not stored, so it ends with the process.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::actor::Actor;
use super::{Caller, Refusal, Service};
use crate::alert::rfc3339;
use crate::api::{self, DrainStatus};
use crate::delivery::{Drain, MAX_DRAIN};
use crate::log::Event;

/// The time over which streams leave if the caller names none.
const DEFAULT_OVER: Duration = Duration::from_secs(30);

impl Service {
    /// Has the streams leave over a time, and opens no new ones. Repeated, it begins anew with those that are left.
    ///
    /// # Errors
    /// [`Refusal::ControlOnly`] except on the control socket, [`Refusal::Invalid`] for a time that is too long,
    /// [`Refusal::Unavailable`] if the process is ending.
    pub(crate) async fn begin_drain(&self, caller: &Caller, wish: api::Drain) -> Result<DrainStatus, Refusal> {
        caller.require_control()?;
        let over = wish.over.map_or(DEFAULT_OVER, Duration::from_secs);
        if over > MAX_DRAIN {
            return Err(Refusal::invalid("over", format!("is at most {} seconds", MAX_DRAIN.as_secs())));
        }
        let (by, streams, seconds) = (Actor::of(caller).await, self.streams(), over.as_secs());
        if !self.delivery.begin_drain(over) {
            return Err(Refusal::unavailable("alertd is stopping"));
        }
        self.has_drained.store(false, Ordering::Relaxed);
        tracing::warn!(
            message_id = %Event::Draining,
            streams,
            over = seconds,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            "draining: {streams} streams leave over {seconds} s and new ones are refused, asked for by {by}"
        );
        Ok(self.drain_status())
    }

    /// Opens streams again. Without a drain it changes nothing.
    ///
    /// # Errors
    /// [`Refusal::ControlOnly`] except on the control socket.
    pub(crate) async fn end_drain(&self, caller: &Caller) -> Result<DrainStatus, Refusal> {
        caller.require_control()?;
        let by = Actor::of(caller).await;
        if self.delivery.end_drain() {
            tracing::info!(
                message_id = %Event::Undrained,
                by = by.id(),
                by_user = by.user(),
                by_uid = by.uid(),
                "the drain was ended by {by}: streams are opened again"
            );
        }
        Ok(self.drain_status())
    }

    pub(super) fn drain_status(&self) -> DrainStatus {
        let streams = self.streams();
        match self.delivery.drain_state() {
            Drain::Leaving { since, over } => {
                let since_ms = self.now_ms().saturating_sub(since.elapsed().as_millis() as u64);
                DrainStatus { draining: true, since: Some(rfc3339(since_ms)), over: Some(over.as_secs()), streams }
            }
            Drain::Off | Drain::Ending(_) => DrainStatus { streams, ..DrainStatus::default() },
        }
    }

    /// Whether an operator has the streams leave.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.delivery.drain_state(), Drain::Leaving { .. })
    }

    /// Logs once that no streams are left.
    pub(super) fn note_drained(&self) {
        if let Drain::Leaving { since, .. } = self.delivery.drain_state()
            && self.streams() == 0
            && !self.has_drained.swap(true, Ordering::Relaxed)
        {
            let seconds = since.elapsed().as_secs();
            tracing::info!(message_id = %Event::Drained, seconds, "drained: no streams are left after {seconds} s");
        }
    }
}
