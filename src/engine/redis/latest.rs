//! The newest alert of each topic, for streams that begin with `latest`.
//!
//! Called by [`reader`](super::reader). It uses many small commands, each of which takes Redis about a millisecond, so
//! that publishes are served in between. Always: the work grows with the topics that have had an alert lately, or with
//! those of the filter, whichever are fewer.

use std::collections::BTreeSet;

use redis::{Cmd, Pipeline};

use super::codec::{self, Unreadable};
use super::queries::Queries;
use crate::alert::{Filter, Id, Pattern, Record, RecordKind};
use crate::engine::Unavailable;
use crate::engine::limits::MAX_LATEST_TOPICS;
use crate::sse::Gap;

/// Topics whose rows one command reads.
const ROWS: usize = 500;
/// Alerts that one pipeline reads; Redis serves nobody else meanwhile.
const ALERTS: usize = 100;
/// Entries of a topic that are searched for an older alert of the filter's level; transitions and retractions are among them.
const OLDER: usize = 1000;

/// A query for the newest alert of each topic.
pub(super) struct Latest<'a> {
    pub(super) filter: &'a Filter,
    pub(super) until: Id,
    /// The earliest time at which an alert came in.
    pub(super) since_ms: u64,
}

impl Latest<'_> {
    /// Runs the query; the alerts are sorted, the oldest first. Also returns the ids of those that cannot be decoded.
    pub(super) async fn ask(&self, queries: &Queries) -> Result<(Vec<Record>, Vec<Id>), Unavailable> {
        let mut ids = Vec::new();
        for pattern in self.listings(queries).await? {
            self.list(&pattern, &mut ids, queries).await?;
        }
        ids.sort_unstable();
        ids.dedup();
        ids.drain(..ids.len().saturating_sub(MAX_LATEST_TOPICS));
        let (mut records, mut damaged) = (Vec::with_capacity(ids.len()), Vec::new());
        for ids in ids.chunks(ALERTS) {
            let log = queries.shared.link.key("log");
            let found: Vec<codec::Entries> = queries
                .read_all(ids.iter().map(|id| {
                    let mut read = redis::cmd("XRANGE");
                    read.arg(&log).arg(id.to_string()).arg(id.to_string());
                    read
                }))
                .await?;
            for (id, fields) in found.into_iter().flatten() {
                match codec::entry(&id, &fields) {
                    Ok(record) => records.extend(Some(record).filter(|record| record.received_ms >= self.since_ms)),
                    Err(Unreadable::Malformed) => damaged.extend(id.parse::<Id>()),
                    Err(reason) => return Err(queries.shared.link.unreadable(&reason)),
                }
            }
        }
        queries.shared.damaged.name(&damaged, queries.shared.link.topology());
        Ok((records, damaged))
    }

    /// The patterns whose topics are looked at: those of the filter, or all if fewer topics have had an alert lately.
    async fn listings(&self, queries: &Queries) -> Result<Vec<Pattern>, Unavailable> {
        let link = &queries.shared.link;
        let mut count = redis::cmd("ZCOUNT");
        count.arg(link.key("recent")).arg(self.since_ms).arg("+inf");
        let ranges = self.filter.patterns().iter().filter_map(|pattern| match pattern {
            Pattern::Below(parent) => {
                let mut count = redis::cmd("ZLEXCOUNT");
                count.arg(link.key("topics")).arg(format!("[{parent}.")).arg(format!("({parent}/"));
                Some(count)
            }
            _ => None,
        });
        let counts: Vec<usize> = queries.read_all(std::iter::once(count).chain(ranges)).await?;
        let (recent, selected) = counts.split_first().map_or((0, 0), |(recent, below)| (*recent, below.iter().sum()));
        let patterns = self.filter.patterns().to_vec();
        // Beyond this number, topics are not listed by time, and those of the filter might be left out.
        let lists_recent = selected > recent && recent <= MAX_LATEST_TOPICS;
        Ok(if lists_recent { vec![Pattern::All] } else { patterns })
    }

    /// Adds the newest id of each topic that the pattern and the filter select.
    async fn list(&self, pattern: &Pattern, ids: &mut Vec<Id>, queries: &Queries) -> Result<(), Unavailable> {
        let link = &queries.shared.link;
        match pattern {
            Pattern::Exact(topic) => self.look(&[topic.to_string()], ids, queries).await,
            Pattern::All => {
                let mut list = redis::cmd("ZREVRANGEBYSCORE");
                list.arg(link.key("recent")).arg("+inf").arg(self.since_ms).arg("LIMIT").arg(0).arg(MAX_LATEST_TOPICS);
                let mut topics: Vec<String> = queries.read_one(list).await?;
                topics.retain(|topic| self.filter.matches_topic(topic));
                for topics in topics.chunks(ROWS) {
                    self.look(topics, ids, queries).await?;
                }
                Ok(())
            }
            Pattern::Below(parent) => {
                // `/` is the character after `.`.
                let (mut from, to) = (format!("[{parent}."), format!("({parent}/"));
                loop {
                    let mut list = redis::cmd("ZRANGEBYLEX");
                    list.arg(link.key("topics")).arg(&from).arg(&to).arg("LIMIT").arg(0).arg(ROWS);
                    let topics: Vec<String> = queries.read_one(list).await?;
                    self.look(&topics, ids, queries).await?;
                    match topics.last() {
                        Some(last) if topics.len() == ROWS => from = format!("({last}"),
                        _ => return Ok(()),
                    }
                    if ids.len() > 2 * MAX_LATEST_TOPICS {
                        ids.sort_unstable();
                        ids.drain(..ids.len() - MAX_LATEST_TOPICS);
                    }
                }
            }
        }
    }

    /// Adds the newest id of each of these topics.
    async fn look(&self, topics: &[String], ids: &mut Vec<Id>, queries: &Queries) -> Result<(), Unavailable> {
        if topics.is_empty() {
            return Ok(());
        }
        let mut get = redis::cmd("HMGET");
        get.arg(queries.shared.link.key("rows")).arg(topics);
        let rows: Vec<Option<String>> = queries.read_one(get).await?;
        let mut newer = Vec::new();
        for (topic, row) in topics.iter().zip(rows) {
            let newest = row.and_then(|row| codec::newest_of(&row, self.filter.level())).unwrap_or_default();
            // An id is never before the time at which its alert came in.
            if newest < Id::at(self.since_ms).max(Id::ZERO.successor()) {
                continue;
            }
            if newest <= self.until {
                ids.push(newest);
            } else {
                newer.push(topic);
            }
        }
        for topics in newer.chunks(ALERTS / 10) {
            self.look_behind(topics, ids, queries).await?;
        }
        Ok(())
    }

    /// The same, for topics whose newest alert is after the end of the query.
    async fn look_behind(&self, topics: &[&String], ids: &mut Vec<Id>, queries: &Queries) -> Result<(), Unavailable> {
        let level = self.filter.level();
        let searches = topics.iter().map(|topic| {
            let mut search = redis::cmd("XREVRANGE");
            search.arg(queries.shared.link.key(&format!("t:{topic}"))).arg(self.until.to_string()).arg("-");
            search.arg("COUNT").arg(OLDER);
            search
        });
        let found: Vec<codec::Entries> = queries.read_all(searches).await?;
        for entries in found {
            ids.extend(entries.iter().find_map(|(id, fields)| codec::at_level(id, fields, level)));
        }
        Ok(())
    }
}

