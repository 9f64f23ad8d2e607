//! A socket as the sink of a stream, in HTTP/1.1's chunked coding.
//!
//! Owned by the task that replays a stream until a broadcast loop takes the socket over. Always: bytes leave in the order in
//! which they were sent, and nothing but [`SocketSink`] reads from or writes to the socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::endings::StreamEnd;
use super::sink::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, StreamSink};
use crate::chunked;
use crate::sse::Bye;

/// Keeps a connection counted while it is open: against the limit of connections, and among those that the end of the
/// server waits for.
pub(crate) struct ConnectionGuard {
    _permit: Option<OwnedSemaphorePermit>,
    _task: TaskTrackerToken,
}

impl ConnectionGuard {
    #[must_use]
    pub(crate) fn new(permit: Option<OwnedSemaphorePermit>, tasks: &TaskTracker) -> Self {
        Self { _permit: permit, _task: tasks.token() }
    }
}

pub(crate) struct SocketSink {
    socket: Socket,
    /// Encoded chunks that the socket has not taken; the first one may be partly sent. Bounded: blocks are added only when
    /// it is empty, except for the final ones.
    pending: BytesMut,
    /// While the socket is full: the time by which it has to accept bytes.
    deadline: Option<Instant>,
    connection: ConnectionGuard,
}

/// Registering with the runtime costs two system calls, which a socket with room does not need.
enum Socket {
    Unregistered(OwnedFd),
    Registered(Arc<TcpStream>),
    /// Registering failed, and the descriptor is closed.
    Closed,
}

impl SocketSink {
    /// A sink that sends `head` before anything else.
    pub(crate) fn new(socket: OwnedFd, head: Bytes, connection: ConnectionGuard) -> Self {
        Self { socket: Socket::Unregistered(socket), pending: BytesMut::from(head), deadline: None, connection }
    }

    /// A sink for a stream of another process that had `unsent` bytes left. If its socket was full, it has to accept
    /// bytes within `patience`.
    pub(super) fn continued(
        socket: OwnedFd,
        unsent: Bytes,
        patience: Option<Duration>,
        connection: ConnectionGuard,
    ) -> Self {
        let deadline = patience.map(|patience| Instant::now() + patience.min(SLOW_READER_TIMEOUT));
        Self { deadline, ..Self::new(socket, unsent, connection) }
    }

    /// Gives the socket away. It has accepted everything that was sent.
    pub(super) fn into_parts(self) -> Option<(OwnedFd, ConnectionGuard)> {
        debug_assert!(self.pending.is_empty(), "a sink is taken apart only after it was flushed");
        Some((self.socket.into_descriptor()?, self.connection))
    }

    /// Appends blocks to the pending bytes, without sending anything.
    pub(super) fn put(&mut self, blocks: Bytes) {
        chunked::write(&mut self.pending, |out| out.put(blocks));
    }

    /// Gives the socket to another process, with its unsent bytes and, if it is full, how much longer it may be. The
    /// connection no longer counts in this process.
    pub(super) fn suspend(self) -> Option<(OwnedFd, Bytes, Option<Duration>)> {
        let patience = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Some((self.socket.into_descriptor()?, self.pending.freeze(), patience))
    }

    /// Writes everything that is pending. Fails if the socket takes nothing for [`SLOW_READER_TIMEOUT`]. Safe to cancel.
    async fn flush(&mut self) -> Result<(), StreamEnd> {
        while !self.pending.is_empty() {
            match self.try_send() {
                Ok(sent) => {
                    self.pending.advance(sent);
                    self.deadline = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + SLOW_READER_TIMEOUT);
                    timeout_at(deadline, self.writable())
                        .await
                        .map_err(|_| StreamEnd::Bye(Bye::Slow))?
                        .map_err(|_| StreamEnd::Gone)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(StreamEnd::Gone),
            }
        }
        Ok(())
    }

    fn try_send(&self) -> io::Result<usize> {
        let write =
            |socket: BorrowedFd<'_>| Ok(send(socket, &self.pending, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?);
        match &self.socket {
            Socket::Unregistered(socket) => write(socket.as_fd()),
            Socket::Registered(socket) => socket.try_io(Interest::WRITABLE, || write(socket.as_fd())),
            Socket::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn writable(&mut self) -> io::Result<()> {
        self.register()?.writable().await
    }

    fn register(&mut self) -> io::Result<&Arc<TcpStream>> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Closed) {
            // Works for Unix sockets too: the runtime only waits for readiness, whatever the kind of socket.
            Socket::Unregistered(socket) => Socket::Registered(Arc::new(TcpStream::from_std(socket.into())?)),
            other => other,
        };
        match &self.socket {
            Socket::Registered(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Socket {
    /// None if it is closed.
    fn into_descriptor(self) -> Option<OwnedFd> {
        match self {
            Self::Unregistered(socket) => Some(socket),
            Self::Registered(socket) => Some(Arc::into_inner(socket)?.into_std().ok()?.into()),
            Self::Closed => None,
        }
    }
}

/// Waits until the client has closed its end, or its sending half.
async fn closed(socket: &TcpStream) -> io::Result<()> {
    while !socket.ready(Interest::READABLE).await?.is_read_closed() {
        // A client has nothing to send on an open stream. What it sends anyway stays in the kernel; clearing the readiness
        // keeps this loop from spinning on it.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
    Ok(())
}

impl StreamSink for SocketSink {
    async fn start(&mut self) -> Result<(), StreamEnd> {
        self.flush().await
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        self.put(blocks);
        self.flush().await
    }

    async fn finish(&mut self, last: Bytes) {
        self.pending.put(chunked::last(&last));
        let _ = timeout(BYE_TIMEOUT, self.flush()).await;
    }

    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let socket = self.register().cloned();
        async move {
            match socket {
                // A socket that cannot be registered counts as disconnected.
                Err(_) => {}
                Ok(socket) => drop(closed(&socket).await),
            }
        }
    }
}
