//! The index of a segment: from its sidecar, or rebuilt from the records.

use std::io;

use super::codec::StoredAlert;
use super::disk::{self, Disk, DiskFile};
use super::frame::{Head, Kind, Mark};
use super::header::{RECORDS, sidecar_name};
use super::index::Index;
use super::inventory::File;
use super::scan::{Accepted, Outcome, accept};
use super::segment::Segment;
use super::sidecar;
use super::topics::Topics;
use crate::alert::Id;

/// The index in the sidecar, if it covers the segment up to `end`.
pub(super) fn from_sidecar(disk: &dyn Disk, file: &File, end: u64, topics: &mut Topics) -> Option<Index> {
    let sidecar = disk.open(&sidecar_name(&file.name)).ok()?;
    let length = usize::try_from(sidecar.length().ok()?).ok()?;
    let bytes = disk::read(&*sidecar, 0, length).ok()?;
    let index = sidecar::decode(&bytes, &file.header, |topic| topics.intern(topic)).ok()?;
    // A segment that is shorter than its index has lost its end.
    (index.end == end && file.file.length().is_ok_and(|length| length >= end)).then_some(index)
}

/// Cuts off what follows the end that the next segment names, unless it is a seal: bytes that a failed disk did not
/// sync, and that were refused or written again. They must not become part of the log if the next segment is lost.
pub(super) fn cut_leftover(file: &File, end: u64) -> io::Result<()> {
    if file.file.length()? <= end {
        return Ok(());
    }
    let bytes = disk::read(&*file.file, end, 1 << 10)?;
    let head = Head::read(&bytes, end, file.header.salt).filter(|head| head.kind == Kind::Mark);
    let mark = head.and_then(|head| Mark::read(&head, head.content(&bytes, end, file.header.salt)?.1));
    if mark.is_none_or(|mark| !mark.is_seal) {
        file.file.truncate(end)?;
        file.file.sync()?;
    }
    Ok(())
}

/// The bytes of a segment's records.
pub(super) fn records(file: &dyn DiskFile, end: u64) -> io::Result<Vec<u8>> {
    disk::read(file, RECORDS, usize::try_from(end.saturating_sub(RECORDS)).unwrap_or(0))
}

/// A record whose content is damaged, unless it is only erased in part.
pub(super) struct DamagedContent {
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Its own, or that of the alert whose text it has.
    pub(super) id: Id,
    /// Whether it has an id of its own.
    pub(super) is_alert: bool,
}

/// A segment whose records were read.
pub(super) struct Scanned {
    pub(super) segment: Segment,
    pub(super) outcome: Outcome,
    /// Records whose content is damaged, or erased in part.
    pub(super) contents: Vec<DamagedContent>,
    /// Other damage, in words.
    pub(super) damage: Vec<String>,
}

/// Reads the records of a segment, whose first ones follow `last`, and makes its index.
pub(super) fn scan(file: File, bytes: &[u8], vouched: u64, last: Id, topics: &mut Topics) -> Scanned {
    let (number, mut index, mut contents) = (file.header.number, Index::new(last), Vec::new());
    let outcome = accept(bytes, file.header.salt, vouched, last, |Accepted { offset, head, content }| {
        if content.is_none() {
            contents.push(DamagedContent { segment: number, offset, id: head.id, is_alert: head.kind.has_id() });
        }
        if !head.kind.has_id() {
            return;
        }
        let stored = content.filter(|_| head.kind.is_read() && !head.is_erased()).and_then(|(_, content)| {
            let stored = StoredAlert::read(content, head.flags).ok()?;
            Some((topics.intern(&stored.topic.parse().ok()?), stored.level))
        });
        index.push(head.id, offset, head.size(), stored);
    });
    let is_content = |offset: &u64| contents.iter().any(|damaged: &DamagedContent| damaged.offset == *offset);
    let others = outcome.damage.iter().filter(|offset| !is_content(offset));
    let damage = others.map(|offset| format!("{}: damaged at offset {offset}", file.name)).collect();
    index.holes.clone_from(&outcome.holes);
    index.end = outcome.end;
    Scanned { segment: Segment::new(file.header, file.name, file.file, index), outcome, contents, damage }
}
