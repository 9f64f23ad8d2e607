//! How long clients have to complete their requests once the server stops.
//!
//! Every request carries the server's token in its extensions, because its body is read far from the connection.

use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::detach::Detach;

/// How long clients have to complete a request once the server stops, and then to read the 503 if they did not.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);

/// Waits until the server stops and clients have had their time.
pub(crate) async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// How long a client may read nothing of its answer while the server stops.
const STOP_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The stop of one connection.
#[derive(Default)]
pub(crate) struct Stopping(Option<Interval>);

impl Stopping {
    pub(crate) fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn begin(&mut self) {
        self.0 = Some(interval_at(Instant::now() + STOP_GRACE, STOP_GRACE));
    }

    /// Waits until the connection has to end: its client has sent no complete request, or does not read its answer. Pending
    /// for ever before the stop has begun. Safe to cancel.
    pub(crate) async fn too_late(&mut self, detach: &Detach) {
        let Some(checks) = &mut self.0 else { return std::future::pending().await };
        loop {
            checks.tick().await;
            match detach.blocked_since() {
                Some(since) if since.elapsed() < STOP_READ_TIMEOUT => {}
                None if detach.is_answering() => {}
                _ => return,
            }
        }
    }
}
