//! Opening a log: which segments there are, what each of them holds, and where the log ends.
//!
//! Damage is named and covered by a hole; it never leads to data being deleted. An unknown format is refused.

use std::io;
use std::sync::Arc;

use super::catalog::Catalog;
use super::disk::{self, Disk};
use super::dropped::DroppedRange;
use super::header::{Header, Previous, RECORDS, Unreadable, VERSION};
use super::index::{Hole, Index};
use super::inventory::{self, File, RecoverError};
use super::overwrite;
use super::rebuild;
use super::recovered::{Ended, Recovered, Recovery};
use super::replay;
use super::scan::{self, Outcome};
use super::segment::Segment;
use super::snapshot::{self, Place, stop};
use crate::alert::Id;

pub(super) fn recover(disk: &dyn Disk, now_ms: u64) -> Result<Recovered, RecoverError> {
    let (files, mut damage, highest) = inventory::take(disk)?;
    let identity = files.first().map(|file| file.header.identity);
    let stop = small(disk, stop::FILE, &mut damage, stop::decode)?;
    let snapshot = small(disk, snapshot::FILE, &mut damage, snapshot::decode)?;
    let own = |place: &Place| identity.is_none_or(|identity| identity == place.identity);
    let stop = stop.filter(own);
    let (place, state) = snapshot.filter(|(place, _)| own(place)).unzip();
    let mut state = state.unwrap_or_default();
    let identity = identity.or(stop.or(place).map(|place| place.identity));
    let mut recovery = Recovery {
        disk,
        catalog: Catalog::default(),
        last: files.first().map_or(Id::ZERO, |file| file.header.previous.last),
        found: Vec::new(),
        without_sidecar: Vec::new(),
        damage,
        holes: Vec::new(),
        missing: Vec::new(),
        dropped: state.dropped.clone(),
        contents: Vec::new(),
        stop,
        snapshot: place,
    };
    let ended = recovery.segments(files, now_ms)?;
    let is_whole = replay::replay(&recovery.found, place, &mut state)?;
    let is_known = is_whole && place.is_some();
    let has_forgotten_ranges = !is_known && !state.dropped.is_empty();
    if has_forgotten_ranges {
        state.dropped.clear();
    }
    // Their incidents have newer texts, unless the records of those are damaged.
    state.incidents.forget(&state.retracted);
    recovery.forgive(&state, ended.trim);
    let to_drop = recovery.drop_rest(&state);
    overwrite::redo(&recovery.found, &mut state, ended.is_clean)?;
    Ok(Recovered { to_drop, has_forgotten_ranges, ..recovery.finish(state, &ended, identity, highest) })
}

/// Reads a small file. A damaged one counts as missing; one of a later format is refused.
fn small<T>(
    disk: &dyn Disk,
    name: &str,
    damage: &mut Vec<String>,
    decode: impl Fn(&[u8]) -> Result<T, Unreadable>,
) -> Result<Option<T>, RecoverError> {
    let bytes = match disk.open(name).and_then(|file| {
        let length = file.length()?;
        disk::read(&*file, 0, usize::try_from(length).unwrap_or(0))
    }) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match decode(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(Unreadable::Damaged) => {
            damage.push(format!("{name}: the file is damaged; what it says is taken from the segments"));
            Ok(None)
        }
        Err(version) => Err(RecoverError::Unreadable(name.to_owned(), version)),
    }
}

