//! The messages and events of one subscription, encoded for its client.
//!
//! A view is a part of a stream's format: equal ones share a ring. Always: each message and event is whole, and none
//! contains a character that ends a line by any reader's rules.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use super::message::{Content, Line};
use super::{Names, Selection};
use crate::alert::{Id, Record, RecordKind, escape_line_ends};

/// How a client gets its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// A line of JSON each.
    Json,
    /// An event each.
    Sse,
    /// A line of text each, without anything else; an empty line for an event.
    Raw,
    /// A line of JSON each, for a sink that makes a WebSocket message of each line, and a Ping of an empty one.
    Ws,
}

/// What one client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    pub(crate) shape: Shape,
    pub(crate) names: Names,
    #[serde(default)]
    pub(crate) selection: Selection,
    /// After how many seconds an alert is removed; none without such a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retained_s: Option<u64>,
}

impl View {
    /// The media type of the answer.
    pub(crate) const fn content_type(&self) -> &'static str {
        match self.shape {
            Shape::Json | Shape::Ws => "application/x-ndjson; charset=utf-8",
            Shape::Sse => "text/event-stream; charset=utf-8",
            Shape::Raw => "text/plain; charset=utf-8",
        }
    }

    /// Appends an alert if the client asked for it. Returns whether it did.
    pub(crate) fn alert(&self, out: &mut BytesMut, record: &Record, content: &Content) -> bool {
        // Clients of ntfy know no incidents.
        let is_wanted = record.kind == RecordKind::Alert && self.selection.passes(record.id, content);
        let Some(name) = self.names.of(&record.topic).filter(|_| is_wanted) else { return false };
        match self.shape {
            Shape::Raw => {
                out.put_slice(one_line(&content.message).as_bytes());
                out.put_u8(b'\n');
            }
            _ => self.put(out, None, Some(record.id), &content.line(record, name, self.retained_s)),
        }
        true
    }

    /// The event that begins a stream.
    pub(crate) fn open(&self, now_ms: u64) -> BytesMut {
        self.event("open", None, now_ms)
    }

    /// The sign of life of a stream whose client has everything up to `head`.
    pub(crate) fn keepalive(&self, head: Option<Id>, now_ms: u64) -> BytesMut {
        if self.shape == Shape::Ws {
            return BytesMut::from(&b"\n"[..]);
        }
        self.event("keepalive", head, now_ms)
    }

    /// Says that alerts may be missing: a message, because clients pass over events that they do not know, or fail. Its
    /// id is a cursor after which nothing is missing.
    pub(crate) fn gap(&self, id: Id, text: &str, now_ms: u64) -> BytesMut {
        let names = self.names.list();
        // Apps know the single names only.
        let topic = names.split(',').next().unwrap_or_default();
        let mut out = BytesMut::new();
        match self.shape {
            Shape::Raw => out.put_slice(format!("{text}\n").as_bytes()),
            _ => self.put(&mut out, None, Some(id), &Line::own(id, now_ms / 1000, topic, text)),
        }
        out
    }

    fn event(&self, event: &'static str, head: Option<Id>, now_ms: u64) -> BytesMut {
        let (mut out, names) = (BytesMut::new(), self.names.list());
        match self.shape {
            Shape::Raw => out.put_u8(b'\n'),
            _ => {
                let line = Line::event(event, head.unwrap_or_default(), now_ms / 1000, &names);
                self.put(&mut out, Some(event), head, &line);
            }
        }
        out
    }

    fn put(&self, out: &mut BytesMut, event: Option<&str>, id: Option<Id>, line: &Line<'_>) {
        // Our own plain types always serialise.
        let json = serde_json::to_vec(line).unwrap_or_default();
        let json = escape_line_ends(&json);
        if self.shape != Shape::Sse {
            out.put_slice(&json);
            return out.put_u8(b'\n');
        }
        // ntfy sends no id here. With it an EventSource resumes on its own.
        let event = event.map(|event| format!("event: {event}\n")).unwrap_or_default();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        out.put_slice(format!("{event}{id}data: ").as_bytes());
        out.put_slice(&json);
        out.put_slice(b"\n\n");
    }
}

