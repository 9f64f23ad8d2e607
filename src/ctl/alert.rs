//! An alert as the daemon sends it, and its form for people.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::{Output, Paint};
use super::text::{LOCAL_WIDTH, columns, cut, escaped, local, padded, wrapped};

/// The fields that are shown to people and passed to commands. Levels and fields that only a newer daemon knows are
/// accepted.
#[derive(Debug, Deserialize)]
pub(crate) struct Alert {
    pub id: String,
    pub topic: String,
    pub message: String,
    pub level: String,
    /// A JSON object.
    pub metadata: Box<RawValue>,
    /// RFC 3339.
    pub received_at: String,
}

/// Formats alerts as rows of time, level, topic, message and metadata. The topic column grows with the topics so far.
///
/// If the output is not a terminal, a row is a single line with the whole alert. On a terminal, a message keeps its line
/// breaks and is wrapped; continuation lines are indented, so none of them can be mistaken for an alert.
#[derive(Debug)]
pub(crate) struct Rows {
    topic_width: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { topic_width: 8 }
    }
}

impl Rows {
    /// A longer topic shifts the rest of its own row only.
    const MAX_TOPIC_WIDTH: usize = 24;
    /// The time and the longest level, each with its separator.
    const TIME_AND_LEVEL_WIDTH: usize = LOCAL_WIDTH + 2 + 5 + 2;
    /// With less space than this, the message starts on a line below the topic.
    const MIN_MESSAGE_WIDTH: usize = 24;
    /// Lines of metadata on a terminal; `--json` prints all of it.
    const MAX_METADATA_LINES: usize = 2;

    /// The alert's row, without a line break at its end.
    pub(crate) fn row(&mut self, alert: &Alert, output: &Output) -> String {
        let topic = escaped(&alert.topic);
        self.topic_width = self.topic_width.max(columns(&topic).min(Self::MAX_TOPIC_WIDTH));
        let time = output.paint(&local(&alert.received_at), Paint::Dim);
        let paint = match alert.level.as_str() {
            "info" => Paint::Green,
            "warn" => Paint::Yellow,
            _ => Paint::Red,
        };
        let level = output.paint(&padded(&escaped(&alert.level), 5), paint);
        let topic = output.paint(&padded(&topic, self.topic_width), Paint::Bold);
        let head = format!("{time}  {level}  {topic}");
        let metadata = escaped(&compact(&alert.metadata));
        match output.size() {
            Some((width, _)) => self.terminal_row(&head, alert, &metadata, width, output),
            None if metadata.is_empty() => format!("{head}  {}", escaped(&alert.message)),
            None => format!("{head}  {}  {metadata}", escaped(&alert.message)),
        }
    }

    fn terminal_row(&self, head: &str, alert: &Alert, metadata: &str, width: usize, output: &Output) -> String {
        let head_width = Self::TIME_AND_LEVEL_WIDTH + self.topic_width.max(columns(&escaped(&alert.topic))) + 2;
        let is_beside = head_width + Self::MIN_MESSAGE_WIDTH <= width;
        let indent = if is_beside { head_width } else { 4 };
        let available = width.saturating_sub(indent).max(1);
        let mut lines: Vec<String> =
            alert.message.lines().flat_map(|line| wrapped(&escaped(line), available)).collect();
        let used = lines.last().map_or(0, |line| columns(line));
        match lines.last_mut() {
            _ if metadata.is_empty() => {}
            Some(last) if used + 2 + columns(metadata) <= available => {
                last.push_str("  ");
                last.push_str(&output.paint(metadata, Paint::Dim));
            }
            _ => {
                let all = wrapped(metadata, available);
                let mut shown = all[..all.len().min(Self::MAX_METADATA_LINES)].to_vec();
                if let Some(last) = shown.last_mut().filter(|_| all.len() > Self::MAX_METADATA_LINES) {
                    *last = cut(&format!("{last} …"), available);
                }
                lines.extend(shown.iter().map(|line| output.paint(line, Paint::Dim)));
            }
        }
        let indent = " ".repeat(indent);
        let message = lines.join(&format!("\n{indent}"));
        if is_beside { format!("{head}  {message}") } else { format!("{head}\n{indent}{message}") }
    }
}

