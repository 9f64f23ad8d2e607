//! The index of one segment: where each of its records is, and which of them belong to a topic.
//!
//! Records with an id are numbered within their segment; that number is the ordinal. The index is derived from the
//! segment and never trusted alone: a reader of a record checks its id, topic and level.

use std::collections::HashMap;

use super::codec::{put_varint, varint};
use super::header::RECORDS;
use super::postings::{Posting, View};
use crate::alert::{Id, Level};

/// Every how many offsets one is stored in full; the others are differences.
const OFFSETS: u32 = 16;
/// Every how many ids one is kept.
pub(super) const IDS: u32 = 64;
/// In place of a level: the record is not an alert, or was erased.
const NO_ALERT: u8 = 3;

/// Ids that may have been lost to damage: after `after`, up to `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) after: Id,
    pub(super) upto: Id,
}

pub(super) enum Postings {
    Growing(HashMap<u32, Posting>),
    /// Topic and beginning of its list in the bytes, by topic.
    Frozen(Box<[(u32, u32)]>, Box<[u8]>),
}

pub(super) struct Index {
    pub(super) count: u32,
    /// Every sixteenth offset, and where the differences after it begin.
    pub(super) offsets: Vec<(u32, u32)>,
    /// Differences of offsets, in units of eight bytes.
    pub(super) deltas: Vec<u8>,
    pub(super) last_offset: u64,
    /// Two bits for each record.
    pub(super) levels: Vec<u8>,
    pub(super) ids: Vec<Id>,
    pub(super) postings: Postings,
    /// The newest id in the log at the end of this segment.
    pub(super) last: Id,
    /// Alerts in it, whether removed since or not.
    pub(super) alerts: u64,
    /// Bytes of their records.
    pub(super) bytes: u64,
    /// Where the records end.
    pub(super) end: u64,
    pub(super) holes: Vec<Hole>,
}

impl Index {
    pub(super) fn new(last: Id) -> Self {
        Self {
            count: 0,
            offsets: Vec::new(),
            deltas: Vec::new(),
            last_offset: 0,
            levels: Vec::new(),
            ids: Vec::new(),
            postings: Postings::Growing(HashMap::new()),
            last,
            alerts: 0,
            bytes: 0,
            end: RECORDS,
            holes: Vec::new(),
        }
    }

    /// Whether its parts are as long as its number of records demands. One that was read may be another version's mistake.
    pub(super) const fn is_consistent(&self) -> bool {
        let count = self.count as usize;
        self.offsets.len() == count.div_ceil(OFFSETS as usize)
            && self.levels.len() == count.div_ceil(4)
            && self.ids.len() == count.div_ceil(IDS as usize)
    }

    /// Adds a record; alerts and transitions have a topic and a level. Returns its ordinal.
    pub(super) fn push(&mut self, id: Id, offset: u64, size: usize, alert: Option<(u32, Level)>) -> u32 {
        let ordinal = self.count;
        if ordinal.is_multiple_of(OFFSETS) {
            let units = u32::try_from(offset / 8).unwrap_or(u32::MAX);
            self.offsets.push((units, u32::try_from(self.deltas.len()).unwrap_or(u32::MAX)));
        } else {
            put_varint(&mut self.deltas, (offset - self.last_offset) / 8);
        }
        self.last_offset = offset;
        // A reader may come before the rest of the batch is in.
        self.end = self.end.max(offset + size as u64);
        if ordinal.is_multiple_of(IDS) {
            self.ids.push(id);
        }
        if ordinal.is_multiple_of(4) {
            self.levels.push(0);
        }
        self.set_level(ordinal, alert.map_or(NO_ALERT, |(_, level)| level as u8));
        if let Some((topic, _)) = alert {
            if let Postings::Growing(postings) = &mut self.postings {
                postings.entry(topic).or_default().push(ordinal);
            }
            self.alerts += 1;
            self.bytes += size as u64;
        }
        self.count += 1;
        self.last = id;
        ordinal
    }

