//! One segment: its file, its header and its index, and reading a record of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::codec::StoredAlert;
use super::disk::{self, DiskFile};
use super::frame::Head;
use super::header::Header;
use super::index::Index;
use crate::alert::{Id, Level, Record};

/// A segment of the log.
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) name: String,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) index: RwLock<Index>,
    /// About how many of its alerts are retained: inexact after a failure of the disk that moved alerts.
    retained: AtomicU64,
    /// How many of its records are on the disk, and so stay in this segment.
    synced: AtomicU32,
    /// Whether retention dropped it: what cannot be read was then removed, not damaged.
    is_dropped: AtomicBool,
    /// Whether its file may hold more than belongs to the log, after a failure; the next start cuts that off.
    has_leftover: AtomicBool,
}

/// A place in the log: a segment and an ordinal within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) ordinal: u32,
}

/// The result of reading a record.
pub(super) enum Found<A = Box<Record>> {
    /// An alert, a transition or a retraction.
    Alert(A),
    /// Its id is still a valid cursor, but its content is gone.
    Erased(Id),
    Damaged,
    /// Its segment was dropped meanwhile.
    Dropped,
}

impl Segment {
    pub(super) fn new(header: Header, name: String, file: Arc<dyn DiskFile>, index: Index) -> Self {
        let (retained, is_dropped, has_leftover) = Default::default();
        let synced = AtomicU32::new(index.count);
        Self { header, name, file, index: RwLock::new(index), retained, synced, is_dropped, has_leftover }
    }

    pub(super) const fn number(&self) -> u32 {
        self.header.number
    }

    pub(super) fn add_retained(&self, alerts: u64) {
        self.retained.fetch_add(alerts, Ordering::Relaxed);
    }

    pub(super) fn remove_retained(&self, alerts: u64) {
        let retained = self.retained.load(Ordering::Relaxed);
        self.retained.store(retained.saturating_sub(alerts), Ordering::Relaxed);
    }

    /// Whether all its alerts may be removed, so that it is worth checking.
    pub(super) fn seems_emptied(&self) -> bool {
        self.retained.load(Ordering::Relaxed) == 0
    }

    pub(super) fn set_synced(&self, count: u32) {
        self.synced.store(count, Ordering::Release);
    }

    pub(super) fn synced_count(&self) -> u32 {
        self.synced.load(Ordering::Acquire)
    }

    pub(super) fn set_leftover(&self) {
        self.has_leftover.store(true, Ordering::Release);
    }

    pub(super) fn has_leftover(&self) -> bool {
        self.has_leftover.load(Ordering::Acquire)
    }

    pub(super) fn set_dropped(&self) {
        self.is_dropped.store(true, Ordering::Release);
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    /// Where the records from `ordinal` to `count` lie, as many as have at most `bytes` together, and at least one.
    pub(super) fn spans(&self, ordinal: u32, count: u32, bytes: u64) -> Vec<(u64, u64)> {
        let index = self.index.read();
        let start = index.offset(ordinal).unwrap_or(0);
        let mut is_first = true;
        (ordinal..count)
            .map_while(|ordinal| index.span(ordinal))
            .take_while(|(_, to)| std::mem::take(&mut is_first) || to - start <= bytes)
            .collect()
    }

    pub(super) fn head(&self, offset: u64) -> io::Result<Option<Head>> {
        let bytes = disk::read(&*self.file, offset, super::frame::HEAD)?;
        Ok(Head::read(&bytes, offset, self.header.salt))
    }

    /// The id of a record, if its head is intact.
    pub(super) fn id(&self, ordinal: u32) -> Option<Id> {
        let offset = self.index.read().offset(ordinal)?;
        self.head(offset).ok()?.map(|head| head.id)
    }

    /// The id of a record whose content may be damaged, or one that is not smaller.
    pub(super) fn id_near(&self, ordinal: u32) -> Id {
        let later = (ordinal.saturating_add(1)..ordinal.saturating_add(17)).find_map(|later| {
            let offset = self.index.read().offset(later)?;
            Some(self.head(offset).ok()??.before)
        });
        self.id(ordinal).or(later).unwrap_or_else(|| self.index.read().last)
    }

    /// Reads one record.
    pub(super) fn read(&self, ordinal: u32) -> io::Result<Found> {
        let (span, level) = {
            let index = self.index.read();
            (index.span(ordinal), index.level(ordinal))
        };
        let Some((from, to)) = span else { return Ok(Found::Damaged) };
        let bytes = disk::read(&*self.file, from, usize::try_from(to - from).unwrap_or(0))?;
        Ok(self.decode(&bytes, from, ordinal, level))
    }

    /// The record at the start of `bytes`, which are those at `offset`; according to the index it is an alert or a
    /// transition of this level.
    pub(super) fn decode(&self, bytes: &[u8], offset: u64, ordinal: u32, level: Option<Level>) -> Found {
        match self.inspect(bytes, offset, ordinal, level) {
            Found::Alert((head, stored)) => {
                stored.of(&head).map_or_else(|_| self.lost(), |record| Found::Alert(Box::new(record)))
            }
            Found::Erased(id) => Found::Erased(id),
            Found::Damaged => Found::Damaged,
            Found::Dropped => Found::Dropped,
        }
    }

    /// The same, without a copy.
    pub(super) fn inspect<'a>(
        &self,
        bytes: &'a [u8],
        offset: u64,
        ordinal: u32,
        level: Option<Level>,
    ) -> Found<(Head, StoredAlert<'a>)> {
        let salt = self.header.salt;
        let Some(head) = Head::read(bytes, offset, salt) else { return self.lost() };
        if head.is_erased() || level.is_none() {
            return Found::Erased(head.id);
        }
        let content = head.content(bytes, offset, salt).map(|(_, content)| content);
        match content.and_then(|content| StoredAlert::read(content, head.flags).ok()) {
            // With another level than in the index, the record does not belong to this segment.
            Some(stored) if Some(stored.level) == level => Found::Alert((head, stored)),
            // Read while it was being overwritten.
            _ if self.index.read().level(ordinal).is_none() => Found::Erased(head.id),
            _ => self.lost(),
        }
    }

    fn lost<A>(&self) -> Found<A> {
        if self.is_dropped() { Found::Dropped } else { Found::Damaged }
    }

    /// The first ordinal whose id is greater than `after`; `count` if there is none.
    pub(super) fn behind(&self, after: Id) -> u32 {
        let (mut from, mut to) = {
            let index = self.index.read();
            if index.last <= after {
                return index.count;
            }
            index.block_behind(after)
        };
        while from < to {
            let middle = u32::midpoint(from, to);
            // After a damaged head the search continues with the records that follow.
            let Some((at, id)) = (middle..to).find_map(|ordinal| Some((ordinal, self.id(ordinal)?))) else {
                to = middle;
                continue;
            };
            if id <= after { from = at + 1 } else { to = middle }
        }
        from
    }
}
