//! One batch as bytes: alerts, removals by limits of topics, and the mark that ends it.

use std::collections::HashMap;

use super::appender::{Appender, Tail};
use super::catalog::Catalog;
use super::codec::{Writer, alert_prefix};
use super::frame::{Draft, KEYED, Kind, Mark};
use super::retain::Plan;
use super::stage::Staged;
use crate::alert::{Id, Topic};

/// A record with an id, to be written.
pub(super) enum Entry<'a> {
    Alert(&'a Staged),
    /// An id whose alert is gone.
    Retired(Id),
}

impl Entry<'_> {
    pub(super) const fn id(&self) -> Id {
        match self {
            Self::Alert(staged) => staged.record.id,
            Self::Retired(id) => *id,
        }
    }
}

/// Where a record was written, and its size.
pub(super) type Written = Vec<(u64, usize)>;

/// For each alert the id of the previous alert of its topic.
fn topic_befores(catalog: &Catalog, entries: &[Entry<'_>]) -> Vec<Id> {
    let mut lasts: HashMap<&Topic, Id> = HashMap::new();
    let mut befores = Vec::with_capacity(entries.len());
    for entry in entries {
        befores.push(match *entry {
            Entry::Alert(Staged { record, .. }) => {
                let known = lasts.insert(&record.topic, record.id);
                known.or_else(|| last_of(catalog, &record.topic)).unwrap_or_default()
            }
            Entry::Retired(_) => Id::ZERO,
        });
    }
    befores
}

/// Appends the records of a batch and its mark to `out`. Returns where each entry will be.
pub(super) fn encode(
    entries: &[Entry<'_>],
    plan: &Plan,
    appender: &Appender,
    tail: &Tail,
    out: &mut Vec<u8>,
) -> Written {
    let (mut last, befores) = {
        let catalog = appender.catalog.read();
        (catalog.head, topic_befores(&catalog, entries))
    };
    let (trim, clock_ms, reserved_ms) = appender.mark_values();
    let (base, salt) = (tail.end, tail.segment.header.salt);
    let (mut crc, mut written) = (0, Vec::with_capacity(entries.len()));
    let mut put = |draft: &Draft<'_>, out: &mut Vec<u8>| {
        let start = out.len();
        crc = crc32c::crc32c_append(crc, &draft.encode(out, base, salt).to_le_bytes());
        (base + start as u64, out.len() - start)
    };
    for (entry, topic_before) in entries.iter().zip(befores) {
        let (id, before, topic_before) = (entry.id(), last, topic_before);
        written.push(match entry {
            Entry::Retired(_) => {
                put(&Draft { kind: Kind::Retired, flags: 0, user: "", id, before, topic_before, content: &[] }, out)
            }
            Entry::Alert(Staged { record, user, key }) => {
                let (flags, prefix) = (if key.is_some() { KEYED } else { 0 }, alert_prefix(record, key.as_ref()));
                let content: &[&[u8]] = &[&prefix, &record.json];
                put(&Draft { kind: Kind::Alert, flags, user, id, before, topic_before, content }, out)
            }
        });
        last = id;
    }
    for removed in plan.topics.values() {
        let mut topic = Writer::default();
        topic.topic(&removed.topic);
        let (id, content) = (removed.trim, &[&topic.0[..]][..]);
        let kind = Kind::TopicTrim;
        put(&Draft { kind, flags: 0, user: "", id, before: last, topic_before: Id::ZERO, content }, out);
    }
    let trim = plan.trim.map_or(trim, |(planned, _)| planned.max(trim));
    let synced = (tail.number().into(), tail.synced);
    let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
    Mark { last, trim, synced, bytes, crc, clock_ms, reserved_ms, is_seal: false }.encode(out, base, salt);
    written
}

/// The id of the newest alert of a topic.
fn last_of(catalog: &Catalog, topic: &Topic) -> Option<Id> {
    let row = catalog.topics.named(topic.as_str())?;
    row.last.or_else(|| {
        let newest = row.newest.iter().copied().max().flatten()?;
        catalog.segment(newest.segment)?.id(newest.ordinal)
    })
}
