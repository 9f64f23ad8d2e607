//! The end of the log: the segment that is written to, the next one, and going on after a failure.
//!
//! After an error the same file is never written or synced again. Alerts that were answered but not synced are kept in
//! memory and written to a new segment, whose header says where the failed one ends.

mod tail;

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::catalog::Catalog;
use super::codec::StoredAlert;
use super::disk::Disk;
use super::frame::{Draft, Head, Kind, Mark, Salt};
use super::header::{Header, Previous, RECORDS, VERSION};
use super::index::Index;
use super::scan::{Item, walk};
use super::segment::{Position, Segment};
use crate::alert::{Id, Level, Topic};
pub(super) use tail::Tail;

/// A segment whose disk failed, until its successor is made.
pub(super) struct Failed {
    segment: Arc<Segment>,
    end: u64,
    count: u32,
    last: Id,
    unsynced: Vec<u8>,
}

/// The end of the log.
pub(super) struct Appender {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    /// A segment that has reached this size gets a successor.
    pub(super) segment_bytes: u64,
    /// How far a segment is filled with zeros in advance; 0 if it is not, because batches are not synced one by one.
    pub(super) fill_step: u64,
    pub(super) identity: [u8; 16],
    pub(super) tail: Option<Tail>,
    pub(super) failed: Option<Failed>,
    /// What the header of the next segment says about the one before.
    pub(super) previous: Previous,
    /// The highest number that a segment was given.
    pub(super) number: u32,
    /// Ids up to this millisecond may have been given, according to the disk.
    pub(super) reserved_ms: u64,
    /// Segments that are full.
    pub(super) sealed: Vec<Arc<Segment>>,
    pub(super) buffer: Vec<u8>,
}

impl Appender {
    /// Appends a batch, which `encode` makes for its place in a segment. After a failure it is written once more, to a
    /// new segment.
    pub(super) fn write<T>(
        &mut self,
        first: Id,
        sync: bool,
        encode: impl Fn(&Self, &Tail, &mut Vec<u8>) -> T,
    ) -> io::Result<T> {
        let mut is_first_try = true;
        loop {
            let error = match self.try_write(first, sync, &encode) {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            // Without a tail, creating a segment has failed, and would fail again.
            if !is_first_try || self.tail.is_none() {
                self.fail();
                return Err(error);
            }
            self.fail();
            is_first_try = false;
        }
    }

    fn try_write<T>(
        &mut self,
        first: Id,
        sync: bool,
        encode: &impl Fn(&Self, &Tail, &mut Vec<u8>) -> T,
    ) -> io::Result<T> {
        if self.tail.as_ref().is_some_and(|tail| tail.end >= self.segment_bytes) {
            self.roll(first)?;
        } else if self.tail.is_none() {
            self.make_tail(first)?;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        let Some(tail) = &self.tail else { return Err(io::ErrorKind::NotFound.into()) };
        let written = encode(self, tail, &mut bytes);
        let fill_step = self.fill_step;
        let Some(tail) = &mut self.tail else { return Err(io::ErrorKind::NotFound.into()) };
        tail.write(&bytes, sync, fill_step)?;
        if !sync {
            tail.unsynced.extend_from_slice(&bytes);
        }
        self.buffer = bytes;
        Ok(written)
    }

    /// Records that the batch is in the index too.
    pub(super) fn settle(&mut self, sync: bool) {
        if let Some(tail) = &mut self.tail {
            let mut index = tail.segment.index.write();
            index.end = tail.end;
            if sync {
                (tail.synced, tail.synced_count, tail.synced_last) = (tail.end, index.count, index.last);
                tail.segment.set_synced(index.count);
                tail.unsynced.clear();
            }
        }
    }

    /// Syncs everything that was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(tail) = &self.tail else {
            // Bytes that are only in memory need a new segment.
            return self.go_on();
        };
        if tail.is_synced() {
            return Ok(());
        }
        if tail.segment.file.sync().is_ok() {
            self.settle(true);
            return Ok(());
        }
        self.fail();
        self.go_on()
    }

