//! Alerts about the host: failed units, and entries of the journal.
//!
//! | file | owns |
//! |---|---|
//! | [`entry`] | one entry of the journal |
//! | [`reader`] | `journalctl`, run once or followed |
//! | [`manager`] | what the service manager says about units |
//! | [`failure`] | a failure of a unit, and the alert about it |
//! | [`mod@unit`] | `alertctl unit-failed` |
//! | [`failed_units`] | `alertctl journal`: units that fail and come back |
//! | [`known`] | the failed units that are known, kept in a file |
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
mod failed_units;
mod failure;
pub(crate) mod journal;
pub(crate) mod journal_alert;
mod known;
mod manager;
mod overtaking;
pub(crate) mod reader;
mod selection;
pub(crate) mod stopping;
pub(crate) mod unit;

use sha2::{Digest, Sha256};

use crate::alert::{Draft, IncidentName, Level, Metadata, Topic};
use crate::ctl::exit::Failure;
use crate::text::{hex, prefix};

/// The note on an incident that is resolved without an alert.
const BACK: &str = "the unit is not failed any more";
/// Maximum bytes of all journal lines in one alert: a body may have 64 KiB, and JSON may encode a byte in six.
const MAX_LINES: usize = 8 << 10;

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

/// The incident of a failed unit: `HOST/UNIT`. A name that is too long ends in a hash of the whole, because the beginnings of
/// two such names may be the same.
fn incident_name(host: &str, unit: &str) -> Option<IncidentName> {
    let whole = format!("{host}/{unit}");
    let short = if whole.chars().count() <= IncidentName::MAX {
        whole
    } else {
        let hash = hex(&Sha256::digest(&whole)[..8]);
        format!("{}~{hash}", prefix(&whole, IncidentName::MAX - 1 - hash.len()))
    };
    IncidentName::nearest(&short)
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
        let draft = draft(&"host.units".parse().unwrap(), Level::Error, &"x".repeat(9000), metadata).unwrap();
        let body = draft.publish_body();
        assert!(body.len() < 64 << 10, "{}", body.len());
    }

    #[test]
    fn a_failed_unit_has_an_incident_of_its_own_however_long_its_name() {
        assert_eq!(incident_name("h", "a.service").unwrap().as_str(), "h/a.service");
        let long = |end: &str| incident_name("h", &format!("{}{end}", "x".repeat(200))).unwrap();
        assert_eq!(long("1.service"), long("1.service"));
        assert_ne!(long("1.service"), long("2.service"));
        assert_eq!(long("1.service").as_str().len(), IncidentName::MAX);
    }
}
