//! A socket as the sink of a stream, in HTTP/1.1's chunked coding.
//!
//! Owned by the task that leads a stream to its ring. The socket is known to the runtime once it was full, or
//! where the task carries the stream for good.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::chunked;
use crate::service::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, StreamEnd, StreamSink};
use crate::sse::Bye;

pub(super) struct SocketSink {
    socket: Socket,
    /// Whole chunks, but for what the socket took of the first one. Bounded, since nothing is added before it is empty but
    /// the last words.
    pending: BytesMut,
}

/// Registering costs two system calls, which a socket with room does not need.
enum Socket {
    Bare(OwnedFd),
    Watched(Arc<TcpStream>),
    /// Only while it changes from one to the other.
    Gone,
}

impl SocketSink {
    /// Begins with the head of the answer.
    pub(super) fn new(socket: OwnedFd, head: Bytes) -> Self {
        Self { socket: Socket::Bare(socket), pending: BytesMut::from(head) }
    }

    /// Gives the socket on. Everything that was sent is in it.
    pub(super) fn into_socket(self) -> Option<OwnedFd> {
        match self.socket {
            Socket::Bare(socket) => Some(socket),
            Socket::Watched(socket) => Some(Arc::into_inner(socket)?.into_std().ok()?.into()),
            Socket::Gone => None,
        }
    }

    /// Writes all that is pending, and gives up where the socket takes nothing for [`SLOW_READER_TIMEOUT`]. Safe to cancel.
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
            Socket::Bare(socket) => write(socket.as_fd()),
            Socket::Watched(socket) => socket.try_io(Interest::WRITABLE, || write(socket.as_fd())),
            Socket::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn writable(&mut self) -> io::Result<()> {
        self.watch()?.writable().await
    }

    fn watch(&mut self) -> io::Result<&Arc<TcpStream>> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Gone) {
            // A Unix socket, too: the runtime waits for it, and never asks what it is.
            Socket::Bare(socket) => Socket::Watched(Arc::new(TcpStream::from_std(socket.into())?)),
            other => other,
        };
        match &self.socket {
            Socket::Watched(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Waits until the reader closed its end, or half of it.
async fn closed(socket: &TcpStream) -> io::Result<()> {
    while !socket.ready(Interest::READABLE).await?.is_read_closed() {
        // Nobody asks anything on an open stream: what comes all the same stays in the kernel, and is not looked at
        // again.
        let _ = socket.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
    Ok(())
}

impl StreamSink for SocketSink {
    async fn begin(&mut self) -> Result<(), StreamEnd> {
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

    fn gone(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let socket = self.watch().cloned();
        async move {
            match socket {
                // What cannot be waited for is as good as gone.
                Err(_) => {}
                Ok(socket) => drop(closed(&socket).await),
            }
        }
    }
}
