//! Where a stream begins in the log. All that continue after a cursor that was found before begin without reading the disk.

use std::io;
use std::sync::Arc;

use super::read::{SCANNED, View, is_alert};
use super::segment::{Found, Position, Segment};
use crate::alert::{Filter, Id, Level, Record, Start};
use crate::engine::limits::MAX_LATEST_TOPICS;
use crate::engine::{Known, Seek, complete_from};
use crate::sse::Gap;

impl View {
    /// Where a stream begins, if the disk need not be read for it.
    pub(super) fn seek_in_memory(&self, start: &Start, filter: &Filter, until: Id) -> Option<Seek> {
        let has_cursor = match start {
            Start::Latest => return None,
            Start::After(cursor) => self.recall(*cursor)?,
            Start::Live | Start::All | Start::Time(_) | Start::Unreadable(_) => false,
        };
        Some(Seek::new(start, until, self.known(filter, has_cursor), Vec::new()))
    }

    pub(super) fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, io::Error> {
        let has_cursor = match start {
            Start::After(cursor) => self.knows(*cursor),
            _ => false,
        };
        let (latest, is_damaged) = match start {
            Start::Latest => self.latest(filter, until, latest_after_ms)?,
            _ => Default::default(),
        };
        let known = self.known(filter, has_cursor);
        let mut seek = Seek::new(start, until, known, latest);
        if is_damaged && seek.gap.is_none() {
            // The newest alert of a topic may be the damaged one.
            let oldest = complete_from(known.oldest, until);
            seek.gap = Some(Gap { requested: "latest".into(), oldest, head: known.head });
        }
        Ok(seek)
    }

    fn known(&self, filter: &Filter, has_cursor: bool) -> Known {
        let catalog = self.catalog.read();
        Known { head: catalog.head, trimmed: catalog.trimmed(filter), oldest: catalog.oldest, has_cursor }
    }

    /// Whether this log gave the id, and nothing after it was removed from the old end; none if only the disk can tell.
    fn recall(&self, cursor: Id) -> Option<bool> {
        let catalog = self.catalog.read();
        if cursor == Id::ZERO {
            return Some(catalog.trim == Id::ZERO && catalog.topic_trim == Id::ZERO);
        }
        (cursor == catalog.trim || cursor == catalog.head || self.cursors.has(cursor)).then_some(true)
    }

    /// As [`recall`](Self::recall), with the help of the disk.
    fn knows(&self, cursor: Id) -> bool {
        if let Some(known) = self.recall(cursor) {
            return known;
        }
        let segment = self.catalog.read().segment_behind(cursor.predecessor());
        let is_in = |segment: Arc<Segment>| segment.id(segment.behind(cursor.predecessor())) == Some(cursor);
        if segment.is_some_and(is_in) {
            self.cursors.add(cursor);
            return true;
        }
        // For segments that were dropped from within the log, only the range of ids is known.
        self.catalog.read().dropped.iter().any(|range| range.has_id(cursor))
    }

