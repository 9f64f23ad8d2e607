//! One event in the form that sinks write.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::text;

/// Maximum bytes of one value; a longer one is cut and ends in `…`.
const MAX_VALUE_BYTES: usize = 16 << 10;
/// Maximum bytes of all values of an event. With their names they stay far below the 200 KiB of a datagram.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// An event with its values as text of limited length.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    /// The other fields, in the order of the event.
    pub(super) fields: Vec<(&'static str, String)>,
    /// Bytes that further values may take.
    left: usize,
}

impl Record {
    pub(super) fn new(level: Level, target: &'static str) -> Self {
        Self { level, target, message: String::new(), fields: Vec::new(), left: MAX_RECORD_BYTES }
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self::new(*event.metadata().level(), event.metadata().target());
        event.record(&mut record);
        record
    }

    /// The severity in terms of syslog(3), which has one for both `debug` and `trace`.
    pub(super) fn priority(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        }
    }

    /// Approximate bytes of memory, for the bound of the queue.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + (MAX_RECORD_BYTES - self.left) + self.fields.len() * size_of::<(&str, String)>()
    }

    pub(super) fn put(&mut self, name: &'static str, value: impl fmt::Display) {
        let mut capped = Capped { text: String::new(), max: MAX_VALUE_BYTES.min(self.left) };
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

/// Accepts text up to its bound and then fails, so that formatting stops and a huge value is never built.
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
    fn a_long_value_is_cut_between_characters_and_marked() {
        let mut record = Record::new(Level::INFO, "alertd");
        record.put("message", "ü".repeat(MAX_VALUE_BYTES));
        record.put("x", "a".repeat(MAX_VALUE_BYTES));
        record.put("y", "a".repeat(MAX_VALUE_BYTES + 1));
        assert_eq!(record.message.len(), MAX_VALUE_BYTES + text::ELLIPSIS.len());
        assert!(record.message.ends_with("ü…"));
        assert!(record.fields[0].1.ends_with('a') && record.fields[1].1.ends_with("a…"));
    }

    #[test]
    fn all_values_together_stay_within_the_bound() {
        let mut record = Record::new(Level::INFO, "alertd");
        for _ in 0..32 {
            record.put("x", "a".repeat(MAX_VALUE_BYTES));
        }
        let bytes: usize = record.fields.iter().map(|(_, value)| value.len()).sum();
        assert!(bytes <= MAX_RECORD_BYTES + 32 * text::ELLIPSIS.len(), "{bytes}");
        assert_eq!(record.fields[31].1, text::ELLIPSIS);
    }
}
