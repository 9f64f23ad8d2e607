//! Which records a page looks at, and reading many of them at once.

use std::io;
use std::sync::Arc;

use super::catalog::Catalog;
use super::disk;
use super::segment::{Found, Position, Segment};
use crate::alert::Level;

/// Bytes that are read in one piece at most, unless a single record is longer.
const PIECE: u64 = 256 << 10;
/// Records that are looked up under the lock at once.
const LOOK: usize = 1024;

/// A record that may belong to a page.
pub(super) struct Entry {
    pub(super) segment: Arc<Segment>,
    pub(super) ordinal: u32,
    from: u64,
    to: u64,
    level: Option<Level>,
}

impl Entry {
    fn passes(&self, least: Level) -> bool {
        self.level.is_some_and(|level| level >= least)
    }
}

impl Catalog {
    /// At most `most` records between two places, of one segment: from the front, or backward from the end. Returns them
    /// with the place where the next ones begin, or end.
    pub(super) fn entries(
        &self,
        from: Position,
        to: Position,
        topics: Option<&[u32]>,
        backward: bool,
        most: usize,
    ) -> (Vec<Entry>, Position) {
        let nothing = if backward { (Vec::new(), from) } else { (Vec::new(), to) };
        let segment = if backward {
            // The end is exclusive: at the first record of a segment it is in the one before.
            let number = if to.ordinal == 0 { to.segment.checked_sub(1) } else { Some(to.segment) };
            number.and_then(|number| self.segment_until(number))
        } else {
            self.segment_from(from.segment)
        };
        let Some(segment) = segment else { return nothing };
        let (number, most) = (segment.number(), most.clamp(1, LOOK));
        if (backward && number < from.segment) || (!backward && number > to.segment) {
            return nothing;
        }
        let index = segment.index.read();
        let start = if number == from.segment { from.ordinal } else { 0 };
        let end = if number == to.segment { to.ordinal.min(index.count) } else { index.count };
        let mut ordinals = match topics {
            None if backward => (start..end).rev().take(most).collect(),
            None => (start..end).take(most).collect(),
            Some(topics) => {
                let postings = topics.iter().filter_map(|topic| index.posting(*topic));
                let mut all: Vec<u32> = postings
                    .flat_map(|posting| if backward { posting.before(end, most) } else { posting.from(start, most) })
                    .filter(|ordinal| (start..end).contains(ordinal))
                    .collect();
                all.sort_unstable();
                if backward {
                    all.reverse();
                }
                all
            }
        };
        ordinals.truncate(most);
        let is_whole = ordinals.len() < most;
        let last = ordinals.last().copied().filter(|_| !is_whole);
        let next = match (last, backward) {
            (Some(ordinal), false) => Position { segment: number, ordinal: ordinal + 1 },
            (Some(ordinal), true) => Position { segment: number, ordinal },
            (None, false) => Position { segment: number.saturating_add(1), ordinal: 0 },
            (None, true) => Position { segment: number, ordinal: 0 },
        };
        let entry = |ordinal: u32| {
            let (from, to) = index.span(ordinal)?;
            Some(Entry { segment: Arc::clone(segment), ordinal, from, to, level: index.level(ordinal) })
        };
        (ordinals.into_iter().filter_map(entry).collect(), next)
    }
}

/// How many of the first entries are best read in one piece: at most `most` of those that pass.
pub(super) fn group(entries: &[Entry], least: Level, most: usize) -> usize {
    let (mut low, mut high, mut wanted, mut passed) = (u64::MAX, 0, 0, 0);
    for (i, entry) in entries.iter().enumerate() {
        if !entry.passes(least) {
            continue;
        }
        (low, high) = (low.min(entry.from), high.max(entry.to));
        wanted += entry.to - entry.from;
        passed += 1;
        // If little of a piece is wanted, it is read record by record.
        let is_sparse = (high - low) / 4 > wanted;
        if passed > 1 && (high - low > PIECE || is_sparse || passed > most) {
            return i;
        }
    }
    entries.len()
}

/// Reads a group; none for a record that the index says does not pass.
pub(super) fn fetch(group: &[Entry], least: Level) -> io::Result<Vec<Option<Found>>> {
    let passing = || group.iter().filter(|entry| entry.passes(least));
    let (Some(low), Some(high)) = (passing().map(|entry| entry.from).min(), passing().map(|entry| entry.to).max())
    else {
        return Ok(group.iter().map(|_| None).collect());
    };
    let segment = &group[0].segment;
    let bytes = disk::read(&*segment.file, low, usize::try_from(high - low).unwrap_or(0))?;
    let found = group.iter().map(|entry| {
        let start = usize::try_from(entry.from.checked_sub(low)?).ok()?;
        let record = bytes.get(start..).unwrap_or_default();
        entry.passes(least).then(|| segment.decode(record, entry.from, entry.ordinal, entry.level))
    });
    Ok(found.collect())
}
