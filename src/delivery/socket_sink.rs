//! A socket as the sink of a stream, in HTTP/1.1's chunked coding.
//!
//! Owned by the task that replays a stream until a broadcast loop takes the socket over. Always: bytes leave in the order in
//! which they were sent, and nothing but [`SocketSink`] reads from or writes to the socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::endings::StreamEnd;
use super::sink::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, StreamSink};
use crate::chunked;
use crate::sse::Bye;

/// Keeps a connection counted while it is open: against the limit of connections, and among those that the end of the
/// server waits for.
pub(crate) struct ConnectionGuard {
    _permit: OwnedSemaphorePermit,
    _task: TaskTrackerToken,
}

impl ConnectionGuard {
    #[must_use]
    pub(crate) fn new(permit: OwnedSemaphorePermit, tasks: &TaskTracker) -> Self {
        Self { _permit: permit, _task: tasks.token() }
    }
}

pub(crate) struct SocketSink {
    socket: Socket,
    /// Encoded chunks that the socket has not taken; the first one may be partly sent. Bounded: blocks are added only when
    /// it is empty, except for the final ones.
    pending: BytesMut,
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
        Self { socket: Socket::Unregistered(socket), pending: BytesMut::from(head), connection }
    }

    /// Gives the socket away. Everything that was sent is in it.
    pub(super) fn into_parts(self) -> Option<(OwnedFd, ConnectionGuard)> {
        debug_assert!(self.pending.is_empty(), "a sink is taken apart only after it was flushed");
        let socket = match self.socket {
            Socket::Unregistered(socket) => socket,
            Socket::Registered(socket) => Arc::into_inner(socket)?.into_std().ok()?.into(),
            Socket::Closed => return None,
        };
        Some((socket, self.connection))
    }

    /// Writes everything that is pending. Fails if the socket takes nothing for [`SLOW_READER_TIMEOUT`]. Safe to cancel.
    async fn flush(&mut self) -> Result<(), StreamEnd> {
        while !self.pending.is_empty() {
            match self.try_send() {
                Ok(sent) => self.pending.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(SLOW_READER_TIMEOUT, self.writable())
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
            // Also for Unix sockets: the runtime only waits for readiness and never asks what kind of socket it is.
            Socket::Unregistered(socket) => Socket::Registered(Arc::new(TcpStream::from_std(socket.into())?)),
            other => other,
        };
        match &self.socket {
            Socket::Registered(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
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
        chunked::write(&mut self.pending, |out| out.put(blocks));
        self.flush().await
    }

    async fn finish(&mut self, last: Bytes) {
        chunked::write(&mut self.pending, |out| out.put(last));
        self.pending.put_slice(chunked::END);
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
