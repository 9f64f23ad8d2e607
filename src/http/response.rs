//! Answers: whole bodies and streams, the headers that all have, and the two transports that a stream's body may take.

use std::borrow::Cow;
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
use zeroize::Zeroizing;

use crate::alert::{Record, escape_line_ends, frame};
use crate::api::AllStored;
use crate::delivery::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, Stream, StreamEnd, StreamSink};
use crate::engine::{Stored, Tracking};
use crate::service::HistoryPage;
use crate::sse::{Bye, Format, put_object};

/// What a handler answers with.
pub(crate) enum Body {
    /// The whole body; `None` if it is empty.
    Whole(Option<Bytes>),
    /// A stream that has not begun.
    Stream(Box<Stream>),
    /// Everything that comes through the channel.
    Blocks(mpsc::Receiver<Bytes>),
}

impl Body {
    #[must_use]
    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }
}

/// Pages or chunks of about 64 KiB that hyper holds for the client of one stream.
const QUEUED_BLOCKS: usize = 2;

/// A body as hyper writes it.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The whole body; `None` once hyper has taken it.
    Whole(Option<Bytes>),
    /// Each message as it is; the body ends when the channel is closed.
    Blocks(mpsc::Receiver<Bytes>),
}

impl Outgoing {
    /// Begins a stream that goes out through hyper.
    #[must_use]
    pub(crate) fn begin(stream: Box<Stream>) -> Self {
        let (blocks, body) = mpsc::channel(QUEUED_BLOCKS);
        tokio::spawn(stream.run(HyperSink(blocks)));
        Self::Blocks(body)
    }
}

/// Sends a stream through hyper.
struct HyperSink(mpsc::Sender<Bytes>);

impl StreamSink for HyperSink {
    async fn start(&mut self) -> Result<(), StreamEnd> {
        // hyper writes the head as soon as it has the response.
        Ok(())
    }

    async fn send(&mut self, blocks: Bytes) -> Result<(), StreamEnd> {
        match timeout(SLOW_READER_TIMEOUT, self.0.send(blocks)).await {
            Ok(sent) => sent.map_err(|_| StreamEnd::Gone),
            Err(_) => Err(StreamEnd::Bye(Bye::Slow)),
        }
    }

    async fn finish(&mut self, last: Bytes) {
        if !last.is_empty() {
            let _ = timeout(BYE_TIMEOUT, self.0.send(last)).await;
        }
    }

    fn disconnected(&mut self) -> impl Future<Output = ()> + Send + 'static {
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
    head_bytes(head, "transfer-encoding: chunked\r\n", now_ms).freeze()
}

/// The head of an answer after which the connection speaks another protocol.
#[must_use]
pub(crate) fn upgrade_head(head: &hyper::http::response::Parts, now_ms: u64) -> Bytes {
    head_bytes(head, "", now_ms).freeze()
}

/// A whole answer as HTTP/1.1 writes it; the connection is closed after it.
#[must_use]
pub(crate) fn written(response: Response<Body>, now_ms: u64) -> Bytes {
    let (head, body) = response.into_parts();
    let Body::Whole(Some(body)) = body else { return Bytes::new() };
    let mut out = head_bytes(&head, &format!("content-length: {}\r\nconnection: close\r\n", body.len()), now_ms);
    out.put(body);
    out.freeze()
}

fn head_bytes(head: &hyper::http::response::Parts, framing: &str, now_ms: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    for part in ["HTTP/1.1 ", head.status.as_str(), " ", head.status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.put_slice(part.as_bytes());
    }
    for (name, value) in &head.headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(framing.as_bytes());
    out.put_slice(b"date: ");
    out.put_slice(http_date(now_ms).as_bytes());
    out.put_slice(b"\r\n\r\n");
    out
}

#[must_use]
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut bytes = encoded(body);
    // So that a shell's prompt begins on a line of its own.
    bytes.push(b'\n');
    whole(status, "application/json", bytes.into())
}

/// The answer to a publish. A record is already a line of JSON, so it is copied unchanged.
#[must_use]
pub(crate) fn published(stored: &Stored) -> Response<Body> {
    let begin: &[u8] = match stored.incident {
        Tracking::None | Tracking::Tracked => br#"{"status":"alert stored","alert":"#,
        Tracking::Untracked(_) => br#"{"status":"alert stored","incident":"untracked","alert":"#,
        Tracking::Counted => br#"{"status":"alert repeated","alert":"#,
    };
    let parts = [begin, &frame::line(&stored.record)[..], b"}\n"];
    whole(StatusCode::OK, "application/json", parts.concat().into())
}

/// The answer to several alerts at once.
#[must_use]
pub(crate) fn all_stored(stored: &[Stored]) -> Response<Body> {
    let repeated = stored.iter().filter(|stored| stored.is_repeat()).count();
    json(StatusCode::OK, &AllStored { status: "alerts stored".into(), stored: stored.len() - repeated, repeated })
}

