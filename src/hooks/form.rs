//! The fields of an HTML form as one alert: what `curl -d`, Home Assistant and shell scripts send.
//!
//! `message` is required. `level`, `topic`, `title`, `expect_within` and `incident` with `status` and `ttl` have their meanings,
//! in whatever case they are written; every other field is kept in the metadata. Without a `level`, what senders have in its
//! place counts: `severity`, a `priority`, or a `type` such as Apprise's `failure`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use super::multipart::parts;
use super::{field, metadata_of, severity, short};
use crate::alert::{Draft, DraftError, IncidentReport, Level, Metadata, Topic};
use crate::text;

/// The fields of a form by name. One that is given more than once has a line for each value.
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads the fields. `None` for a text without a field `message`: curl sends any text under the type of a form.
    #[must_use]
    pub(crate) fn parse(body: &[u8], charset: Option<&str>) -> Option<Self> {
        let pairs = || body.split(|byte| *byte == b'&').filter(|pair| pair.contains(&b'='));
        let form = Self::fields(body, charset);
        let name = |pair: &[u8]| decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default(), charset);
        pairs().any(|pair| name(pair).eq_ignore_ascii_case("message")).then_some(form)
    }

    /// Reads a form of parts. Instead of a file that is no text it has a word about it.
    #[must_use]
    pub(crate) fn parse_parts(body: &[u8], boundary: &str, charset: Option<&str>) -> Self {
        let value = |content: &[u8], is_file| {
            let read = text::decoded(content, charset);
            if is_file && !text::is_plain(&read) { format!("(a file of {} bytes)", content.len()) } else { read.into() }
        };
        let read = parts(body, boundary).into_iter().map(|part| (part.name, value(part.content, part.is_file)));
        Self::of(read)
    }

    /// The JSON in the field `payload` of a form, as GitHub's webhooks send it unless they are told otherwise.
    #[must_use]
    pub(crate) fn payload(body: &[u8], charset: Option<&str>) -> Option<String> {
        Self::fields(body, charset).take("payload")
    }

    /// The fields as the members of a JSON object.
    #[must_use]
    pub(crate) fn into_json(self) -> String {
        let members = self.0.into_iter().map(|(name, value)| (name, Value::String(value)));
        Value::Object(members.collect()).to_string()
    }

    /// All fields, whatever their names.
    #[must_use]
    pub(crate) fn fields(body: &[u8], charset: Option<&str>) -> Self {
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        Self::of(pairs.map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=').map(|half| decoded(half, charset));
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        }))
    }

    fn of(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut fields = BTreeMap::<String, String>::new();
        for (name, value) in pairs {
            fields.entry(name).and_modify(|earlier| *earlier = format!("{earlier}\n{value}")).or_insert(value);
        }
        Self(fields)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let known = self.0.keys().find(|known| known.eq_ignore_ascii_case(name))?.clone();
        self.0.remove(&known)
    }

    /// The alert. What the URL says wins over the form's `level`, and that over the level of the headers. A word for the
    /// level that is not one of ours is kept in the metadata.
    pub(crate) fn draft(
        mut self,
        topic: Option<Topic>,
        level: Option<Level>,
        (header_level, header_metadata): (Option<Level>, Metadata),
    ) -> Result<Draft, DraftError> {
        let message = self.take("message").ok_or_else(|| field("message", "is missing"))?;
        let within = self.take("expect_within").filter(|text| !text.is_empty());
        let within = within.map(|text| text.parse().map_err(|e| field("expect_within", e))).transpose()?;
        let incident = self.incident()?;
        let in_form = self.take("topic").map(|text| text.parse().map_err(|e| field("topic", e))).transpose()?;
        let mut metadata: Map<String, Value> =
            serde_json::from_str(header_metadata.as_str()).map_err(|error| field("metadata", error))?;
        let word = self.take("level").filter(|word| !word.is_empty());
        let meant = word.as_ref().map(|word| {
            word.parse().unwrap_or_else(|_| {
                metadata.insert("level".to_owned(), short(word).into());
                severity::level_or_warn(word)
            })
        });
        let meant = meant.or_else(|| self.implied_level());
        metadata.extend(self.0.into_iter().map(|(name, text)| (short(&name), short(&text).into())));
        let topic = Draft::one_topic(topic, in_form)?;
        let level = level.or(meant).or(header_level).unwrap_or_default();
        Ok(Draft::cut(topic, &message, level, metadata_of(&metadata)?)?
            .expecting(within)
            .reporting(incident)
            .cut_to_frame())
    }

    /// Takes the fields of an incident. Without `incident`, `status` and `ttl` are metadata as any other field.
    fn incident(&mut self) -> Result<Option<IncidentReport>, DraftError> {
        let Some(name) = self.take("incident").filter(|text| !text.is_empty()) else { return Ok(None) };
        let name = name.parse().map_err(|e| field("incident", e))?;
        let status = self.take("status").map(|text| text.parse().map_err(|e| field("status", e))).transpose()?;
        let ttl = self.take("ttl").map(|text| text.parse().map_err(|e| field("ttl", e))).transpose()?;
        Ok(Some(IncidentReport { ttl, ..IncidentReport::new(name, status.unwrap_or_default()) }))
    }

    /// The level by other names. A `priority` or `type` may be about something else, so that only a known word counts.
    fn implied_level(&self) -> Option<Level> {
        let get = |name: &str| self.get(name).filter(|word| !word.is_empty());
        get("severity")
            .map(severity::level_or_warn)
            .or_else(|| get("priority").and_then(severity::of_priority))
            .or_else(|| get("type").and_then(severity::level))
    }
}

