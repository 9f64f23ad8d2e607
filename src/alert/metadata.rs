//! The metadata of an alert: a JSON object of the sender's choice, passed through as it was sent.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object on one line. Numbers keep their digits and members their order; only whitespace between tokens is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Cow<'static, str>);

impl Default for Metadata {
    fn default() -> Self {
        Self(Cow::Borrowed("{}"))
    }
}

impl Metadata {
    /// Rejects what some JSON readers cannot handle: a value that is not an object, duplicate names, text that is not Unicode,
    /// numbers out of range, and nesting deeper than 127 levels. The error text says which.
    pub fn new(raw: &RawValue) -> Result<Self, String> {
        if !raw.get().starts_with('{') {
            return Err("must be a JSON object".into());
        }
        serde_json::from_str::<Checked>(raw.get()).map_err(|e| super::fault(&e).1)?;
        Ok(Self(minified(raw.get()).into()))
    }

    /// The members of an object as metadata.
    pub fn from_members(members: &impl Serialize) -> Result<Self, String> {
        Self::new(&serde_json::value::to_raw_value(members).map_err(|error| error.to_string())?)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same object with its names sorted, for comparisons.
    #[must_use]
    pub fn canonical(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.0).map_or_else(|_| self.0.to_string(), |v| v.to_string())
    }
}

/// Removes whitespace outside of strings: a line break would end the line of the stream that carries it.
fn minified(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut line = json.to_owned();
    line.retain(|c| {
        if in_string {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
            return true;
        }
        in_string = c == '"';
        !c.is_ascii_whitespace()
    });
    line
}

/// Visits a whole value and keeps nothing of it, so that serde_json's depth limit and our check for duplicates apply.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Check)
    }
}

struct Check;

impl<'de> Visitor<'de> for Check {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<Checked>()?;
            if let Some(twice) = names.replace(name) {
                return Err(A::Error::custom(format_args!("the name {twice:?} is given twice")));
            }
        }
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> Result<Metadata, String> {
        Metadata::new(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    #[test]
    fn everything_but_whitespace_passes_through() {
        let sent = "{ \"b\" :\r\n 12345678901234567890123 , \"a\": [1.20, \"x \\\" \\n y\", null] }";
        assert_eq!(metadata(sent).unwrap().as_str(), r#"{"b":12345678901234567890123,"a":[1.20,"x \" \n y",null]}"#);
    }

    #[test]
    fn json_that_some_readers_cannot_handle_is_refused_with_a_reason() {
        for (bad, why) in [
            ("[]", "JSON object"),
            ("null", "JSON object"),
            (r#"{"a":1,"a":2}"#, "given twice"),
            (r#"{"a":{"b":1,"b":1}}"#, "given twice"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":1e999}"#, "number out of range"),
        ] {
            let error = metadata(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains(" at line "), "{bad}: {error}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(metadata(&deep).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn the_order_of_members_does_not_matter_for_equality() {
        assert_eq!(
            metadata(r#"{"a":1,"b":2}"#).unwrap().canonical(),
            metadata(r#"{"b":2, "a":1}"#).unwrap().canonical()
        );
    }
}
