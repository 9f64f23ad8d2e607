//! The stop of the server, as requests that are not complete see it: their clients have a moment left.
//!
//! Every request carries the server's token in its extensions, because its body is read far from the connection.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long clients have to complete a request once the server stops, and then to read that it was too late.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);

/// Waits until the server stops and clients have had their time.
pub(crate) async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_GRACE).await;
}
