//! The segment that is written to, and how far it is on the disk.
//!
//! Owned by the appender. Where each batch is synced, the file gets zeros in advance, which batches then overwrite: to sync a
//! new length, file systems write to their journal as well, and that takes as long as the batch itself. A start finds the
//! zeros where batches could be that did not reach the disk, and cuts them off as it does those.

use std::io;
use std::sync::Arc;

use crate::alert::Id;
use crate::engine::embedded::segment::Segment;

/// The segment that is written to.
pub(in crate::engine::embedded) struct Tail {
    pub(in crate::engine::embedded) segment: Arc<Segment>,
    pub(in crate::engine::embedded) end: u64,
    /// The length of the file: from the end up to here are zeros.
    filled: u64,
    /// The offset up to which it is known to be on the disk, with the number of records and the newest id there.
    pub(in crate::engine::embedded) synced: u64,
    pub(super) synced_count: u32,
    pub(super) synced_last: Id,
    /// The bytes after that offset.
    pub(super) unsynced: Vec<u8>,
}

impl Tail {
    /// A segment of which everything is on the disk.
    pub(in crate::engine::embedded) fn new(segment: Arc<Segment>) -> Self {
        let (end, count, last) = {
            let index = segment.index.read();
            (index.end, index.count, index.last)
        };
        segment.set_synced(count);
        Self { segment, end, filled: end, synced: end, synced_count: count, synced_last: last, unsynced: Vec::new() }
    }

    pub(in crate::engine::embedded) fn number(&self) -> u32 {
        self.segment.number()
    }

    pub(in crate::engine::embedded) const fn is_synced(&self) -> bool {
        self.synced == self.end
    }

    /// Bytes that are only in the kernel.
    pub(in crate::engine::embedded) const fn pending(&self) -> usize {
        self.unsynced.len()
    }

    /// Writes a batch, and syncs it if `sync` is set. If the file is too short for it, it gets zeros up to the next multiple
    /// of `step` first; none if that is 0. The caller updates the index.
    pub(super) fn write(&mut self, bytes: &[u8], sync: bool, step: u64) -> io::Result<()> {
        let end = self.end + bytes.len() as u64;
        if step > 0 && end > self.filled {
            // Without zeros the batch only takes longer. If it cannot be written either, that is an error.
            let _ = self.fill((end + 1).next_multiple_of(step));
        }
        self.segment.file.write_at(bytes, self.end)?;
        if sync {
            self.segment.file.sync()?;
        }
        self.end = end;
        self.filled = self.filled.max(end);
        Ok(())
    }

    fn fill(&mut self, upto: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while self.filled < upto {
            let zeros = &ZEROS[..usize::try_from(upto - self.filled).unwrap_or(usize::MAX).min(ZEROS.len())];
            self.segment.file.write_at(zeros, self.filled)?;
            self.filled += zeros.len() as u64;
        }
        Ok(())
    }

    /// Cuts off the zeros, once everything before them is synced.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        self.segment.file.truncate(self.end)?;
        self.segment.file.sync()?;
        self.filled = self.end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Level;
    use crate::engine::embedded::Durability;
    use crate::engine::embedded::disk::simulated::SimulatedDisk;
    use crate::engine::embedded::testing::{Log, UNLIMITED, filter, publish};

    fn open(disk: &SimulatedDisk, alerts: usize) -> Log {
        let log = Log::open(disk, Durability::Fsync, UNLIMITED).unwrap();
        assert_eq!((&log.damage, log.read(&filter("*")).unwrap().0.len()), (&Vec::new(), alerts));
        log
    }

    fn append(log: &mut Log) -> (u64, u64) {
        log.append(&[vec![publish("t", "m", Level::Info, None)]]).unwrap();
        ends(log)
    }

    /// The end of the log, and that of its file.
    fn ends(log: &Log) -> (u64, u64) {
        let tail = log.store.appender.tail.as_ref().unwrap();
        (tail.end, tail.segment.file.length().unwrap())
    }

    #[test]
    fn zeros_behind_the_end_are_no_damage_and_neither_a_stop_nor_a_start_leaves_them() {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk, 0);
        let ((end, length), (next_end, next_length)) = (append(&mut log), append(&mut log));
        assert!(length > end && next_end > end && next_length == length, "{end} {length} {next_end} {next_length}");
        // A kill.
        drop(log);
        let mut log = open(&disk, 2);
        let (end, length) = ends(&log);
        assert_eq!((end, length), (next_end, next_end));
        let (end, length) = append(&mut log);
        assert!(length > end);
        log.stop().unwrap();
        let log = open(&disk, 3);
        assert_eq!(ends(&log), (end, end));
    }

    #[test]
    fn a_full_segment_has_no_zeros_behind_its_seal() {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk, 0);
        append(&mut log);
        let first = Arc::clone(&log.store.appender.tail.as_ref().unwrap().segment);
        let mut alerts = 1;
        while log.store.appender.tail.as_ref().is_some_and(|tail| tail.number() == first.number()) {
            append(&mut log);
            alerts += 1;
        }
        let content = disk.content(&first.name);
        assert!(content[content.len() - 64..].iter().any(|byte| *byte != 0));
        drop(log);
        open(&disk, alerts);
    }
}
