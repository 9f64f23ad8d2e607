//! The stored forms: a record, a topic's row, the log's state. Little-endian, versioned by the store's format number.

use bytes::Bytes;

use crate::alert::{Id, Level, Record, Topic};

/// A stored value that does not read as what it should be: the store is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored value is damaged")]
pub(super) struct Damaged;

/// Takes fixed-size pieces off the front of a value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (piece, rest) = self.0.split_at_checked(length).ok_or(Damaged)?;
        self.0 = rest;
        Ok(piece)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.bytes(N)?.try_into().map_err(|_| Damaged)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn id(&mut self) -> Result<Id, Damaged> {
        Ok(Id::from_u128(u128::from_le_bytes(self.array()?)))
    }
}

/// Level, time, topic, then the line of JSON: what a filter needs is read without parsing.
pub(super) fn encode_record(record: &Record) -> Vec<u8> {
    let topic = record.topic.as_str().as_bytes();
    let mut value = Vec::with_capacity(10 + topic.len() + record.json.len());
    value.push(record.level as u8);
    value.extend_from_slice(&record.received_ms.to_le_bytes());
    // A topic has at most 128 characters, all ASCII.
    value.push(u8::try_from(topic.len()).unwrap_or(u8::MAX));
    value.extend_from_slice(topic);
    value.extend_from_slice(&record.json);
    value
}

/// The level, time and topic of a stored record.
pub(super) fn decode_head(value: &[u8]) -> Result<(Level, u64, &str, &[u8]), Damaged> {
    let mut reader = Reader(value);
    let [level] = reader.array()?;
    let level = Level::from_u8(level).ok_or(Damaged)?;
    let received_ms = reader.u64()?;
    let [length] = reader.array()?;
    let topic = std::str::from_utf8(reader.bytes(length.into())?).map_err(|_| Damaged)?;
    Ok((level, received_ms, topic, reader.0))
}

pub(super) fn decode_record(id: Id, value: &[u8]) -> Result<Record, Damaged> {
    let (level, received_ms, topic, json) = decode_head(value)?;
    let topic: Topic = topic.parse().map_err(|_| Damaged)?;
    Ok(Record { id, topic, level, received_ms, json: Bytes::copy_from_slice(json) })
}

/// A topic that has alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicRow {
    /// Stands for the topic in the index; never given twice.
    pub(super) number: u64,
    pub(super) count: u64,
    /// The newest id of each level; it may have been removed since.
    pub(super) newest: [Id; 3],
    /// The newest id that `topic_count` removed.
    pub(super) trim: Id,
}

impl TopicRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(80);
        value.extend_from_slice(&self.number.to_le_bytes());
        value.extend_from_slice(&self.count.to_le_bytes());
        for id in self.newest.iter().chain([&self.trim]) {
            value.extend_from_slice(&id.to_u128().to_le_bytes());
        }
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(value);
        let (number, count) = (reader.u64()?, reader.u64()?);
        let newest = [reader.id()?, reader.id()?, reader.id()?];
        Ok(Self { number, count, newest, trim: reader.id()? })
    }

    /// The newest id of this level and above.
    pub(super) fn newest_from(&self, level: Level) -> Id {
        self.newest.iter().skip(level as usize).copied().max().unwrap_or_default()
    }
}

/// What is known of the log as a whole; part of every commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The newest alert ever stored, whether or not retention removed it.
    pub(super) head: Id,
    /// Ids go on above this one: some up to here may have been given and lost (durability `none`).
    pub(super) floor: Id,
    /// The newest id that retention removed from the old end.
    pub(super) trim: Id,
    /// The newest id that `topic_count` removed from any topic.
    pub(super) topic_trim: Id,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) topics: u64,
    pub(super) next_topic: u64,
    /// The time that retention goes by, milliseconds since 1970: the clock, but its leaps forward are taken at a bounded speed.
    pub(super) clock_ms: u64,
    /// Entries in the table of removed ids, and of idempotency keys.
    pub(super) removed: u64,
    pub(super) keys: u64,
}

impl State {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(128);
        for id in [self.head, self.floor, self.trim, self.topic_trim] {
            value.extend_from_slice(&id.to_u128().to_le_bytes());
        }
        for number in [self.count, self.bytes, self.topics, self.next_topic, self.clock_ms, self.removed, self.keys] {
            value.extend_from_slice(&number.to_le_bytes());
        }
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(value);
        let (head, floor, trim, topic_trim) = (reader.id()?, reader.id()?, reader.id()?, reader.id()?);
        let mut number = || reader.u64();
        let (count, bytes, topics, next_topic) = (number()?, number()?, number()?, number()?);
        let (clock_ms, removed, keys) = (number()?, number()?, number()?);
        Ok(Self { head, floor, trim, topic_trim, count, bytes, topics, next_topic, clock_ms, removed, keys })
    }
}

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    /// Of the alert, to tell a retry from another alert.
    pub(super) fingerprint: [u8; 32],
    pub(super) id: Id,
    pub(super) received_ms: u64,
}

impl KeyRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = self.fingerprint.to_vec();
        value.extend_from_slice(&self.id.to_u128().to_le_bytes());
        value.extend_from_slice(&self.received_ms.to_le_bytes());
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(value);
        Ok(Self { fingerprint: reader.array()?, id: reader.id()?, received_ms: reader.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Metadata};

    #[test]
    fn what_is_written_reads_back_and_what_is_cut_does_not() {
        let draft = Draft::new("ops.db".parse().unwrap(), "m".into(), Level::Warn, Metadata::default()).unwrap();
        let record = draft.record(Id { ms: 7, seq: 3 }, 99);
        let value = encode_record(&record);
        assert_eq!(decode_record(record.id, &value), Ok(record));
        for cut in 0..16 {
            assert_eq!(decode_record(Id::ZERO, &value[..cut]).map(drop), Err(Damaged), "{cut}");
        }
        let row = TopicRow { number: 1, count: 2, newest: [Id::at(3), Id::at(9), Id::at(5)], trim: Id::at(6) };
        assert_eq!(TopicRow::decode(&row.encode()), Ok(row.clone()));
        assert_eq!((row.newest_from(Level::Info), row.newest_from(Level::Error)), (Id::at(9), Id::at(5)));
        let state = State { head: Id::at(1), floor: Id::at(2), count: 3, keys: 4, ..State::default() };
        assert_eq!(State::decode(&state.encode()), Ok(state));
        let key = KeyRow { fingerprint: [7; 32], id: Id::at(8), received_ms: 9 };
        assert_eq!(KeyRow::decode(&key.encode()), Ok(key));
    }
}
