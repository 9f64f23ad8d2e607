//! Tickets that open a stream on any node, each once: by the hash of the ticket the id of the key behind it.

use std::time::Duration;

use super::{Fleet, script};
use crate::engine::Unavailable;

impl Fleet {
    /// Keeps a ticket for so long.
    ///
    /// # Errors
    /// Where the server is away.
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

    /// The id of the key behind a ticket, which is used up by it; none where no such ticket is kept.
    ///
    /// # Errors
    /// Where the server is away; the ticket may be used up then.
    pub(crate) async fn take_ticket(&self, hash: &[u8; 32]) -> Result<Option<String>, Unavailable> {
        let mut take = redis::cmd("GETDEL");
        take.arg(self.ticket(hash));
        self.0.command(&take).await
    }

    fn ticket(&self, hash: &[u8; 32]) -> String {
        self.0.shared.link.key(&format!("ticket:{}", script::hex(hash)))
    }
}