    fn set_level(&mut self, ordinal: u32, level: u8) {
        if let Some(byte) = self.levels.get_mut(ordinal as usize / 4) {
            let shift = 2 * (ordinal % 4);
            *byte = (*byte & !(3 << shift)) | (level << shift);
        }
    }

    /// Records that an alert was erased.
    pub(super) fn erase(&mut self, ordinal: u32, size: u64) {
        if self.level(ordinal).is_some() {
            self.set_level(ordinal, NO_ALERT);
            self.alerts = self.alerts.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// The level of an alert; none if the record is not an alert.
    pub(super) fn level(&self, ordinal: u32) -> Option<Level> {
        let byte = self.levels.get(ordinal as usize / 4)?;
        Level::from_u8((byte >> (2 * (ordinal % 4))) & 3)
    }

    pub(super) fn offset(&self, ordinal: u32) -> Option<u64> {
        if ordinal >= self.count {
            return None;
        }
        let (units, at) = *self.offsets.get((ordinal / OFFSETS) as usize)?;
        let mut deltas = self.deltas.get(at as usize..)?;
        let mut units = u64::from(units);
        for _ in 0..ordinal % OFFSETS {
            units = units.checked_add(varint(&mut deltas)?)?;
        }
        units.checked_mul(8)
    }

    /// The bytes in which a record lies: its offset, and where the next one begins.
    pub(super) fn span(&self, ordinal: u32) -> Option<(u64, u64)> {
        let offset = self.offset(ordinal)?;
        Some((offset, self.offset(ordinal + 1).unwrap_or(self.end).max(offset)))
    }

    /// The range of ordinals that contains the first id after `after`.
    pub(super) fn block_behind(&self, after: Id) -> (u32, u32) {
        let block = self.ids.partition_point(|id| *id <= after);
        let block = u32::try_from(block).unwrap_or(u32::MAX);
        (block.saturating_sub(1) * IDS, (block * IDS).min(self.count))
    }

    pub(super) fn posting(&self, topic: u32) -> Option<View<'_>> {
        match &self.postings {
            Postings::Growing(postings) => postings.get(&topic).map(Posting::view),
            Postings::Frozen(directory, data) => {
                let at = directory.binary_search_by_key(&topic, |entry| entry.0).ok()?;
                Some(View::frozen(data.get(directory[at].1 as usize..)?)?.0)
            }
        }
    }

    pub(super) fn topic_count(&self) -> usize {
        match &self.postings {
            Postings::Growing(postings) => postings.len(),
            Postings::Frozen(directory, _) => directory.len(),
        }
    }

    pub(super) fn topics(&self) -> Vec<u32> {
        match &self.postings {
            Postings::Growing(postings) => postings.keys().copied().collect(),
            Postings::Frozen(directory, _) => directory.iter().map(|entry| entry.0).collect(),
        }
    }

    /// The topic of an alert, found by searching all topics. Used only if the record itself is damaged.
    pub(super) fn topic_of(&self, ordinal: u32) -> Option<u32> {
        self.topics().into_iter().find(|topic| {
            self.posting(*topic).is_some_and(|posting| posting.from(ordinal, 1).first() == Some(&ordinal))
        })
    }

    /// Forgets the records from `ordinal` on; only while the index grows.
    pub(super) fn truncate(&mut self, ordinal: u32, end: u64, last: Id) {
        let kept: Vec<u64> = (0..ordinal).filter_map(|ordinal| self.offset(ordinal)).collect();
        let (mut offsets, mut deltas) = (Vec::new(), Vec::new());
        for (i, offset) in kept.iter().enumerate() {
            if i.is_multiple_of(OFFSETS as usize) {
                offsets.push((u32::try_from(offset / 8).unwrap_or(u32::MAX), u32::try_from(deltas.len()).unwrap_or(0)));
            } else {
                put_varint(&mut deltas, (offset - kept[i - 1]) / 8);
            }
        }
        (self.offsets, self.deltas) = (offsets, deltas);
        self.last_offset = kept.last().copied().unwrap_or(0);
        self.levels.truncate((ordinal as usize).div_ceil(4));
        self.ids.truncate(ordinal.div_ceil(IDS) as usize);
        if let Postings::Growing(postings) = &mut self.postings {
            postings.values_mut().for_each(|posting| posting.truncate(ordinal));
            postings.retain(|_, posting| posting.view().count() > 0);
        }
        (self.count, self.end, self.last) = (ordinal, end, last);
    }

    /// Compacts the index, once nothing is added any more.
    pub(super) fn freeze(&mut self) {
        let Postings::Growing(postings) = &self.postings else { return };
        let mut topics: Vec<_> = postings.keys().copied().collect();
        topics.sort_unstable();
        let (mut directory, mut data) = (Vec::with_capacity(topics.len()), Vec::new());
        for topic in topics {
            directory.push((topic, u32::try_from(data.len()).unwrap_or(u32::MAX)));
            postings[&topic].freeze(&mut data);
        }
        self.postings = Postings::Frozen(directory.into(), data.into());
        self.offsets.shrink_to_fit();
        self.deltas.shrink_to_fit();
        self.levels.shrink_to_fit();
        self.ids.shrink_to_fit();
    }

    /// Lets the index grow again.
    pub(super) fn thaw(&mut self) {
        if let Postings::Frozen(directory, data) = &self.postings {
            let lists = directory
                .iter()
                .filter_map(|(topic, at)| Some((*topic, View::frozen(data.get(*at as usize..)?)?.0.thaw())));
            self.postings = Postings::Growing(lists.collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u32) -> Index {
        let mut index = Index::new(Id::ZERO);
        for i in 0..count {
            let alert = (i % 5 != 4).then_some((i % 3, Level::ALL[i as usize % 3]));
            index.push(Id::at(u64::from(i) * 10 + 10), 4096 + 104 * u64::from(i), 104, alert);
            index.end = 4096 + 104 * u64::from(i + 1);
        }
        index
    }

    fn check(index: &Index, count: u32) {
        assert_eq!(index.count, count);
        for i in 0..count {
            assert_eq!(index.span(i), Some((4096 + 104 * u64::from(i), 4096 + 104 * u64::from(i + 1))), "{i}");
            assert_eq!(index.level(i), (i % 5 != 4).then_some(Level::ALL[i as usize % 3]));
            let (from, to) = index.block_behind(Id::at(u64::from(i) * 10 + 9));
            assert!(from <= i && i <= to, "{from} {i} {to}");
            assert_eq!(index.topic_of(i), (i % 5 != 4).then_some(i % 3));
        }
        assert_eq!(index.span(count), None);
        assert_eq!(index.block_behind(Id::MAX).1, count);
    }

    #[test]
    fn the_newest_record_can_be_read_before_the_end_of_its_batch_is_known() {
        let mut index = Index::new(Id::ZERO);
        for number in 0..70 {
            let (offset, size) = (RECORDS + 104 * number, 104);
            let ordinal = index.push(Id::at(number + 1), offset, size, Some((0, Level::Info)));
            assert_eq!(index.span(ordinal), Some((offset, offset + size as u64)));
        }
    }

    #[test]
    fn an_index_finds_each_record_growing_frozen_thawed_and_cut() {
        let mut index = filled(200);
        check(&index, 200);
        index.freeze();
        check(&index, 200);
        index.thaw();
        index.truncate(77, 4096 + 104 * 77, Id::at(770));
        check(&index, 77);
        for i in 77..130 {
            let alert = (i % 5 != 4).then_some((i % 3, Level::ALL[i as usize % 3]));
            index.push(Id::at(u64::from(i) * 10 + 10), 4096 + 104 * u64::from(i), 104, alert);
            index.end = 4096 + 104 * u64::from(i + 1);
        }
        check(&index, 130);
    }
}
