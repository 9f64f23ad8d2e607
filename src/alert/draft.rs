//! Validation of what producers send: every alert passes through [`Draft`], exactly once.
//!
//! An alert that bypassed it could put line breaks into the lines of a stream, and text of any size into every subscriber.

use std::io::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Id, Level, Metadata, Record, Topic, fault};

/// A valid alert that has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    topic: Topic,
    message: String,
    level: Level,
    metadata: Metadata,
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
    fn field(field: &str, reason: impl ToString) -> Self {
        Self::Field { field: field.into(), reason: reason.to_string() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

impl Draft {
    /// The longest message, in bytes of UTF-8.
    pub const MAX_MESSAGE: usize = 4096;

    /// Fails if the message is empty or too long.
    pub fn new(topic: Topic, message: String, level: Level, metadata: Metadata) -> Result<Self, DraftError> {
        match message.len() {
            0 => Err(DraftError::field("message", "must not be empty")),
            1..=Self::MAX_MESSAGE => Ok(Self { topic, message, level, metadata }),
            n => Err(DraftError::field("message", format_args!("has {n} bytes, {} are allowed", Self::MAX_MESSAGE))),
        }
    }

    /// Reads a JSON body. `topic` is the one in the URL; it applies if the body has none.
    pub fn from_json(topic: Option<Topic>, body: &[u8]) -> Result<Self, DraftError> {
        let text = utf8(body)?;
        let body = Body::parse(text)?;
        let in_body = body.topic.map(|raw| value::<Topic>("topic", raw)).transpose()?;
        let topic = match (topic, in_body) {
            (Some(url), Some(in_body)) if url != in_body => {
                return Err(DraftError::field(
                    "topic",
                    format_args!("the body says {in_body}, the URL {url}: name it once"),
                ));
            }
            (url, in_body) => url.or(in_body).unwrap_or_else(Topic::fallback),
        };
        let message = body.message.ok_or_else(|| DraftError::field("message", "is missing"))?;
        let level = body.level.map(|raw| value::<Level>("level", raw)).transpose()?;
        let metadata = body.metadata.map(|raw| Metadata::new(raw).map_err(|e| DraftError::field("metadata", e)));
        Self::new(
            topic,
            text_value("message", message)?,
            level.unwrap_or_default(),
            metadata.transpose()?.unwrap_or_default(),
        )
    }

    /// Takes the whole body as the message.
    pub fn from_text(topic: Option<Topic>, body: &[u8], level: Level) -> Result<Self, DraftError> {
        Self::new(topic.unwrap_or_else(Topic::fallback), utf8(body)?.to_owned(), level, Metadata::default())
    }

    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
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
        String::from_utf8(json).unwrap_or_default() // serde_json writes UTF-8 only
    }

    /// The part of the alert's JSON between the id and the time of receipt, which Redis assigns on its own.
    #[must_use]
    pub fn json_between(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.json_capacity());
        self.write_between(&mut json);
        json
    }

    /// The alert as it is stored and sent. The JSON is written once, in order, into one buffer.
    #[must_use]
    pub fn record(&self, id: Id, received_ms: u64) -> Record {
        let mut json = Vec::with_capacity(self.json_capacity());
        let _ = write!(json, r#"{{"id":"{id}"#); // writing to a Vec cannot fail
        self.write_between(&mut json);
        json.extend_from_slice(super::rfc3339(received_ms).as_bytes());
        json.extend_from_slice(br#""}"#);
        Record { id, topic: self.topic.clone(), level: self.level, received_ms, json: Bytes::from(json) }
    }

    fn write_between(&self, json: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(json, r#"","topic":"{}","message":"#, self.topic);
        serde_json::to_writer(&mut *json, &self.message).unwrap_or_default();
        let _ = write!(json, r#","level":"{}","metadata":{},"received_at":""#, self.level, self.metadata.as_str());
    }

    /// Enough for the whole alert unless its message has many characters to escape.
    fn json_capacity(&self) -> usize {
        // Names, punctuation, the longest id, the longest level and the time take 143 bytes.
        const REST: usize = 144;
        self.size() + self.topic.as_str().len() + REST
    }
}

impl<'a> Body<'a> {
    fn parse(text: &'a str) -> Result<Self, DraftError> {
        // serde would also accept a JSON array and take the fields by their order.
        let body = if text.trim_start().starts_with('{') { Some(serde_json::from_str(text)) } else { None };
        let error = match body {
            Some(Ok(body)) => return Ok(body),
            other => other.and_then(Result::err),
        };
        // The sender of a body that is not JSON at all is told that, whatever else is wrong with it.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| body_error(&e))?;
        Err(error.map_or_else(
            || DraftError::field("body", "must be a JSON object with message, level, metadata and topic"),
            |e| body_error(&e),
        ))
    }
}

fn utf8(body: &[u8]) -> Result<&str, DraftError> {
    std::str::from_utf8(body)
        .map_err(|e| DraftError::Malformed(format!("the body is not UTF-8: bad byte at offset {}", e.valid_up_to())))
}

fn body_error(error: &serde_json::Error) -> DraftError {
    if !error.is_data() {
        return DraftError::Malformed(format!("the body is not JSON: {error}"));
    }
    let (field, reason) = fault(error);
    DraftError::Field { field: field.unwrap_or_else(|| "body".into()), reason }
}

fn text_value(field: &str, raw: &RawValue) -> Result<String, DraftError> {
    if !raw.get().starts_with('"') {
        return Err(DraftError::field(field, "must be a string"));
    }
    serde_json::from_str(raw.get()).map_err(|e| DraftError::field(field, fault(&e).1))
}

fn value<T: std::str::FromStr<Err: ToString>>(field: &str, raw: &RawValue) -> Result<T, DraftError> {
    text_value(field, raw)?.parse().map_err(|e: T::Err| DraftError::field(field, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(body: &str) -> String {
        Draft::from_json(None, body.as_bytes()).unwrap_err().to_string()
    }

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
    fn absent_fields_get_the_documented_defaults() {
        let draft = Draft::from_json(None, br#"{"message":"x"}"#).unwrap();
        assert_eq!((draft.topic().as_str(), draft.level(), draft.metadata.as_str()), ("default", Level::Info, "{}"));
    }

    #[test]
    fn every_refusal_names_the_field() {
        for (body, words) in [
            (r"{}", "message: is missing"),
            (r#"{"message":""}"#, "message: must not be empty"),
            (r#"{"message":5}"#, "message: must be a string"),
            (r#"{"message":null}"#, "message: is missing"),
            (r#"{"message":"x","level":"fatal"}"#, "level: must be info, warn or error"),
            (r#"{"message":"x","level":3}"#, "level: must be a string"),
            (r#"{"message":"x","metadata":[]}"#, "metadata: must be a JSON object"),
            (r#"{"message":"x","topic":"a b"}"#, "topic: a topic's labels consist of"),
            (r#"{"mesage":"x"}"#, "mesage: is no field here, expected one of topic, message, level, metadata"),
            (r#"{"message":"x","id":"1-0"}"#, "id: is no field here"),
            (r#"{"message":"x","message":"y"}"#, "message: is given twice"),
            (r#"["message"]"#, "body: must be a JSON object"),
            (r#""text""#, "body: must be a JSON object"),
            (r#"{"message":"\udead"}"#, "message: "),
        ] {
            let said = refused(body);
            assert!(said.starts_with(words) && !said.contains('`') && !said.contains(" at line "), "{body}: {said}");
        }
        for body in ["", "{", r#"{"message":"x"} tail"#, r#"{"message":"x",}"#, "{'message':'x'}"] {
            let said = refused(body);
            assert!(
                said.starts_with("the body is not JSON: ") && said.contains(" at line 1 column "),
                "{body}: {said}"
            );
        }
        assert!(matches!(Draft::from_json(None, b"{\"message\":\"\xff\"}"), Err(DraftError::Malformed(_))));
    }

    #[test]
    fn url_and_body_must_not_name_two_topics() {
        let topic = |t: &str| Some(t.parse::<Topic>().unwrap());
        assert!(Draft::from_json(topic("a"), br#"{"message":"x","topic":"b"}"#).is_err());
        assert_eq!(Draft::from_json(topic("a"), br#"{"message":"x","topic":"a"}"#).unwrap().topic().as_str(), "a");
        assert_eq!(Draft::from_json(topic("a"), br#"{"message":"x"}"#).unwrap().topic().as_str(), "a");
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
    fn the_length_of_a_message_is_counted_in_bytes() {
        assert!(Draft::from_text(None, "ä".repeat(2048).as_bytes(), Level::Info).is_ok());
        assert!(Draft::from_text(None, "ä".repeat(2049).as_bytes(), Level::Info).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_one_line_that_reads_back_equal(message in "\\PC{1,200}|[\\x00-\\x7f]{1,200}") {
            let draft = Draft::from_text(None, message.as_bytes(), Level::Error).unwrap();
            let record = draft.record(Id::at(1), 0);
            let between = String::from_utf8(draft.json_between()).unwrap();
            let whole = format!(r#"{{"id":"1-0{between}1970-01-01T00:00:00.000Z"}}"#);
            prop_assert_eq!(&record.json, whole.as_bytes());
            prop_assert!(!record.json.iter().any(|&b| b == b'\n' || b == b'\r'));
            let back: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
            prop_assert_eq!(back["message"].as_str(), Some(message.as_str()));
        }
    }
}
