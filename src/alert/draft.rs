//! The one door for alerts: whatever comes in is validated here, once, and nowhere else.
//!
//! A way around it would let line breaks into the stream's lines and texts of any size into every subscriber.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Id, Level, Metadata, Record, Topic};

/// A valid alert that has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    topic: Topic,
    message: String,
    level: Level,
    metadata: Metadata,
}

/// Why a body is no alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The body is no JSON, or not UTF-8: the sender's encoder is broken.
    #[error("{0}")]
    Malformed(String),
    /// The body is readable, but a field is not as it must be.
    #[error("{field}: {reason}")]
    Field {
        /// The field as the sender knows it.
        field: String,
        /// What it must be.
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

    /// An alert from its parts.
    ///
    /// # Errors
    /// [`DraftError::Field`] where the message is empty or too long.
    pub fn new(topic: Topic, message: String, level: Level, metadata: Metadata) -> Result<Self, DraftError> {
        match message.len() {
            0 => Err(DraftError::field("message", "must not be empty")),
            1..=Self::MAX_MESSAGE => Ok(Self { topic, message, level, metadata }),
            n => Err(DraftError::field("message", format_args!("has {n} bytes, {} are allowed", Self::MAX_MESSAGE))),
        }
    }

    /// An alert from a JSON body; `topic` is the one in the URL, which wins where the body names none.
    ///
    /// # Errors
    /// [`DraftError::Malformed`] where the body is no JSON, else [`DraftError::Field`].
    pub fn from_json(topic: Option<Topic>, body: &[u8]) -> Result<Self, DraftError> {
        let text = utf8(body)?;
        let whole: &RawValue = serde_json::from_str(text).map_err(|e| body_error(&e))?;
        // Without this a JSON array would do: serde takes a struct's fields from one by their order.
        if !whole.get().starts_with('{') {
            return Err(DraftError::field("body", "must be a JSON object with message, level, metadata and topic"));
        }
        let body: Body<'_> = serde_json::from_str(text).map_err(|e| body_error(&e))?;
        let named = body.topic.map(|raw| value::<Topic>("topic", raw)).transpose()?;
        let topic = match (topic, named) {
            (Some(url), Some(named)) if url != named => {
                return Err(DraftError::field(
                    "topic",
                    format_args!("the body says {named}, the URL {url}: name it once"),
                ));
            }
            (url, named) => url.or(named).unwrap_or_else(Topic::fallback),
        };
        let message = body.message.ok_or_else(|| DraftError::field("message", "is missing"))?;
        let level = body.level.map(|raw| text_value("level", raw)?.parse().map_err(|e| DraftError::field("level", e)));
        let metadata = body.metadata.map(|raw| Metadata::new(raw).map_err(|e| DraftError::field("metadata", e)));
        Self::new(
            topic,
            text_value("message", message)?,
            level.transpose()?.unwrap_or_default(),
            metadata.transpose()?.unwrap_or_default(),
        )
    }

    /// An alert whose message is the whole body.
    ///
    /// # Errors
    /// [`DraftError::Malformed`] where the body is not UTF-8, [`DraftError::Field`] where it is empty or too long.
    pub fn from_text(topic: Option<Topic>, body: &[u8], level: Level) -> Result<Self, DraftError> {
        Self::new(topic.unwrap_or_else(Topic::fallback), utf8(body)?.to_owned(), level, Metadata::default())
    }

    /// The same alert with this metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// Where the alert goes.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// How serious it is.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Bytes of message and metadata, for bounding what is gathered.
    #[must_use]
    pub fn size(&self) -> usize {
        self.message.len() + self.metadata.as_str().len()
    }

    /// All that makes two alerts the same to their sender, as one text without ambiguity.
    #[must_use]
    pub fn canonical(&self) -> String {
        // A JSON array: its quoting keeps the fields apart whatever they hold.
        let head = serde_json::json!([self.topic, self.level, self.message]);
        format!("{head}{}", self.metadata.canonical())
    }

    /// The alert's JSON between its id and the time at which it came in, both of which the engine gives it.
    #[must_use]
    pub fn json_between(&self) -> Vec<u8> {
        let (message, metadata) = (&self.message, self.metadata.as_str());
        let mut json = Vec::with_capacity(message.len() + metadata.len() + self.topic.as_str().len() + 160);
        json.extend_from_slice(format!(r#"","topic":"{}","message":"#, self.topic).as_bytes());
        serde_json::to_writer(&mut json, message).unwrap_or_default(); // a string into a Vec cannot fail
        json.extend_from_slice(
            format!(r#","level":"{}","metadata":{metadata},"received_at":""#, self.level).as_bytes(),
        );
        json
    }

    /// The alert as it is stored and sent, once the engine knows its id.
    #[must_use]
    pub fn record(&self, id: Id, received_ms: u64) -> Record {
        let (between, time) = (self.json_between(), super::rfc3339(received_ms));
        let json = [format!(r#"{{"id":"{id}"#).as_bytes(), &between, time.as_bytes(), br#""}"#].concat();
        Record { id, topic: self.topic.clone(), level: self.level, received_ms, json: Bytes::from(json) }
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

/// What is wrong with a field of readable JSON, in words for people: the field, where serde names one, and the reason.
/// Without line and column, which count from the beginning of the value and not of what was sent.
#[must_use]
pub fn fault(error: &serde_json::Error) -> (Option<String>, String) {
    let text = error.to_string();
    let words = text.rsplit_once(" at line ").map_or(&*text, |(words, _)| words);
    // unknown field `mesage`, expected one of `topic`, `message`
    for (kind, reason) in [
        ("missing field `", "is missing"),
        ("duplicate field `", "is given twice"),
        ("unknown field `", "is no field here"),
    ] {
        if let Some((name, rest)) = words.strip_prefix(kind).and_then(|rest| rest.split_once('`')) {
            return (Some(name.to_owned()), format!("{reason}{}", rest.replace('`', "")));
        }
    }
    // invalid type: integer `5`, expected a string
    let mismatch = words.strip_prefix("invalid type: ").or_else(|| words.strip_prefix("invalid value: "));
    let reason = match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, wanted)) => format!("must be {}, not {}", in_json(wanted), in_json(found)).replace('`', ""),
        None => words.to_owned(),
    };
    (None, reason)
}

/// What serde calls by its own names.
fn in_json(kind: &str) -> &str {
    match kind {
        "map" | "a map" => "an object",
        "sequence" | "a sequence" => "a list",
        _ if kind.starts_with("struct ") => "an object",
        _ => kind,
    }
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
    fn defaults_are_the_contracts() {
        let draft = Draft::from_json(None, br#"{"message":"x"}"#).unwrap();
        assert_eq!((draft.topic().as_str(), draft.level(), draft.metadata.as_str()), ("default", Level::Info, "{}"));
    }

    #[test]
    fn each_refusal_names_the_field() {
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
    fn the_longest_message_is_counted_in_bytes() {
        assert!(Draft::from_text(None, "ä".repeat(2048).as_bytes(), Level::Info).is_ok());
        assert!(Draft::from_text(None, "ä".repeat(2049).as_bytes(), Level::Info).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_one_line_that_reads_back_equal(message in "\\PC{1,200}|[\\x00-\\x7f]{1,200}") {
            let draft = Draft::from_text(None, message.as_bytes(), Level::Error).unwrap();
            let record = draft.record(Id::at(1), 0);
            prop_assert!(!record.json.iter().any(|&b| b == b'\n' || b == b'\r'));
            let back: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
            prop_assert_eq!(back["message"].as_str(), Some(message.as_str()));
        }
    }
}
