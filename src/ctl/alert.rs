//! An alert as the daemon sends it, and its row for people.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::{Output, Paint};
use super::text::{columns, cut, escaped, local, padded, wrapped};

/// The fields that people and commands get. A level or a field that a newer daemon knows is no error.
#[derive(Debug, Deserialize)]
pub(crate) struct Alert {
    /// Its place in the log.
    pub id: String,
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub message: String,
    /// How serious it is.
    pub level: String,
    /// A JSON object.
    pub metadata: Box<RawValue>,
    /// RFC 3339.
    pub received_at: String,
}

/// Alerts below each other: time, level, topic, message and metadata, aligned as far as the rows so far allow.
///
/// Where the output is no terminal, a row is one line and nothing is left out. On a terminal a message keeps its line
/// breaks and is wrapped; every further line is indented, so that none can pass for an alert.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Columns of the topics.
    topic: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { topic: 8 }
    }
}

impl Rows {
    /// Longer topics push their own row aside.
    const WIDEST_TOPIC: usize = 24;
    /// `2026-11-23 17:33:10`, and the longest level.
    const TIME_AND_LEVEL: usize = 19 + 2 + 5 + 2;
    /// Less than this is no column for messages: they go below the topic then.
    const NARROWEST: usize = 24;
    /// Lines of metadata on a terminal; `--json` has all of it.
    const METADATA_LINES: usize = 2;

    /// The alert's row, without a line break at its end.
    pub(crate) fn row(&mut self, alert: &Alert, output: &Output) -> String {
        let topic = escaped(&alert.topic);
        self.topic = self.topic.max(columns(&topic).min(Self::WIDEST_TOPIC));
        let time = output.paint(&local(&alert.received_at), Paint::Dim);
        let paint = match alert.level.as_str() {
            "info" => Paint::Green,
            "warn" => Paint::Yellow,
            _ => Paint::Red,
        };
        let level = output.paint(&padded(&escaped(&alert.level), 5), paint);
        let topic = output.paint(&padded(&topic, self.topic), Paint::Bold);
        let head = format!("{time}  {level}  {topic}");
        let metadata = escaped(&compact(&alert.metadata));
        match output.size() {
            Some((width, _)) => self.shown(&head, alert, &metadata, width, output),
            None if metadata.is_empty() => format!("{head}  {}", escaped(&alert.message)),
            None => format!("{head}  {}  {metadata}", escaped(&alert.message)),
        }
    }

    fn shown(&self, head: &str, alert: &Alert, metadata: &str, width: usize, output: &Output) -> String {
        let before = Self::TIME_AND_LEVEL + self.topic.max(columns(&escaped(&alert.topic))) + 2;
        let (before, is_beside) = if before + Self::NARROWEST <= width { (before, true) } else { (4, false) };
        let room = width.saturating_sub(before).max(1);
        let mut lines: Vec<String> = alert.message.lines().flat_map(|line| wrapped(&escaped(line), room)).collect();
        let used = lines.last().map_or(0, |line| columns(line));
        match lines.last_mut() {
            _ if metadata.is_empty() => {}
            Some(last) if used + 2 + columns(metadata) <= room => {
                last.push_str("  ");
                last.push_str(&output.paint(metadata, Paint::Dim));
            }
            _ => {
                let all = wrapped(metadata, room);
                let mut some = all[..all.len().min(Self::METADATA_LINES)].to_vec();
                if let Some(last) = some.last_mut().filter(|_| all.len() > Self::METADATA_LINES) {
                    *last = cut(&format!("{last} …"), room);
                }
                lines.extend(some.iter().map(|line| output.paint(line, Paint::Dim)));
            }
        }
        let indent = " ".repeat(before);
        let message = lines.join(&format!("\n{indent}"));
        if is_beside { format!("{head}  {message}") } else { format!("{head}\n{indent}{message}") }
    }
}