impl Recovery<'_> {
    fn segments(&mut self, files: Vec<File>, now_ms: u64) -> Result<Ended, RecoverError> {
        let mut ended = Ended::default();
        let headers: Vec<Header> = files.iter().map(|file| file.header).collect();
        for (i, file) in files.into_iter().enumerate() {
            let (header, next) = (file.header, headers.get(i + 1));
            ended.trim = ended.trim.max(header.trim);
            ended.clock_ms = ended.clock_ms.max(header.clock_ms);
            ended.reserved = Id::at(header.reserved_ms);
            if i > 0 && header.previous.last > self.last {
                let hole = Hole { after: self.last, upto: header.previous.last };
                self.missing.push((format!("{}: a segment before it is missing", file.name), hole));
            }
            // After a missing segment, only this header says what came before.
            self.last = header.previous.last;
            let previous = next.map(|next| next.previous);
            let end = previous.and_then(|previous| match previous.number == header.number {
                true => Some(previous),
                false => DroppedRange::end_before(&self.dropped, header.number, previous),
            });
            match end {
                Some(end) => self.sealed(file, end)?,
                None => self.last_one(file, next.is_none(), &mut ended)?,
            }
        }
        self.missing_end(now_ms, &mut ended);
        Ok(ended)
    }

    /// Records that the newest segment is missing.
    fn lose_newest(&mut self, upto: Id) {
        let hole = Hole { after: self.last, upto };
        self.missing.push(("the newest segment is missing".into(), hole));
        self.last = upto;
    }

    /// Records that ids at the end of a segment are lost.
    fn lose_end(&mut self, segment: &Segment, upto: Id) {
        let hole = Hole { after: self.last, upto };
        self.damage.push(format!("{}: its end is damaged: alerts up to {upto} are lost", segment.name));
        segment.index.write().holes.push(hole);
        self.last = upto;
    }

    /// Opens a segment whose end the next one names.
    fn sealed(&mut self, file: File, end: Previous) -> Result<(), RecoverError> {
        rebuild::cut_leftover(&file, end.end)?;
        if let Some(index) = self.sidecar(&file, end.end) {
            self.last = end.last;
            self.found.push(Arc::new(Segment::new(file.header, file.name, file.file, index)));
            return Ok(());
        }
        let bytes = rebuild::records(&*file.file, end.end)?;
        let (segment, _) = self.scan(file, &bytes, end.end);
        if end.last > self.last {
            self.lose_end(&segment, end.last);
        }
        let mut index = segment.index.write();
        (index.end, index.last) = (end.end, end.last);
        index.freeze();
        drop(index);
        self.last = end.last;
        self.without_sidecar.push(Arc::clone(&segment));
        self.found.push(segment);
        Ok(())
    }

    /// Opens the last segment, or the last one before missing ones.
    fn last_one(&mut self, file: File, is_newest: bool, ended: &mut Ended) -> Result<(), RecoverError> {
        let number = file.header.number;
        let length = file.file.length()?;
        let stopped = self.stop.filter(|stop| stop.segment == number);
        if let Some(stop) = stopped
            && is_newest
            && stop.offset == length
            && let Some(mut index) = self.sidecar(&file, length)
        {
            // A segment of an earlier format is not written to.
            ended.is_open = file.header.version == VERSION;
            if ended.is_open {
                index.thaw();
            }
            self.last = stop.head;
            (ended.trim, ended.clock_ms, ended.reserved) = (ended.trim.max(stop.trim), stop.clock_ms, Id::ZERO);
            ended.is_clean = true;
            self.found.push(Arc::new(Segment::new(file.header, file.name, file.file, index)));
            return Ok(());
        }
        let bytes = rebuild::records(&*file.file, length)?;
        let places = [stopped, self.snapshot.filter(|place| place.segment == number)];
        let vouched = places.iter().flatten().map(|place| place.offset).max().unwrap_or(RECORDS);
        let vouched = vouched.max(scan::vouched_by_marks(&bytes, file.header.salt, number));
        let (segment, outcome) = self.scan(file, &bytes, vouched);
        for place in places.into_iter().flatten() {
            ended.trim = ended.trim.max(place.trim);
            ended.clock_ms = ended.clock_ms.max(place.clock_ms);
            if place.head > self.last {
                self.lose_end(&segment, place.head);
            }
        }
        if let Some(mark) = outcome.mark {
            ended.trim = ended.trim.max(mark.trim);
            ended.clock_ms = ended.clock_ms.max(mark.clock_ms);
            ended.reserved = ended.reserved.max(Id::at(mark.reserved_ms));
        }
        segment.index.write().last = self.last;
        if is_newest && !outcome.is_sealed {
            // Bytes after the end were never part of the log. If they stayed, a later batch could seem to continue into
            // them.
            if length > outcome.end {
                segment.file.truncate(outcome.end)?;
            }
            segment.file.sync()?;
            ended.is_open = length >= outcome.end && segment.header.version == VERSION;
        }
        ended.is_sealed = outcome.is_sealed && is_newest;
        self.found.push(segment);
        Ok(())
    }

    /// Finds out whether segments are missing at the end, which only a clean stop, a snapshot or a seal shows.
    fn missing_end(&mut self, now_ms: u64, ended: &mut Ended) {
        let newest = self.found.last().map_or(0, |segment| segment.number());
        let place = [self.stop, self.snapshot].into_iter().flatten().max_by_key(|place| (place.segment, place.head));
        if let Some(place) = place {
            ended.trim = ended.trim.max(place.trim);
            if place.segment > newest {
                ended.is_open = false;
                if place.head > self.last {
                    self.lose_newest(place.head);
                }
                return;
            }
        }
        if ended.is_sealed {
            let upto = Id::at(now_ms).max(self.last.successor());
            self.lose_newest(upto);
        }
    }

    /// Reads the records of a segment and makes its index.
    fn scan(&mut self, file: File, bytes: &[u8], vouched: u64) -> (Arc<Segment>, Outcome) {
        let scanned = rebuild::scan(file, bytes, vouched, self.last, &mut self.catalog.topics);
        self.contents.extend(scanned.contents);
        self.damage.extend(scanned.damage);
        self.last = scanned.outcome.last;
        (Arc::new(scanned.segment), scanned.outcome)
    }

    fn sidecar(&mut self, file: &File, end: u64) -> Option<Index> {
        rebuild::from_sidecar(self.disk, file, end, &mut self.catalog.topics)
    }
}
