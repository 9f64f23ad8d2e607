//! Essential workers: the threads and tasks without which the process cannot do its work.
//!
//! Every layer that starts one starts it here, under a name. Once [`start`] was called, a worker that panics, or that ends
//! before [`stopping`] was called, ends the process: alerts, revocations or accepts would otherwise stop without anybody
//! noticing, while a restarted process works and all streams resume. Which workers still run is known at any time, so that
//! the log can name those that do not end. Without [`start`], as in unit tests, nothing but a thread is supervised.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::log::{self, Event};

static WORKERS: LazyLock<watch::Sender<Workers>> = LazyLock::new(watch::Sender::default);

/// In debug builds, a fault for the tests. `panic:NAME` or `end:NAME` makes the worker of this name do so once it starts;
/// `stay:NAME` makes the thread of this name stay when it should end.
/// Not an `ALERTD_…` variable, because each of those sets a key of the configuration.
#[cfg(debug_assertions)]
const FAULT: &str = "TEST_WORKER_FAULT";

#[derive(Debug, Default)]
struct Workers {
    phase: Phase,
    running: Vec<String>,
    /// Of the tasks that were spawned here.
    tasks: Vec<AbortHandle>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not started: nothing is supervised yet.
    #[default]
    Unsupervised,
    Running,
    Stopping,
}

/// From now on the end of a worker ends the process.
pub(crate) fn start() {
    WORKERS.send_modify(|workers| workers.phase = Phase::Running);
}

/// From now on workers may end; a panic still ends the process.
pub(crate) fn stopping() {
    WORKERS.send_modify(|workers| workers.phase = Phase::Stopping);
}

/// Aborts all essential tasks. Their work must be complete.
pub(crate) fn abort_tasks() {
    WORKERS.send_modify(|workers| workers.tasks.drain(..).for_each(|task| task.abort()));
}

/// Waits until all workers except those in `but` have ended; returns those that have not within `limit`.
pub(crate) async fn unfinished(but: &[&str], limit: Duration) -> Vec<String> {
    let mut workers = WORKERS.subscribe();
    let is_left = |name: &String| !but.contains(&name.as_str());
    let all_ended = workers.wait_for(|workers| !workers.running.iter().any(is_left));
    let has_ended = tokio::time::timeout(limit, all_ended).await.is_ok();
    if has_ended { Vec::new() } else { WORKERS.borrow().running.iter().filter(|name| is_left(name)).cloned().collect() }
}

/// Runs a future as the essential worker `name`.
pub(crate) async fn supervise<F: Future>(name: &'static str, future: F) -> F::Output {
    let worker = Worker::new(name.into());
    if worker.fails_at_once() {
        drop(worker);
        return std::future::pending().await;
    }
    let output = future.await;
    drop(worker);
    output
}

/// Spawns a future as the essential worker `name`. Aborting it is an end like any other.
pub(crate) fn essential<F>(name: &'static str, future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let task = tokio::spawn(supervise(name, future));
    WORKERS.send_modify(|workers| {
        workers.tasks.retain(|task| !task.is_finished());
        workers.tasks.push(task.abort_handle());
    });
    task
}

/// Spawns a thread as the essential worker `name`, of at most 15 characters.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn essential_thread(
    name: impl Into<String>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = name.into();
    let worker = Worker::new(name.clone());
    thread::Builder::new().name(name).spawn(move || {
        // Moved in here as a whole, so that both are dropped by this thread, and what it runs before the worker.
        let (worker, run) = (worker, run);
        if !worker.fails_at_once() {
            run();
        }
        while worker.has_fault("stay") {
            thread::park();
        }
        drop(worker);
    })
}

/// A worker that runs; dropped when it ends, by a panic too.
struct Worker {
    name: String,
}

impl Worker {
    fn new(name: String) -> Self {
        WORKERS.send_modify(|workers| workers.running.push(name.clone()));
        Self { name }
    }

    /// Panics, or says that the worker has to end, if a test wants that.
    fn fails_at_once(&self) -> bool {
        assert!(!self.has_fault("panic"), "a panic in {}, as a test wants it", self.name);
        self.has_fault("end")
    }

    #[cfg(debug_assertions)]
    fn has_fault(&self, fault: &str) -> bool {
        static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(FAULT).ok());
        WANTED.as_deref().and_then(|wanted| wanted.split_once(':')) == Some((fault, &*self.name))
    }

    #[cfg(not(debug_assertions))]
    const fn has_fault(&self, _: &str) -> bool {
        false
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut phase = Phase::default();
        WORKERS.send_modify(|workers| {
            phase = workers.phase;
            if let Some(at) = workers.running.iter().position(|name| *name == self.name) {
                workers.running.swap_remove(at);
            }
        });
        if let Some(what) = failure(phase, thread::panicking()) {
            end_process(&self.name, what);
        }
    }
}

/// To be called while the work of a worker that was not started here panics.
pub(crate) fn panicked(name: &str) {
    let phase = WORKERS.borrow().phase;
    if let Some(what) = failure(phase, true) {
        end_process(name, what);
    }
}

/// Why the end of a worker has to end the process, if it has to.
const fn failure(phase: Phase, panicked: bool) -> Option<&'static str> {
    match (phase, panicked) {
        (Phase::Running | Phase::Stopping, true) => Some("panicked"),
        (Phase::Running, false) => Some("ended although alertd is not stopping"),
        (Phase::Stopping, false) | (Phase::Unsupervised, _) => None,
    }
}

/// Aborts, because an orderly end might wait for the worker that is gone.
fn end_process(name: &str, what: &str) -> ! {
    tracing::error!(
        message_id = %Event::WorkerFailed,
        worker = name,
        "the essential worker {name} {what}: alertd ends, to be started again"
    );
    if !log::flush() {
        let _ = io::stderr().write_all(format!("alertd: the essential worker {name} {what}\n").as_bytes());
    }
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_while_stopping_is_in_order_and_a_panic_never_is() {
        assert!(failure(Phase::Running, false).unwrap().contains("not stopping"));
        assert_eq!(failure(Phase::Stopping, false), None);
        assert_eq!(failure(Phase::Running, true), Some("panicked"));
        assert_eq!(failure(Phase::Stopping, true), Some("panicked"));
        assert_eq!((failure(Phase::Unsupervised, false), failure(Phase::Unsupervised, true)), (None, None));
    }

    #[tokio::test]
    async fn a_worker_is_named_until_it_has_ended() {
        let (end, ended) = tokio::sync::oneshot::channel();
        let task = essential("test-task", ended);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = essential_thread("test-thread", move || {
            let _ = stopped.recv();
        })
        .unwrap();
        let left = async || {
            let mut left = unfinished(&[], Duration::from_millis(1)).await;
            left.retain(|name| name.starts_with("test-"));
            left.sort();
            left
        };
        assert_eq!(left().await, ["test-task", "test-thread"]);
        end.send(()).unwrap();
        task.await.unwrap().unwrap();
        assert_eq!(left().await, ["test-thread"]);
        drop(stop);
        thread.join().unwrap();
        assert!(left().await.is_empty());
    }
}
