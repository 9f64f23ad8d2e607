//! The JSON of a publish, one alert or a line of several, read field by field so that every refusal names one.
//!
//! Called by the HTTP layer, and by alertctl to report errors without a request.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Draft, DraftError, Every, IncidentFields, IncidentReport, Level, Metadata, Topic, fault};
use crate::text;

/// What is wrong with a field that is of no use without an incident.
pub(crate) const NO_INCIDENT: &str = "needs the field incident, the name of the incident that it is about";

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
    #[serde(borrow)]
    expect_within: Option<&'a RawValue>,
    #[serde(borrow)]
    incident: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
}

/// One of several alerts in a body. It has its own key, because a body of other lines may repeat it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    expect_within: Option<&'a RawValue>,
    #[serde(borrow)]
    incident: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl: Option<&'a RawValue>,
    #[serde(borrow)]
    idempotency_key: Option<&'a RawValue>,
}

impl Draft {
    /// Reads a JSON body. `topic` is the one in the URL; it applies if the body has none.
    pub fn from_json(topic: Option<Topic>, body: &[u8]) -> Result<Self, DraftError> {
        Parts::read(topic, parse(utf8(body)?)?)?.draft()
    }

    /// The same, with what is too long cut, and U+FFFD for bytes that are not UTF-8.
    pub fn from_json_cut(topic: Option<Topic>, body: &[u8]) -> Result<Self, DraftError> {
        let Parts { topic, message, level, metadata, expected, incident } =
            Parts::read(topic, parse(&text::decoded(body, None))?)?;
        Ok(Self::cut(topic, &message, level, metadata)?.expecting(expected).reporting(incident))
    }

    /// Reads one of several alerts in a body, and the key that identifies its repeats, as it was sent.
    pub fn from_json_line(topic: Option<Topic>, line: &[u8]) -> Result<(Self, Option<String>), DraftError> {
        let Line { topic: in_line, message, level, metadata, expect_within, incident, status, ttl, idempotency_key } =
            parse(utf8(line)?)?;
        let key = idempotency_key.map(|raw| text_value("idempotency_key", raw)).transpose()?.map(Cow::into_owned);
        let body = Body { topic: in_line, message, level, metadata, expect_within, incident, status, ttl };
        Ok((Parts::read(topic, body)?.draft()?, key))
    }

    /// The line that publishes this alert among others.
    #[must_use]
    pub fn publish_line(&self, idempotency_key: &str) -> String {
        let key = serde_json::Value::from(idempotency_key);
        let body = self.publish_body();
        format!(r#"{{"idempotency_key":{key},{}"#, body.strip_prefix('{').unwrap_or(&body))
    }
}

/// The fields, each valid in itself.
struct Parts {
    topic: Topic,
    message: String,
    level: Level,
    metadata: Metadata,
    expected: Option<Every>,
    incident: Option<IncidentReport>,
}

impl Parts {
    fn draft(self) -> Result<Draft, DraftError> {
        let Self { topic, message, level, metadata, expected, incident } = self;
        Draft::new(topic, message, level, metadata)?.expecting(expected).reporting(incident).within_frame()
    }

    fn read(topic: Option<Topic>, body: Body<'_>) -> Result<Self, DraftError> {
        let in_body = body.topic.map(|raw| value::<Topic>("topic", raw)).transpose()?;
        let message = body.message.ok_or_else(|| DraftError::field("message", "is missing"))?;
        let level = body.level.map(|raw| value::<Level>("level", raw)).transpose()?;
        let incident = IncidentFields {
            name: body.incident.map(|raw| value("incident", raw)).transpose()?,
            status: body.status.map(|raw| value("status", raw)).transpose()?,
            ttl: body.ttl.map(|raw| value("ttl", raw)).transpose()?,
        };
        let metadata = body.metadata.map(|raw| Metadata::new(raw).map_err(|e| DraftError::field("metadata", e)));
        Ok(Self {
            topic: Draft::one_topic(topic, in_body)?,
            message: text_value("message", message)?.into_owned(),
            level: level.unwrap_or_default(),
            metadata: metadata.transpose()?.unwrap_or_default(),
            incident: incident.report().map_err(|field| DraftError::field(field, NO_INCIDENT))?,
            expected: body.expect_within.map(|raw| value::<Every>("expect_within", raw)).transpose()?,
        })
    }
}

/// Reads a JSON object with these fields.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DraftError> {
    // serde would also accept a JSON array and take the fields by their order.
    let body = if text.trim_start().starts_with('{') { Some(serde_json::from_str(text)) } else { None };
    let error = match body {
        Some(Ok(body)) => return Ok(body),
        other => other.and_then(Result::err),
    };
    // A body that is not JSON at all is refused for that reason first.
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| body_error(&e))?;
    Err(error.map_or_else(
        || DraftError::field("body", "must be a JSON object with message, level, metadata and topic"),
        |e| body_error(&e),
    ))
}

/// The text of a body, without a byte order mark.
fn utf8(body: &[u8]) -> Result<&str, DraftError> {
    std::str::from_utf8(body)
        .map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
        .map_err(|e| DraftError::Malformed(format!("the body is not UTF-8: bad byte at offset {}", e.valid_up_to())))
}