/// A name or value of a form in a URL's encoding.
fn decoded(part: &[u8], charset: Option<&str>) -> String {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Cow<'_, [u8]> = percent_decode(&spaced).into();
    text::decoded(&bytes, charset).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &str) -> Result<Value, String> {
        read_with(body, None, None)
    }

    fn read_with(body: &str, charset: Option<&str>, level: Option<Level>) -> Result<Value, String> {
        let form = Form::parse(body.as_bytes(), charset).ok_or("no form")?;
        let draft = form.draft(None, level, (None, Metadata::default())).map_err(|error| error.to_string())?;
        let record = draft.record(crate::alert::Id::at(1), 0);
        Ok(serde_json::from_slice(&record.json).unwrap())
    }

    #[test]
    fn a_level_by_another_name_counts_and_is_kept() {
        for (fields, level) in [
            ("severity=critical", "error"),
            ("severity=tier-2", "warn"),
            ("severity=notice&priority=5", "info"),
            ("priority=5", "error"),
            ("priority=high", "warn"),
            ("priority=P1", "error"),
            ("type=failure", "error"),
            ("type=warning", "warn"),
            ("type=info", "info"),
            ("type=pump&priority=x", "info"),
            ("type=failure&level=info", "info"),
            ("severity=", "info"),
        ] {
            let alert = read(&format!("message=x&{fields}")).unwrap();
            assert_eq!(alert["level"], level, "{fields}");
            let (name, value) = fields.split('&').next().unwrap().split_once('=').unwrap();
            assert_eq!(alert["metadata"][name], value, "{fields}");
        }
    }

    #[test]
    fn known_fields_have_their_meaning_and_others_are_metadata() {
        let alert =
            read("message=Water%3A+42+ml+%26+rising&level=error&topic=home&title=Boiler&target=all&target=me").unwrap();
        assert_eq!(
            (&alert["message"], &alert["level"], &alert["topic"]),
            (&json!("Water: 42 ml & rising"), &json!("error"), &json!("home"))
        );
        assert_eq!(alert["metadata"], json!({"title": "Boiler", "target": "all\nme"}));
        assert_eq!(read("message=x").unwrap()["metadata"], json!({}));
        assert_eq!(read("message=two+lines%0D%0Ahere").unwrap()["message"], "two lines\r\nhere");
    }

    #[test]
    fn a_foreign_word_for_the_level_is_understood_and_kept() {
        for (word, level) in [("critical", "error"), ("WARN", "warn"), ("tier-2", "warn"), ("notice", "info")] {
            let alert = read(&format!("message=x&level={word}")).unwrap();
            assert_eq!((&alert["level"], &alert["metadata"]["level"]), (&json!(level), &json!(word)));
        }
        assert_eq!(read("message=x&level=").unwrap()["level"], "info");
        assert_eq!(read_with("message=x&level=error", None, Some(Level::Info)).unwrap()["level"], "info");
    }

    #[test]
    fn what_cannot_be_decoded_is_shown_and_what_is_too_long_is_cut() {
        assert_eq!(read("message=Ger%E4t+100%+voll").unwrap()["message"], "Ger\u{fffd}t 100% voll");
        assert_eq!(read_with("message=Ger%E4t", Some("iso-8859-1"), None).unwrap()["message"], "Ger\u{e4}t");
        let long = read(&format!("message={0}&log={0}", "x".repeat(10_000))).unwrap();
        for text in [&long["message"], &long["metadata"]["log"]] {
            assert!(text.as_str().unwrap().len() == 4096 && text.as_str().unwrap().ends_with('…'));
        }
    }

    #[test]
    fn names_count_in_any_case() {
        let alert = read("MESSAGE=x&Level=Critical&Topic=cellar&Zone=3").unwrap();
        assert_eq!(
            (&alert["message"], &alert["level"], &alert["topic"]),
            (&json!("x"), &json!("error"), &json!("cellar"))
        );
        assert_eq!(alert["metadata"], json!({"level": "Critical", "Zone": "3"}));
        assert_eq!(read("message=x&Severity=fatal").unwrap()["level"], "error");
    }

    #[test]
    fn a_text_without_a_message_field_is_no_form() {
        for body in ["disk full", "a=b", "a & b", "messages=5", "the message=5", "message", ""] {
            assert!(Form::parse(body.as_bytes(), None).is_none(), "{body}");
        }
        for body in ["message=x", "a=b&message=x", "message=", "Message=x", "%6dessage=x"] {
            assert!(Form::parse(body.as_bytes(), None).is_some(), "{body}");
        }
        assert!(read("message=").unwrap_err().starts_with("message: must not be empty"));
        assert!(read("message=x&topic=a+b").unwrap_err().starts_with("topic: "));
    }
}
