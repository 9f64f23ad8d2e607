//! Tickets that open a stream on any node, each of them once: the hash of a ticket leads to the id of its key.

use std::time::Duration;

use super::{Fleet, script};
use crate::engine::Unavailable;

impl Fleet {
    /// Keeps a ticket for its lifetime.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn keep_ticket(
        &self,
        hash: &[u8; 32],
        key_id: &str,
        lifetime: Duration,
    ) -> Result<(), Unavailable> {
        let mut keep = redis::cmd("SET");
        keep.arg(self.ticket(hash)).arg(key_id).arg("PX").arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        self.0.command::<()>(&keep).await
    }

    /// Takes a ticket and returns the id of its key; none if there is no such ticket.
    ///
    /// # Errors
    /// The server cannot be reached; the ticket may be used up.
    pub(crate) async fn take_ticket(&self, hash: &[u8; 32]) -> Result<Option<String>, Unavailable> {
        let mut take = redis::cmd("GETDEL");
        take.arg(self.ticket(hash));
        self.0.command(&take).await
    }

    fn ticket(&self, hash: &[u8; 32]) -> String {
        self.0.shared.link.key(&format!("ticket:{}", script::hex(hash)))
    }
}
