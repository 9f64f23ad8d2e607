//! Alerts about the host: failed units, and entries of the journal.
//!
//! | file | owns |
//! |---|---|
//! | [`entry`] | one entry of the journal |
//! | [`reader`] | `journalctl`, run once or followed |
//! | [`mod@unit`] | `alertctl unit-failed` |
//! | [`journal`] | `alertctl journal`: the entries in their order |
//! | [`selection`] | which entries become alerts |
//! | [`journal_alert`] | an entry as an alert |
//! | [`overtaking`] | urgent entries that do not wait for a flood before them |
//! | [`cursor`] | the position in the journal, kept in a file |
//! | [`stopping`] | `alertctl unit-stopping` and `unit-stopped` |
//!
//! The journal is read through `journalctl`, whose output format is stable and which reads every kind of journal file.
//! No key is needed: the publish socket is enough.

pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod journal;
pub(crate) mod journal_alert;
mod overtaking;
pub(crate) mod reader;
mod selection;
pub(crate) mod stopping;
pub(crate) mod unit;

use crate::alert::{Draft, Level, Metadata, Topic};
use crate::ctl::exit::Failure;

/// Maximum bytes of all journal lines in one alert: a body may have 64 KiB, and JSON may encode a byte in six.
const MAX_LINES: usize = 8 << 10;

/// The body of an alert about the host, cut to the allowed length.
fn body(
    topic: &Topic,
    level: Level,
    message: &str,
    metadata: serde_json::Map<String, serde_json::Value>,
) -> Result<String, Failure> {
    draft(topic, level, message, metadata).map(|draft| draft.publish_body())
}

/// An alert about the host, cut to the allowed length.
fn draft(
    topic: &Topic,
    level: Level,
    message: &str,
    metadata: serde_json::Map<String, serde_json::Value>,
) -> Result<Draft, Failure> {
    let message = if message.is_empty() { "(no text)" } else { message };
    let failed = |reason| Failure::Failed(format!("cannot make an alert: {reason}"));
    let metadata = Metadata::from_members(&metadata).map_err(failed)?;
    Draft::cut(topic.clone(), message, level, metadata).map_err(|e| failed(e.to_string()))
}

/// The last lines, oldest first, with at most [`MAX_LINES`] bytes together.
fn last_lines(lines: Vec<String>) -> Vec<String> {
    let mut left = MAX_LINES;
    let mut kept: Vec<String> = lines
        .into_iter()
        .rev()
        .take_while(|line| {
            let fits = line.len() <= left;
            left = left.saturating_sub(line.len());
            fits
        })
        .collect();
    kept.reverse();
    kept
}

/// The host name of this machine.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |n| n.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_in_their_order() {
        let lines: Vec<String> = (0..100).map(|n| format!("{n:0400}")).collect();
        let kept = last_lines(lines.clone());
        assert_eq!(kept.len(), MAX_LINES / 400);
        assert_eq!(kept[..], lines[100 - kept.len()..]);
        assert_eq!(last_lines(vec!["a".into(), "b".into()]), ["a", "b"]);
    }

    #[test]
    fn the_largest_alert_is_valid() {
        let lines = last_lines(vec!["\u{1}".repeat(400); 100]);
        let metadata = serde_json::json!({ "journal": lines }).as_object().unwrap().clone();
        let body = body(&"host.units".parse().unwrap(), Level::Error, &"x".repeat(9000), metadata).unwrap();
        assert!(body.len() < 64 << 10, "{}", body.len());
    }
}
