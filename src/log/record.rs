//! One event, as the sinks take it.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::text;

/// Bytes of one value; what is longer is cut and ends in `…`.
const VALUE: usize = 16 << 10;
/// Bytes of all values of an event. With the names it stays far below the 200 KiB that fit into one datagram.
const ALL: usize = 64 << 10;

/// An event with its values as text, each within bounds.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    /// In the order of the event, without `message`.
    pub(super) fields: Vec<(&'static str, String)>,
    left: usize,
}

impl Record {
    pub(super) fn new(level: Level, target: &'static str) -> Self {
        Self { level, target, message: String::new(), fields: Vec::new(), left: ALL }
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self::new(*event.metadata().level(), event.metadata().target());
        event.record(&mut record);
        record
    }

    /// The severity of syslog(3). `debug` and `trace` are the same there.
    pub(super) fn priority(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        }
    }

    /// Bytes of memory, roughly, so that a queue can have a bound in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + (ALL - self.left) + self.fields.len() * size_of::<(&str, String)>()
    }

    pub(super) fn put(&mut self, name: &'static str, value: impl fmt::Display) {
        let mut capped = Capped { text: String::new(), max: VALUE.min(self.left) };
        if write!(capped, "{value}").is_err() {
            capped.text.push_str(text::ELLIPSIS);
        }
        self.left = self.left.saturating_sub(capped.text.len());
        if name == "message" { self.message = capped.text } else { self.fields.push((name, capped.text)) }
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format_args!("{value:?}"));
    }
}

/// Takes text up to its bound, then fails, so that a huge value is not even built.
struct Capped {
    text: String,
    max: usize,
}

impl Write for Capped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.max - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        self.text.push_str(text::prefix(more, room));
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_between_characters_and_says_so() {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", "ü".repeat(VALUE));
        record.put("x", "a".repeat(VALUE));
        record.put("y", "a".repeat(VALUE + 1));
        assert_eq!(record.message.len(), VALUE + text::ELLIPSIS.len());
        assert!(record.message.ends_with("ü…"));
        assert!(record.fields[0].1.ends_with('a') && record.fields[1].1.ends_with("a…"));
    }

    #[test]
    fn all_values_together_stay_within_the_bound() {
        let mut record = Record::new(Level::INFO, "alertd");
        for _ in 0..32 {
            record.put("x", "a".repeat(VALUE));
        }
        let bytes: usize = record.fields.iter().map(|(_, value)| value.len()).sum();
        assert!(bytes <= ALL + 32 * text::ELLIPSIS.len(), "{bytes}");
        assert_eq!(record.fields[31].1, text::ELLIPSIS);
    }
}
