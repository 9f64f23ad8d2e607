//! One write transaction: alerts added, retention applied, the state written with them.
//!
//! Used by the writer alone. What it returns is true only after [`Batch::finish`] and the commit.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::codec::{KeyRow, State, TopicRow, encode_record};
use super::tables::{BY_TOPIC, KEYS, KEYS_BY_AGE, LOG, REMOVED, STATE, STATE_ROW, StoreError, TOPICS};
use crate::alert::{Id, Record};
use crate::engine::intake::Outcome;
use crate::engine::limits::{IDEMPOTENCY_AGE_MS, MAX_IDEMPOTENCY_KEYS};
use crate::engine::{AppendError, Publish, Stored};

/// The tables of one transaction and what is known of the log in it.
pub(super) struct Batch<'t> {
    pub(super) log: Table<'t, u128, &'static [u8]>,
    pub(super) by_topic: Table<'t, (u64, u128), u8>,
    topics: Table<'t, &'static str, &'static [u8]>,
    pub(super) removed: Table<'t, u128, ()>,
    keys: Table<'t, &'static [u8; 32], &'static [u8]>,
    keys_by_age: Table<'t, (u64, &'static [u8; 32]), ()>,
    meta: Table<'t, &'static str, &'static [u8]>,
    /// Rows that were looked at; none where the topic has no alerts. Written by [`Batch::finish`].
    rows: HashMap<String, Option<TopicRow>>,
    /// As it will be once this is committed.
    pub(super) state: State,
}

