//! How long clients have to complete their requests once the server stops.
//!
//! The body of every request carries the stop of its server, because it is read far from the connection.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::detach::Detach;

/// How long clients have to complete a request once the server stops, and then to read the 503 if they did not.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);

/// The stop of a server, which its connections and the bodies of their requests share.
#[derive(Default)]
pub(crate) struct Stop {
    has_begun: AtomicBool,
    /// Cancelled after that.
    token: CancellationToken,
}

impl Stop {
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Waits until the server stops. Safe to cancel.
    pub(crate) async fn begun(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut waiting: Option<Waker> = None;
        poll_fn(|cx| {
            // Each request polls this several times. The token would take two locks each time, which all connections share.
            let waits = waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if waits && !self.has_begun() {
                return Poll::Pending;
            }
            waiting = Some(cx.waker().clone());
            cancelled.as_mut().poll(cx)
        })
        .await;
    }
}

/// Waits until the server stops and clients have had their time.
pub(crate) async fn too_late(stop: &Stop) {
    stop.begun().await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn everybody_who_waits_for_a_stop_notices_it_also_after_other_wake_ups() {
        let (stop, wake) = (Arc::<Stop>::default(), Arc::<tokio::sync::Notify>::default());
        let waiting = (0..3).map(|_| {
            let (stop, wake) = (Arc::clone(&stop), Arc::clone(&wake));
            tokio::spawn(async move {
                let mut begun = pin!(stop.begun());
                for _ in 0..2 {
                    tokio::select! {
                        () = begun.as_mut() => panic!("before the stop"),
                        () = wake.notified() => {}
                    }
                }
                begun.await;
            })
        });
        let waiting: Vec<_> = waiting.collect();
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(!stop.has_begun());
            wake.notify_waiters();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        stop.begin();
        for task in waiting {
            tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
        }
        stop.begun().await;
        assert!(stop.has_begun());
    }
}