/// `host=db1 note="two words" disk={"free":3}`: the members by name, text bare where that is clear.
fn compact(metadata: &RawValue) -> String {
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(metadata.get()) else {
        return metadata.get().to_owned();
    };
    let is_clear =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "\"={}[]".contains(c));
    let name = |name: String| if is_clear(&name) { name } else { serde_json::Value::from(name).to_string() };
    let value = |value: &RawValue| match serde_json::from_str::<String>(value.get()) {
        // Text that looks like a number stays in quotes, or nobody could tell them apart.
        Ok(text) if is_clear(&text) && serde_json::from_str::<serde_json::Value>(&text).is_err() => text,
        _ => value.get().to_owned(),
    };
    let members: Vec<String> =
        members.into_iter().map(|(own, buffer)| format!("{}={}", name(own), value(buffer))).collect();
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
    fn off_a_terminal_a_row_is_one_harmless_line_with_everything_in_it() {
        let json = r#"{"id":"1-0","topic":"ops.db","message":"a\n\u001b[31mb","level":"warn","metadata":{"k":"v\u202e"},"received_at":"2026-11-23T17:33:10.123Z","new":1}"#;
        let alert: Alert = serde_json::from_str(json).unwrap();
        let row = Rows::default().row(&alert, &Output::to(tokio::io::sink()));
        assert!(row.ends_with(r"  warn   ops.db    a\n\u{1b}[31mb  k=v\u{202e}"), "{row}");
        assert_eq!(row.find("  warn"), Some("2026-11-23 17:33:10".len()));
    }

    #[test]
    fn levels_topics_and_messages_stand_below_each_other() {
        let (mut rows, output) = (Rows::default(), Output::to(tokio::io::sink()));
        let place = |row: String| row.find("message").unwrap();
        let wide = place(rows.row(&alert("services.frontend", "info", "message", "{}"), &output));
        for (topic, level) in [("a", "error"), ("東京", "warn")] {
            let row = rows.row(&alert(topic, level, "message", "{}"), &output);
            assert_eq!(columns(&row[..place(row.clone())]), wide, "{row}");
        }
        let long = "x".repeat(100);
        rows.row(&alert(&long, "info", "message", "{}"), &output);
        assert!(place(rows.row(&alert("a", "info", "message", "{}"), &output)) < 60);
    }

    #[test]
    fn on_a_terminal_lines_are_wrapped_and_none_can_pass_for_an_alert() {
        let output = shown(Captured::default(), || (64, 24), false);
        let fake = "disk is full on the database host\n2026-11-23 17:33:10  info   ops";
        let row = Rows::default().row(&alert("ops.db", "error", fake, r#"{"host":"db1"}"#), &output);
        let lines: Vec<&str> = row.lines().collect();
        assert_eq!(lines.len(), 4, "{row}");
        assert!(lines[0].ends_with("error  ops.db    disk is full on the"), "{row}");
        assert!(lines[1..].iter().all(|line| line.starts_with(&" ".repeat(38)) && columns(line) <= 64), "{row}");
        assert!(lines[3].ends_with("ops  host=db1"), "{row}");
        let narrow = shown(Captured::default(), || (40, 24), false);
        let row = Rows::default().row(&alert("ops.db", "error", "disk is full", "{}"), &narrow);
        assert!(row.ends_with("ops.db  \n    disk is full"), "{row:?}");
        let many = format!(r#"{{"k":"{}"}}"#, "words ".repeat(100));
        let row = Rows::default().row(&alert("ops.db", "error", "disk is full", &many), &output);
        assert!(row.lines().count() == 3 && row.ends_with('…'), "{row}");
    }

    #[test]
    fn colours_are_those_of_the_level() {
        let output = shown(Captured::default(), || (100, 24), true);
        for (level, colour) in [("info", "32"), ("warn", "33"), ("error", "1;31"), ("panic", "1;31")] {
            let row = Rows::default().row(&alert("a", level, "m", "{}"), &output);
            assert!(row.contains(&format!("\x1b[{colour}m{level:5}\x1b[0m")), "{row:?}");
        }
    }

    #[test]
    fn metadata_is_short_and_keeps_its_types() {
        let metadata = r#"{"b":"two words","a":"x","n":1.50,"t":"1.50","o":{"k":[1]},"e":"","two words":true}"#;
        let shown = compact(&RawValue::from_string(metadata.into()).unwrap());
        assert_eq!(shown, r#"a=x b="two words" e="" n=1.50 o={"k":[1]} t="1.50" "two words"=true"#);
    }
}
