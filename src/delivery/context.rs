//! The values that streams of the same key, filter and format share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::counters::Counters;
use super::endings::Endings;
use super::shared_pages::SharedPages;
use super::takeover::{StreamRecord, SubscriptionRecord, Suspension};
use crate::alert::{Filter, Start};
use crate::engine::Engine;
use crate::hub::{Held, Hub, Subscription};
use crate::sse::{Bye, Format};

/// Made when a stream is opened. In a broadcast loop the first stream of a key group lends its context to all others.
pub(super) struct StreamContext {
    pub(super) engine: Engine,
    pub(super) hub: Hub,
    pub(super) filter: Arc<Filter>,
    pub(super) format: Format,
    /// The key against whose share of rings the subscription counts.
    pub(super) owner: String,
    pub(super) heartbeat: Duration,
    pub(super) endings: Endings,
    pub(super) counters: Arc<Counters>,
    pub(super) pages: Arc<SharedPages>,
    pub(super) suspension: Arc<Suspension>,
}

impl StreamContext {
    pub(super) fn subscribe(&self) -> Subscription {
        self.hub.subscribe(&self.filter, &self.format, &self.owner)
    }

    /// What another process has to know to continue a stream of this context.
    pub(super) fn record(
        &self,
        start: Start,
        retry_ms: u32,
        expires_at: Option<Instant>,
        unsent: Bytes,
        patience: Option<Duration>,
    ) -> StreamRecord {
        let key = self.endings.key.is_some().then(|| self.owner.clone());
        StreamRecord {
            subscription: SubscriptionRecord { key, filter: Arc::clone(&self.filter), format: self.format.clone() },
            start,
            latest_after_ms: 0,
            has_passed_seam: true,
            retry_ms,
            lifetime: expires_at.map(|at| at.saturating_duration_since(Instant::now())),
            patience,
            unsent,
        }
    }

    /// Whether one of these alerts may have been retracted since they were read.
    pub(super) fn has_retracted(&self, held: &Held) -> bool {
        self.hub.has_retracted(held, &self.filter)
    }

    /// Waits until one of these alerts may have been retracted. Safe to cancel.
    pub(super) async fn retracts(&self, held: &Held) {
        self.hub.retracts(held, &self.filter).await;
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.endings.clock)()
    }

    /// Waits for a reason to end all streams of this context.
    pub(super) fn ended(&self) -> impl Future<Output = Bye> + Send + 'static {
        self.endings.clone().wait_for_all()
    }
}