impl Queries {
    async fn read_one<T: redis::FromRedisValue>(&self, command: Cmd) -> Result<T, Unavailable> {
        self.reading(async |connection| command.query_async(connection).await).await
    }

    async fn read_all<T: redis::FromRedisValue>(
        &self,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<T>, Unavailable> {
        let mut all = Pipeline::new();
        for command in commands {
            all.add_command(command);
        }
        self.reading(async |connection| all.query_async(connection).await).await
    }
}

/// The result of one query, for all readers that asked for it.
pub(super) struct Found {
    /// Nothing after this was looked at.
    pub(super) until: Id,
    pub(super) since_ms: u64,
    /// The newest id that retention had removed before.
    pub(super) trimmed: Id,
    /// Oldest first.
    pub(super) records: Vec<Record>,
    /// The gap, if one of them cannot be decoded.
    pub(super) gap: Option<Gap>,
}

impl Found {
    /// The alerts for a stream that asked a moment later: those in `meanwhile` replace older ones of their topics, or take
    /// them back.
    pub(super) fn with(&self, since_ms: u64, meanwhile: &[Record]) -> Vec<Record> {
        let retracted = meanwhile.iter().filter_map(|record| match record.kind {
            RecordKind::Retraction(alert) => Some(alert),
            _ => None,
        });
        let retracted: BTreeSet<_> = retracted.collect();
        let mut topics = BTreeSet::new();
        let alerts = meanwhile.iter().rev().filter(|record| record.kind == RecordKind::Alert);
        let newest = alerts.filter(|record| topics.insert(record.topic.as_str()));
        let mut records: Vec<Record> = newest.cloned().collect();
        let older = self.records.iter().rev().filter(|record| !topics.contains(record.topic.as_str()));
        records.extend(older.cloned());
        records.retain(|record| record.received_ms >= since_ms && !retracted.contains(&record.id));
        records.reverse();
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Level;

    #[test]
    fn an_answer_is_brought_up_to_date_for_whoever_asks_later() {
        let record = |ms: u64, topic: &str| Record {
            id: Id::at(ms),
            kind: RecordKind::Alert,
            topic: topic.parse().unwrap(),
            level: Level::Info,
            received_ms: ms,
            json: "{}".into(),
        };
        let found = Found {
            until: Id::at(4),
            since_ms: 1,
            trimmed: Id::ZERO,
            records: vec![record(1, "a"), record(2, "b"), record(3, "c"), record(4, "d")],
            gap: None,
        };
        let ids = |records: Vec<Record>| records.iter().map(|record| record.received_ms).collect::<Vec<_>>();
        assert_eq!(ids(found.with(1, &[])), [1, 2, 3, 4]);
        assert_eq!(ids(found.with(2, &[record(5, "b"), record(6, "e"), record(7, "b")])), [3, 4, 6, 7]);
        let retraction = Record { kind: RecordKind::Retraction(Id::at(3)), ..record(5, "c") };
        assert_eq!(ids(found.with(1, &[retraction])), [1, 2, 4]);
    }
}
