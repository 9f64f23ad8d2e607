//! Answers and announcements of the scripts, decoded.
//!
//! Unknown further fields are ignored; a record of an unknown kind is refused by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use serde::de::IgnoredAny;

use super::link::Link;
use crate::alert::{Id, Level, Record, RecordKind, Retraction, Topic};
use crate::api::NodeStatus;
use crate::engine::{Known, Page};

pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    text(bytes)?.parse().ok()
}

pub(super) fn id(bytes: &[u8]) -> Option<Id> {
    text(bytes)?.parse().ok()
}

pub(super) fn optional_id(bytes: &[u8]) -> Option<Option<Id>> {
    if bytes.is_empty() { Some(None) } else { id(bytes).map(Some) }
}

/// Why an answer cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It does not have the form that the scripts write.
    Malformed,
    /// A newer version wrote a record that is not an alert.
    UnknownKind { id: String, kind: String },
}

/// The kind of entries that are transitions.
pub(super) const TRANSITION: &[u8] = b"transition";

/// The kind of entries that are retractions.
pub(super) const RETRACTION: &[u8] = b"retraction";

/// Id, time, level, topic and JSON. A record that is not an alert has `?` and its kind instead of the level.
pub(super) fn record([id, ms, level, topic, json]: [&[u8]; 5]) -> Result<Record, Unreadable> {
    let read = match level.strip_prefix(b"?") {
        None => {
            number(level).and_then(|level| Level::from_u8(u8::try_from(level).ok()?)).map(|l| (RecordKind::Alert, l))
        }
        Some(TRANSITION) => Some((RecordKind::Transition, Level::Error)),
        Some(RETRACTION) => Retraction::alert_of(json).map(|alert| (RecordKind::Retraction(alert), Level::Error)),
        Some(kind) => {
            let [id, kind] = [id, kind].map(|text| String::from_utf8_lossy(text).into_owned());
            return Err(Unreadable::UnknownKind { id, kind });
        }
    };
    read.and_then(|read| parts([id, ms, topic, json], read)).ok_or(Unreadable::Malformed)
}

fn parts([at, ms, topic, json]: [&[u8]; 4], (kind, level): (RecordKind, Level)) -> Option<Record> {
    serde_json::from_slice::<IgnoredAny>(json).ok()?;
    Some(Record {
        id: id(at)?,
        kind,
        topic: text(topic)?.parse().ok()?,
        level,
        received_ms: number(ms)?,
        json: Bytes::copy_from_slice(json),
    })
}

/// The records of an answer, and the ids of those that cannot be decoded.
fn records(fields: &[Vec<u8>]) -> Result<(Vec<Record>, Vec<Id>), Unreadable> {
    let (rows, rest) = fields.as_chunks::<5>();
    if !rest.is_empty() {
        return Err(Unreadable::Malformed);
    }
    let (mut records, mut damaged) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match record(row.each_ref().map(Vec::as_slice)) {
            Ok(record) => records.push(record),
            Err(Unreadable::Malformed) => damaged.push(id(&row[0]).ok_or(Unreadable::Malformed)?),
            Err(unknown) => return Err(unknown),
        }
    }
    Ok((records, damaged))
}

/// The answer of `seek.lua`.
pub(super) fn known(answer: &[Vec<u8>]) -> Result<Known, Unreadable> {
    let [head, trimmed, oldest, known] = answer else { return Err(Unreadable::Malformed) };
    let known = || {
        let has_cursor = known == b"1";
        Some(Known { head: id(head)?, trimmed: id(trimmed)?, oldest: optional_id(oldest)?, has_cursor })
    };
    known().ok_or(Unreadable::Malformed)
}

/// Entries of the log or of an index: the id, then names and values in turn.
pub(super) type Entries = Vec<(String, Vec<Vec<u8>>)>;

/// An entry of the log, which has at least the fields ms, level, topic and alert in this order.
pub(super) fn entry(id: &str, fields: &[Vec<u8>]) -> Result<Record, Unreadable> {
    let (named, _) = fields.as_chunks::<2>();
    let [[_, ms], [_, level], [_, topic], [_, alert], others @ ..] = named else { return Err(Unreadable::Malformed) };
    let kind = others.iter().find(|[name, kind]| name == b"kind" && kind != b"alert");
    let level = kind.map_or_else(|| level.clone(), |[_, kind]| [b"?", kind.as_slice()].concat());
    record([id.as_bytes(), ms, &level, topic, alert])
}

/// The id of an entry of a topic's index, if it is an alert and has at least this level.
pub(super) fn at_level(at: &str, fields: &[Vec<u8>], level: Level) -> Option<Id> {
    if fields.len() > 2 {
        return None;
    }
    let own = number(fields.get(1)?)?;
    if own >= u64::from(level as u8) { at.parse().ok() } else { None }
}

/// The newest id of at least this level, from the row of a topic.
pub(super) fn newest_of(row: &str, level: Level) -> Option<Id> {
    let of_levels = row.split(' ').skip(1).take(3).skip(level as usize);
    of_levels.map(|id| id.parse().ok()).collect::<Option<Vec<Id>>>()?.into_iter().max()
}

