//! Reading the log: where a stream begins, and pages of it in both directions.
//!
//! Everything here works on one read transaction, does a bounded amount of work, and costs what it scans, not what
//! the log holds: few topics are merged from the index, many are scanned in the log.

use std::ops::RangeInclusive;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};

use super::codec::{State, TopicRow, decode_head, decode_record};
use super::tables::{BY_TOPIC, LOG, REMOVED, STATE, STATE_ROW, StoreError, TOPICS};
use crate::alert::{Filter, Id, Level, Pattern, Record, Start, Topic};
use crate::engine::limits::{MAX_LATEST_TOPICS, MAX_MERGED_TOPICS};
use crate::engine::topics::Run;
use crate::engine::{Known, Page, Range, Seek};

/// Entries that one page looks at.
const SCANNED: usize = 8192;

/// One consistent view of the log.
pub(super) struct View {
    log: ReadOnlyTable<u128, &'static [u8]>,
    by_topic: ReadOnlyTable<(u64, u128), u8>,
    topics: ReadOnlyTable<&'static str, &'static [u8]>,
    removed: ReadOnlyTable<u128, ()>,
    pub(super) state: State,
}

impl View {
    pub(super) fn new(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read()?;
        let table = transaction.open_table(STATE)?;
        let row = table.get(STATE_ROW)?;
        let state = row.map(|row| State::decode(row.value())).transpose()?.unwrap_or_default();
        Ok(Self {
            log: transaction.open_table(LOG)?,
            by_topic: transaction.open_table(BY_TOPIC)?,
            topics: transaction.open_table(TOPICS)?,
            removed: transaction.open_table(REMOVED)?,
            state,
        })
    }

    pub(super) fn oldest(&self) -> Result<Option<Id>, StoreError> {
        Ok(self.log.first()?.map(|(id, _)| Id::from_u128(id.value())))
    }

