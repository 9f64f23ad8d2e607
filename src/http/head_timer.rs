//! The timer for hyper's limit on the time until the head of a request has arrived.
//!
//! Each connection over HTTP/1 has one. hyper makes a new sleep for each request and drops it once the head is there, so
//! hardly any sleep ends, and each would enter and leave the timers of the runtime under their lock. All sleeps of a
//! connection therefore share one timer of the runtime, which is set again only when it has gone off. Always: a sleep ends
//! when its time has come, because the shared timer goes off at that time or before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

type Shared = Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>;

#[derive(Default)]
pub(super) struct HeadTimer(Shared);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep { shared: Arc::clone(&self.0), deadline: deadline.into() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

struct HeadSleep {
    shared: Shared,
    deadline: tokio::time::Instant,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock();
        let timer = shared.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        loop {
            if timer.deadline() > self.deadline {
                timer.as_mut().reset(self.deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() == self.deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn each_sleep_ends_in_its_time_whatever_the_ones_before_it_were() {
        const STEP: Duration = Duration::from_millis(30);
        let (timer, start) = (HeadTimer::default(), Instant::now());
        for end in [STEP, 3 * STEP, 2 * STEP, 3 * STEP] {
            // Dropped before it ends, like that of a request whose head has arrived.
            assert!(timeout(Duration::ZERO, timer.sleep_until(start + 2 * end)).await.is_err());
            timer.sleep_until(start + end).await;
            assert!(start.elapsed() >= end && start.elapsed() < end + 20 * STEP);
        }
        timer.sleep(STEP).await;
        assert!(start.elapsed() >= 4 * STEP);
    }
}
