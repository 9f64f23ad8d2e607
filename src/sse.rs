//! The wire formats of a stream: Server-Sent Events and newline-delimited JSON.
//!
//! The hub encodes each alert once per ring, `delivery` encodes control events, and `alertctl tail` uses the parser. Every
//! event has data and ends with an empty line; no event contains a part of an alert.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use crate::alert::{Id, Record, escape_line_ends, frame};

/// The format of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
}

/// The reason why the server ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bye {
    /// The daemon restarts; the client should reconnect immediately.
    Restart,
    /// The daemon stops.
    Stop,
    /// The key was revoked or narrowed.
    Revoked,
    /// The key has expired.
    Expired,
    /// The client read too slowly.
    Slow,
    /// The stream reached the age configured as `http.stream_lifetime`.
    Lifetime,
    /// An operator drains the daemon, which goes on; another one takes the client.
    Drain,
}

impl Bye {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Slow => "slow",
            Self::Lifetime => "lifetime",
            Self::Drain => "drain",
        }
    }
}

/// Requested alerts may be missing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Gap {
    /// The cursor or time that the client requested.
    pub requested: String,
    /// No alert from this id on is missing, unless another gap says so; null if the log is empty.
    pub oldest: Option<Id>,
    /// The newest id ever given to an alert.
    pub head: Id,
}

impl Format {
    /// The name in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        }
    }

    /// The media type of the answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Appends an alert.
    pub fn alert(self, out: &mut BytesMut, record: &Record) {
        let json = frame::line(record);
        match self {
            Self::Sse => {
                out.reserve(json.len() + 64);
                // Writing to a BytesMut cannot fail.
                let _ = write!(out, "id: {}\ndata: ", record.id);
                out.put_slice(&json);
                out.put_slice(b"\n\n");
            }
            Self::Ndjson => {
                out.reserve(json.len() + 1);
                out.put_slice(&json);
                out.put_u8(b'\n');
            }
        }
    }

    /// The event `cursor`: the stream has delivered or filtered out everything up to `head`. Before the replay is complete
    /// there is no such id, and the event is only a heartbeat.
    #[must_use]
    pub fn cursor(self, head: Option<Id>) -> Bytes {
        let data = serde_json::json!({ "id": head });
        self.control("cursor", head, &data, None)
    }

    /// The event `gap`: requested alerts may be missing.
    #[must_use]
    pub fn gap(self, gap: &Gap) -> Bytes {
        let data = serde_json::json!({ "requested": gap.requested, "oldest": gap.oldest, "head": gap.head });
        self.control("gap", None, &data, None)
    }

    /// The event `bye`, the last one of a stream that the server ends. `retry_ms` is the client's reconnect delay.
    #[must_use]
    pub fn bye(self, reason: Bye, retry_ms: u64) -> Bytes {
        self.control("bye", None, &serde_json::json!({ "reason": reason }), Some(retry_ms))
    }

    /// The `retry:` line, to be written before the first event. It has no empty line, so it becomes a part of that event.
    #[must_use]
    pub fn retry(self, ms: u64) -> Bytes {
        match self {
            Self::Sse => Bytes::from(format!("retry: {ms}\n")),
            Self::Ndjson => Bytes::new(),
        }
    }

    fn control(self, event: &str, id: Option<Id>, data: &serde_json::Value, retry_ms: Option<u64>) -> Bytes {
        let mut text = String::with_capacity(128);
        match self {
            Self::Sse => {
                let _ = writeln!(text, "event: {event}");
                if let Some(id) = id {
                    let _ = writeln!(text, "id: {id}");
                }
                if let Some(ms) = retry_ms {
                    let _ = writeln!(text, "retry: {ms}");
                }
                let _ = write!(text, "data: {data}\n\n");
            }
            Self::Ndjson => {
                let mut line = serde_json::json!({ "event": event });
                if let (Some(line), Some(data)) = (line.as_object_mut(), data.as_object()) {
                    line.extend(data.clone());
                    line.extend(retry_ms.map(|ms| ("retry".to_owned(), ms.into())));
                }
                let _ = writeln!(text, "{line}");
            }
        }
        match escape_line_ends(text.as_bytes()) {
            Cow::Borrowed(_) => text.into(),
            Cow::Owned(escaped) => escaped.into(),
        }
    }
}

