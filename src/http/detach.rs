//! Detaching: a stream leaves hyper, so that its response goes over the bare socket, or over TLS without hyper's buffers.
//!
//! One [`Detach`] is shared by a connection, its request handler and its socket wrapper. The handler puts a stream in and
//! never answers; the connection takes it out after hyper has been polled. hyper has not begun to write this response by
//! then, but may still hold the end of the previous one, if the socket was full. Only once that is written may the stream
//! be taken.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper::http::response::Parts;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::socket::Socket;
use super::tls_sink::TlsSink;
use crate::delivery::{ConnectionGuard, Delivery, SocketSink, Stream};

/// What a connection, its request handler and its socket wrapper tell each other.
#[derive(Default)]
pub(crate) struct Detach {
    stream: Mutex<Option<(Parts, Box<Stream>)>>,
    /// When the socket last accepted bytes. Set while a write of hyper waits.
    blocked_since: Mutex<Option<Instant>>,
    carries_stream: AtomicBool,
    has_unread_body: AtomicBool,
    is_answering: AtomicBool,
}

/// A connection, and how it carries a stream that has left hyper.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Carries the stream until it ends, after the `head` of its response.
    fn carry(self, stream: Box<Stream>, head: Bytes, guard: ConnectionGuard, delivery: &Delivery);
}

impl Detach {
    /// Leaves a stream and the head of its response for the connection.
    pub(crate) fn put(&self, head: Parts, stream: Box<Stream>) {
        *self.stream.lock() = Some((head, stream));
    }

    /// Notes since when the socket has accepted nothing of what hyper wants to write; `None` once it accepts bytes again.
    pub(crate) fn set_blocked_since(&self, since: Option<Instant>) {
        *self.blocked_since.lock() = since;
    }

    /// Since when the socket has accepted nothing of what hyper wants to write. `None` if no write waits.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        *self.blocked_since.lock()
    }

    /// Notes whether hyper writes a stream, whose client has gone once it closes its sending half.
    pub(crate) fn set_carries_stream(&self, carries_stream: bool) {
        self.carries_stream.store(carries_stream, Ordering::Relaxed);
    }

    pub(crate) fn carries_stream(&self) -> bool {
        self.carries_stream.load(Ordering::Relaxed)
    }

    /// Notes whether a request was answered before its body was read to the end.
    pub(crate) fn set_unread_body(&self, is_unread: bool) {
        self.has_unread_body.store(is_unread, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Ordering::Relaxed)
    }

    /// Notes whether the head of a request has arrived that is not answered yet.
    pub(crate) fn set_answering(&self, is_answering: bool) {
        self.is_answering.store(is_answering, Ordering::Relaxed);
    }

    /// Whether a request is not answered yet, or its answer is not fully written.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Relaxed) || self.blocked_since().is_some()
    }

    /// Takes the stream, unless hyper still has bytes of the previous response to write.
    #[must_use]
    pub(crate) fn take(&self) -> Option<(Parts, Box<Stream>)> {
        self.stream.lock().take_if(|_| self.blocked_since().is_none())
    }
}

impl Connection for Socket {
    /// If the runtime does not release the socket, the connection is closed.
    fn carry(self, stream: Box<Stream>, head: Bytes, guard: ConnectionGuard, delivery: &Delivery) {
        if let Ok(socket) = self.into_descriptor() {
            delivery.carry(stream, SocketSink::new(socket, head, guard));
        }
    }
}

impl Connection for TlsStream<Socket> {
    fn carry(self, stream: Box<Stream>, head: Bytes, guard: ConnectionGuard, _: &Delivery) {
        tokio::spawn(stream.run(TlsSink::new(self, head, guard)));
    }
}
