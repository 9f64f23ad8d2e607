//! What is known in memory about the log: its segments, its topics, and what retention removed.
//!
//! The writer changes it after a batch is as durable as configured; readers lock it only for a moment and then read the
//! segments without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::dropped::DroppedRange;
use super::index::Hole;
use super::segment::{Position, Segment};
use super::topics::Topics;
use crate::alert::{Filter, Id, Record, RecordKind, Topic};

#[derive(Default)]
pub(super) struct Catalog {
    /// By number.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) topics: Topics,
    /// The newest id that is or was in the log.
    pub(super) head: Id,
    /// Everything up to this id is removed.
    pub(super) trim: Id,
    /// Nothing before this is retained.
    pub(super) trim_at: Position,
    /// The newest id that the limit of any topic removed.
    pub(super) topic_trim: Id,
    /// The number of alerts and transitions that are retained, and the bytes of their records.
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// The oldest alert that is retained.
    pub(super) oldest: Option<Id>,
    /// Ids that may have been lost to damage, of any topic, in order.
    pub(super) holes: Vec<Hole>,
    /// Segments whose alerts all seem to have been removed by limits.
    pub(super) emptied: Vec<u32>,
    /// Segments that were dropped from within the log.
    pub(super) dropped: Vec<DroppedRange>,
    /// How many alerts were erased since the start.
    pub(super) erased: u64,
    /// The time that retention uses, milliseconds since 1970: the clock, followed at a bounded speed when it leaps
    /// forward.
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

    /// Whether there is a record at this place.
    pub(super) fn has(&self, at: Position) -> bool {
        self.segment(at.segment).is_some_and(|segment| at.ordinal < segment.index.read().count)
    }

    /// The segment with the first id after `after`.
    pub(super) fn segment_behind(&self, after: Id) -> Option<Arc<Segment>> {
        let at = self.segments.partition_point(|segment| segment.index.read().last <= after);
        self.segments.get(at).cloned()
    }

    /// The newest id that the limit of each topic removed, if it is above the trim of the log.
    pub(super) fn topic_trims(&self) -> HashMap<Topic, Id> {
        let rows = self.topics.rows().filter(|(_, row)| row.trim > self.trim);
        rows.map(|(_, row)| (row.name.clone(), row.trim)).collect()
    }

    /// Bytes of all segments.
    pub(super) fn on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.index.read().end).sum()
    }

    /// The place after the last record.
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
    pub(super) fn is_retained(&self, topic: &str, id: Id) -> bool {
        id > self.trim && self.topics.named(topic).is_none_or(|row| id > row.trim)
    }

    /// Whether all alerts of a segment are removed or erased. One that lost alerts to damage is not emptied: damage never
    /// leads to data being deleted.
    pub(super) fn is_emptied(&self, segment: &Segment) -> bool {
        let index = segment.index.read();
        index.holes.is_empty()
            && index.topics().into_iter().all(|topic| {
                let start = self.topics.row(topic).map_or(self.trim_at, |row| row.oldest.max(self.trim_at));
                let from = match start.segment.cmp(&segment.number()) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => start.ordinal,
                    std::cmp::Ordering::Greater => return true,
                };
                let left = index.posting(topic).map_or_else(Vec::new, |posting| posting.from(from, usize::MAX));
                left.into_iter().all(|ordinal| index.level(ordinal).is_none())
            })
    }

    /// Records that limits or an erase removed alerts of a segment.
    pub(super) fn remove_retained(&mut self, number: u32, alerts: u64) {
        let Some(segment) = self.segment(number) else { return };
        segment.remove_retained(alerts);
        if segment.seems_emptied() && !self.emptied.contains(&number) {
            self.emptied.push(number);
        }
    }

    /// Adds a segment whose index is complete: the topics' counts and newest alerts. `starts` has, for topics with a
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
        segment.add_retained(retained);
        if segment.seems_emptied() {
            self.emptied.push(number);
        }
        self.segments.push(segment);
    }

    /// Removes a segment, unless it is the only one.
    pub(super) fn drop_segment(&mut self, segment: &Segment) -> bool {
        if self.segments.len() < 2 {
            return false;
        }
        let number = segment.number();
        self.segments.retain(|other| other.number() != number);
        self.emptied.retain(|emptied| *emptied != number);
        segment.set_dropped();
        for topic in segment.index.read().topics() {
            self.topics.release(topic);
        }
        let trim = self.trim;
        self.topics.forget(trim);
        self.holes.retain(|hole| hole.upto > trim);
        self.dropped.retain(|range| range.last > trim);
        true
    }

    /// Adds an alert or a transition at the end of a segment.
    pub(super) fn push(&mut self, segment: &Segment, offset: u64, size: usize, record: &Record) {
        let Record { id, kind, level, .. } = *record;
        let number = self.topics.intern(&record.topic);
        let (ordinal, is_new) = {
            let mut index = segment.index.write();
            let topics = index.topic_count();
            let ordinal = index.push(id, offset, size, Some((number, level)));
            (ordinal, index.topic_count() > topics)
        };
        if let Some(row) = self.topics.row_mut(number) {
            row.segments += u32::from(is_new);
            if kind == RecordKind::Alert {
                row.newest[level as usize] = Some(Position { segment: segment.number(), ordinal });
            }
            row.last = Some(id);
        }
        self.topics.add(number, 1);
        segment.add_retained(1);
        self.count += 1;
        self.bytes += size as u64;
        self.head = id;
    }
}