/// A text without line ends, by any reader's rules.
fn one_line(text: &str) -> Cow<'_, str> {
    let ends_line = |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    if text.contains(ends_line) { Cow::Owned(text.replace(ends_line, " ")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::alert::Draft;

    fn view(shape: Shape) -> View {
        let names = Names::parse("ops_db,web", false).unwrap();
        View { shape, names, selection: Selection::default(), retained_s: Some(60) }
    }

    fn record(body: &Value) -> Record {
        Draft::from_json(None, body.to_string().as_bytes()).unwrap().record(Id { ms: 5000, seq: 1 }, 5999)
    }

    fn sent(shape: Shape, record: &Record) -> String {
        let mut out = BytesMut::new();
        assert!(view(shape).alert(&mut out, record, &Content::of(record)));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_alert_has_the_documented_form_in_each_shape() {
        let metadata = json!({
            "title": "T", "priority": 5, "tags": ["fire", 7, "db"], "click": "https://a.test", "icon": 5,
            "attachment": {"name": "a", "url": "https://a.test/a", "size": 7}, "markdown": true, "host": "db1",
        });
        let record =
            record(&json!({"topic": "ops.db", "message": "a\nb\u{2028}c", "level": "error", "metadata": metadata}));
        let message = json!({
            "id": "5000-1", "time": 5, "expires": 65, "event": "message", "topic": "ops_db", "title": "T",
            "message": "a\nb\u{2028}c", "priority": 5, "tags": ["fire", "db"], "click": "https://a.test",
            "attachment": {"name": "a", "url": "https://a.test/a"}, "content_type": "text/markdown",
        });
        let line = sent(Shape::Json, &record);
        assert!(line.ends_with("}\n") && !line.contains('\u{2028}'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), message);
        assert_eq!(sent(Shape::Ws, &record), line);
        assert_eq!(sent(Shape::Sse, &record), format!("id: 5000-1\ndata: {line}\n"));
        assert_eq!(sent(Shape::Raw, &record), "a b c\n");
        let mut out = BytesMut::new();
        let other = self::record(&json!({"topic": "ops", "message": "x"}));
        assert!(!view(Shape::Json).alert(&mut out, &other, &Content::of(&other)) && out.is_empty());
    }

    #[test]
    fn the_priority_is_that_of_the_level_unless_the_publishers_means_the_same() {
        for (level, said, priority) in [
            ("info", json!(null), json!(null)),
            ("info", json!(1), json!(1)),
            ("info", json!(3), json!(3)),
            ("info", json!(5), json!(null)),
            ("warn", json!("high"), json!(4)),
            ("error", json!(1), json!(5)),
            ("error", json!(5), json!(5)),
        ] {
            let record =
                record(&json!({"topic": "web", "message": "x", "level": level, "metadata": {"priority": said}}));
            let message: Value = serde_json::from_str(&sent(Shape::Json, &record)).unwrap();
            assert_eq!(message["priority"], priority, "{level} {said}");
        }
    }

    #[test]
    fn events_have_the_documented_form() {
        let text = |bytes: BytesMut| String::from_utf8(bytes.to_vec()).unwrap();
        let open = r#"{"id":"0-0","time":7,"event":"open","topic":"ops_db,web"}"#;
        assert_eq!(text(view(Shape::Json).open(7000)), format!("{open}\n"));
        assert_eq!(text(view(Shape::Sse).open(7000)), format!("event: open\ndata: {open}\n\n"));
        assert_eq!(text(view(Shape::Raw).open(7000)), "\n");
        let keepalive = r#"{"id":"9-0","time":7,"event":"keepalive","topic":"ops_db,web"}"#;
        let sse = format!("event: keepalive\nid: 9-0\ndata: {keepalive}\n\n");
        assert_eq!(text(view(Shape::Sse).keepalive(Some(Id::at(9)), 7000)), sse);
        assert_eq!(text(view(Shape::Ws).keepalive(Some(Id::at(9)), 7000)), "\n");
        let gap = r#"{"id":"9-0","time":7,"event":"message","topic":"ops_db","title":"alertd","message":"gone"}"#;
        assert_eq!(text(view(Shape::Json).gap(Id::at(9), "gone", 7000)), format!("{gap}\n"));
        assert_eq!(text(view(Shape::Raw).gap(Id::at(9), "gone", 7000)), "gone\n");
    }
}
