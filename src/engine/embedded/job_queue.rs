//! The queue of jobs for the writer.
//!
//! A wake-up costs more than an alert, so publishes that are ready at the same time share one. The publisher that finds the
//! queue empty lets the other tasks of the runtime run first, which put theirs behind it, and then wakes the writer. Always:
//! a job in the queue is followed by a wake-up, even if the task that owes it is cancelled; jobs leave in their order; and the
//! queue has a bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::intake::{Job, Refused};

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

/// Makes a queue for at most `capacity` jobs.
pub(super) fn job_queue(capacity: usize) -> (JobSender, JobReceiver) {
    let queue = Arc::<Queue>::default();
    (JobSender { queue: Arc::clone(&queue), capacity }, JobReceiver(queue))
}

/// The side of the publishers. The writer gets [`Job::Close`] when it is dropped.
pub(super) struct JobSender {
    queue: Arc<Queue>,
    capacity: usize,
}

/// Wakes the writer when it is dropped.
struct WakeUp<'a>(&'a Queue);

impl Drop for WakeUp<'_> {
    fn drop(&mut self) {
        self.0.filled.notify_one();
    }
}

impl JobSender {
    /// Puts a job into the queue, and sees to it that the writer is woken.
    ///
    /// # Errors
    /// The queue is full or closed.
    pub(super) async fn send(&self, job: Job) -> Result<(), Refused> {
        if let Some(wake_up) = self.push(job)? {
            tokio::task::yield_now().await;
            drop(wake_up);
        }
        Ok(())
    }

    /// Has the writer look at what else is due.
    pub(super) fn wake(&self) {
        // A full queue wakes the writer as well.
        drop(self.push(Job::Wake));
    }

    /// Has the writer store everything queued before this, and end. Ignores the bound.
    pub(super) fn close(&self) {
        let mut state = self.queue.state.lock();
        if !std::mem::replace(&mut state.is_closed, true) {
            state.jobs.push_back(Job::Close);
        }
        drop(state);
        self.queue.filled.notify_one();
    }

    /// None if another task owes the wake-up.
    fn push(&self, job: Job) -> Result<Option<WakeUp<'_>>, Refused> {
        let mut state = self.queue.state.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.jobs.len() >= self.capacity {
            return Err(Refused::Full);
        }
        let is_first = state.jobs.is_empty();
        state.jobs.push_back(job);
        drop(state);
        Ok(is_first.then(|| WakeUp(&self.queue)))
    }
}

impl Drop for JobSender {
    fn drop(&mut self) {
        self.close();
    }
}

/// The side of the writer.
pub(super) struct JobReceiver(Arc<Queue>);

impl JobReceiver {
    /// Waits for a job; none if there was none in time.
    pub(super) fn recv_timeout(&self, patience: Duration) -> Option<Job> {
        let mut state = self.0.state.lock();
        if state.jobs.is_empty() {
            // A wake-up without a job ends the wait early, which does no harm.
            self.0.filled.wait_for(&mut state, patience);
        }
        state.jobs.pop_front()
    }

    /// A job that is there already.
    pub(super) fn try_recv(&self) -> Option<Job> {
        self.0.state.lock().jobs.pop_front()
    }
}

impl Drop for JobReceiver {
    /// Publishers that are still waiting hear that the engine stops.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        state.jobs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_that_are_ready_together_share_a_wake_up() {
        let (sender, receiver) = job_queue(4);
        assert!(receiver.recv_timeout(Duration::ZERO).is_none());
        let first = sender.push(Job::Wake).unwrap_or_else(|_| panic!("full"));
        assert!(first.is_some());
        assert!(sender.push(Job::Wake).is_ok_and(|owed| owed.is_none()));
        assert!(receiver.try_recv().is_some() && receiver.try_recv().is_some() && receiver.try_recv().is_none());
        // Once the writer has taken them, the next one owes a wake-up again, whoever still owes one.
        assert!(sender.push(Job::Wake).is_ok_and(|owed| owed.is_some()));
        drop(first);
    }

    #[tokio::test]
    async fn a_publisher_that_is_cancelled_wakes_the_writer_nevertheless() {
        let (sender, receiver) = job_queue(4);
        let writer = std::thread::spawn(move || receiver.recv_timeout(Duration::from_secs(60)).is_some());
        let send = Box::pin(sender.send(Job::Wake));
        // One poll puts the job into the queue and yields.
        let polled = tokio::time::timeout(Duration::ZERO, send).await;
        assert!(writer.join().unwrap(), "{}", polled.is_ok());
    }

    #[tokio::test]
    async fn a_full_or_closed_queue_refuses_and_closing_always_has_room() {
        let (sender, receiver) = job_queue(2);
        for _ in 0..2 {
            sender.wake();
        }
        assert!(matches!(sender.send(Job::Wake).await, Err(Refused::Full)));
        sender.close();
        sender.close();
        assert!(matches!(sender.send(Job::Wake).await, Err(Refused::Closed)));
        let mut jobs = std::iter::from_fn(|| receiver.try_recv());
        assert!(matches!(jobs.next(), Some(Job::Wake)) && matches!(jobs.next(), Some(Job::Wake)));
        assert!(matches!(jobs.next(), Some(Job::Close)) && jobs.next().is_none());
        let (sender, receiver) = job_queue(2);
        drop(receiver);
        assert!(matches!(sender.send(Job::Wake).await, Err(Refused::Closed)));
    }
}
