//! Holds publishers back for a moment while subscribers that have room in their sockets are far behind.
//!
//! A publisher is answered as soon as its alert is stored. One that never pauses takes the processors from the broadcast
//! loops and runs seconds ahead of every subscriber. So the loops report when they are behind, and a publish then waits
//! until they have caught up, at most [`MAX_HOLD`]: whatever happens to a loop, publishing goes on. Subscribers whose sockets
//! are full do not count, so nobody waits for a slow reader.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The longest time that one publish waits.
const MAX_HOLD: Duration = Duration::from_millis(50);

/// The number of broadcast loops that are behind.
pub(crate) struct Backpressure(watch::Sender<usize>);

impl Default for Backpressure {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Backpressure {
    /// Called by a loop once when it falls behind.
    pub(super) fn loop_fell_behind(&self) {
        self.0.send_modify(|loops| *loops += 1);
    }

    /// Called by a loop once when it has caught up again.
    pub(super) fn loop_caught_up(&self) {
        debug_assert!(*self.0.borrow() > 0, "only a loop that fell behind catches up");
        self.0.send_modify(|loops| *loops = loops.saturating_sub(1));
    }

    pub(crate) fn loops_behind(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until no loop is behind, at most [`MAX_HOLD`].
    pub(crate) async fn wait(&self) {
        if self.loops_behind() > 0 {
            let mut loops = self.0.subscribe();
            // On a timeout the publish goes on all the same. Boxed, because every publish has room for it.
            let _ = timeout(MAX_HOLD, Box::pin(loops.wait_for(|loops| *loops == 0))).await;
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
        backpressure.loop_fell_behind();
        backpressure.wait().await;
        assert!(start.elapsed() >= MAX_HOLD);
        let caught_up = async { backpressure.loop_caught_up() };
        let (waited, ()) = tokio::join!(timeout(MAX_HOLD * 20, backpressure.wait()), caught_up);
        assert!(waited.is_ok());
    }
}
