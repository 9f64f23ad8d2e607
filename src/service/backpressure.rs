//! Holds publishers back for a moment while readers that could keep up have much left to get.
//!
//! A publisher that is answered when its alert is stored, and never pauses, takes the machine from the fan-out and runs
//! ahead of every reader, by seconds. The broadcast loops say when they are behind; a publish then waits until they are
//! not, and at most [`MAX_HOLD`], so that whatever happens to a loop, publishing goes on. Readers whose sockets are full do not
//! count: nobody waits for a slow reader.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The longest that one publish waits.
const MAX_HOLD: Duration = Duration::from_millis(50);

/// How many loops are behind.
pub(crate) struct Backpressure(watch::Sender<usize>);

impl Default for Backpressure {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Backpressure {
    /// A loop falls behind, or has caught up again; each says so once.
    pub(crate) fn set_behind(&self, behind: bool) {
        self.0.send_modify(|loops| *loops = if behind { *loops + 1 } else { loops.saturating_sub(1) });
    }

    /// Loops that are behind now.
    pub(super) fn behind(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until no loop is behind, within limits.
    pub(super) async fn wait(&self) {
        if self.behind() > 0 {
            // Late or in time, the publish goes on.
            let _ = timeout(MAX_HOLD, self.0.subscribe().wait_for(|loops| *loops == 0)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn a_publish_waits_for_loops_that_are_behind_but_never_for_long() {
        let backpressure = Backpressure::default();
        let start = Instant::now();
        backpressure.wait().await;
        assert!(start.elapsed() < MAX_HOLD);
        backpressure.set_behind(true);
        backpressure.wait().await;
        assert!(start.elapsed() >= MAX_HOLD);
        let (kept, ()) =
            tokio::join!(timeout(MAX_HOLD * 20, backpressure.wait()), async { backpressure.set_behind(false) });
        assert!(kept.is_ok());
    }
}