    /// The newest alert of each topic, and whether one was lost to damage.
    fn latest(&self, filter: &Filter, until: Id, latest_after_ms: u64) -> io::Result<(Vec<Record>, bool)> {
        let mut newest = Vec::new();
        {
            let catalog = self.catalog.read();
            catalog.topics.each(filter, |number, row| {
                let at = row.newest_from(filter.level()).filter(|_| row.count > 0);
                newest.extend(at.filter(|at| *at >= catalog.trim_at.max(row.oldest)).map(|at| (at, number)));
                true
            });
        }
        newest.sort_unstable();
        newest.drain(..newest.len().saturating_sub(MAX_LATEST_TOPICS));
        let (mut records, mut is_damaged) = (Vec::with_capacity(newest.len()), false);
        for (at, number) in newest {
            let segment = self.catalog.read().segment(at.segment).cloned();
            // An id is never before the time its alert came in, so a segment that ends too early need not be read.
            if segment.as_ref().is_some_and(|segment| segment.index.read().last.ms < latest_after_ms) {
                continue;
            }
            let record = match segment.as_ref().map(|segment| segment.read(at.ordinal)).transpose()? {
                Some(Found::Alert(record)) if is_alert(&record) && record.id <= until => Some(*record),
                // No segment: the newest one was erased, and an older one may be retained. After a start a transition
                // or a retraction counts as the newest one.
                None | Some(Found::Alert(_) | Found::Erased(_)) => self.newest_before(number, filter.level(), until)?,
                Some(Found::Dropped) => None,
                Some(Found::Damaged) => {
                    segment.iter().for_each(|segment| self.damaged.name(segment, at.ordinal));
                    is_damaged = true;
                    None
                }
            };
            records.extend(record.filter(|record| {
                record.received_ms >= latest_after_ms
                    && self.catalog.read().is_retained(record.topic.as_str(), record.id)
            }));
        }
        records.sort_unstable_by_key(|record| record.id);
        Ok((records, is_damaged))
    }

    /// The newest alert up to `until`, for a topic that got alerts after the stream was registered.
    fn newest_before(&self, topic: u32, level: Level, until: Id) -> io::Result<Option<Record>> {
        let mut at = self.behind(until);
        let mut scanned = 0;
        while scanned < SCANNED {
            let Some(segment) = self.catalog.read().segment_until(at.segment).cloned() else { break };
            let end = if segment.number() == at.segment { at.ordinal } else { u32::MAX };
            let ordinals: Vec<u32> = {
                let index = segment.index.read();
                let all = index.posting(topic).map_or_else(Vec::new, |posting| posting.before(end, SCANNED));
                scanned += all.len() + 1;
                all.into_iter().filter(|ordinal| index.level(*ordinal).is_some_and(|found| found >= level)).collect()
            };
            for ordinal in ordinals {
                match segment.read(ordinal)? {
                    Found::Alert(record) if is_alert(&record) => return Ok(Some(*record)),
                    _ => {}
                }
            }
            match segment.number().checked_sub(1) {
                Some(before) => at = Position { segment: before, ordinal: u32::MAX },
                None => break,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::testing::{Log, NOW, UNLIMITED, filter, publish};
    use super::*;
    use crate::engine::Retention;

    #[test]
    fn a_cursor_that_was_found_needs_no_disk_until_what_follows_it_is_removed() {
        let retention = Retention { count: 20, ..UNLIMITED };
        let mut log = Log::open(&SimulatedDisk::default(), Durability::Fsync, retention).unwrap();
        let append = |log: &mut Log| {
            let group = (0..10).map(|_| publish("ops", "m", Level::Info, None)).collect();
            let stored = log.append(&[group]).unwrap().remove(0).unwrap();
            stored.into_iter().map(|stored| stored.record.id).collect::<Vec<_>>()
        };
        let ids = append(&mut log);
        let (head, all) = (ids[9], filter("*"));
        let recalled = |log: &Log, cursor| log.view.seek_in_memory(&Start::After(cursor), &all, log.store.head());
        assert!(recalled(&log, head).is_some_and(|seek| seek.gap.is_none()), "the newest id is in memory");
        assert!(recalled(&log, ids[4]).is_none());
        for (cursor, is_known) in [(ids[4], true), (Id::at(NOW - 1), false)] {
            let seek = log.view.seek(&Start::After(cursor), &all, head, 0).unwrap();
            assert_eq!(seek.gap.is_none(), is_known);
            assert_eq!(recalled(&log, cursor).is_some_and(|seek| seek.gap.is_none() && seek.after == cursor), is_known);
        }
        for _ in 0..3 {
            append(&mut log);
        }
        let seek = recalled(&log, ids[4]).unwrap();
        assert_eq!(seek.gap.unwrap().oldest, Some(seek.trimmed.successor()));
        assert!(log.view.seek_in_memory(&Start::Latest, &all, head).is_none());
    }
}