/// The answer of `read.lua`.
pub(super) struct ReadAnswer {
    /// The newest visible id.
    pub(super) visible: Id,
    pub(super) page: Page,
    /// Entries of the page that cannot be decoded.
    pub(super) damaged: Vec<Id>,
}

pub(super) fn page(answer: &[Vec<u8>]) -> Result<ReadAnswer, Unreadable> {
    let [visible, next, trimmed, oldest, alerts @ ..] = answer else { return Err(Unreadable::Malformed) };
    let ids = || Some((id(visible)?, optional_id(next)?, id(trimmed)?, optional_id(oldest)?));
    let (visible, next, trimmed, oldest) = ids().ok_or(Unreadable::Malformed)?;
    let (records, damaged) = records(alerts)?;
    let newest = damaged.iter().copied().max();
    let page = Page { records, next, trimmed: trimmed.max(newest.unwrap_or_default()), damaged: newest, oldest };
    Ok(ReadAnswer { visible, page, damaged })
}

/// The answer of `topics.lua`.
pub(super) fn topics(answer: &[Vec<u8>]) -> Result<Vec<Topic>, Unreadable> {
    let topics: Option<_> = answer.iter().map(|name| text(name)?.parse().ok()).collect();
    topics.ok_or(Unreadable::Malformed)
}

/// A message on the channel of announcements.
#[derive(Debug)]
pub(super) enum Announcement {
    /// The probe that a node sent through Redis to itself.
    Probe { node: String, probe: u64 },
    /// New alerts, and the id that was the newest one before them.
    Alerts { epoch: String, before: Id, records: Vec<Record> },
    /// Anything else, such as that the keys were changed.
    Unreadable,
}

impl Announcement {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        if let Some(probe) = payload.strip_prefix(b"!") {
            let (node, probe) = text(probe)?.rsplit_once(' ')?;
            return Some(Self::Probe { node: node.to_owned(), probe: probe.parse().ok()? });
        }
        let mut lines = payload.split(|byte| *byte == b'\n');
        let (epoch, before) = text(lines.next()?)?.split_once(' ')?;
        let records = lines.map(|line| {
            let mut fields = line.splitn(5, |byte| *byte == b' ');
            let mut next = || fields.next();
            record([next()?, next()?, next()?, next()?, next()?]).ok()
        });
        Some(Self::Alerts {
            epoch: epoch.to_owned(),
            before: before.parse().ok()?,
            records: records.collect::<Option<_>>()?,
        })
    }
}

/// Sizes of the log, and the nodes that share it.
#[derive(Default)]
pub(super) struct Sizes {
    pub(super) alerts: u64,
    pub(super) bytes: u64,
    pub(super) topics: u64,
    pub(super) oldest: Option<Id>,
    /// Bytes of memory of the whole server.
    pub(super) memory: u64,
    pub(super) nodes: Vec<NodeStatus>,
}

impl Sizes {
    pub(super) async fn ask(link: &Link, connection: &mut MultiplexedConnection) -> Result<Self, RedisError> {
        let mut ask = redis::pipe();
        ask.cmd("XLEN").arg(link.key("log"));
        ask.cmd("HGET").arg(link.key("state")).arg("bytes");
        ask.cmd("ZCARD").arg(link.key("topics"));
        ask.cmd("XRANGE").arg(link.key("log")).arg("-").arg("+").arg("COUNT").arg(1);
        ask.cmd("INFO").arg("memory");
        ask.cmd("HGETALL").arg(link.key("nodes"));
        ask.cmd("TIME");
        type Counts = (u64, Option<i64>, u64, Entries, String, BTreeMap<String, String>, (u64, u64));
        let (alerts, bytes, topics, oldest, memory, nodes, (seconds, micros)): Counts =
            ask.query_async(connection).await?;
        let now = seconds * 1000 + micros / 1000;
        Ok(Self {
            alerts,
            bytes: u64::try_from(bytes.unwrap_or(0)).unwrap_or(0),
            topics,
            oldest: oldest.first().and_then(|(id, _)| id.parse().ok()),
            memory: info(&memory, "used_memory").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
            nodes: nodes.into_iter().filter_map(|(name, entry)| node(name, &entry, now)).collect(),
        })
    }
}

/// A node from its last entry: time, lag, open streams, version, and fields of newer versions.
fn node(name: String, entry: &str, now_ms: u64) -> Option<NodeStatus> {
    let mut fields = entry.split(' ');
    let mut next = || fields.next();
    Some(NodeStatus {
        name,
        silent_ms: now_ms.saturating_sub(next()?.parse().ok()?),
        lag_ms: next()?.parse().ok()?,
        streams: next()?.parse().ok()?,
        version: next()?.to_owned(),
    })
}

