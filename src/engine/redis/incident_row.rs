//! The rows of incidents as Redis keeps them; `lua/incident.lua` describes the format.
//!
//! Used by whoever reads or changes rows. The ids of the records that made a row are before its JSON, because the script
//! that stores a record gives it its id.

use super::codec;
use crate::alert::{Id, Level};
use crate::engine::publish::owner;
use crate::incident::{Key, Row, Settings, State};
use crate::text::hex;

/// The field of an incident. A topic has no space.
pub(super) fn field(key: &Key) -> String {
    format!("{} {}", key.topic, key.name)
}

/// The incident of a field; none if alertd did not write it.
pub(super) fn key(field: &[u8]) -> Option<Key> {
    let (topic, name) = std::str::from_utf8(field).ok()?.split_once(' ')?;
    Some(Key { topic: topic.parse().ok()?, name: name.parse().ok()? })
}

/// A row; none if it cannot be decoded.
pub(super) fn read(stored: &[u8]) -> Option<Row> {
    let mut parts = std::str::from_utf8(stored).ok()?.splitn(6, ' ');
    let (changed, alert) = (parts.next()?, parts.next()?);
    let row: Row = serde_json::from_str(parts.nth(3)?).ok()?;
    let alert = if alert == "-" { None } else { Some(alert.parse().ok()?) };
    Some(with_ids(row, changed.parse().ok()?, alert))
}

/// When something is due, as it was stored.
pub(super) fn due_ms(stored: &[u8]) -> Option<u64> {
    stored.split(|byte| *byte == b' ').nth(4).and_then(codec::number)
}

/// The row after a change whose record got its id.
pub(super) fn with_ids(mut row: Row, changed: Id, alert: Option<Id>) -> Row {
    row.changed = Some(changed);
    if let Some(last) = &mut row.last {
        last.id = alert;
    }
    row
}

/// A row as it is stored, after its ids and a space.
pub(super) fn rest(row: &Row, settings: &Settings) -> Vec<u8> {
    let mut row = row.clone();
    row.changed = None;
    if let Some(last) = &mut row.last {
        last.id = None;
    }
    let due = row.due_ms(settings).map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let mut stored = format!("{} {} {due} ", hex(&owner(row.user.as_bytes())), kind(row.state, row.level)).into_bytes();
    stored.extend(serde_json::to_vec(&row).unwrap_or_default()); // texts and numbers into a Vec cannot fail
    stored
}

/// State and level, as the rows and their counts name them.
pub(super) fn kind(state: State, level: Level) -> String {
    format!("{state}:{level}")
}

/// The texts of both ids, and the rest.
pub(super) fn whole(changed: &[u8], alert: &[u8], rest: &[u8]) -> Vec<u8> {
    [changed, b" ", alert, b" ", rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Draft;
    use crate::incident::report::{Reported, Room, report};

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let draft = Draft::from_json(None, br#"{"message":"a b","level":"warn","incident":"x y","ttl":"5s"}"#).unwrap();
        let settings = Settings::default();
        let reported = report(None, &draft, draft.incident().unwrap(), "alice", 100, &settings, || Room::Some);
        let Reported::Stored(mut row, _) = reported else { panic!("{reported:?}") };
        row.recorded(Id::at(100), true);
        let stored = whole(b"100-0", b"100-0", &rest(&row, &settings));
        assert!(stored.starts_with(b"100-0 100-0 2bd806c97f0e00af open:warn 5100 {\"occurrence\":1"), "{stored:?}");
        assert_eq!((read(&stored), due_ms(&stored)), (Some((*row).clone()), Some(5100)));
        let mut retracted = *row;
        retracted.last = None;
        retracted.ends_ms = None;
        let stored_again = whole(b"100-0", b"-", &rest(&retracted, &settings));
        assert_eq!((read(&stored_again), due_ms(&stored_again)), (Some(retracted), None));
        for damaged in [&stored[..50], b"", b"100-0 - a 1 - {}"] {
            assert_eq!(read(damaged), None);
        }
        let key = Key { topic: "default".parse().unwrap(), name: "x y".parse().unwrap() };
        assert_eq!((field(&key).as_str(), super::key(b"default x y")), ("default x y", Some(key)));
        assert_eq!(super::key(b"default"), None);
    }
}
