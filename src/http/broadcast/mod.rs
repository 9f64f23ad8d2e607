//! Streams on sockets of their own: plain HTTP/1.1, taken over from hyper once the request is understood.
//!
//! | file | owns |
//! |---|---|
//! | [`sink`] | a socket as the sink of a stream, until it is handed over |
//! | [`mailbox`] | what a loop is told, from other threads |
//! | [`subscribers`] | the streams of a loop: small plain records in a slab, and the lists they are in |
//! | [`ring_queues`] | the rings and keys that a loop has streams of |
//! | [`batch`] | what goes out in one write |
//! | [`sweep`] | the clock's sweep, instead of a timer for each stream |
//! | [`fanout`] | the loop: slices of writes, what sockets say, the clock |
//!
//! One thread per core runs a loop over the sockets that it was given. A stream begins as a task, which writes the head of
//! the answer and what the log has ([`Broadcast::follow`]); once it has caught up with its ring, it becomes a subscriber in
//! the loop with the fewest. A subscriber whose ring is too short for it becomes a task again. Nobody else reads from or writes
//! to the socket meanwhile, and no lock is held while a loop writes.

mod batch;
mod fanout;
mod mailbox;
mod ring_queues;
mod socket_sink;
mod subscribers;
mod sweep;

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

use crate::service::{CaughtUp, Service, Stream, Transport};
use crate::supervisor;
use fanout::Fanout;
use mailbox::{Command, Mailbox};
use socket_sink::SocketSink;

/// The loops, as the server sees them.
pub(crate) struct Broadcast {
    service: Arc<Service>,
    runtime: Handle,
    /// What has to end before the daemon does; a subscriber counts as a task.
    tasks: TaskTracker,
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a connection holds as long as it is open: its permit, and its share in the end of the server.
pub(crate) struct ConnectionGuard {
    _permit: OwnedSemaphorePermit,
    _task: TaskTrackerToken,
}

/// A stream that comes into a loop.
struct Handover {
    socket: OwnedFd,
    caught_up: CaughtUp,
    guard: ConnectionGuard,
}

impl Broadcast {
    /// Starts `loops` loops. Call it within the runtime.
    ///
    /// # Errors
    /// Where the system has no descriptors or threads left.
    pub(crate) fn start(service: &Arc<Service>, tasks: &TaskTracker, loops: usize) -> io::Result<Arc<Self>> {
        let mailboxes = (0..loops.max(1)).map(|_| Mailbox::new().map(Arc::new)).collect::<io::Result<Vec<_>>>()?;
        let broadcast = Arc::new(Self {
            service: Arc::clone(service),
            runtime: Handle::current(),
            tasks: tasks.clone(),
            mailboxes,
            threads: Mutex::default(),
        });
        for (number, mailbox) in broadcast.mailboxes.iter().enumerate() {
            let fanout = Fanout::new(Arc::clone(&broadcast), Arc::clone(mailbox))?;
            let thread = supervisor::essential_thread(format!("alertd-fan-{number}"), move || fanout.run())?;
            broadcast.threads.lock().push(thread);
        }
        Ok(broadcast)
    }

    /// What a connection with this permit holds.
    #[must_use]
    pub(crate) fn guard(&self, permit: OwnedSemaphorePermit) -> ConnectionGuard {
        ConnectionGuard { _permit: permit, _task: self.tasks.token() }
    }

    /// Writes `head` and then the stream, until a loop takes it over or it ends.
    pub(crate) async fn follow(&self, socket: OwnedFd, guard: ConnectionGuard, stream: Box<Stream>, head: Bytes) {
        if let Some((caught_up, sink)) = stream.catch_up(SocketSink::new(socket, head)).await
            && let Some(socket) = sink.into_socket()
        {
            self.add(Handover { socket, caught_up, guard });
        }
    }

    fn add(&self, mut handover: Handover) {
        handover.caught_up.slot.set_transport(Transport::Loop);
        if let Some(mailbox) = self.mailboxes.iter().min_by_key(|mailbox| mailbox.subscribers()) {
            mailbox.add(Box::new(handover));
        }
    }

    /// Leaves the watchdog's marker with each loop.
    pub(crate) fn mark(&self, marker: u64) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.mark(marker));
    }

    /// The newest marker that all loops have synced.
    #[must_use]
    pub(crate) fn synced(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.synced()).min().unwrap_or_default()
    }

    /// Ends the loops; streams that are still there are cut.
    pub(crate) fn stop(&self) {
        for mailbox in &self.mailboxes {
            mailbox.send(Command::Quit);
        }
        for thread in self.threads.lock().drain(..) {
            // It cannot have panicked, or nobody would be here.
            let _ = thread.join();
        }
    }
}