    /// When the oldest alert came in.
    pub(super) fn oldest_received(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.log.first()?.map(|(_, value)| decode_head(value.value()).map(|head| head.1)).transpose()?)
    }

    pub(super) fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, StoreError> {
        let known = Known {
            head: self.state.head,
            trimmed: self.trimmed(filter)?,
            oldest: self.oldest()?,
            has_cursor: match start {
                Start::After(cursor) => self.knows(*cursor)?,
                _ => false,
            },
        };
        let latest = match start {
            Start::Latest => self.latest(filter, until, latest_after_ms)?,
            _ => Vec::new(),
        };
        Ok(Seek::new(start, until, known, latest))
    }

    /// Whether this log gave the id, and nothing behind it was removed from the old end.
    fn knows(&self, cursor: Id) -> Result<bool, StoreError> {
        let state = &self.state;
        if cursor == Id::ZERO {
            return Ok(state.trim == Id::ZERO && state.topic_trim == Id::ZERO);
        }
        Ok(cursor == state.trim
            || cursor == state.head
            || self.log.get(cursor.to_u128())?.is_some()
            || self.removed.get(cursor.to_u128())?.is_some())
    }

    /// The newest id that was removed and may have passed the filter.
    fn trimmed(&self, filter: &Filter) -> Result<Id, StoreError> {
        let mut newest = self.state.trim;
        if self.state.topic_trim > newest {
            self.each_topic(filter, |_, row| {
                newest = newest.max(row.trim);
                true
            })?;
        }
        Ok(newest)
    }

    /// Calls `take` with the topics that the filter selects until it says false.
    fn each_topic(&self, filter: &Filter, mut take: impl FnMut(&str, TopicRow) -> bool) -> Result<(), StoreError> {
        for pattern in filter.patterns() {
            let rows = match pattern {
                Pattern::All => self.topics.range::<&str>(..)?,
                Pattern::Exact(topic) => self.topics.range(topic.as_str()..=topic.as_str())?,
                // '/' is the character behind '.'.
                Pattern::Below(parent) => {
                    self.topics.range(format!("{parent}.").as_str()..format!("{parent}/").as_str())?
                }
            };
            for entry in rows {
                let (topic, row) = entry?;
                if !take(topic.value(), TopicRow::decode(row.value())?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The first `most` of each run.
    pub(super) fn topics(&self, runs: &[Run], most: usize) -> Result<Vec<Topic>, StoreError> {
        let mut topics = Vec::new();
        for run in runs {
            let (Run::One(name) | Run::From(name)) = run;
            for entry in self.topics.range(name.as_str()..)?.take(most) {
                let (found, _) = entry?;
                let is_in = match run {
                    Run::One(_) => found.value() == name,
                    Run::From(_) => found.value().starts_with(name),
                };
                if !is_in {
                    break;
                }
                topics.extend(found.value().parse::<Topic>());
            }
        }
        Ok(topics)
    }

    fn latest(&self, filter: &Filter, until: Id, latest_after_ms: u64) -> Result<Vec<Record>, StoreError> {
        let mut rows = Vec::new();
        self.each_topic(filter, |_, row| {
            // An id is never before the time it came in, so this skips without a look at the record.
            if row.newest_from(filter.level()).ms >= latest_after_ms {
                rows.push(row);
            }
            true
        })?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let newest = row.newest_from(filter.level());
            let id = if newest <= until { Some(newest) } else { self.newest_before(&row, filter.level(), until)? };
            ids.extend(id);
        }
        ids.sort_unstable();
        ids.drain(..ids.len().saturating_sub(MAX_LATEST_TOPICS));
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(value) = self.log.get(id.to_u128())? {
                let record = decode_record(id, value.value())?;
                if record.received_ms >= latest_after_ms {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// For a topic that went on after the stream was registered.
    fn newest_before(&self, row: &TopicRow, level: Level, until: Id) -> Result<Option<Id>, StoreError> {
        let range = (row.number, 0)..=(row.number, until.to_u128());
        for entry in self.by_topic.range(range)?.rev().take(SCANNED) {
            let (key, found) = entry?;
            if found.value() >= level as u8 {
                return Ok(Some(Id::from_u128(key.value().1)));
            }
        }
        Ok(None)
    }

    /// The index numbers of the topics that the filter selects, if they are few.
    fn few_topics(&self, filter: &Filter) -> Result<Option<Vec<u64>>, StoreError> {
        if filter.patterns().contains(&Pattern::All) {
            return Ok(None);
        }
        let mut numbers = Vec::new();
        self.each_topic(filter, |_, row| {
            numbers.push(row.number);
            numbers.len() <= MAX_MERGED_TOPICS
        })?;
        Ok((numbers.len() <= MAX_MERGED_TOPICS).then_some(numbers))
    }

    pub(super) fn read(&self, range: &Range, backward: bool) -> Result<Page, StoreError> {
        let mut page =
            Page { records: Vec::new(), next: None, trimmed: self.trimmed(&range.filter)?, oldest: self.oldest()? };
        let ids = range.after.successor().to_u128()..=range.until.to_u128();
        if range.after >= range.until {
            return Ok(page);
        }
        page.next = match self.few_topics(&range.filter)? {
            Some(numbers) => self.merge(&numbers, ids, range, backward, &mut page.records)?,
            None => self.scan(ids, range, backward, &mut page.records)?,
        };
        if backward {
            page.records.reverse();
        }
        Ok(page)
    }

    /// All entries of the log in turn. Returns where it stopped before the end of the range.
    fn scan(
        &self,
        ids: RangeInclusive<u128>,
        range: &Range,
        backward: bool,
        records: &mut Vec<Record>,
    ) -> Result<Option<Id>, StoreError> {
        let mut bytes = 0;
        let mut entries = self.log.range(ids)?;
        let mut seen = None;
        for scanned in 0.. {
            if scanned == SCANNED || records.len() == range.limit || bytes > range.bytes {
                return Ok(seen);
            }
            let Some(entry) = (if backward { entries.next_back() } else { entries.next() }) else { break };
            let (id, value) = entry?;
            let id = Id::from_u128(id.value());
            let (level, _, topic, json) = decode_head(value.value())?;
            if level >= range.filter.level() && selects(&range.filter, topic) {
                bytes += json.len();
                records.push(decode_record(id, value.value())?);
            }
            seen = Some(id);
        }
        Ok(None)
    }

    /// The entries of a few topics, merged by id.
    fn merge(
        &self,
        numbers: &[u64],
        ids: RangeInclusive<u128>,
        range: &Range,
        backward: bool,
        records: &mut Vec<Record>,
    ) -> Result<Option<Id>, StoreError> {
        let mut sources = Vec::with_capacity(numbers.len());
        for number in numbers {
            let mut entries = self.by_topic.range((*number, *ids.start())..=(*number, *ids.end()))?;
            let mut next = move || -> Result<Option<(u128, u8)>, StoreError> {
                let entry = if backward { entries.next_back() } else { entries.next() };
                Ok(entry.transpose()?.map(|(key, level)| (key.value().1, level.value())))
            };
            if let Some(first) = next()? {
                sources.push((first, next));
            }
        }
        let (mut bytes, mut seen) = (0, None);
        for scanned in 0.. {
            if scanned == SCANNED || records.len() == range.limit || bytes > range.bytes {
                return Ok(seen);
            }
            let heads = sources.iter().enumerate().map(|(i, ((id, _), _))| (*id, i));
            let Some((id, i)) = (if backward { heads.max() } else { heads.min() }) else { break };
            let (_, level) = sources[i].0;
            match sources[i].1()? {
                Some(next) => sources[i].0 = next,
                None => drop(sources.swap_remove(i)),
            }
            if level >= range.filter.level() as u8
                && let Some(value) = self.log.get(id)?
            {
                let record = decode_record(Id::from_u128(id), value.value())?;
                bytes += record.json.len();
                records.push(record);
            }
            seen = Some(Id::from_u128(id));
        }
        Ok(None)
    }
}

/// As [`Filter::matches`], without making a topic of each entry that is passed over.
fn selects(filter: &Filter, topic: &str) -> bool {
    filter.patterns().iter().any(|pattern| match pattern {
        Pattern::All => true,
        Pattern::Exact(own) => own.as_str() == topic,
        Pattern::Below(parent) => topic.strip_prefix(parent.as_str()).is_some_and(|rest| rest.starts_with('.')),
    })
}
