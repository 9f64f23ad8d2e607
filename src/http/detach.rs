//! How a stream leaves hyper: the request was understood, and its answer goes over the bare socket.
//!
//! Shared by a connection, its service and its socket. The service leaves the stream here and answers nothing; the
//! connection finds it after hyper has had its turn. hyper has not begun to write an answer by then, but it may still hold
//! the end of the one before, which a socket that is full has not taken: only when it has, the connection changes hands.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::http::response::Parts;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::delivery::Stream;

/// The place where the stream waits for its socket.
#[derive(Default)]
pub(crate) struct Detach {
    stream: Mutex<Option<(Parts, Box<Stream>)>>,
    writing: AtomicBool,
}

/// A connection, and whether its socket may leave the runtime.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// False where bytes are not written as they are.
    const IS_PLAIN: bool;

    /// The bare socket.
    ///
    /// # Errors
    /// Where there is none.
    fn into_socket(self) -> io::Result<OwnedFd>;
}

impl Detach {
    /// Leaves a stream, and the head of its answer.
    pub(crate) fn leave(&self, head: Parts, stream: Box<Stream>) {
        *self.stream.lock() = Some((head, stream));
    }

    /// Notes whether the socket refuses what hyper wants to write.
    pub(crate) fn set_writing(&self, writing: bool) {
        self.writing.store(writing, Ordering::Relaxed);
    }

    /// Takes the stream, once nothing else is to be written before it.
    #[must_use]
    pub(crate) fn take(&self) -> Option<(Parts, Box<Stream>)> {
        if self.writing.load(Ordering::Relaxed) {
            return None;
        }
        self.stream.lock().take()
    }
}

impl Connection for TcpStream {
    const IS_PLAIN: bool = true;

    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.into_std()?.into())
    }
}

impl Connection for UnixStream {
    const IS_PLAIN: bool = true;

    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.into_std()?.into())
    }
}

impl Connection for tokio_rustls::server::TlsStream<TcpStream> {
    const IS_PLAIN: bool = false;

    fn into_socket(self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
