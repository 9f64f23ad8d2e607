//! The values that streams of the same key, filter and format share.

use std::sync::Arc;
use std::time::Duration;

use super::counters::Counters;
use super::endings::Endings;
use crate::alert::Filter;
use crate::engine::Engine;
use crate::hub::{Hub, Subscription};
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
}

impl StreamContext {
    pub(super) fn subscribe(&self) -> Subscription {
        self.hub.subscribe(&self.filter, self.format, &self.owner)
    }

    /// Waits for a reason that ends all streams of this context.
    pub(super) fn ended(&self) -> impl Future<Output = Bye> + Send + 'static {
        self.endings.clone().wait(None)
    }
}
