//! Asks the Sentinels periodically, because the old primary keeps answering after another server was promoted.
//!
//! Started only where there are Sentinels. The writer and the follower leave a server as soon as another one is named.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// The time between two rounds. What is stored in between on a server that was replaced is lost.
const PERIOD: Duration = Duration::from_millis(250);

pub(super) async fn run(shared: Arc<Shared>) {
    while !shared.stopping.load(Ordering::Acquire) {
        shared.ask_for_primary().await;
        tokio::time::sleep(super::jittered(PERIOD)).await;
    }
}
