//! Reading the log: pages of it in both directions.
//!
//! A page does a bounded amount of work. The index, locked briefly for each group of records, says which of them may
//! pass; the records themselves are read without a lock and checked each time. A record that cannot be read is damaged:
//! it is counted, named once in the journal, and reported to the reader as removed.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::catalog::Catalog;
use super::cursors::Cursors;
use super::damaged::DamagedPlaces;
use super::fetch::{Entry, fetch};
use super::segment::{Found, Position, Segment};
use crate::alert::{Filter, Id, Pattern, Record, RecordKind, Topic};
use crate::engine::limits::MAX_MERGED_TOPICS;
use crate::engine::topics::Run;
use crate::engine::{Page, Range};

/// Records that one page looks at.
pub(super) const SCANNED: usize = 8192;

/// The log for readers; cheap to clone.
#[derive(Clone)]
pub(super) struct View {
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) damaged: Arc<DamagedPlaces>,
    pub(super) cursors: Arc<Cursors>,
}

/// A page that is being filled.
struct Filling<'r> {
    range: &'r Range,
    records: Vec<Record>,
    bytes: usize,
    scanned: usize,
    /// The record that was looked at last, and its id if it was read.
    seen: Option<(Arc<Segment>, u32, Option<Id>)>,
    /// The newest id that was lost to damage.
    lost: Id,
}

impl Filling<'_> {
    const fn is_full(&self) -> bool {
        self.scanned >= SCANNED || self.records.len() >= self.range.limit || self.bytes > self.range.bytes
    }
}

pub(super) fn is_alert(record: &Record) -> bool {
    record.kind == RecordKind::Alert
}

impl View {
    pub(super) fn new(catalog: Arc<RwLock<Catalog>>) -> Self {
        Self { catalog, damaged: Arc::default(), cursors: Arc::default() }
    }

    pub(super) fn topics(&self, runs: &[Run], most: usize) -> Vec<Topic> {
        self.catalog.read().topics.list(runs, most)
    }

    /// The place of the first record after an id.
    pub(super) fn behind(&self, id: Id) -> Position {
        let (segment, end) = {
            let catalog = self.catalog.read();
            (catalog.segment_behind(id), catalog.end())
        };
        segment.map_or(end, |segment| Position { segment: segment.number(), ordinal: segment.behind(id) })
    }

    /// The place after all records up to an id, including damaged ones that may be among them.
    fn until(&self, id: Id) -> Position {
        let mut at = self.behind(id);
        while let Some(segment) = self.catalog.read().segment(at.segment).cloned()
            && at.ordinal < segment.index.read().count
            && segment.id(at.ordinal).is_none()
        {
            at.ordinal += 1;
        }
        at
    }

    /// The numbers of the topics that the filter selects, if they are few.
    fn few_topics(&self, filter: &Filter) -> Option<Vec<u32>> {
        if filter.patterns().contains(&Pattern::All) {
            return None;
        }
        let mut numbers = Vec::new();
        self.catalog.read().topics.each(filter, |number, _| {
            numbers.push(number);
            numbers.len() <= MAX_MERGED_TOPICS
        });
        (numbers.len() <= MAX_MERGED_TOPICS).then_some(numbers)
    }

    pub(super) fn read(&self, range: &Range, backward: bool) -> io::Result<Page> {
        let trimmed = self.catalog.read().trimmed(&range.filter);
        let (trim, oldest) = {
            let catalog = self.catalog.read();
            (catalog.trim, catalog.oldest)
        };
        let mut page = Page { records: Vec::new(), next: None, trimmed, damaged: None, oldest };
        if range.after >= range.until {
            return Ok(page);
        }
        let from = self.behind(range.after.max(trim));
        let to = self.until(range.until);
        let topics = self.few_topics(&range.filter);
        let mut filling = Filling { range, records: Vec::new(), bytes: 0, scanned: 0, seen: None, lost: Id::ZERO };
        let is_over = self.fill(&mut filling, from, to, topics.as_deref(), backward)?;
        if !is_over {
            page.next = filling.seen.take().map(|(segment, ordinal, id)| match id {
                Some(id) => id,
                None => segment.id_near(ordinal),
            });
        }
        let damaged = filling.lost.max(self.hole(range, page.next, backward));
        page.damaged = (damaged > Id::ZERO).then_some(damaged);
        page.trimmed = page.trimmed.max(damaged);
        page.records = filling.records;
        if backward {
            page.records.reverse();
        }
        Ok(page)
    }

    /// Reads records between two places until the page is full; returns whether none are left.
    fn fill(
        &self,
        filling: &mut Filling<'_>,
        mut from: Position,
        mut to: Position,
        topics: Option<&[u32]>,
        backward: bool,
    ) -> io::Result<bool> {
        while from < to {
            let wanted = SCANNED - filling.scanned;
            let (entries, behind) = self.catalog.read().entries(from, to, topics, backward, wanted);
            let mut rest = &entries[..];
            while !rest.is_empty() {
                let (group, others) = rest.split_at(self.group(rest, filling));
                rest = others;
                let is_whole = self.take(group, filling)?;
                if filling.is_full() {
                    return Ok(is_whole && rest.is_empty() && if backward { from >= behind } else { behind >= to });
                }
            }
            if backward { to = behind } else { from = behind }
        }
        Ok(true)
    }

    /// How many of the entries are read together.
    fn group(&self, entries: &[Entry], filling: &Filling<'_>) -> usize {
        let most = (filling.range.limit - filling.records.len()).clamp(1, 512);
        super::fetch::group(entries, filling.range.filter.level(), most)
    }

    /// Reads a group, and takes what passes; false if the page was full before the group was over.
    fn take(&self, group: &[Entry], filling: &mut Filling<'_>) -> io::Result<bool> {
        let filter = &filling.range.filter;
        let found = fetch(group, filter.level())?;
        let topic_trim = self.catalog.read().topic_trim;
        for (entry, found) in group.iter().zip(found) {
            if filling.is_full() {
                return Ok(false);
            }
            filling.scanned += 1;
            let mut id = None;
            match found {
                None | Some(Found::Dropped) => {}
                Some(Found::Erased(erased)) => id = Some(erased),
                Some(Found::Damaged) => {
                    self.damaged.name(&entry.segment, entry.ordinal);
                    let lost = entry.segment.id_near(entry.ordinal);
                    filling.lost = filling.lost.max(lost);
                    id = Some(lost);
                }
                Some(Found::Alert(record)) => {
                    id = Some(record.id);
                    let is_left =
                        record.id > topic_trim || self.catalog.read().is_retained(record.topic.as_str(), record.id);
                    if is_left && filter.matches(record.topic.as_str(), record.level) {
                        filling.bytes += record.json.len();
                        filling.records.push(*record);
                    }
                }
            }
            filling.seen = Some((Arc::clone(&entry.segment), entry.ordinal, id));
        }
        Ok(true)
    }

    /// The newest id in a hole that the page reached into.
    fn hole(&self, range: &Range, next: Option<Id>, backward: bool) -> Id {
        let (after, until) = match next {
            Some(next) if backward => (next.predecessor(), range.until),
            Some(next) => (range.after, next),
            None => (range.after, range.until),
        };
        let catalog = self.catalog.read();
        let holes = catalog.holes.iter().filter(|hole| hole.upto > after && hole.after < until);
        holes.map(|hole| hole.upto).max().unwrap_or_default()
    }
}