/// `host=db1 note="two words" disk={"free":3}`: the members sorted by name, text without quotes if that is unambiguous.
fn compact(metadata: &RawValue) -> String {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(metadata.get()) else {
        return metadata.get().to_owned();
    };
    let is_plain =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "\"={}[]".contains(c));
    let name = |name: String| if is_plain(&name) { name } else { serde_json::Value::from(name).to_string() };
    let value = |value: &RawValue| match serde_json::from_str::<String>(value.get()) {
        // Text that looks like a number keeps its quotes, which tell it from a number.
        Ok(text) if is_plain(&text) && serde_json::from_str::<serde_json::Value>(&text).is_err() => text,
        _ => value.get().to_owned(),
    };
    let members: Vec<String> =
        members.into_iter().map(|(key, member)| format!("{}={}", name(key), value(member))).collect();
    members.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::output::tests::{Captured, shown};

    fn alert(topic: &str, level: &str, message: &str, metadata: &str) -> Alert {
        Alert {
            id: "1-0".into(),
            topic: topic.into(),
            message: message.into(),
            level: level.into(),
            metadata: RawValue::from_string(metadata.into()).unwrap(),
            received_at: "2026-11-23T17:33:10.123Z".into(),
        }
    }

    #[test]
    fn off_a_terminal_a_row_is_one_escaped_line_with_the_whole_alert() {
        let json = r#"{"id":"1-0","topic":"ops.db","message":"a\n\u001b[31mb","level":"warn","metadata":{"k":"v\u202e"},"received_at":"2026-11-23T17:33:10.123Z","new":1}"#;
        let alert: Alert = serde_json::from_str(json).unwrap();
        let row = Rows::default().row(&alert, &Output::to(tokio::io::sink()));
        assert!(row.ends_with(r"  warn   ops.db    a\n\u{1b}[31mb  k=v\u{202e}"), "{row}");
        assert_eq!(row.find("  warn"), Some(LOCAL_WIDTH));
    }

    #[test]
    fn levels_topics_and_messages_are_aligned() {
        let (mut rows, output) = (Rows::default(), Output::to(tokio::io::sink()));
        let column = |row: String| row.find("message").unwrap();
        let wide = column(rows.row(&alert("services.frontend", "info", "message", "{}"), &output));
        for (topic, level) in [("a", "error"), ("東京", "warn")] {
            let row = rows.row(&alert(topic, level, "message", "{}"), &output);
            assert_eq!(columns(&row[..column(row.clone())]), wide, "{row}");
        }
        let long = "x".repeat(100);
        rows.row(&alert(&long, "info", "message", "{}"), &output);
        assert!(column(rows.row(&alert("a", "info", "message", "{}"), &output)) < 66);
    }

    #[test]
    fn on_a_terminal_lines_are_wrapped_and_none_can_be_mistaken_for_an_alert() {
        let output = shown(Captured::default(), || (70, 24), false);
        let fake = "disk is full on the database host\n2026-11-23 17:33:10  info   ops";
        let row = Rows::default().row(&alert("ops.db", "error", fake, r#"{"host":"db1"}"#), &output);
        let lines: Vec<&str> = row.lines().collect();
        assert_eq!(lines.len(), 4, "{row}");
        assert!(lines[0].ends_with("error  ops.db    disk is full on the"), "{row}");
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(44)) && columns(line) <= 70), "{row}");
        assert!(lines[3].ends_with("ops  host=db1"), "{row}");
        let narrow = shown(Captured::default(), || (40, 24), false);
        let row = Rows::default().row(&alert("ops.db", "error", "disk is full", "{}"), &narrow);
        assert!(row.ends_with("ops.db  \n    disk is full"), "{row:?}");
        let many = format!(r#"{{"k":"{}"}}"#, "words ".repeat(100));
        let row = Rows::default().row(&alert("ops.db", "error", "disk is full", &many), &output);
        assert!(row.lines().count() == 3 && row.ends_with('…'), "{row}");
    }

    #[test]
    fn the_colour_shows_the_level() {
        let output = shown(Captured::default(), || (100, 24), true);
        for (level, colour) in [("info", "32"), ("warn", "33"), ("error", "1;31"), ("panic", "1;31")] {
            let row = Rows::default().row(&alert("a", level, "m", "{}"), &output);
            assert!(row.contains(&format!("\x1b[{colour}m{level:5}\x1b[0m")), "{row:?}");
        }
    }

    #[test]
    fn compact_metadata_keeps_its_types() {
        let metadata = r#"{"b":"two words","a":"x","n":1.50,"t":"1.50","o":{"k":[1]},"e":"","two words":true}"#;
        let shown = compact(&RawValue::from_string(metadata.into()).unwrap());
        assert_eq!(shown, r#"a=x b="two words" e="" n=1.50 o={"k":[1]} t="1.50" "two words"=true"#);
    }
}