fn body_error(error: &serde_json::Error) -> DraftError {
    if !error.is_data() {
        return DraftError::Malformed(format!("the body is not JSON: {error}"));
    }
    let (field, reason) = fault(error);
    DraftError::Field { field: field.unwrap_or_else(|| "body".into()), reason }
}

fn text_value<'a>(field: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, DraftError> {
    let Some(quoted) = raw.get().strip_prefix('"') else {
        return Err(DraftError::field(field, "must be a string"));
    };
    // The parser has found the end of the string, so without an escape the text is what is between the quotes.
    if let Some(text) = quoted.strip_suffix('"')
        && !text.contains('\\')
    {
        return Ok(Cow::Borrowed(text));
    }
    serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|e| DraftError::field(field, fault(&e).1))
}

fn value<T: std::str::FromStr<Err: ToString>>(field: &str, raw: &RawValue) -> Result<T, DraftError> {
    text_value(field, raw)?.parse().map_err(|e: T::Err| DraftError::field(field, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_read_as_it_was_meant_with_escapes_and_without(text in "\\PC{1,100}|[\\x00-\\x7f]{1,100}") {
            let plain = serde_json::json!({ "message": text }).to_string();
            let escapes: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for body in [plain, format!(r#"{{"message":"{escapes}"}}"#)] {
                let draft = Draft::from_json(None, body.as_bytes()).unwrap();
                prop_assert_eq!(draft.message(), &text);
            }
        }
    }

    fn refused(body: &str) -> String {
        Draft::from_json(None, body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn absent_fields_get_the_documented_defaults() {
        let draft = Draft::from_json(None, br#"{"message":"x"}"#).unwrap();
        assert_eq!((draft.topic().as_str(), draft.level(), draft.metadata().as_str()), ("default", Level::Info, "{}"));
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
            (r#"{"message":"x","incident":""}"#, "incident: must have 1 to 128 printable characters"),
            (r#"{"message":"x","incident":"i","status":"firing"}"#, "status: must be open or resolved"),
            (r#"{"message":"x","incident":"i","ttl":"0s"}"#, "ttl: must be a duration from 1s to 366d"),
            (r#"{"message":"x","status":"resolved"}"#, "status: needs the field incident"),
            (r#"{"message":"x","ttl":"5m"}"#, "ttl: needs the field incident"),
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
    fn a_line_is_an_alert_with_its_own_key() {
        let draft = Draft::from_json(None, br#"{"message":"x","topic":"a","level":"warn"}"#).unwrap();
        let line = draft.publish_line("k\"1");
        assert_eq!(Draft::from_json_line(None, line.as_bytes()), Ok((draft, Some("k\"1".to_owned()))));
        assert!(Draft::from_json(None, line.as_bytes()).unwrap_err().to_string().starts_with("idempotency_key: "));
        let without = Draft::from_json_line(None, br#"{"message":"x"}"#).unwrap();
        assert_eq!((without.0.message(), without.1), ("x", None));
        for (line, words) in [
            (r#"{"message":"x","idempotency_key":7}"#, "idempotency_key: must be a string"),
            (
                r#"{"message":"x","key":"7"}"#,
                "key: is no field here, expected one of topic, message, level, metadata, ",
            ),
            (r#"{"message":""}"#, "message: must not be empty"),
        ] {
            let said = Draft::from_json_line(None, line.as_bytes()).unwrap_err().to_string();
            assert!(said.starts_with(words), "{line}: {said}");
        }
    }

    #[test]
    fn url_and_body_must_not_name_two_topics() {
        let topic = |t: &str| Some(t.parse::<Topic>().unwrap());
        assert!(Draft::from_json(topic("a"), br#"{"message":"x","topic":"b"}"#).is_err());
        assert_eq!(Draft::from_json(topic("a"), br#"{"message":"x","topic":"a"}"#).unwrap().topic().as_str(), "a");
        assert_eq!(Draft::from_json(topic("a"), br#"{"message":"x"}"#).unwrap().topic().as_str(), "a");
    }

    #[test]
    fn a_byte_order_mark_before_json_is_no_part_of_it() {
        let body = "\u{feff}{\"message\":\"x\"}".as_bytes();
        assert_eq!(Draft::from_json(None, body).unwrap().message(), "x");
    }

    #[test]
    fn wrong_bytes_in_json_are_replaced_on_request_only() {
        let body = b"{\"message\":\"Ger\xe4t\"}";
        assert!(Draft::from_json(None, body).is_err());
        assert_eq!(Draft::from_json_cut(None, body).unwrap().message(), "Ger\u{fffd}t");
    }

    fn of_length(bytes: usize, cut: bool) -> Result<String, String> {
        let body = format!(r#"{{"message":"{}"}}"#, "ä".repeat(bytes / 2));
        let read = if cut { Draft::from_json_cut } else { Draft::from_json };
        read(None, body.as_bytes()).map(|draft| draft.message().to_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_message_in_json_is_at_most_4096_bytes_long_or_cut_on_request() {
        assert_eq!(of_length(4096, false).unwrap().len(), 4096);
        assert_eq!(of_length(4098, false).unwrap_err(), "message: has 4098 bytes, 4096 are allowed");
        assert_eq!(of_length(4096, true), of_length(4096, false));
        let cut = of_length(100_000, true).unwrap();
        assert!(cut.len() <= 4096 && cut.ends_with("ä…"), "{}", cut.len());
    }
}
