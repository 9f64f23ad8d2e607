//! What the nodes of a fleet share besides alerts: a clock, the list of nodes, and (in modules of their own) the keys
//! and the tickets.
//!
//! Used by the service and by the daemon, through [`Engine::fleet`](crate::engine::Engine::fleet).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::queries::Queries;
use crate::engine::Clock;

/// The nodes that share this log; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fleet(pub(super) Arc<Queries>);

impl Fleet {
    /// The clock of the server, which is the same for all nodes; this node's own clock until the server's is known.
    #[must_use]
    pub(crate) fn clock(&self) -> Clock {
        let shared = Arc::clone(&self.0.shared);
        Arc::new(move || match shared.server_ms(Instant::now()) {
            0 => (shared.local)(),
            ms => ms,
        })
    }

    /// Makes the node compare itself with the log now, which also updates the keys; does not wait for it.
    pub(crate) fn look(&self) {
        self.0.shared.compare_now.notify_one();
    }

    /// Tells the other nodes how many streams are open on this one.
    pub(crate) fn set_streams(&self, streams: u64) {
        self.0.shared.streams.store(streams, Ordering::Relaxed);
    }
}
