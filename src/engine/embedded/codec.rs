//! Values inside records and small files: an alert's content, an idempotency key, numbers and texts, little-endian.

use bytes::Bytes;

use super::frame::{Head, KEYED, Kind, STATED};
use crate::alert::{Id, Level, Record, RecordKind, Retraction, Topic};
use crate::incident::{Key, Row};

/// A stored value cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is damaged")]
pub(super) struct Damaged;

/// Takes pieces off the front of a value.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (piece, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(piece)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.bytes(N)?.try_into().map_err(|_| Damaged)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn id(&mut self) -> Result<Id, Damaged> {
        Ok(Id::from_u128(u128::from_le_bytes(self.array()?)))
    }

    /// A piece whose length comes before it.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }

    pub(super) fn topic(&mut self) -> Result<Topic, Damaged> {
        let length = self.u8()?;
        let text = std::str::from_utf8(self.bytes(length.into())?).map_err(|_| Damaged)?;
        text.parse().map_err(|_| Damaged)
    }
}

/// Appends what [`Reader`] takes.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn id(&mut self, id: Id) {
        self.bytes(&id.to_u128().to_le_bytes());
    }

    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.bytes(bytes);
    }

    /// A topic has at most 128 characters, all ASCII.
    pub(super) fn topic(&mut self, topic: &Topic) {
        self.u8(u8::try_from(topic.as_str().len()).unwrap_or(u8::MAX));
        self.bytes(topic.as_str().as_bytes());
    }
}

/// Small unsigned numbers in as few bytes as they need, seven bits in each.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// An idempotency key with its alert: the hash of user and key, and the fingerprint of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) hash: [u8; 32],
    pub(super) fingerprint: [u8; 32],
    /// Whether the fingerprint is that of a state.
    pub(super) is_state: bool,
}

impl Keyed {
    /// What a record with this key is flagged with.
    pub(super) const fn flags(&self) -> u8 {
        if self.is_state { KEYED | STATED } else { KEYED }
    }
}

/// The part of the content of an alert or a transition before the JSON.
pub(super) fn alert_prefix(record: &Record, key: Option<&Keyed>) -> Vec<u8> {
    let mut prefix = Writer(Vec::with_capacity(96 + record.topic.as_str().len()));
    prefix.u8(record.level as u8);
    prefix.u64(record.received_ms);
    prefix.topic(&record.topic);
    if let Some(key) = key {
        prefix.bytes(&key.hash);
        prefix.bytes(&key.fingerprint);
    }
    prefix.0
}

/// The content of the record of an alert or a transition, read without a copy.
pub(super) struct StoredAlert<'a> {
    pub(super) level: Level,
    pub(super) received_ms: u64,
    pub(super) topic: &'a str,
    pub(super) key: Option<Keyed>,
    pub(super) json: &'a [u8],
}

impl<'a> StoredAlert<'a> {
    pub(super) fn read(content: &'a [u8], flags: u8) -> Result<Self, Damaged> {
        let mut reader = Reader(content);
        let level = Level::from_u8(reader.u8()?).ok_or(Damaged)?;
        let received_ms = reader.u64()?;
        let length = reader.u8()?;
        let topic = std::str::from_utf8(reader.bytes(length.into())?).map_err(|_| Damaged)?;
        let key = || {
            let (hash, fingerprint) = (reader.array()?, reader.array()?);
            Ok::<_, Damaged>(Keyed { hash, fingerprint, is_state: flags & STATED != 0 })
        };
        let key = (flags & KEYED != 0).then(key).transpose()?;
        Ok(Self { level, received_ms, topic, key, json: reader.0 })
    }

    /// The record with this head.
    pub(super) fn of(&self, head: &Head) -> Result<Record, Damaged> {
        let kind = match head.kind {
            Kind::Transition => RecordKind::Transition,
            Kind::Retraction => RecordKind::Retraction(Retraction::alert_of(self.json).ok_or(Damaged)?),
            _ => RecordKind::Alert,
        };
        self.record(head.id, kind)
    }

    pub(super) fn record(&self, id: Id, kind: RecordKind) -> Result<Record, Damaged> {
        let topic: Topic = self.topic.parse().map_err(|_| Damaged)?;
        let json = Bytes::copy_from_slice(self.json);
        Ok(Record { id, kind, topic, level: self.level, received_ms: self.received_ms, json })
    }
}

/// Appends an incident; none if it is removed.
pub(super) fn put_incident(out: &mut Writer, key: &Key, row: Option<&Row>) {
    out.topic(&key.topic);
    out.sized(key.name.as_str().as_bytes());
    out.u8(row.is_some().into());
    // Texts and numbers in memory cannot fail.
    out.sized(&row.map_or_else(Vec::new, |row| serde_json::to_vec(row).unwrap_or_default()));
}

/// Takes what [`put_incident`] appended.
pub(super) fn take_incident(reader: &mut Reader<'_>) -> Result<(Key, Option<Row>), Damaged> {
    let topic = reader.topic()?;
    let name = std::str::from_utf8(reader.sized()?).map_err(|_| Damaged)?.parse().map_err(|_| Damaged)?;
    let (has_row, json) = (reader.u8()? != 0, reader.sized()?);
    let row = has_row.then(|| serde_json::from_slice(json)).transpose().map_err(|_| Damaged)?;
    Ok((Key { topic, name }, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Metadata};

    #[test]
    fn an_alert_reads_back_with_and_without_a_key() {
        let draft = Draft::new("ops.db".parse().unwrap(), "m".into(), Level::Warn, Metadata::default()).unwrap();
        let record = draft.record(Id { ms: 7, seq: 3 }, 99);
        let key = Keyed { hash: [1; 32], fingerprint: [2; 32], is_state: false };
        for key in [None, Some(key), Some(Keyed { is_state: true, ..key })] {
            let flags = key.map_or(0, |key| key.flags());
            let content = [&alert_prefix(&record, key.as_ref())[..], &record.json].concat();
            let stored = StoredAlert::read(&content, flags).unwrap();
            assert_eq!((stored.record(record.id, record.kind).unwrap(), stored.key), (record.clone(), key));
            for cut in 0..16 {
                assert!(StoredAlert::read(&content[..cut], flags).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn numbers_of_any_size_read_back() {
        let mut bytes = Vec::new();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        numbers.iter().for_each(|number| put_varint(&mut bytes, *number));
        let mut rest = &bytes[..];
        assert!(numbers.iter().all(|number| varint(&mut rest) == Some(*number)));
        assert_eq!(varint(&mut rest), None);
        assert_eq!(varint(&mut &[0x80; 20][..]), None);
    }
}
