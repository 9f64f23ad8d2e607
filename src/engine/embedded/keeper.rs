//! Background work for the writer: sidecars of sealed segments, the snapshot, and freeing the space of dropped
//! segments.
//!
//! Runs in a thread of its own. Nothing here is needed before the next start, which repeats whatever was interrupted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};

use super::catalog::Catalog;
use super::disk::{self, Disk};
use super::header::sidecar_name;
use super::inventory::DROPPED;
use super::pins::Pins;
use super::replay::replay;
use super::retracted::Retracted;
use super::segment::Segment;
use super::sidecar;
use super::snapshot::{self, Place};

/// A dropped file is shortened in steps of this size: freeing 64 MiB at once stalls the writer's sync for 50 ms.
const STEP: u64 = 1 << 20;

pub(super) enum Chore {
    /// Compacts the index of a sealed segment and stores it.
    Seal(Arc<Segment>),
    /// Brings the snapshot up to the last sealed segment.
    Snapshot,
    /// Removes the files of a segment, by its name.
    Drop(String),
    /// Removes a file that was dropped before.
    Shorten(String),
}

pub(super) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) snapshotted: Arc<AtomicU32>,
    pub(super) pins: Arc<Pins>,
    /// Retracted alerts whose copies are not erased yet.
    pub(super) retracted: Arc<Mutex<Retracted>>,
}

impl Keeper {
    /// Does one piece of work. `pause` is called between steps that keep the disk busy.
    pub(super) fn perform(&self, chore: Chore, pause: &mut dyn FnMut()) -> io::Result<()> {
        match chore {
            Chore::Seal(segment) => {
                segment.index.write().freeze();
                self.write_sidecar(&segment)
            }
            Chore::Snapshot => self.write_snapshot(),
            Chore::Drop(name) => self.drop_segment(&name, pause),
            Chore::Shorten(name) => self.shorten(&name, pause),
        }
    }

    /// Erases copies of retracted alerts, and frees the space that exports no longer need.
    pub(super) fn catch_up(&self, pause: &mut dyn FnMut()) -> io::Result<()> {
        let mut outcome = self.erase_copies();
        for file in self.pins.take_waiting() {
            // The next start repeats what fails.
            outcome = outcome.and(self.shorten(&file, pause));
        }
        outcome
    }

    pub(super) fn write_sidecar(&self, segment: &Segment) -> io::Result<()> {
        let encoded = {
            let catalog = self.catalog.read();
            let index = segment.index.read();
            sidecar::encode(&segment.header, &index, |topic| Some(catalog.topics.row(topic)?.name.clone()))
        };
        // A missing topic means that the segment was dropped meanwhile.
        encoded.map_or(Ok(()), |bytes| disk::replace(&*self.disk, &sidecar_name(&segment.name), &bytes))
    }

    /// Makes the next snapshot from the previous one and the records after it, so that the writer need not stop.
    fn write_snapshot(&self) -> io::Result<()> {
        let _snapshot = self.pins.snapshot.lock();
        let (mut segments, trim, clock_ms) = {
            let catalog = self.catalog.read();
            (catalog.segments.clone(), catalog.trim, catalog.clock_ms)
        };
        // The last one is still being written.
        segments.pop();
        let Some(last) = segments.last().cloned() else { return Ok(()) };
        if last.number() <= self.snapshotted.load(Ordering::Acquire) {
            return Ok(());
        }
        let (place, state) = self.snapshot(last.header.identity).unzip();
        let mut state = state.unwrap_or_default();
        if !replay(&segments, place, &mut state)? {
            // Records of removals may be damaged; this process still knows them.
            state.topic_trims.extend(self.catalog.read().topic_trims());
        }
        state.keys.expire(clock_ms, usize::MAX);
        state.topic_trims.retain(|_, removed| *removed > trim);
        state.dropped.retain(|range| range.last > trim);
        state.erasures.retain(|(number, _)| segments.iter().any(|segment| segment.number() == *number));
        state.retracted.retain(|id, _| self.retracted.lock().contains_key(id));
        let (offset, head) = {
            let index = last.index.read();
            (index.end, index.last)
        };
        // The trim at that place is not known; the marks have the present one.
        let place = Place {
            identity: last.header.identity,
            segment: last.number(),
            offset,
            head,
            trim: Default::default(),
            clock_ms,
        };
        disk::replace(&*self.disk, snapshot::FILE, &snapshot::encode(&place, &state))?;
        self.snapshotted.store(last.number(), Ordering::Release);
        Ok(())
    }

    pub(super) fn snapshot(&self, identity: [u8; 16]) -> Option<(Place, snapshot::State)> {
        let file = self.disk.open(snapshot::FILE).ok()?;
        let length = usize::try_from(file.length().ok()?).ok()?;
        let snapshot = snapshot::decode(&disk::read(&*file, 0, length).ok()?).ok()?;
        Some(snapshot).filter(|(place, _)| place.identity == identity)
    }

    fn drop_segment(&self, name: &str, pause: &mut dyn FnMut()) -> io::Result<()> {
        match self.disk.unlink(&sidecar_name(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let dropped = format!("{name}{DROPPED}");
        self.disk.rename(name, &dropped)?;
        self.disk.sync_directory()?;
        self.shorten(&dropped, pause)
    }

    fn shorten(&self, name: &str, pause: &mut dyn FnMut()) -> io::Result<()> {
        if self.pins.has(name.strip_suffix(DROPPED).unwrap_or(name)) {
            let bytes = self.disk.open(name)?.length()?;
            self.pins.wait(name.to_owned(), bytes);
            return Ok(());
        }
        let file = self.disk.open(name)?;
        let mut length = file.length()?;
        while length > STEP {
            length = length.saturating_sub(STEP);
            file.truncate(length)?;
            file.sync()?;
            pause();
        }
        self.disk.unlink(name)
    }
}
