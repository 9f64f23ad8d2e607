//! One entry of the journal, as `journalctl -o json` writes it.
//!
//! `journalctl` writes a field as a string, as a list of bytes if it is not text, as null if it is too large, or as a list
//! of these if the entry has it several times. This module always returns text, with control characters replaced.

use serde_json::{Map, Value};

use crate::text::ELLIPSIS;

/// An entry; fields are read as text.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Map<String, Value>);

/// Bytes as text, since a list of numbers takes thirty times the memory. Entries wait in a queue.
fn compact(value: &mut Value) {
    match value {
        Value::Array(items) if items.iter().any(|item| !item.is_u64()) => items.iter_mut().for_each(compact),
        Value::Array(_) => *value = text(value).into(),
        _ => {}
    }
}

impl Entry {
    /// Parses a line of `journalctl -o json`.
    #[must_use]
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        fields.values_mut().for_each(compact);
        Some(Self(fields))
    }

    /// A field as text; if the entry has it several times, each value begins a line.
    #[must_use]
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let values = self.values(field);
        (!values.is_empty()).then(|| values.join("\n"))
    }

    #[must_use]
    pub(crate) fn values(&self, field: &str) -> Vec<String> {
        match self.0.get(field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(value) => vec![text(value)],
        }
    }

    /// Whether the entry has a message that journalctl left out because of its length.
    #[must_use]
    pub(crate) fn message_left_out(&self) -> bool {
        self.0.get("MESSAGE").is_some_and(Value::is_null)
    }

    /// Sets the message that journalctl left out.
    pub(crate) fn set_message(&mut self, bytes: &[u8]) {
        self.0.insert("MESSAGE".to_owned(), String::from_utf8_lossy(bytes).into_owned().into());
    }

    /// The entry's position in the journal.
    #[must_use]
    pub(crate) fn cursor(&self) -> Option<String> {
        self.text("__CURSOR")
    }

    /// When it was written, RFC 3339 in UTC.
    #[must_use]
    pub(crate) fn time(&self) -> Option<String> {
        self.written().map(|time| format!("{time:.3}"))
    }

    /// When it was written.
    #[must_use]
    pub(crate) fn written(&self) -> Option<jiff::Timestamp> {
        let micros: i64 = self.text("__REALTIME_TIMESTAMP")?.parse().ok()?;
        jiff::Timestamp::from_microsecond(micros).ok()
    }

    /// The priority, 0 to 7: the most urgent one if the entry has several. Like journalctl, takes 6 if it has none.
    #[must_use]
    pub(crate) fn priority(&self) -> u8 {
        self.values("PRIORITY").iter().filter_map(|text| text.parse().ok()).min().unwrap_or(6)
    }

    /// Whether its priority is emerg, alert or crit.
    #[must_use]
    pub(crate) fn is_urgent(&self) -> bool {
        self.priority() <= 2
    }

    /// The unit that the entry is about: for messages of the service manager, the unit named in the message.
    #[must_use]
    pub(crate) fn unit(&self) -> Option<String> {
        self.text("UNIT").or_else(|| self.text("_SYSTEMD_UNIT"))
    }
}

/// One value of a field. One that journalctl left out is shown as a text that was cut.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        Value::Array(items) => {
            let bytes: Vec<u8> = items.iter().filter_map(|item| u8::try_from(item.as_u64()?).ok()).collect();
            visible(&String::from_utf8_lossy(&bytes))
        }
        _ => ELLIPSIS.to_owned(),
    }
}

/// Replaces control characters other than line breaks and tabs.
fn visible(text: &str) -> String {
    let is_hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_field_becomes_text() {
        let entry = Entry::parse(
            r#"{"MESSAGE":[104,105,255,27,91],"A":"x\ny","B":null,"C":["one","two"],"D":[[1,2],"three"],"PRIORITY":"3",
               "__REALTIME_TIMESTAMP":"1795455190123456","__CURSOR":"s=1;i=2","_SYSTEMD_UNIT":"init.scope","UNIT":"a.service"}"#,
        )
        .unwrap();
        let text = |field| entry.text(field);
        assert_eq!(text("MESSAGE").as_deref(), Some("hi\u{fffd}\u{fffd}["));
        assert_eq!((text("A").as_deref(), text("B"), text("none")), (Some("x\ny"), None, None));
        assert_eq!((text("C").as_deref(), text("D").as_deref()), (Some("one\ntwo"), Some("\u{fffd}\u{fffd}\nthree")));
        assert_eq!((entry.priority(), entry.time().as_deref()), (3, Some("2026-11-23T17:33:10.123Z")));
        assert_eq!((entry.unit().as_deref(), entry.cursor().as_deref()), (Some("a.service"), Some("s=1;i=2")));
        assert_eq!(Entry::parse("{}").unwrap().priority(), 6);
        let several = Entry::parse(r#"{"PRIORITY":["6","2","x","4"],"MESSAGE":["a",null,[104,105],"b"]}"#).unwrap();
        assert_eq!((several.priority(), several.text("MESSAGE").as_deref()), (2, Some("a\n…\nhi\nb")));
        assert!(!several.message_left_out());
        assert_eq!(several.values("MESSAGE").len(), 4);
        assert!(Entry::parse("-- No entries --").is_none());
    }
}