    /// Syncs everything, and leaves nothing behind the end of the log.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.sync()?;
        match &mut self.tail {
            Some(tail) if self.fill_step > 0 => tail.cut(),
            _ => Ok(()),
        }
    }

    /// What a mark says about the log as a whole: trim, time of retention, reserved ids.
    pub(super) fn mark_values(&self) -> (Id, u64, u64) {
        let catalog = self.catalog.read();
        (catalog.trim, catalog.clock_ms, self.reserved_ms)
    }

    /// The bytes of answered alerts that are only in the kernel; none if there are none.
    pub(super) fn pending(&self) -> Option<usize> {
        match (&self.tail, &self.failed) {
            (Some(tail), _) => (!tail.is_synced()).then(|| tail.pending()),
            (None, failed) => failed.as_ref().map(|_| 0),
        }
    }

    /// Begins a new segment if the last one failed.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        if self.failed.is_some() { self.make_tail(self.previous.last.successor()) } else { Ok(()) }
    }

    /// Stops using the file of the tail.
    fn fail(&mut self) {
        let Some(tail) = self.tail.take() else { return };
        self.previous = Previous { number: tail.number(), end: tail.synced, last: tail.synced_last };
        self.failed = Some(Failed {
            segment: tail.segment,
            end: tail.synced,
            count: tail.synced_count,
            last: tail.synced_last,
            unsynced: tail.unsynced,
        });
    }

    /// Ends the tail and begins the next segment.
    fn roll(&mut self, first: Id) -> io::Result<()> {
        self.sync()?;
        let Some(mut tail) = self.tail.take() else { return Ok(()) };
        self.previous = Previous { number: tail.number(), end: tail.end, last: tail.synced_last };
        if let Err(error) = self.make_tail(first) {
            // The tail is intact; the next batch tries again.
            self.tail = Some(tail);
            return Err(error);
        }
        // After the end, so that a start notices if the next segment is missing. The next header already vouches for
        // the records, so a failure here loses nothing.
        let mark = Mark { last: self.previous.last, trim: self.catalog.read().trim, is_seal: true, ..Mark::default() };
        let mark = Mark { synced: (tail.number().into(), tail.end), ..mark };
        let mut bytes = Vec::new();
        mark.encode(&mut bytes, tail.end, tail.segment.header.salt);
        let _ = tail.write(&bytes, true, 0).and_then(|()| if self.fill_step > 0 { tail.cut() } else { Ok(()) });
        self.sealed.push(tail.segment);
        Ok(())
    }

    /// Makes the next segment, beginning with what a failed one left in memory.
    pub(super) fn make_tail(&mut self, first: Id) -> io::Result<()> {
        self.number += 1;
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let (salt, previous) = (Salt(u64::from_le_bytes(salt)), self.previous);
        // The rewritten records follow the synced end of the failed segment.
        let first =
            if self.failed.is_some() { previous.last.successor() } else { first.max(previous.last.successor()) };
        let (trim, clock_ms, reserved_ms) = self.mark_values();
        let (identity, number) = (self.identity, self.number);
        let header = Header { version: VERSION, identity, salt, number, first, previous, trim, clock_ms, reserved_ms };
        let (bytes, moved) = self.failed.as_ref().map_or_else(Default::default, |failed| rewrite(failed, &header));
        let name = header.name();
        let made = self.disk.create(&name).and_then(|file| {
            file.write_at(&header.encode(), 0)?;
            file.sync()?;
            self.disk.sync_directory()?;
            // Only after the header is synced: records after a torn header would look like a damaged segment.
            if !bytes.is_empty() {
                file.write_at(&bytes, RECORDS)?;
                file.sync()?;
            }
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                let _ = self.disk.unlink(&name);
                return Err(error);
            }
        };
        let mut index = Index::new(previous.last);
        index.end = RECORDS;
        let segment = Arc::new(Segment::new(header, name, file, index));
        self.catalog.write().segments.push(Arc::clone(&segment));
        if let Some(failed) = self.failed.take() {
            self.catalog.write().relocate(&failed, &segment, &moved);
            segment.index.write().end = RECORDS + bytes.len() as u64;
            let _ = failed.segment.file.truncate(failed.end);
            failed.segment.set_leftover();
            self.sealed.push(failed.segment);
        }
        self.tail = Some(Tail::new(segment));
        Ok(())
    }
}

