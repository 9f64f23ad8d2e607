//! Reads the whole log slowly in the background, so that damage is found before a reader meets it.
//!
//! The keeper makes a step whenever it has nothing else to do. A pass goes from the oldest segment to the newest, at most
//! a piece a second, and checks each segment's header and every record that is on the disk, as a reader would; damage is
//! named in the journal and counted, and nothing is changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::disk;
use super::header::{Header, RECORDS};
use super::read::View;
use super::segment::{Found, Position, Segment};
use super::shared::Shared;
use crate::engine::Clock;

/// Bytes of one step, unless a single record is longer.
const PIECE: u64 = 1 << 20;
/// The time between two steps.
const STEP: Duration = Duration::from_secs(1);
/// The time between two passes. Short in debug builds, so that tests see several.
const REST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 24 * 3600 });

pub(super) struct Scrub {
    view: View,
    pub(super) shared: Arc<Shared>,
    clock: Clock,
    /// The next record.
    at: Position,
    /// When the next step is due.
    due: Instant,
}

impl Scrub {
    pub(super) fn new(view: View, shared: Arc<Shared>, clock: Clock) -> Self {
        Self { view, shared, clock, at: Position::default(), due: Instant::now() + STEP }
    }

    /// Checks the next piece, if that is due.
    pub(super) fn step_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.due {
            let is_over = self.step();
            self.due = now + if is_over { REST } else { STEP };
        }
    }

    /// Checks the next piece; returns whether the pass is over.
    fn step(&mut self) -> bool {
        let next = {
            let catalog = self.view.catalog.read();
            self.at = self.at.max(catalog.trim_at);
            catalog.segment_from(self.at.segment).cloned()
        };
        let Some(segment) = next else {
            self.at = Position::default();
            self.shared.scrubbed_ms.store((self.clock)(), Ordering::Relaxed);
            return true;
        };
        if segment.number() != self.at.segment {
            self.at = Position { segment: segment.number(), ordinal: 0 };
        }
        if self.at.ordinal == 0 && !has_header(&segment) && !segment.is_dropped() {
            self.view.damaged.name_header(&segment);
        }
        let spans = segment.spans(self.at.ordinal, segment.synced_count(), PIECE);
        if let (Some((from, _)), Some((_, to))) = (spans.first(), spans.last()) {
            // What the disk does not give back is damaged too.
            let bytes = disk::read(&*segment.file, *from, usize::try_from(to - from).unwrap_or(0)).unwrap_or_default();
            for (offset, _) in &spans {
                let start = usize::try_from(offset - from).unwrap_or(usize::MAX);
                self.check(&segment, self.at.ordinal, *offset, bytes.get(start..).unwrap_or_default());
                self.at.ordinal += 1;
            }
        } else {
            self.at = Position { segment: segment.number().saturating_add(1), ordinal: 0 };
        }
        false
    }

    fn check(&self, segment: &Segment, ordinal: u32, offset: u64, bytes: &[u8]) {
        let level = segment.index.read().level(ordinal);
        let is_damaged = matches!(segment.inspect(bytes, offset, ordinal, level), Found::Damaged);
        // After a failure of the disk the writer may have moved the record meanwhile.
        if is_damaged && ordinal < segment.synced_count() && segment.index.read().offset(ordinal) == Some(offset) {
            self.view.damaged.name(segment, ordinal);
        }
    }
}

/// Whether the next start could read the header of a segment.
fn has_header(segment: &Segment) -> bool {
    let bytes = disk::read(&*segment.file, 0, usize::try_from(RECORDS).unwrap_or(0)).unwrap_or_default();
    Header::read(&bytes) == Ok(segment.header)
}

#[cfg(test)]
mod tests {
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::testing::{Log, UNLIMITED, publish};
    use super::super::{Durability, shared::Shared};
    use super::*;
    use crate::alert::Level;

    /// A log of several segments, whose alerts nobody has read, and its scrub.
    fn scrubbed() -> (SimulatedDisk, Log, Scrub) {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        for i in 0..200 {
            log.append(&[vec![publish("ops", &format!("{i} {}", "x".repeat(200)), Level::Info, None)]]).unwrap()[0]
                .as_ref()
                .unwrap();
        }
        let shared = Arc::new(Shared::new(std::path::PathBuf::new(), UNLIMITED));
        let scrub = Scrub::new(log.view.clone(), shared, Arc::new(|| 7));
        (disk, log, scrub)
    }

    fn pass(scrub: &mut Scrub) -> usize {
        for _ in 0..1000 {
            if scrub.step() {
                return scrub.view.damaged.count(&scrub.view.catalog.read());
            }
        }
        panic!("a pass does not end");
    }

    #[test]
    fn a_pass_finds_each_damaged_record_and_header_once_and_nothing_else() {
        let (disk, mut log, mut scrub) = scrubbed();
        assert_eq!((pass(&mut scrub), scrub.shared.scrubbed_ms.load(Ordering::Relaxed)), (0, 7));
        let segments: Vec<_> = log.view.catalog.read().segments.iter().map(|segment| segment.name.clone()).collect();
        assert!(segments.len() > 3);
        // In the first record of one segment, in the headers of another one, and in the end of the newest.
        disk.alter(&segments[1], |bytes| bytes[usize::try_from(RECORDS).unwrap() + 80] ^= 1);
        assert_eq!(pass(&mut scrub), 1);
        disk.alter(&segments[2], |bytes| bytes[..usize::try_from(RECORDS).unwrap()].fill(0));
        assert_eq!((pass(&mut scrub), pass(&mut scrub)), (2, 2));
        let newest = Arc::clone(log.view.catalog.read().segments.last().unwrap());
        let last = newest.index.read().offset(newest.index.read().count - 1).unwrap();
        disk.alter(&newest.name, |bytes| bytes.truncate(usize::try_from(last).unwrap() + 70));
        assert_eq!(pass(&mut scrub), 3);
        log.work();
    }

    #[test]
    fn what_was_erased_is_no_damage() {
        let (_disk, mut log, mut scrub) = scrubbed();
        let record = log.read(&super::super::testing::filter("*")).unwrap().0[20].clone();
        log.retract(&record).unwrap();
        log.work();
        assert_eq!(pass(&mut scrub), 0);
    }
}
