//! Streams on sockets of their own: plain HTTP/1.1, taken over from hyper once the request is understood.
//!
//! | file | owns |
//! |---|---|
//! | [`pipe`] | a socket as the outlet of a stream, until it is handed over |
//! | [`inbox`] | what a loop is told, from other threads |
//! | [`seats`] | the streams of a loop: small plain records in a slab, and the lists they are in |
//! | [`rows`] | the rings and keys that a loop has streams of |
//! | [`batch`] | what goes out in one write |
//! | [`hand`] | the clock's hand, instead of a timer for each stream |
//! | [`fanout`] | the loop: slices of writes, what sockets say, the clock |
//!
//! One thread per core runs a loop over the sockets that it was given. A stream begins as a task, which writes the head of
//! the answer and what the log has ([`Broadcast::follow`]); once it has caught up with its ring, it becomes a seat in
//! the loop with the fewest. A seat whose ring is too short for it becomes a task again. Nobody else reads from or writes
//! to the socket meanwhile, and no lock is held while a loop writes.

mod batch;
mod fanout;
mod hand;
mod inbox;
mod pipe;
mod rows;
mod seats;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::service::{Live, Road, Service, Stream};
use fanout::Fanout;
use inbox::{Command, Inbox};
use pipe::Pipe;

/// The loops, as the server sees them.
pub(crate) struct Broadcast {
    service: Arc<Service>,
    runtime: Handle,
    /// What has to end before the daemon does; a seat counts as a task.
    tasks: TaskTracker,
    inboxes: Vec<Arc<Inbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A loop that panicked would be given streams which then hang in silence. Ended as a whole, the daemon is started again
/// and all streams resume.
struct EndsWithTheLoop;

impl Drop for EndsWithTheLoop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// What a connection holds as long as it is open: its permit, and its share in the end of the server.
pub(crate) struct Tenure {
    _permit: OwnedSemaphorePermit,
    _task: TaskTrackerToken,
}

/// A stream that comes into a loop.
struct Adoption {
    socket: OwnedFd,
    live: Live,
    tenure: Tenure,
}

impl Broadcast {
    /// Starts `loops` loops. Call it within the runtime.
    ///
    /// # Errors
    /// Where the system has no descriptors or threads left.
    pub(crate) fn start(service: &Arc<Service>, tasks: &TaskTracker, loops: usize) -> io::Result<Arc<Self>> {
        let inboxes = (0..loops.max(1)).map(|_| Inbox::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let broadcast = Arc::new(Self {
            service: Arc::clone(service),
            runtime: Handle::current(),
            tasks: tasks.clone(),
            inboxes,
            threads: Mutex::default(),
        });
        for (number, inbox) in broadcast.inboxes.iter().enumerate() {
            let fanout = Fanout::new(Arc::clone(&broadcast), Arc::clone(inbox))?;
            let thread = std::thread::Builder::new().name(format!("alertd-fan-{number}")).spawn(move || {
                let _guard = EndsWithTheLoop;
                fanout.run();
            })?;
            broadcast.threads.lock().push(thread);
        }
        Ok(broadcast)
    }

    /// What a connection with this permit holds.
    #[must_use]
    pub(crate) fn tenure(&self, permit: OwnedSemaphorePermit) -> Tenure {
        Tenure { _permit: permit, _task: self.tasks.token() }
    }

    /// Writes `head` and then the stream, until a loop takes it over or it ends.
    pub(crate) async fn follow(&self, socket: OwnedFd, tenure: Tenure, stream: Box<Stream>, head: Bytes) {
        if let Some((live, pipe)) = stream.lead(Pipe::new(socket, head)).await
            && let Some(socket) = pipe.into_socket()
        {
            self.adopt(Adoption { socket, live, tenure });
        }
    }

    fn adopt(&self, mut adoption: Adoption) {
        adoption.live.place.move_to(Road::Loop);
        if let Some(inbox) = self.inboxes.iter().min_by_key(|inbox| inbox.seats()) {
            inbox.adopt(Box::new(adoption));
        }
    }

    /// Leaves the watchdog's marker with each loop.
    pub(crate) fn mark(&self, marker: u64) {
        self.inboxes.iter().for_each(|inbox| inbox.mark(marker));
    }

    /// The newest marker that all loops have met.
    #[must_use]
    pub(crate) fn met(&self) -> u64 {
        self.inboxes.iter().map(|inbox| inbox.met()).min().unwrap_or_default()
    }

    /// Ends the loops; streams that are still there are cut.
    pub(crate) fn stop(&self) {
        for inbox in &self.inboxes {
            inbox.send(Command::Quit);
        }
        for thread in self.threads.lock().drain(..) {
            // It cannot have panicked, or nobody would be here.
            let _ = thread.join();
        }
    }
}