/// A record that moves into another segment.
struct Moved {
    id: Id,
    offset: u64,
    size: usize,
    alert: Option<(Topic, Level)>,
}

/// The unsynced bytes of a failed segment, encoded for the new one.
fn rewrite(failed: &Failed, header: &Header) -> (Vec<u8>, Vec<Moved>) {
    let (mut out, mut moved, mut crc, mut start) = (Vec::new(), Vec::new(), 0, 0);
    walk(&failed.unsynced, failed.end, failed.segment.header.salt, |item| {
        let Item::Record { head, content: Some((user, content)), .. } = item else { return };
        if head.kind == Kind::Mark {
            let bytes = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
            let synced = (header.number.into(), RECORDS);
            if let Some(mark) = Mark::read(&head, content) {
                Mark { synced, bytes, crc, ..mark }.encode(&mut out, RECORDS, header.salt);
            }
            (crc, start) = (0, out.len());
            return;
        }
        let offset = RECORDS + out.len() as u64;
        let user = std::str::from_utf8(user).unwrap_or_default();
        let Head { kind, flags, id, before, topic_before, .. } = head;
        let draft = Draft { kind, flags, user, id, before, topic_before, content: &[content] };
        crc = crc32c::crc32c_append(crc, &draft.encode(&mut out, RECORDS, header.salt).to_le_bytes());
        if kind.has_id() {
            let stored = kind.is_read().then(|| StoredAlert::read(content, flags).ok()).flatten();
            let alert = stored.and_then(|stored| Some((stored.topic.parse().ok()?, stored.level)));
            moved.push(Moved { id, offset, size: head.size(), alert });
        }
    });
    (out, moved)
}

impl Catalog {
    /// Moves the index entries after the synced end of a failed segment to another one.
    fn relocate(&mut self, failed: &Failed, to: &Segment, moved: &[Moved]) {
        let before = failed.segment.index.read().topics();
        for record in moved {
            let alert = record.alert.as_ref().map(|(topic, level)| (self.topics.intern(topic), *level));
            let mut index = to.index.write();
            if let Some((topic, _)) = alert
                && index.posting(topic).is_none()
                && let Some(row) = self.topics.row_mut(topic)
            {
                row.segments += 1;
            }
            let ordinal = index.push(record.id, record.offset, record.size, alert);
            if let Some((topic, level)) = alert
                && let Some(row) = self.topics.row_mut(topic)
            {
                row.newest[level as usize] = Some(Position { segment: to.number(), ordinal });
                to.add_retained(1);
            }
        }
        let mut index = failed.segment.index.write();
        let alerts: Vec<_> = moved.iter().filter(|record| record.alert.is_some()).collect();
        index.alerts = index.alerts.saturating_sub(alerts.len() as u64);
        index.bytes = index.bytes.saturating_sub(alerts.iter().map(|record| record.size as u64).sum());
        index.truncate(failed.count, failed.end, failed.last);
        for topic in before.into_iter().filter(|topic| index.posting(*topic).is_none()) {
            self.topics.release(topic);
        }
        drop(index);
        self.remove_retained(failed.segment.number(), alerts.len() as u64);
        let end = Position { segment: failed.segment.number(), ordinal: failed.count };
        if self.trim_at.segment == end.segment {
            self.trim_at = self.trim_at.min(end);
        }
    }
}
