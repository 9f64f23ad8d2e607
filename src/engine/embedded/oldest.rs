//! The oldest alert that is retained, and how it is found.
//!
//! Retention uses it before each batch, so it is remembered, and searched for only after it was removed.

use std::io;

use parking_lot::RwLock;

use super::catalog::Catalog;
use super::disk;
use super::segment::{Found, Position, Segment};
use crate::alert::Id;

/// The oldest alert that is retained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oldest {
    pub(super) at: Position,
    pub(super) id: Id,
    pub(super) received_ms: u64,
    pub(super) topic: Option<u32>,
    /// Bytes of its record.
    pub(super) size: u64,
}

/// Bytes that are read at once.
const PIECE: u64 = 64 << 10;

/// A piece of one segment, read ahead. In a full log each publish removes an alert, which would otherwise be a read
/// each.
#[derive(Default)]
pub(super) struct ReadAhead {
    segment: u32,
    from: u64,
    bytes: Vec<u8>,
}

impl ReadAhead {
    /// Discards the bytes, because what was written there may have been undone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The bytes from `from` on, which begin with the record that ends at `to`, unless the file is shorter. Nothing
    /// after `end` is read, because the writer may still write there.
    fn record(&mut self, segment: &Segment, (from, to): (u64, u64), end: u64) -> io::Result<&[u8]> {
        let covered = self.from..self.from + self.bytes.len() as u64;
        if self.segment != segment.number() || !covered.contains(&from) || to > covered.end {
            let until = end.min(from + PIECE).max(to);
            self.bytes = disk::read(&*segment.file, from, usize::try_from(until - from).unwrap_or(0))?;
            (self.segment, self.from) = (segment.number(), from);
        }
        let start = usize::try_from(from - self.from).unwrap_or(usize::MAX);
        Ok(self.bytes.get(start..).unwrap_or_default())
    }
}

/// A search through the log for its oldest alert.
pub(super) struct Search<'a> {
    pub(super) catalog: &'a RwLock<Catalog>,
    pub(super) ahead: &'a mut ReadAhead,
}

impl Search<'_> {
    /// The first alert from `at` on that is retained and that the plan leaves, according to `is_left`; and the place
    /// that the search reached. Alerts lost to damage are added to `passed`.
    pub(super) fn find(
        &mut self,
        mut at: Position,
        is_left: impl Fn(u32, Id) -> bool,
        passed: &mut Vec<Position>,
    ) -> (Option<Oldest>, Position) {
        loop {
            let (segment, is_last) = {
                let catalog = self.catalog.read();
                let Some(segment) = catalog.segment_from(at.segment).cloned() else { return (None, at) };
                let is_last = catalog.segments.last().is_some_and(|last| last.number() == segment.number());
                (segment, is_last)
            };
            if segment.number() != at.segment {
                at = Position { segment: segment.number(), ordinal: 0 };
            }
            let (count, level, span, end) = {
                let index = segment.index.read();
                (index.count, index.level(at.ordinal), index.span(at.ordinal), index.end)
            };
            if at.ordinal >= count {
                if is_last {
                    return (None, at);
                }
                at = Position { segment: at.segment + 1, ordinal: 0 };
                continue;
            }
            if level.is_some() {
                let bytes = span.map_or(Ok(&[][..]), |span| self.ahead.record(&segment, span, end));
                let offset = span.map_or(0, |(from, _)| from);
                match bytes.map(|bytes| segment.inspect(bytes, offset, at.ordinal, level)) {
                    Ok(Found::Alert((head, stored))) => {
                        let catalog = self.catalog.read();
                        let topic = catalog.topics.number(stored.topic);
                        if topic.is_none_or(|topic| is_left(topic, head.id))
                            && catalog.is_retained(stored.topic, head.id)
                        {
                            let (id, received_ms, size) = (head.id, stored.received_ms, head.size() as u64);
                            return (Some(Oldest { at, id, received_ms, topic, size }), at);
                        }
                    }
                    Ok(Found::Erased(_) | Found::Dropped) => {}
                    Ok(Found::Damaged) | Err(_) => passed.push(at),
                }
            }
            at.ordinal += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::alert::Level;
    use crate::engine::Retention;
    use crate::engine::embedded::Durability;
    use crate::engine::embedded::disk::simulated::SimulatedDisk;
    use crate::engine::embedded::testing::{Log, UNLIMITED, publish};

    #[test]
    fn what_is_removed_is_read_in_large_pieces() {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::None, Retention { count: 60, ..UNLIMITED }).unwrap();
        let mut reads_of_600 = || {
            let before = disk.reads();
            for _ in 0..600 {
                log.append(&[vec![publish("ops", "one of many", Level::Info, None)]]).unwrap();
            }
            disk.reads() - before
        };
        reads_of_600();
        let reads = reads_of_600();
        assert!(reads < 120, "{reads} reads for 600 removals");
    }
}