/// One event of a stream, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event:` line; empty for an alert.
    pub event: String,
    /// The `data:` lines, joined by line breaks.
    pub data: String,
    /// The `id:` line of this event, if it has one.
    pub id: Option<String>,
    /// The `retry:` line, if there is one.
    pub retry: Option<u64>,
}

/// Parses an event stream, in pieces of any size, by the rules of the WHATWG.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
}

/// A line is longer than [`Parser::MAX_LINE`], so the peer does not speak this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent a line of more than {} bytes, which cannot be an alert", Parser::MAX_LINE)]
pub struct LineTooLong;

impl Parser {
    /// The longest accepted line, in bytes. Alerts are far shorter; the limit keeps a hostile peer from filling the memory.
    pub const MAX_LINE: usize = 8 << 20;

    /// Parses the next piece and passes each complete event to `take`.
    ///
    /// # Errors
    /// [`LineTooLong`].
    pub fn feed(&mut self, piece: &[u8], mut take: impl FnMut(Event)) -> Result<(), LineTooLong> {
        for &byte in piece {
            let skip = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if skip => {}
                b'\n' | b'\r' => {
                    if let Some(event) = self.end_of_line() {
                        take(event);
                    }
                }
                _ if self.line.len() == Self::MAX_LINE => return Err(LineTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            event.data.pop(); // the line break after the last data line
            let empty = event.data.is_empty() && event.id.is_none() && event.retry.is_none();
            return (!empty).then_some(event);
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry = value.parse().ok().or(self.event.retry),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Level, Metadata, Topic};
    use proptest::prelude::*;

    fn record(message: &str) -> Record {
        let draft = Draft::new(Topic::fallback(), message.into(), Level::Info, Metadata::default()).unwrap();
        draft.record(Id { ms: 5, seq: 1 }, 5)
    }

    fn parsed(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.feed(piece, |event| events.push(event)).unwrap();
        }
        events
    }

    #[test]
    fn events_have_the_documented_form() {
        let mut out = BytesMut::new();
        Format::Sse.alert(&mut out, &record("x"));
        assert!(out.starts_with(b"id: 5-1\ndata: {\"id\":\"5-1\",") && out.ends_with(b"}\n\n"));
        assert_eq!(Format::Sse.cursor(Some(Id::at(7))), "event: cursor\nid: 7-0\ndata: {\"id\":\"7-0\"}\n\n");
        assert_eq!(Format::Sse.cursor(None), "event: cursor\ndata: {\"id\":null}\n\n");
        assert_eq!(Format::Sse.bye(Bye::Slow, 1500), "event: bye\nretry: 1500\ndata: {\"reason\":\"slow\"}\n\n");
        let gap = Gap { requested: "1-0".into(), oldest: None, head: Id::at(9) };
        assert_eq!(
            Format::Sse.gap(&gap),
            "event: gap\ndata: {\"head\":\"9-0\",\"oldest\":null,\"requested\":\"1-0\"}\n\n"
        );
        assert_eq!(Format::Ndjson.cursor(Some(Id::at(7))), "{\"event\":\"cursor\",\"id\":\"7-0\"}\n");
    }

    #[test]
    fn the_retry_line_is_part_of_the_first_event() {
        let mut out = BytesMut::from(&Format::Sse.retry(3000)[..]);
        Format::Sse.alert(&mut out, &record("x"));
        let events = parsed(&[&out]);
        assert_eq!((events.len(), events[0].retry, events[0].id.as_deref()), (1, Some(3000), Some("5-1")));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; Parser::MAX_LINE + 1], |_| ()), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn encoded_alerts_are_parsed_back_wherever_the_stream_is_cut(messages in prop::collection::vec("\\PC{1,40}", 1..5), cut: prop::sample::Index) {
            let mut out = BytesMut::new();
            let records: Vec<Record> = messages.iter().map(|m| record(m)).collect();
            for record in &records { Format::Sse.alert(&mut out, record); }
            let (a, b) = out.split_at(cut.index(out.len()));
            let events = parsed(&[a, b]);
            prop_assert_eq!(events.len(), records.len());
            for (event, record) in events.iter().zip(&records) {
                prop_assert_eq!(event.data.as_bytes(), &record.json[..]);
                prop_assert_eq!(event.id.clone(), Some(record.id.to_string()));
            }
        }
    }
}
