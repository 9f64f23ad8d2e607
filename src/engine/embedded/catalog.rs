//! All that is known of the log in memory: its segments, its topics, and what retention removed.
//!
//! The writer changes it, after a batch is as durable as configured; readers look at it for a moment and then read the
//! segments without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::Hole;
use super::segment::{Position, Segment};
use super::topics::Topics;
use crate::alert::{Filter, Id, Level, Topic};

#[derive(Default)]
pub(super) struct Catalog {
    /// By number.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) topics: Topics,
    /// The newest id in the log, or that was in it.
    pub(super) head: Id,
    /// Everything up to this id is removed.
    pub(super) trim: Id,
    /// Nothing before this is retained.
    pub(super) trim_at: Position,
    /// The newest id that the limit of any topic removed.
    pub(super) topic_trim: Id,
    /// Alerts that are retained, and the bytes of their records.
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// The oldest alert that is retained.
    pub(super) oldest: Option<Id>,
    /// Ids that damage may have taken, of any topic, in order.
    pub(super) holes: Vec<Hole>,
    /// The time that retention goes by, milliseconds since 1970: the clock, but its leaps forward are taken at a bounded
    /// speed.
    pub(super) clock_ms: u64,
}

impl Catalog {
    pub(super) fn segment(&self, number: u32) -> Option<&Arc<Segment>> {
        let at = self.segments.binary_search_by_key(&number, |segment| segment.number()).ok()?;
        self.segments.get(at)
    }

    /// The segment with this number or the next one that there is.
    pub(super) fn segment_from(&self, number: u32) -> Option<&Arc<Segment>> {
        self.segments.get(self.segments.partition_point(|segment| segment.number() < number))
    }

    /// The last segment with at most this number.
    pub(super) fn segment_until(&self, number: u32) -> Option<&Arc<Segment>> {
        self.segments.get(self.segments.partition_point(|segment| segment.number() <= number).checked_sub(1)?)
    }

    /// The segment in which the first id behind `after` is.
    pub(super) fn segment_behind(&self, after: Id) -> Option<Arc<Segment>> {
        let at = self.segments.partition_point(|segment| segment.index.read().last <= after);
        self.segments.get(at).cloned()
    }

    /// Bytes of all segments.
    pub(super) fn on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.index.read().end).sum()
    }

    /// The place behind the last record.
    pub(super) fn end(&self) -> Position {
        self.segments.last().map_or(Position::default(), |segment| Position {
            segment: segment.number(),
            ordinal: segment.index.read().count,
        })
    }

    /// The newest id that was removed and may have passed the filter.
    pub(super) fn trimmed(&self, filter: &Filter) -> Id {
        let mut newest = self.trim;
        if self.topic_trim > newest {
            self.topics.each(filter, |_, row| {
                newest = newest.max(row.trim);
                true
            });
        }
        newest
    }

    /// Whether the alert of this topic and id is retained.
    pub(super) fn is_retained(&self, topic: &Topic, id: Id) -> bool {
        id > self.trim && self.topics.named(topic.as_str()).is_none_or(|row| id > row.trim)
    }

    /// Whether limits have removed all alerts of a segment. One that lost alerts to damage is not: damage never leads to
    /// data being deleted.
    pub(super) fn is_emptied(&self, segment: &Segment) -> bool {
        let index = segment.index.read();
        index.holes.is_empty()
            && index.topics().into_iter().all(|topic| {
                let newest = index.posting(topic).and_then(|posting| posting.before(u32::MAX, 1).pop());
                let start = self.topics.row(topic).map(|row| row.oldest.max(self.trim_at));
                newest.is_none_or(|ordinal| start > Some(Position { segment: segment.number(), ordinal }))
            })
    }

    /// Takes in a segment whose index is complete: the topics' counts and newest alerts. `starts` has, for topics with a
    /// limit of their own, where their retained alerts begin.
    pub(super) fn enter(&mut self, segment: Arc<Segment>, starts: &HashMap<u32, Position>) {
        let index = segment.index.read();
        let number = segment.number();
        let mut retained = index.alerts;
        for topic in index.topics() {
            let Some(posting) = index.posting(topic) else { continue };
            let start = starts.get(&topic).copied().unwrap_or_default().max(self.trim_at);
            let mut alerts = 0;
            for ordinal in posting.from(0, usize::MAX) {
                let Some(level) = index.level(ordinal) else { continue };
                let position = Position { segment: number, ordinal };
                if let Some(row) = self.topics.row_mut(topic) {
                    row.newest[level as usize] = Some(position);
                }
                if position < start {
                    retained = retained.saturating_sub(1);
                } else {
                    alerts += 1;
                }
            }
            self.topics.add(topic, alerts);
            if let Some(row) = self.topics.row_mut(topic) {
                row.segments += 1;
                row.oldest = row.oldest.max(start);
            }
        }
        self.count += retained;
        // In proportion: the sizes of single records are not in the index.
        self.bytes += if index.alerts == 0 {
            0
        } else {
            u64::try_from(u128::from(index.bytes) * u128::from(retained) / u128::from(index.alerts)).unwrap_or(0)
        };
        self.holes.extend_from_slice(&index.holes);
        drop(index);
        self.segments.push(segment);
    }

    /// Lets go of the oldest segment.
    pub(super) fn drop_oldest(&mut self) -> Option<Arc<Segment>> {
        if self.segments.len() < 2 {
            return None;
        }
        let segment = self.segments.remove(0);
        segment.set_dropped();
        for topic in segment.index.read().topics() {
            self.topics.release(topic);
        }
        let trim = self.trim;
        self.holes.retain(|hole| hole.upto > trim);
        Some(segment)
    }

    /// Adds an alert at the end of a segment.
    pub(super) fn push(&mut self, segment: &Segment, offset: u64, size: usize, id: Id, alert: (&Topic, Level)) {
        let (topic, level) = alert;
        let number = self.topics.intern(topic);
        let ordinal = {
            let mut index = segment.index.write();
            let is_new = index.posting(number).is_none();
            if is_new && let Some(row) = self.topics.row_mut(number) {
                row.segments += 1;
            }
            index.push(id, offset, size, Some((number, level)))
        };
        if let Some(row) = self.topics.row_mut(number) {
            row.newest[level as usize] = Some(Position { segment: segment.number(), ordinal });
            row.last = Some(id);
        }
        self.topics.add(number, 1);
        self.count += 1;
        self.bytes += size as u64;
        self.head = id;
    }
}
