//! The orderly end of carrying streams in this process, so that another one can continue them.
//!
//! Owned by [`Delivery`](crate::delivery::Delivery). First streams that cannot be carried are told to leave, while all others
//! go on; then the remaining ones are suspended: each task and each broadcast loop stops between two writes and keeps its
//! streams here. Always: a stream is in one place only, with a task, in a loop or here.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::carried::{CarriedStream, end_all};
use crate::sse::Bye;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Streams that no other process can continue end.
    Leaving,
    /// All others stop where they are.
    Suspending,
}

pub(crate) struct Suspension {
    phase: watch::Sender<Phase>,
    /// The tasks that carry streams over plain sockets.
    tasks: TaskTracker,
    /// None once they were collected.
    kept: Mutex<Option<Vec<CarriedStream>>>,
}

impl Default for Suspension {
    fn default() -> Self {
        let phase = watch::Sender::new(Phase::Serving);
        Self { phase, tasks: TaskTracker::new(), kept: Mutex::new(Some(Vec::new())) }
    }
}

impl Suspension {
    /// For a task that carries a stream. Taken before the task is spawned, or the stream could be missed.
    pub(in crate::delivery) fn task(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Ends the streams that no other process can continue.
    pub(in crate::delivery) fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    pub(in crate::delivery) fn is_leaving(&self) -> bool {
        *self.phase.borrow() >= Phase::Leaving
    }

    /// Waits until streams that cannot be carried have to end.
    pub(in crate::delivery) fn leaving(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        self.reach(Phase::Leaving)
    }

    /// Asks all streams to stop.
    pub(in crate::delivery) fn request(&self) {
        self.phase.send_replace(Phase::Suspending);
    }

    pub(in crate::delivery) fn is_requested(&self) -> bool {
        *self.phase.borrow() == Phase::Suspending
    }

    /// Waits until streams have to stop.
    pub(in crate::delivery) fn requested(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        self.reach(Phase::Suspending)
    }

    fn reach(&self, wanted: Phase) -> impl Future<Output = ()> + Send + 'static {
        let mut phase = self.phase.subscribe();
        async move {
            if phase.wait_for(|phase| *phase >= wanted).await.is_err() {
                // Never reached: streams share the ownership of the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Keeps a stream for the next process. One that comes too late ends.
    pub(in crate::delivery) fn keep(&self, stream: CarriedStream) {
        let late = match &mut *self.kept.lock() {
            Some(kept) => {
                kept.push(stream);
                return;
            }
            None => stream,
        };
        // On a thread of its own, because it may wait for the socket and is called by tasks.
        std::thread::spawn(move || end_all([(late, Bye::Restart)]));
    }

    /// Waits until no task carries a stream. False if one still does at the end of the time.
    pub(in crate::delivery) async fn tasks_ended(&self, limit: Duration) -> bool {
        self.tasks.close();
        timeout(limit, self.tasks.wait()).await.is_ok()
    }

    /// All streams that were kept. Later ones end.
    pub(in crate::delivery) fn collect(&self) -> Vec<CarriedStream> {
        self.kept.lock().take().unwrap_or_default()
    }
}
