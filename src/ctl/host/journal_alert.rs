//! An entry of the journal as an alert: its text, level, metadata and the key that identifies its repeats.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::selection::SUPPRESSED;
use super::{draft, host};
use crate::alert::{Level, Topic};
use crate::ctl::exit::Failure;
use crate::text::{hex, truncate};

/// Maximum bytes of a field in the metadata.
const MAX_FIELD: usize = 400;

/// The line that publishes an entry. It is the same whenever the entry is read again.
///
/// # Errors
/// [`Failure::Failed`] if the entry cannot be an alert.
pub(crate) fn line(topic: &Topic, entry: &Entry, cursor: &str) -> Result<String, Failure> {
    let message = entry.text("MESSAGE").unwrap_or_default();
    Ok(draft(topic, level(entry), &message, metadata(entry))?.publish_line(&key("", cursor)))
}

/// The line that publishes a warning: the journal no longer has the entry at `cursor`, and `next` is the first that it has.
///
/// # Errors
/// [`Failure::Failed`] if it cannot be an alert.
pub(super) fn gap(topic: &Topic, cursor: &str, next: Option<&Entry>) -> Result<String, Failure> {
    let message = "journal entries may be missing: the journal dropped them before they were published";
    let mut metadata = Map::new();
    metadata.insert("host".to_owned(), host().into());
    if let Some(time) = written(cursor) {
        metadata.insert("after".to_owned(), format!("{time:.3}").into());
    }
    if let Some(time) = next.and_then(Entry::time) {
        metadata.insert("before".to_owned(), time.into());
    }
    Ok(draft(topic, Level::Warn, message, metadata)?.publish_line(&key("gap ", cursor)))
}

fn key(prefix: &str, cursor: &str) -> String {
    format!("journal-{}", hex(&Sha256::digest(format!("{prefix}{cursor}"))))
}

/// When the entry at a cursor was written: `t=` holds microseconds in hexadecimal.
pub(super) fn written(cursor: &str) -> Option<jiff::Timestamp> {
    let micros = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    jiff::Timestamp::from_microsecond(i64::from_str_radix(micros, 16).ok()?).ok()
}

/// Whether alertd wrote the entry or it is about one of alertd's units. An alert about it might cause another entry, and
/// so on without end.
pub(crate) fn is_own(entry: &Entry) -> bool {
    let fields = ["_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT"];
    entry.text("ALERTD_TARGET").is_some()
        || fields.iter().flat_map(|field| entry.values(field)).any(|unit| is_own_unit(&unit))
}

/// Whether it is a unit without which there are no alerts from this machine.
pub(super) fn is_own_unit(unit: &str) -> bool {
    let suffix = unit.strip_prefix("alertd").unwrap_or("another");
    suffix.starts_with(['.', '@'])
        || ["-control", "-publish", "-journal", "-unit-failed"].iter().any(|n| suffix.starts_with(n))
}

fn level(entry: &Entry) -> Level {
    let suppressed = entry.values("MESSAGE_ID").iter().any(|id| id == SUPPRESSED);
    match entry.priority() {
        0..=3 => Level::Error,
        4 => Level::Warn,
        _ if suppressed => Level::Warn,
        _ => Level::Info,
    }
}

fn metadata(entry: &Entry) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), truncate(&value, MAX_FIELD).into());
        }
    };
    put("host", entry.text("_HOSTNAME"));
    put("unit", entry.unit());
    put("identifier", entry.text("SYSLOG_IDENTIFIER").or_else(|| entry.text("_COMM")));
    put("pid", entry.text("_PID"));
    put("time", entry.time());
    put("message_id", entry.text("MESSAGE_ID"));
    put("invocation_id", entry.text("INVOCATION_ID").or_else(|| entry.text("_SYSTEMD_INVOCATION_ID")));
    metadata.insert("priority".to_owned(), entry.priority().into());
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Entry {
        Entry::parse(json).unwrap()
    }

    #[test]
    fn entries_by_alertd_or_about_its_units_are_its_own() {
        for own in [
            r#"{"_SYSTEMD_UNIT":"alertd.service"}"#,
            r#"{"_SYSTEMD_UNIT":"alertd@blue.service"}"#,
            r#"{"_SYSTEMD_UNIT":"init.scope","UNIT":"alertd-control@blue.socket"}"#,
            r#"{"UNIT":"alertd-unit-failed@x.service"}"#,
            r#"{"OBJECT_SYSTEMD_UNIT":"alertd-journal.service"}"#,
            r#"{"ALERTD_TARGET":"alertd::alert","_SYSTEMD_UNIT":"user@0.service"}"#,
            r#"{"UNIT":["a.service","alertd.service"]}"#,
        ] {
            assert!(is_own(&entry(own)), "{own}");
        }
        for other in [r#"{"_SYSTEMD_UNIT":"alertdash.service"}"#, r#"{"_SYSTEMD_UNIT":"a.service"}"#, "{}"] {
            assert!(!is_own(&entry(other)), "{other}");
        }
    }

    #[test]
    fn level_and_metadata_come_from_the_entry() {
        let found = entry(
            r#"{"PRIORITY":"4","_HOSTNAME":"h","UNIT":"a.service","_SYSTEMD_UNIT":"init.scope","_COMM":"systemd","_PID":"1"}"#,
        );
        assert_eq!(level(&found), Level::Warn);
        let metadata = metadata(&found);
        assert_eq!((&metadata["unit"], &metadata["identifier"]), (&"a.service".into(), &"systemd".into()));
        assert_eq!(metadata["priority"], 4);
        let suppressed = format!(r#"{{"PRIORITY":"5","MESSAGE_ID":"{SUPPRESSED}"}}"#);
        assert_eq!(level(&entry(&suppressed)), Level::Warn);
    }

    #[test]
    fn idempotency_key_and_time_come_from_the_cursor() {
        let cursor = "s=0;i=1;b=2;m=3;t=660edcbcbcd00;x=4";
        assert_eq!(key("", cursor), key("", cursor));
        assert_ne!(key("", cursor), key("gap ", cursor));
        assert!(key("", cursor).len() < 255);
        assert!(written(cursor).unwrap().to_string().ends_with('Z'));
        assert_eq!(written("s=0"), None);
    }
}
