//! Validation of what producers send: every alert passes through [`Draft`], exactly once.
//!
//! An alert that bypassed it could put line breaks into the lines of a stream, and text of any size into every subscriber.

use std::borrow::Cow;
use std::io::Write as _;

use bytes::Bytes;

use super::{Every, Id, IncidentPlace, IncidentReport, Level, Metadata, Record, RecordKind, Topic, escape_line_ends};
use crate::text;

/// A valid alert that has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    topic: Topic,
    message: String,
    level: Level,
    metadata: Metadata,
    /// Makes or renews the expectation of further alerts on the topic. It is no part of the alert.
    expect_within: Option<Every>,
    incident: Option<IncidentReport>,
}

/// Why a body was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The body is not JSON or not UTF-8: the sender's encoder is broken.
    #[error("{0}")]
    Malformed(String),
    /// The body is readable, but a field is invalid.
    #[error("{field}: {reason}")]
    Field {
        /// The name the sender used.
        field: String,
        reason: String,
    },
}

impl DraftError {
    pub(super) fn field(field: &str, reason: impl ToString) -> Self {
        Self::Field { field: field.into(), reason: reason.to_string() }
    }
}

impl Draft {
    /// The longest message, in bytes of UTF-8.
    pub const MAX_MESSAGE: usize = 4096;

    /// Fails if the message is empty or too long.
    pub fn new(topic: Topic, message: String, level: Level, metadata: Metadata) -> Result<Self, DraftError> {
        match message.len() {
            0 => Err(DraftError::field("message", "must not be empty")),
            1..=Self::MAX_MESSAGE => Ok(Self { topic, message, level, metadata, expect_within: None, incident: None }),
            n => Err(DraftError::field("message", format_args!("has {n} bytes, {} are allowed", Self::MAX_MESSAGE))),
        }
    }

    /// The topic of the URL or the body, or the fallback. Fails if they name different ones.
    pub fn one_topic(url: Option<Topic>, body: Option<Topic>) -> Result<Topic, DraftError> {
        match (url, body) {
            (Some(url), Some(body)) if url != body => {
                Err(DraftError::field("topic", format_args!("the body says {body}, the URL {url}: name it once")))
            }
            (url, body) => Ok(url.or(body).unwrap_or_else(Topic::fallback)),
        }
    }

    /// Takes the whole body as the message: cut if it is too long, with U+FFFD for bytes that are not UTF-8.
    pub fn from_text(topic: Option<Topic>, body: &[u8], level: Level) -> Result<Self, DraftError> {
        let topic = topic.unwrap_or_else(Topic::fallback);
        Self::cut(topic, &text::decoded(body, None), level, Metadata::default())
    }

    #[must_use]
    pub(super) fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// The alert with what it expects to follow; without one it stays as it is.
    #[must_use]
    pub fn expecting(self, within: Option<Every>) -> Self {
        Self { expect_within: within.or(self.expect_within), ..self }
    }

    #[must_use]
    pub const fn expect_within(&self) -> Option<Every> {
        self.expect_within
    }

    /// The alert as a report of an incident; without one it stays as it is.
    #[must_use]
    pub fn reporting(self, incident: Option<IncidentReport>) -> Self {
        Self { incident: incident.or(self.incident), ..self }
    }

