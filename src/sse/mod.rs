//! The wire formats of a stream: Server-Sent Events, newline-delimited JSON, and those of [`ntfy`](crate::ntfy).
//!
//! The hub encodes each alert once per ring, `delivery` encodes control events, and `alertctl tail` uses the [`parser`]. Every
//! event has data and ends with an empty line; no event contains a part of an alert.

mod parser;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;
// From core, which has no clock.
use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::alert::{Id, Record, RecordKind, escape_line_ends, frame, rfc3339};
use crate::ntfy::{Content, View};
pub use parser::{Event, LineTooLong, Parser};

/// ntfy's clients give up on a stream that is silent for longer: the app for Android after 77 seconds.
const NTFY_HEARTBEAT: Duration = Duration::from_secs(45);

/// The format of a stream. Streams of equal formats and filters share what is encoded for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
    /// ntfy's messages, under the names that this client knows.
    Ntfy(Arc<View>),
}

/// The formats without what belongs to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
    /// Any of ntfy's.
    Ntfy,
}

impl FormatKind {
    /// The name in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Ntfy => "ntfy",
        }
    }
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
    /// The format without what belongs to one client.
    #[must_use]
    pub const fn kind(&self) -> FormatKind {
        match self {
            Self::Sse => FormatKind::Sse,
            Self::Ndjson => FormatKind::Ndjson,
            Self::Ntfy(_) => FormatKind::Ntfy,
        }
    }

    /// The media type of the answer.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Ntfy(view) => view.content_type(),
        }
    }

    /// The silence after which a stream of this format gets a heartbeat, where this long is configured.
    #[must_use]
    pub fn heartbeat(&self, configured: Duration) -> Duration {
        match self {
            Self::Ntfy(_) => configured.min(NTFY_HEARTBEAT),
            _ => configured,
        }
    }

    /// Appends an alert or a transition, unless the client asked for others. Returns whether it did.
    pub fn alert(&self, out: &mut BytesMut, record: &Record) -> bool {
        if let Self::Ntfy(view) = self {
            return view.alert(out, record, &Content::of(record));
        }
        let json = frame::line(record);
        let event = event_of(record.kind);
        if *self == Self::Sse {
            out.reserve(json.len() + 64);
            // Writing to a BytesMut cannot fail.
            let _ = writeln!(out, "id: {}", record.id);
            if let Some(event) = event {
                let _ = writeln!(out, "event: {event}");
            }
            out.put_slice(b"data: ");
            out.put_slice(&json);
            out.put_slice(b"\n\n");
        } else {
            out.reserve(json.len() + 32);
            put_line(out, event, &json);
            out.put_u8(b'\n');
        }
        true
    }

    /// What a stream begins with. Of Server-Sent Events it is a `retry:` line, to be written before the first event: it has no
    /// empty line, so it becomes a part of that event.
    #[must_use]
    pub fn opening(&self, retry_ms: u64, now_ms: u64) -> Bytes {
        match self {
            Self::Sse => Bytes::from(format!("retry: {retry_ms}\n")),
            Self::Ndjson => Bytes::new(),
            Self::Ntfy(view) => view.open(now_ms).freeze(),
        }
    }

    /// Whether the [`opening`](Self::opening) is an event, which a client waits for.
    #[must_use]
    pub const fn opens_at_once(&self) -> bool {
        matches!(self, Self::Ntfy(_))
    }

    /// The event between replay and live: the stream has delivered or filtered out everything up to `head`.
    #[must_use]
    pub fn seam(&self, head: Id, now_ms: u64) -> Bytes {
        match self {
            Self::Ntfy(_) => Bytes::new(),
            _ => self.cursor(Some(head), now_ms),
        }
    }

    /// The event `cursor`, a heartbeat: the stream has delivered or filtered out everything up to `head`. Before the replay is
    /// complete there is no such id.
    #[must_use]
    pub fn cursor(&self, head: Option<Id>, now_ms: u64) -> Bytes {
        match self {
            Self::Ntfy(view) => view.keepalive(head, now_ms).freeze(),
            _ => match head {
                Some(id) => self.control("cursor", head, format_args!(r#""id":"{id}""#), None),
                None => self.control("cursor", head, format_args!(r#""id":null"#), None),
            },
        }
    }

    /// The event `gap`: requested alerts may be missing. `resume` is a cursor from which on nothing is missing.
    #[must_use]
    pub fn gap(&self, gap: &Gap, resume: Id, now_ms: u64) -> Bytes {
        if let Self::Ntfy(view) = self {
            return view.gap(resume, &gap.to_string(), now_ms).freeze();
        }
        let (oldest, requested) = (serde_json::json!(gap.oldest), serde_json::json!(gap.requested));
        let members = format_args!(r#""head":"{}","oldest":{oldest},"requested":{requested}"#, gap.head);
        self.control("gap", None, members, None)
    }

    /// The event `bye`, the last one of a stream that the server ends. `retry_ms` is the client's reconnect delay. Empty for
    /// clients of ntfy, which know no such event.
    #[must_use]
    pub fn bye(&self, reason: Bye, retry_ms: u64) -> Bytes {
        self.control("bye", None, format_args!(r#""reason":"{}""#, reason.as_str()), Some(retry_ms))
    }

    /// An event about the stream itself, with the `members` of a JSON object as its data.
    fn control(&self, event: &str, id: Option<Id>, members: fmt::Arguments<'_>, retry_ms: Option<u64>) -> Bytes {
        let mut text = String::with_capacity(128);
        // Writing to a string cannot fail.
        match self {
            Self::Sse => {
                let _ = writeln!(text, "event: {event}");
                if let Some(id) = id {
                    let _ = writeln!(text, "id: {id}");
                }
                if let Some(ms) = retry_ms {
                    let _ = writeln!(text, "retry: {ms}");
                }
                let _ = write!(text, "data: {{{members}}}\n\n");
            }
            Self::Ndjson => {
                let _ = write!(text, r#"{{"event":"{event}",{members}"#);
                if let Some(ms) = retry_ms {
                    let _ = write!(text, r#","retry":{ms}"#);
                }
                text.push_str("}\n");
            }
            Self::Ntfy(_) => {}
        }
        match escape_line_ends(text.as_bytes()) {
            Cow::Borrowed(_) => text.into(),
            Cow::Owned(escaped) => escaped.into(),
        }
    }
}

/// Appends a record as an object that says what it is.
pub(crate) fn put_object(out: &mut BytesMut, record: &Record) {
    put_line(out, event_of(record.kind), &frame::line(record));
}

fn put_line(out: &mut BytesMut, event: Option<&str>, json: &[u8]) {
    match (event, json.strip_prefix(b"{")) {
        (Some(event), Some(members)) => {
            // Writing to a BytesMut cannot fail.
            let _ = write!(out, r#"{{"event":"{event}","#);
            out.put_slice(members);
        }
        _ => out.put_slice(json),
    }
}

/// The event by which clients tell what is not an alert.
const fn event_of(kind: RecordKind) -> Option<&'static str> {
    match kind {
        RecordKind::Alert => None,
        RecordKind::Transition => Some("incident"),
        RecordKind::Retraction(_) => Some("retract"),
    }
}

impl fmt::Display for Gap {
    /// For people, who know times rather than ids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.requested.parse::<Id>().map_or_else(|_| format!("{:?}", self.requested), |id| rfc3339(id.ms));
        let until = rfc3339(self.oldest.unwrap_or(self.head).ms);
        write!(f, "Alerts may be missing: what came after {from} and before {until} is no longer kept.")
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
        assert_eq!(Format::Sse.cursor(Some(Id::at(7)), 0), "event: cursor\nid: 7-0\ndata: {\"id\":\"7-0\"}\n\n");
        assert_eq!(Format::Sse.cursor(None, 0), "event: cursor\ndata: {\"id\":null}\n\n");
        assert_eq!(Format::Sse.bye(Bye::Slow, 1500), "event: bye\nretry: 1500\ndata: {\"reason\":\"slow\"}\n\n");
        let gap = Gap { requested: "1-0".into(), oldest: None, head: Id::at(9) };
        assert_eq!(
            Format::Sse.gap(&gap, Id::ZERO, 0),
            "event: gap\ndata: {\"head\":\"9-0\",\"oldest\":null,\"requested\":\"1-0\"}\n\n"
        );
        assert_eq!(Format::Ndjson.cursor(Some(Id::at(7)), 0), "{\"event\":\"cursor\",\"id\":\"7-0\"}\n");
        assert_eq!(Format::Ndjson.bye(Bye::Slow, 1500), "{\"event\":\"bye\",\"reason\":\"slow\",\"retry\":1500}\n");
        let gap = Gap { requested: "\"\u{2028}".into(), oldest: Some(Id::at(8)), head: Id::at(9) };
        let line = Format::Ndjson.gap(&gap, Id::ZERO, 0);
        assert_eq!(line, "{\"event\":\"gap\",\"head\":\"9-0\",\"oldest\":\"8-0\",\"requested\":\"\\\"\\u2028\"}\n");
    }

    #[test]
    fn the_retry_line_is_part_of_the_first_event() {
        let mut out = BytesMut::from(&Format::Sse.opening(3000, 0)[..]);
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