/// A line of `INFO`.
pub(super) fn info<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_unknown_kind_is_refused_by_name() {
        let alert = ["1-0", "1", "1", "ops", "{}"].map(Vec::from);
        let other = ["2-0", "2", "?other", "ops", "{}"].map(Vec::from);
        let transition = ["3-0", "3", "?transition", "ops", "{}"].map(Vec::from);
        let read = records(&[alert.clone(), transition].concat()).unwrap().0;
        let kinds: Vec<_> = read.iter().map(|record| (record.kind, record.level)).collect();
        assert_eq!(kinds, [(RecordKind::Alert, Level::Warn), (RecordKind::Transition, Level::Error)]);
        let refused = records(&[alert, other].concat()).unwrap_err();
        assert_eq!(refused, Unreadable::UnknownKind { id: "2-0".into(), kind: "other".into() });
        assert_eq!(records(&["1-0"].map(Vec::from)).unwrap_err(), Unreadable::Malformed);
    }

    #[test]
    fn a_record_that_cannot_be_decoded_is_left_out_and_reported_by_its_id() {
        let rows = [
            ["1-0", "1", "1", "ops", "{}"],
            ["2-0", "2", "9", "ops", "{}"],
            ["3-0", "3", "1", "a b", "{}"],
            ["4-0", "4", "1", "ops", "{\"message\":"],
            ["5-0", "", "", "", ""],
            ["6-0", "6", "1", "ops", "{}"],
        ];
        let head = ["9-0", "", "0-0", "1-0"];
        let answer: Vec<_> = head.iter().chain(rows.iter().flatten()).map(|text| text.as_bytes().to_vec()).collect();
        let ReadAnswer { page: read, damaged, .. } = page(&answer).ok().unwrap();
        assert_eq!(read.records.iter().map(|record| record.id.ms).collect::<Vec<_>>(), [1, 6]);
        assert_eq!(damaged, [2, 3, 4, 5].map(Id::at));
        assert_eq!((read.damaged, read.trimmed), (Some(Id::at(5)), Id::at(5)));
        // Without an id it is not known what is missing.
        assert!(page(&["9-0", "", "0-0", "1-0", "x", "", "", "", ""].map(Vec::from)).is_err());
    }

    #[test]
    fn entries_and_rows_are_read_and_further_fields_are_passed_over() {
        let fields = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let alert = ["ms", "7", "level", "2", "topic", "ops", "alert", "{}"];
        let read = entry("9-1", &fields(&[&alert[..], &["by", "x", "kind", "alert"]].concat())).unwrap();
        assert_eq!((read.id.to_string().as_str(), read.received_ms, read.level), ("9-1", 7, Level::Error));
        let transition = entry("9-1", &fields(&[&alert[..], &["kind", "transition"]].concat())).unwrap();
        assert_eq!((transition.kind, transition.level), (RecordKind::Transition, Level::Error));
        let retraction = ["ms", "7", "level", "2", "topic", "ops", "alert", r#"{"alert":"8-0"}"#, "kind", "retraction"];
        let retraction = entry("9-1", &fields(&[&retraction[..], &["of", "8-0"]].concat())).unwrap();
        assert_eq!((retraction.kind, retraction.level), (RecordKind::Retraction(Id::at(8)), Level::Error));
        let other = entry("9-1", &fields(&[&alert[..], &["kind", "other"]].concat())).unwrap_err();
        assert_eq!(other, Unreadable::UnknownKind { id: "9-1".into(), kind: "other".into() });
        assert_eq!(entry("9-1", &fields(&alert[..6])).unwrap_err(), Unreadable::Malformed);
        let newest = |level| newest_of("9-0 5-0 7-0 6-0 more", level);
        assert_eq!([Level::Info, Level::Warn, Level::Error].map(newest), [7, 7, 6].map(|ms| Some(Id::at(ms))));
        assert_eq!(newest_of("9-0 x 7-0 6-0", Level::Info), None);
        assert_eq!(at_level("5-0", &fields(&["l", "1"]), Level::Warn), Some(Id::at(5)));
        assert_eq!(at_level("5-0", &fields(&["l", "1"]), Level::Error), None);
        assert_eq!(at_level("5-0", &fields(&["l", "2", "kind", "transition"]), Level::Info), None);
    }

    #[test]
    fn announcements_read_as_they_are_written() {
        let payload = b"e1 5-0\n6-0 6 1 ops.db {\"message\":\"a b\"}\n7-0 7 0 ops {}";
        let Some(Announcement::Alerts { epoch, before, records }) = Announcement::parse(payload) else {
            panic!("no alerts")
        };
        assert_eq!((epoch.as_str(), before, records.len()), ("e1", Id::at(5), 2));
        assert_eq!((records[0].level, &records[0].json[..]), (Level::Warn, &b"{\"message\":\"a b\"}"[..]));
        assert!(
            matches!(Announcement::parse(b"!a node 7"), Some(Announcement::Probe { node, probe: 7 }) if node == "a node")
        );
        for bad in [&b""[..], b"e1", b"e1 x", b"e1 5-0\n6-0 6", b"e1 5-0\n6-0 6 9 t {}", b"!7"] {
            assert!(Announcement::parse(bad).is_none());
        }
    }
}