    #[must_use]
    pub const fn incident(&self) -> Option<&IncidentReport> {
        self.incident.as_ref()
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Bytes of message and metadata, for limits on batches.
    #[must_use]
    pub fn size(&self) -> usize {
        self.message.len() + self.metadata.as_str().len()
    }

    /// Everything that identifies the alert to its sender, as one unambiguous text. Idempotency keys store a hash of it, so
    /// its form must never change.
    #[must_use]
    pub fn canonical(&self) -> String {
        let metadata = self.metadata.canonical();
        let mut json = Vec::with_capacity(self.message.len() + metadata.len() + self.topic.as_str().len() + 32);
        // The quoting of a JSON array keeps the fields apart whatever they contain.
        let fields = (&self.topic, self.level, &self.message);
        serde_json::to_writer(&mut json, &fields).unwrap_or_default(); // strings into a Vec cannot fail
        json.extend_from_slice(metadata.as_bytes());
        if let Some(IncidentReport { name, status, ttl, .. }) = &self.incident {
            serde_json::to_writer(&mut json, &(name, status, ttl)).unwrap_or_default();
        }
        String::from_utf8(json).unwrap_or_default() // serde_json writes UTF-8 only
    }

    /// The JSON body that publishes this alert.
    #[must_use]
    pub fn publish_body(&self) -> String {
        let message = serde_json::Value::from(self.message.as_str());
        let Self { topic, level, metadata, .. } = self;
        let expected = self.expect_within.map_or_else(String::new, |every| format!(r#","expect_within":"{every}""#));
        let metadata = metadata.as_str();
        let incident =
            self.incident.as_ref().map_or_else(String::new, |IncidentReport { name, status, ttl, .. }| {
                let name = serde_json::Value::from(name.as_str());
                let ttl = ttl.map_or_else(String::new, |ttl| format!(r#","ttl":"{ttl}""#));
                format!(r#","incident":{name},"status":"{}"{ttl}"#, status.as_str())
            });
        format!(
            r#"{{"topic":"{topic}","message":{message},"level":"{level}","metadata":{metadata}{expected}{incident}}}"#
        )
    }

    /// The part of the alert's JSON between the id and the time of receipt, which Redis assigns on its own.
    #[must_use]
    pub fn json_between(&self, place: Option<IncidentPlace>) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.json_capacity());
        self.write_between(&mut json, place);
        json
    }

    /// The alert as it is stored and sent. The JSON is written once, in order, into one buffer.
    #[must_use]
    pub fn record(&self, id: Id, received_ms: u64) -> Record {
        self.placed_record(id, received_ms, None)
    }

    /// The same, with its place in its incident.
    #[must_use]
    pub fn placed_record(&self, id: Id, received_ms: u64, place: Option<IncidentPlace>) -> Record {
        self.record_of((received_ms, &super::rfc3339(received_ms)), id, place)
    }

    /// The same, with the time as text too, which the alerts of a batch share.
    #[must_use]
    pub(crate) fn record_of(&self, received: (u64, &str), id: Id, place: Option<IncidentPlace>) -> Record {
        let (received_ms, received_at) = received;
        let mut json = Vec::with_capacity(self.json_capacity());
        json.extend_from_slice(br#"{"id":""#);
        id.write_to(&mut json);
        self.write_between(&mut json, place);
        json.extend_from_slice(received_at.as_bytes());
        json.extend_from_slice(br#""}"#);
        Record {
            id,
            kind: RecordKind::Alert,
            topic: self.topic.clone(),
            level: self.level,
            received_ms,
            json: Bytes::from(json),
        }
    }

    fn write_between(&self, json: &mut Vec<u8>, place: Option<IncidentPlace>) {
        let start = json.len();
        put(json, [r#"","topic":""#, self.topic.as_str(), r#"","message":"#]);
        put_string(json, &self.message);
        put(json, [r#","level":""#, self.level.as_str(), r#"","metadata":"#, self.metadata.as_str()]);
        if let Some(IncidentReport { name, status, .. }) = &self.incident {
            put(json, [r#","incident":"#]);
            put_string(json, name.as_str());
            put(json, [r#","status":""#, status.as_str(), "\""]);
        }
        if let Some(IncidentPlace { occurrence, count }) = place {
            let _ = write!(json, r#","occurrence":{occurrence},"count":{count}"#); // writing to a Vec cannot fail
        }
        put(json, [r#","received_at":""#]);
        if let Cow::Owned(escaped) = escape_line_ends(&json[start..]) {
            json.truncate(start);
            json.extend_from_slice(&escaped);
        }
    }

    /// Enough for the whole alert unless its message has many characters to escape.
    fn json_capacity(&self) -> usize {
        // Names, punctuation, the longest id, the longest level and the time take 143 bytes.
        const REST: usize = 144;
        // `"incident":"","status":"resolved","occurrence":,"count":` and two numbers.
        const INCIDENT: usize = 104;
        let incident = self.incident.as_ref().map_or(0, |incident| incident.name.as_str().len() + INCIDENT);
        self.size() + self.topic.as_str().len() + REST + incident
    }
}

fn put<const N: usize>(json: &mut Vec<u8>, parts: [&str; N]) {
    parts.iter().for_each(|part| json.extend_from_slice(part.as_bytes()));
}

/// Appends a JSON string. Most texts have nothing to escape and are copied as they are.
fn put_string(json: &mut Vec<u8>, text: &str) {
    // No early exit, so that the loop is compiled to vector instructions.
    let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        serde_json::to_writer(json, text).unwrap_or_default(); // a string into a Vec cannot fail
    } else {
        put(json, ["\"", text, "\""]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_becomes_one_line_of_json() {
        let body = br#" {"message":"a\nb \u00e4","level":"warn","metadata": { "k": [1, 2] }, "topic":"ops.db"} "#;
        let record = Draft::from_json(None, body).unwrap().record(Id::at(1_795_455_190_123), 1_795_455_190_123);
        assert_eq!(
            std::str::from_utf8(&record.json).unwrap(),
            r#"{"id":"1795455190123-0","topic":"ops.db","message":"a\nb ä","level":"warn","metadata":{"k":[1,2]},"received_at":"2026-11-23T17:33:10.123Z"}"#
        );
    }

    #[test]
    fn a_publish_body_is_read_as_the_same_alert() {
        let body = r#"{"topic":"ops.db","message":"a\"b\n\u2028","level":"warn","metadata":{"b":1.50,"a":[null]}}"#;
        let draft = Draft::from_json(None, body.as_bytes()).unwrap();
        assert_eq!(Draft::from_json(None, draft.publish_body().as_bytes()), Ok(draft));
        let body = r#"{"message":"m","incident":"disk \"a\" \u00e4","status":"resolved","ttl":"10m"}"#;
        let draft = Draft::from_json(None, body.as_bytes()).unwrap();
        assert_eq!(Draft::from_json(None, draft.publish_body().as_bytes()), Ok(draft));
    }

    #[test]
    fn the_json_of_a_report_names_its_incident_and_its_place() {
        let body = br#"{"message":"m","incident":"disk","ttl":"10m"}"#;
        let draft = Draft::from_json(None, body).unwrap();
        let json = |place| String::from_utf8(draft.placed_record(Id::at(1), 0, place).json.to_vec()).unwrap();
        let place = IncidentPlace { occurrence: 2, count: 7 };
        assert!(json(None).contains(r#""metadata":{},"incident":"disk","status":"open","received_at""#));
        assert!(json(Some(place)).contains(r#""status":"open","occurrence":2,"count":7,"received_at""#));
        assert_eq!(draft.canonical(), r#"["default","info","m"]{}["disk","open","10m"]"#);
    }

    #[test]
    fn one_buffer_holds_the_longest_alert_without_growing() {
        let metadata = Metadata::new(serde_json::from_str(r#"{"k":"v"}"#).unwrap()).unwrap();
        let (topic, message) = ("t".repeat(Topic::MAX).parse().unwrap(), "m".repeat(Draft::MAX_MESSAGE));
        let draft = Draft::new(topic, message, Level::Error, metadata).unwrap();
        assert!(draft.record(Id::MAX, 0).json.len() <= draft.json_capacity());
    }

    #[test]
    fn the_canonical_form_that_stored_hashes_rely_on_does_not_change() {
        let body = br#"{"topic":"ops.db","level":"warn","message":"a\"b\n","metadata":{"b":1,"a":[2.50,"x"]}}"#;
        let draft = Draft::from_json(None, body).unwrap();
        assert_eq!(draft.canonical(), r#"["ops.db","warn","a\"b\n"]{"a":[2.5,"x"],"b":1}"#);
    }

    #[test]
    fn a_text_of_any_length_and_encoding_is_taken() {
        let text = |body: &[u8]| Draft::from_text(None, body, Level::Info).unwrap().message;
        assert_eq!(text("ä".repeat(2048).as_bytes()).len(), 4096);
        let cut = text("ä".repeat(2049).as_bytes());
        assert!(cut.len() <= 4096 && cut.ends_with("ä…"), "{}", cut.len());
        assert_eq!(text(b"Ger\xe4t sda"), "Ger\u{fffd}t sda");
        assert_eq!(text(b"\xef\xbb\xbfx"), "x");
        assert!(
            Draft::from_text(None, b"", Level::Info).is_err()
                && Draft::from_text(None, b"\xef\xbb\xbf", Level::Info).is_err()
        );
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_one_line_that_reads_back_equal(message in "\\PC{1,200}|[\\x00-\\x7f]{1,200}") {
            let draft = Draft::from_text(None, message.as_bytes(), Level::Error).unwrap();
            let record = draft.record(Id::at(1), 0);
            let between = String::from_utf8(draft.json_between(None)).unwrap();
            let whole = format!(r#"{{"id":"1-0{between}1970-01-01T00:00:00.000Z"}}"#);
            prop_assert_eq!(&record.json, whole.as_bytes());
            prop_assert!(!record.json.iter().any(|&b| b == b'\n' || b == b'\r'));
            let back: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
            prop_assert_eq!(back["message"].as_str(), Some(message.as_str()));
        }
    }
}
