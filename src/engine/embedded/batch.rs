//! One batch as bytes: alerts and transitions, incidents, removals by limits of topics, and the mark that ends it.

use std::collections::BTreeMap;

use super::appender::{Appender, Tail};
use super::catalog::Catalog;
use super::codec::{Writer, alert_prefix, put_incident};
use super::frame::{Draft, Kind, Mark, STATED, Salt};
use super::notes::{CountedKey, Notes};
use super::retain::Plan;
use super::stage::Staged;
use crate::alert::{Id, RecordKind, Topic};

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

/// For each alert or transition the id of the previous one of its topic.
fn topic_befores(catalog: &Catalog, entries: &[Entry<'_>]) -> Vec<Id> {
    let mut lasts: BTreeMap<&Topic, Id> = BTreeMap::new();
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

/// Appends records to a batch.
struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    /// Where `out` will be written.
    base: u64,
    salt: Salt,
    /// Over the checksums of the heads.
    crc: u32,
}

impl Encoder<'_> {
    fn put(&mut self, draft: &Draft<'_>) -> (u64, usize) {
        let start = self.out.len();
        let crc = draft.encode(self.out, self.base, self.salt);
        self.crc = crc32c::crc32c_append(self.crc, &crc.to_le_bytes());
        (self.base + start as u64, self.out.len() - start)
    }

    /// Appends a record without an id of its own, after the record with the id `before`.
    fn note(&mut self, kind: Kind, id: Id, before: Id, content: &[&[u8]]) {
        self.put(&Draft { kind, flags: 0, user: "", id, before, topic_before: Id::ZERO, content });
    }

    fn notes(&mut self, notes: &Notes, before: Id) {
        for CountedKey { key, user, id, received_ms } in &notes.keys {
            let received = received_ms.to_le_bytes();
            let content: &[&[u8]] = &[&key.hash, &key.fingerprint, &received];
            let (flags, id) = (key.flags() & STATED, *id);
            self.put(&Draft { kind: Kind::Key, flags, user, id, before, topic_before: Id::ZERO, content });
        }
        for (key, row) in &notes.incidents {
            let mut incident = Writer::default();
            put_incident(&mut incident, key, row.as_ref());
            let of_text = row.as_ref().and_then(|row| row.last.as_ref()?.id);
            self.note(Kind::Incident, of_text.unwrap_or_default(), before, &[&incident.0]);
        }
        for erasure in &notes.erasures {
            self.note(Kind::Erase, erasure.id, before, &[&erasure.encode()]);
        }
    }
}

/// Appends the records of a batch and its mark to `out`. Returns where each entry will be.
pub(super) fn encode(
    entries: &[Entry<'_>],
    notes: &Notes,
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
    let (mut batch, mut written) = (Encoder { out, base, salt, crc: 0 }, Vec::with_capacity(entries.len()));
    for (entry, topic_before) in entries.iter().zip(befores) {
        let (id, before) = (entry.id(), last);
        written.push(match entry {
            Entry::Retired(_) => {
                batch.put(&Draft { kind: Kind::Retired, flags: 0, user: "", id, before, topic_before, content: &[] })
            }
            Entry::Alert(Staged { record, user, key }) => {
                let (flags, prefix) = (key.map_or(0, |key| key.flags()), alert_prefix(record, key.as_ref()));
                let content: &[&[u8]] = &[&prefix, &record.json];
                let kind = match record.kind {
                    RecordKind::Alert => Kind::Alert,
                    RecordKind::Transition => Kind::Transition,
                    RecordKind::Retraction(_) => Kind::Retraction,
                };
                batch.put(&Draft { kind, flags, user, id, before, topic_before, content })
            }
        });
        last = id;
    }
    batch.notes(notes, last);
    for removed in plan.topics.values() {
        let mut topic = Writer::default();
        topic.topic(&removed.topic);
        batch.note(Kind::TopicTrim, removed.trim, last, &[&topic.0]);
    }
    let Encoder { out, crc, .. } = batch;
    let trim = plan.trim.map_or(trim, |(planned, _)| planned.max(trim));
    let synced = (tail.number().into(), tail.synced);
    let bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
    Mark { last, trim, synced, bytes, crc, clock_ms, reserved_ms, is_seal: false }.encode(out, base, salt);
    written
}

/// The id of the newest alert or transition of a topic, as far as it is known.
fn last_of(catalog: &Catalog, topic: &Topic) -> Option<Id> {
    let row = catalog.topics.named(topic.as_str())?;
    row.last.or_else(|| {
        let newest = row.newest.iter().copied().max().flatten()?;
        catalog.segment(newest.segment)?.id(newest.ordinal)
    })
}