impl<'t> Batch<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, state: State) -> Result<Self, StoreError> {
        Ok(Self {
            log: transaction.open_table(LOG)?,
            by_topic: transaction.open_table(BY_TOPIC)?,
            topics: transaction.open_table(TOPICS)?,
            removed: transaction.open_table(REMOVED)?,
            keys: transaction.open_table(KEYS)?,
            keys_by_age: transaction.open_table(KEYS_BY_AGE)?,
            meta: transaction.open_table(STATE)?,
            rows: HashMap::new(),
            state,
        })
    }

    /// Adds the alerts of a group, or none of them.
    pub(super) fn append_all(&mut self, group: &[Publish], base: Id, now_ms: u64) -> Result<Outcome, StoreError> {
        // An alert that is alone finds out by itself.
        if group.len() > 1 && !self.fits(group)? {
            return Ok(Err(AppendError::Conflict));
        }
        group.iter().map(|publish| self.append(publish, base, now_ms)).collect()
    }

    /// Whether none of a group's keys stands for another alert; looked at before anything is written.
    fn fits(&self, group: &[Publish]) -> Result<bool, StoreError> {
        let mut own = HashMap::new();
        for publish in group {
            let Some(key) = publish.idempotency.as_ref().filter(|key| key.state.is_none()) else { continue };
            let (hash, fingerprint) = (key.hash(), publish.fingerprint());
            let known = self.known_key(&hash)?.map_or(fingerprint, |known| known.fingerprint);
            if known != fingerprint || *own.entry(hash).or_insert(fingerprint) != fingerprint {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds an alert, or finds what its idempotency key stands for.
    fn append(&mut self, publish: &Publish, base: Id, now_ms: u64) -> Result<Result<Stored, AppendError>, StoreError> {
        let key = publish.idempotency.as_ref().map(|key| (key.hash(), publish.fingerprint()));
        if let Some((hash, fingerprint)) = &key
            && let Some(known) = self.known_key(hash)?
        {
            if known.fingerprint == *fingerprint {
                // Built anew, because retention may have removed it since.
                return Ok(Ok(Stored { record: publish.draft.record(known.id, known.received_ms), repeated: true }));
            }
            if publish.state().is_none() {
                return Ok(Err(AppendError::Conflict));
            }
        }
        let id = self.state.head.max(base).next(now_ms);
        let record = publish.draft.record(id, now_ms);
        self.insert(&record)?;
        if let Some((hash, fingerprint)) = key {
            self.remember(&hash, KeyRow { fingerprint, id, received_ms: now_ms })?;
        }
        Ok(Ok(Stored { record, repeated: false }))
    }

    fn insert(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut row = self.row(record.topic.as_str())?.unwrap_or_default();
        if row.count == 0 {
            self.state.next_topic += 1;
            self.state.topics += 1;
            row = TopicRow { number: self.state.next_topic, ..TopicRow::default() };
        }
        row.count += 1;
        row.newest[record.level as usize] = record.id;
        let value = encode_record(record);
        self.log.insert(record.id.to_u128(), value.as_slice())?;
        self.by_topic.insert((row.number, record.id.to_u128()), record.level as u8)?;
        self.rows.insert(record.topic.as_str().to_owned(), Some(row));
        self.state.head = record.id;
        self.state.count += 1;
        self.state.bytes += value.len() as u64;
        Ok(())
    }

    /// The row of a topic as it is in this transaction.
    pub(super) fn row(&mut self, topic: &str) -> Result<Option<TopicRow>, StoreError> {
        if let Some(row) = self.rows.get(topic) {
            return Ok(row.clone());
        }
        let stored = self.topics.get(topic)?;
        Ok(stored.map(|row| TopicRow::decode(row.value())).transpose()?)
    }

    /// Changes a row; one without alerts goes.
    pub(super) fn set_row(&mut self, topic: &str, row: TopicRow) {
        if row.count == 0 {
            self.state.topics = self.state.topics.saturating_sub(1);
        }
        self.rows.insert(topic.to_owned(), (row.count > 0).then_some(row));
    }

    /// The topics that this transaction touched.
    pub(super) fn touched(&self) -> Vec<String> {
        self.rows.keys().cloned().collect()
    }

    /// What a key stands for, unless it is too old.
    fn known_key(&self, hash: &[u8; 32]) -> Result<Option<KeyRow>, StoreError> {
        let stored = self.keys.get(hash)?;
        let known = stored.map(|row| KeyRow::decode(row.value())).transpose()?;
        Ok(known.filter(|known| known.received_ms.saturating_add(IDEMPOTENCY_AGE_MS) >= self.state.clock_ms))
    }

    fn remember(&mut self, hash: &[u8; 32], row: KeyRow) -> Result<(), StoreError> {
        let before = self.keys.insert(hash, row.encode().as_slice())?;
        let before = before.map(|row| KeyRow::decode(row.value())).transpose()?;
        if let Some(before) = before {
            self.keys_by_age.remove((before.received_ms, hash))?;
            self.state.keys = self.state.keys.saturating_sub(1);
        }
        self.keys_by_age.insert((row.received_ms, hash), ())?;
        self.state.keys += 1;
        Ok(())
    }

    /// Forgets idempotency keys that are too old or too many, `limit` at the most.
    pub(super) fn forget_keys(&mut self, limit: usize) -> Result<(), StoreError> {
        let oldest_kept = self.state.clock_ms.saturating_sub(IDEMPOTENCY_AGE_MS);
        for _ in 0..limit {
            let Some((received_ms, hash)) = self.keys_by_age.first()?.map(|(key, _)| (key.value().0, *key.value().1))
            else {
                return Ok(());
            };
            if received_ms >= oldest_kept && self.state.keys <= MAX_IDEMPOTENCY_KEYS {
                return Ok(());
            }
            self.keys_by_age.remove((received_ms, &hash))?;
            self.keys.remove(&hash)?;
            self.state.keys = self.state.keys.saturating_sub(1);
        }
        Ok(())
    }

    /// Writes the rows and the state, and returns the state. The commit is the caller's.
    pub(super) fn finish(mut self) -> Result<State, StoreError> {
        for (topic, row) in &self.rows {
            match row {
                Some(row) => drop(self.topics.insert(topic.as_str(), row.encode().as_slice())?),
                None => drop(self.topics.remove(topic.as_str())?),
            }
        }
        self.meta.insert(STATE_ROW, self.state.encode().as_slice())?;
        Ok(self.state)
    }
}
