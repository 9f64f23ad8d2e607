//! Segments that were dropped from within the log: limits had emptied them while an older segment still held an alert.
//!
//! A record names all of them before a file is removed, and the snapshot keeps it, so that a start does not take them
//! for lost. The limits of their topics say what was removed from them.

use super::codec::{Damaged, Reader, Writer};
use super::header::{Header, Previous};
use super::index::Hole;
use crate::alert::Id;

/// Neighbouring segments that were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DroppedRange {
    /// The segment before them, which is still there or was dropped from the old end.
    pub(super) before: Previous,
    /// The number of the last of them.
    pub(super) through: u32,
    /// The newest id in the log at their end.
    pub(super) last: Id,
}

impl DroppedRange {
    pub(super) const fn has_segment(&self, number: u32) -> bool {
        self.before.number < number && number <= self.through
    }

    pub(super) fn has_id(&self, id: Id) -> bool {
        self.before.last < id && id <= self.last
    }

    /// Whether dropped segments account for the whole hole.
    pub(super) fn explains(&self, hole: &Hole) -> bool {
        self.before.last <= hole.after && hole.upto <= self.last
    }

    /// Adds a segment; ranges that meet become one.
    pub(super) fn add(ranges: &mut Vec<Self>, header: &Header, last: Id) {
        let mut added = Self { before: header.previous, through: header.number, last };
        ranges.retain(|range| {
            if range.through == header.previous.number {
                added.before = range.before;
            } else if range.before.number == header.number {
                (added.through, added.last) = (range.through, range.last);
            } else {
                return true;
            }
            false
        });
        ranges.push(added);
    }

    /// The end of a segment after which segments were dropped, up to the one that `next` names.
    pub(super) fn end_before(ranges: &[Self], number: u32, next: Previous) -> Option<Previous> {
        let range = ranges.iter().find(|range| range.before.number == number && range.has_segment(next.number))?;
        Some(range.before)
    }

    pub(super) fn put(ranges: &[Self], out: &mut Writer) {
        out.u32(u32::try_from(ranges.len()).unwrap_or(u32::MAX));
        for range in ranges {
            out.u32(range.before.number);
            out.u64(range.before.end);
            out.id(range.before.last);
            out.u32(range.through);
            out.id(range.last);
        }
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Vec<Self>, Damaged> {
        let mut ranges = Vec::new();
        for _ in 0..reader.u32()? {
            let before = Previous { number: reader.u32()?, end: reader.u64()?, last: reader.id()? };
            ranges.push(Self { before, through: reader.u32()?, last: reader.id()? });
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Salt;
    use super::super::header::VERSION;
    use super::*;

    #[test]
    fn ranges_that_meet_become_one_in_any_order_and_read_back() {
        let header = |number: u32| {
            let previous = Previous { number: number - 1, end: 4096, last: Id::at(10 * u64::from(number - 1)) };
            let (identity, salt, first, trim) = ([0; 16], Salt(1), Id::ZERO, Id::ZERO);
            Header { version: VERSION, identity, salt, number, first, previous, trim, clock_ms: 0, reserved_ms: 0 }
        };
        for order in [[2, 3, 4, 7], [4, 3, 2, 7], [2, 4, 7, 3], [7, 4, 2, 3]] {
            let mut ranges = Vec::new();
            for number in order {
                DroppedRange::add(&mut ranges, &header(number), Id::at(10 * u64::from(number)));
            }
            ranges.sort_unstable_by_key(|range| range.through);
            let range = |from: u32, through: u32| DroppedRange {
                before: header(from).previous,
                through,
                last: Id::at(10 * u64::from(through)),
            };
            assert_eq!(ranges, [range(2, 4), range(7, 7)], "{order:?}");
            let mut bytes = Writer::default();
            DroppedRange::put(&ranges, &mut bytes);
            assert_eq!(DroppedRange::take(&mut Reader(&bytes.0)).unwrap(), ranges);
            assert!(DroppedRange::take(&mut Reader(&bytes.0[..40])).is_err());
            let has = |number: u32| ranges.iter().any(|range| range.has_segment(number));
            assert_eq!((1..9).filter(|number| has(*number)).collect::<Vec<_>>(), [2, 3, 4, 7]);
        }
    }
}
