//! An alert as the daemon sends it, and its line for people.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::{Output, Paint, escaped, local};

/// The fields that people and commands get. A level or a field that a newer daemon knows is no error.
#[derive(Debug, Deserialize)]
pub struct Alert {
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

impl Alert {
    /// `2026-11-23 17:33:10  warn  ops.db  message`, in local time, on one line whatever the message holds.
    #[must_use]
    pub fn line(&self, output: &Output) -> String {
        let time = output.paint(&local(&self.received_at), Paint::Dim);
        let level = escaped(&self.level);
        let level = match self.level.as_str() {
            "info" => level,
            "warn" => output.paint(&level, Paint::Yellow),
            _ => output.paint(&level, Paint::Red),
        };
        let topic = output.paint(&escaped(&self.topic), Paint::Bold);
        format!("{time}  {level}  {topic}  {}", escaped(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_line_and_harmless() {
        let json = r#"{"id":"1-0","topic":"ops.db","message":"a\n\u001b[31mb","level":"warn","metadata":{},"received_at":"2026-11-23T17:33:10.123Z","new":1}"#;
        let alert: Alert = serde_json::from_str(json).unwrap();
        let line = alert.line(&Output::to(tokio::io::sink()));
        assert!(line.ends_with(r"  warn  ops.db  a\n\u{1b}[31mb"), "{line}");
        assert_eq!(line.find("  warn"), Some("2026-11-23 17:33:10".len()));
    }
}