/// One alert.
#[must_use]
pub(crate) fn record(record: &Record) -> Response<Body> {
    whole(StatusCode::OK, "application/json", [&frame::line(record)[..], b"\n"].concat().into())
}

/// A page of history, as [`History`](crate::api::History) is read.
#[must_use]
pub(crate) fn history(page: &HistoryPage) -> Response<Body> {
    let length = page.records.iter().map(|record| record.json.len() + 1).sum::<usize>();
    let mut text = BytesMut::with_capacity(length + 256);
    text.extend_from_slice(br#"{"alerts":["#);
    for (n, record) in page.records.iter().enumerate() {
        if n > 0 {
            text.put_u8(b',');
        }
        put_object(&mut text, record);
    }
    text.extend_from_slice(br#"],"next":"#);
    text.extend_from_slice(&encoded(&page.next));
    text.extend_from_slice(br#","gap":"#);
    text.extend_from_slice(&encoded(&page.gap));
    text.extend_from_slice(b"}\n");
    whole(StatusCode::OK, "application/json", text.freeze())
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    // Our own plain types always serialise.
    let json = serde_json::to_vec(value).unwrap_or_default();
    match escape_line_ends(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(escaped) => escaped,
    }
}

/// A JSON answer that contains a secret. Its buffer is wiped once hyper has copied it to the connection; hyper's write
/// buffer and the kernel's are out of reach.
#[must_use]
pub(crate) fn secret_json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // A buffer that grows leaves copies behind. The largest grant takes about 9 KiB.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
    // Fails only for maps whose keys are not strings, which these types lack.
    let _ = serde_json::to_writer(&mut *bytes, body);
    if let Cow::Owned(escaped) = escape_line_ends(&bytes) {
        bytes = Zeroizing::new(escaped);
    }
    bytes.push(b'\n');
    whole(status, "application/json", Bytes::from_owner(bytes))
}

/// A complete answer.
#[must_use]
pub(crate) fn whole(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(bytes)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer without a body.
#[must_use]
pub(crate) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The head of a stream; its headers tell proxies not to store, compress or buffer it.
#[must_use]
pub(crate) fn stream(format: &Format, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    // A proxy that compresses would hold frames back until its block is full.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[must_use]
pub(crate) fn backup(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(crate::backup::MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A time as HTTP writes it: `Mon, 23 Nov 2026 17:33:10 GMT`.
fn http_date(ms: u64) -> String {
    const PRINTER: jiff::fmt::rfc2822::DateTimePrinter = jiff::fmt::rfc2822::DateTimePrinter::new();
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // Fails only for years before 0.
    PRINTER.timestamp_to_rfc9110_string(&time.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Id};
    use crate::api;
    use crate::incident::Untracked;
    use crate::sse::Gap;

    fn text(response: Response<Body>) -> Bytes {
        let Body::Whole(Some(bytes)) = response.into_body() else { panic!("no body") };
        bytes
    }

    #[test]
    fn records_are_answered_as_clients_read_them() {
        let record = |n| {
            let draft = Draft::from_json(None, br#"{"message":"disk \"full\"","metadata":{"k":[1]}}"#).unwrap();
            draft.record(Id::at(n), n)
        };
        let line = |alert: &serde_json::value::RawValue| alert.get().as_bytes().to_vec();
        for (incident, status, word) in [
            (Tracking::None, "alert stored", None),
            (Tracking::Untracked(Untracked::MaxOpen(3)), "alert stored", Some("untracked")),
            (Tracking::Counted, "alert repeated", None),
        ] {
            let stored = Stored { record: record(5), repeated: false, incident };
            let answer: api::Published = serde_json::from_slice(&text(published(&stored))).unwrap();
            assert_eq!((answer.status.as_str(), line(&answer.alert)), (status, record(5).json.to_vec()));
            assert_eq!(answer.incident.as_deref(), word);
        }
        for number in [0, 1, 3] {
            let gap = (number > 1).then(|| Gap { requested: "1-0".into(), oldest: None, head: Id::at(7) });
            let next = (number > 0).then(|| Id::at(9));
            let page = HistoryPage { records: (0..number).map(record).collect(), next, gap: gap.clone() };
            let read: api::History = serde_json::from_slice(&text(history(&page))).unwrap();
            let lines: Vec<_> = read.alerts.iter().map(|alert| line(alert)).collect();
            assert_eq!(lines, (0..number).map(|n| record(n).json.to_vec()).collect::<Vec<_>>());
            assert_eq!((read.next, read.gap), (next, gap));
        }
    }

    #[test]
    fn dates_are_written_as_http_has_them() {
        assert_eq!(http_date(1_795_455_190_123), "Mon, 23 Nov 2026 17:33:10 GMT");
    }
}
