//! Answers: whole bodies and streams, the headers that all have, and the two transports that a stream's body may take.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::service::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, Stream, StreamEnd, StreamSink};
use crate::sse::{Bye, Format};

/// What a handler answers with.
pub(crate) enum Body {
    /// All of it; none where there are no bytes.
    Whole(Option<Bytes>),
    /// A stream that has not begun.
    Stream(Box<Stream>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }
}

/// Pieces that wait for the reader of one stream; each is a page or chunk of about 64 KiB.
const PIECES: usize = 2;

/// A body as hyper writes it.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// All of it; none once it was taken.
    Whole(Option<Bytes>),
    /// Each message is sent on as it is; the end of the channel is the end of the body.
    Blocks(mpsc::Receiver<Bytes>),
}

impl Outgoing {
    /// Begins a stream that goes out through hyper.
    #[must_use]
    pub(crate) fn begin(stream: Box<Stream>) -> Self {
        let (blocks, body) = mpsc::channel(PIECES);
        tokio::spawn(stream.run(HyperSink(blocks)));
        Self::Blocks(body)
    }
}

/// The way to a reader through hyper.
struct HyperSink(mpsc::Sender<Bytes>);

impl StreamSink for HyperSink {
    async fn begin(&mut self) -> Result<(), StreamEnd> {
        // hyper writes the head as soon as it has the answer.
        Ok(())
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        match timeout(SLOW_READER_TIMEOUT, self.0.send(blocks)).await {
            Ok(sent) => sent.map_err(|_| StreamEnd::Gone),
            Err(_) => Err(StreamEnd::Bye(Bye::Slow)),
        }
    }

    async fn finish(&mut self, last: Bytes) {
        let _ = timeout(BYE_TIMEOUT, self.0.send(last)).await;
    }

    fn gone(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let blocks = self.0.clone();
        async move { blocks.closed().await }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => bytes.take(),
            Self::Blocks(blocks) => ready!(blocks.poll_recv(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Blocks(_) => SizeHint::default(),
        }
    }
}

/// The head of an answer whose body is a stream, as HTTP/1.1 writes it; `date` is that of the answer.
#[must_use]
pub(crate) fn stream_head(head: &hyper::http::response::Parts, now_ms: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    out.put_slice(b"HTTP/1.1 200 OK\r\n");
    for (name, value) in &head.headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"transfer-encoding: chunked\r\ndate: ");
    out.put_slice(crate::alert::http_date(now_ms).as_bytes());
    out.put_slice(b"\r\n\r\n");
    out.freeze()
}

/// A JSON answer.
#[must_use]
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // The bodies are our own plain types, which always serialise.
    let mut bytes = serde_json::to_vec(body).unwrap_or_default();
    // A shell's prompt begins on a line of its own.
    bytes.push(b'\n');
    whole(status, "application/json", bytes.into())
}

/// An answer that is there as a whole.
#[must_use]
pub(crate) fn whole(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The head of a stream; nothing between here and the reader may store or gather it.
#[must_use]
pub(crate) fn stream(format: Format, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
