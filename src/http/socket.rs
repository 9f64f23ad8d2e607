//! The socket of a connection, which the runtime watches only once the connection has to wait.
//!
//! To watch a socket costs two system calls, a timer and a turn of the runtime. The request of a new connection has often
//! arrived with it, and a stream goes to a broadcast loop as soon as it is answered, so such a connection never waits here.
//! Always: only the first read is tried before the runtime watches the socket, because a client that sends without a pause
//! would otherwise take more than its turn. Each write is tried first, because hyper forgets the end of an answer that has to
//! wait when it closes the connection, and the runtime lets the first write wait that comes right after it began to watch.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, writev};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The first read takes at most so much, as hyper's does.
const FIRST_READ: usize = 8 << 10;

/// A connected stream socket, TCP or Unix.
pub(crate) struct Socket(State);

enum State {
    Unwatched {
        socket: OwnedFd,
        was_read: bool,
    },
    /// Works for Unix sockets too: the runtime only waits for readiness, whatever the kind of socket.
    Watched(TcpStream),
    /// The runtime could not watch it, and it is closed.
    Closed,
}

impl Socket {
    /// A socket that does not block.
    pub(crate) const fn new(socket: OwnedFd) -> Self {
        Self(State::Unwatched { socket, was_read: false })
    }

    /// The descriptor, which the runtime no longer watches.
    ///
    /// # Errors
    /// It is closed.
    pub(crate) fn into_descriptor(self) -> io::Result<OwnedFd> {
        match self.0 {
            State::Unwatched { socket, .. } => Ok(socket),
            State::Watched(socket) => Ok(socket.into_std()?.into()),
            State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The user of the process that connected, whatever it passes the connection on to; none over TCP.
    pub(super) fn peer_uid(&self) -> Option<u32> {
        Some(socket_peercred(self.descriptor().ok()?).ok()?.uid.as_raw())
    }

    /// Whether the peer of a Unix socket has closed it, rather than only its sending half.
    pub(super) fn has_gone(&self) -> bool {
        let Ok(socket) = self.descriptor() else { return true };
        let mut polled = [PollFd::new(&socket, PollFlags::empty())];
        poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().contains(PollFlags::HUP)
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.0 {
            State::Unwatched { socket, .. } => Ok(socket.as_fd()),
            State::Watched(socket) => Ok(socket.as_fd()),
            State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.0 = match std::mem::replace(&mut self.0, State::Closed) {
            State::Unwatched { socket, .. } => State::Watched(TcpStream::from_std(socket.into())?),
            other => other,
        };
        match &mut self.0 {
            State::Watched(socket) => Ok(Pin::new(socket)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let State::Unwatched { socket, was_read: was_read @ false } = &mut self.0 {
            *was_read = true;
            let mut bytes = [const { MaybeUninit::uninit() }; FIRST_READ];
            let room = buf.remaining().min(FIRST_READ);
            match recv(socket, &mut bytes[..room], RecvFlags::DONTWAIT) {
                Ok(((read, _), _)) => {
                    buf.put_slice(read);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.watched()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match send(self.descriptor()?, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => self.watched()?.poll_write(cx, bytes),
            sent => Poll::Ready(Ok(sent?)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match writev(self.descriptor()?, parts) {
            Err(Errno::AGAIN | Errno::INTR) => self.watched()?.poll_write_vectored(cx, parts),
            sent => Poll::Ready(Ok(sent?)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(self.descriptor()?, Shutdown::Write) {
            // The peer has closed the connection.
            Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            result => Poll::Ready(Ok(result?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::new(ours.into()), theirs)
    }

    #[tokio::test]
    async fn a_socket_that_never_waits_is_not_watched() {
        let (mut socket, mut theirs) = pair();
        io::Write::write_all(&mut theirs, b"ask").unwrap();
        let mut read = [0; 8];
        assert_eq!(socket.read(&mut read).await.unwrap(), 3);
        socket.write_all(b"answer").await.unwrap();
        assert!(matches!(socket.0, State::Unwatched { .. }));
        assert!(socket.into_descriptor().is_ok());
    }

    #[tokio::test]
    async fn a_socket_is_watched_from_its_second_read_on_or_once_it_is_full() {
        let (mut socket, mut theirs) = pair();
        io::Write::write_all(&mut theirs, b"ab").unwrap();
        let mut read = [0; 1];
        socket.read_exact(&mut read).await.unwrap();
        socket.read_exact(&mut read).await.unwrap();
        assert!(read == *b"b" && matches!(socket.0, State::Watched(_)));
        // Nothing but the client makes a write wait.
        let mut context = Context::from_waker(std::task::Waker::noop());
        for socket in [&mut socket, &mut pair().0] {
            let _ = socket.watched().unwrap();
            assert!(matches!(Pin::new(&mut *socket).poll_write(&mut context, b"answer"), Poll::Ready(Ok(6))));
            let parts = [io::IoSlice::new(b"an"), io::IoSlice::new(b"swer")];
            assert!(matches!(Pin::new(socket).poll_write_vectored(&mut context, &parts), Poll::Ready(Ok(6))));
        }

        let (mut socket, mut theirs) = pair();
        let sent = vec![7; 4 << 20];
        let length = sent.len();
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            io::Read::read_to_end(&mut theirs, &mut read).unwrap();
            read.len()
        });
        socket.write_all(&sent).await.unwrap();
        assert!(matches!(socket.0, State::Watched(_)));
        socket.shutdown().await.unwrap();
        assert_eq!(reading.join().unwrap(), length);
    }
}
