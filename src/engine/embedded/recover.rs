//! Opening a log: which segments there are, what each of them holds, and where the log ends.
//!
//! Damage is named and covered by a hole; it never leads to data being deleted. A format that is not known is refused.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::catalog::Catalog;
use super::disk::{self, Disk};
use super::header::{Header, Previous, RECORDS, Unreadable};
use super::index::{Hole, Index};
use super::inventory::{self, File, RecoverError};
use super::overwrite;
use super::rebuild;
use super::replay;
use super::scan::{self, Outcome};
use super::segment::{Position, Segment};
use super::snapshot::{self, Place, State, stop};
use crate::alert::Id;

/// A log as it was found.
pub(super) struct Recovered {
    pub(super) catalog: Catalog,
    pub(super) state: State,
    pub(super) identity: Option<[u8; 16]>,
    /// The last segment, where writing goes on in it.
    pub(super) tail: Option<Arc<Segment>>,
    /// What the header of the next segment says of the one before.
    pub(super) previous: Previous,
    /// The highest number that any file has.
    pub(super) highest: u32,
    /// Ids go on above this one.
    pub(super) base: Id,
    /// Segments up to this number are in the snapshot.
    pub(super) snapshotted: u32,
    /// Sealed segments without a good sidecar.
    pub(super) without_sidecar: Vec<Arc<Segment>>,
    /// What is wrong, in words, each with its file.
    pub(super) damage: Vec<String>,
}

/// State while the segments are gone through.
struct Recovery<'a> {
    disk: &'a dyn Disk,
    catalog: Catalog,
    /// The end of the segment that was looked at last.
    last: Id,
    found: Vec<Arc<Segment>>,
    without_sidecar: Vec<Arc<Segment>>,
    damage: Vec<String>,
    holes: Vec<Hole>,
    /// Alerts whose content is damaged, unless it is erased: segment, offset, and the ids around it.
    contents: Vec<(u32, u64, Hole)>,
    stop: Option<Place>,
    snapshot: Option<Place>,
}

pub(super) fn recover(disk: &dyn Disk, now_ms: u64) -> Result<Recovered, RecoverError> {
    let (files, mut damage, highest) = inventory::take(disk)?;
    let identity = files.first().map(|file| file.header.identity);
    let stop = small(disk, stop::FILE, &mut damage, stop::decode)?;
    let snapshot = small(disk, snapshot::FILE, &mut damage, snapshot::decode)?;
    let own = |place: &Place| identity.is_none_or(|identity| identity == place.identity);
    let stop = stop.filter(own);
    let (place, state) = snapshot.filter(|(place, _)| own(place)).unzip();
    let identity = identity.or(stop.or(place).map(|place| place.identity));
    let mut recovery = Recovery {
        disk,
        catalog: Catalog::default(),
        last: files.first().map_or(Id::ZERO, |file| file.header.previous.last),
        found: Vec::new(),
        without_sidecar: Vec::new(),
        damage,
        holes: Vec::new(),
        contents: Vec::new(),
        stop,
        snapshot: place,
    };
    let ended = recovery.segments(files, now_ms)?;
    let mut state = state.unwrap_or_default();
    replay::replay(&recovery.found, place, &mut state)?;
    recovery.forgive(&state);
    overwrite::redo(&recovery.found, &mut state)?;
    Ok(recovery.finish(state, &ended, identity, highest))
}

/// A small file; one that is damaged is as good as none, one of a later format is refused.
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

/// How the last segment ended.
#[derive(Default)]
struct Ended {
    trim: Id,
    clock_ms: u64,
    reserved: Id,
    /// Writing goes on in the last segment.
    is_open: bool,
    /// The last segment says that another one follows.
    is_sealed: bool,
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
                let upto = header.previous.last;
                self.lose(format!("{}: a segment before it is missing", file.name), upto);
            }
            // Behind a segment that is missing, the header says best what came before.
            self.last = header.previous.last;
            let follows = next.filter(|next| next.previous.number == header.number);
            match (follows, next) {
                (Some(next), _) => self.sealed(file, next.previous)?,
                _ => self.last_one(file, next.is_none(), &mut ended)?,
            }
        }
        self.missing_end(now_ms, &mut ended);
        Ok(ended)
    }

    fn lose(&mut self, what: String, upto: Id) {
        self.damage.push(format!("{what}: alerts behind {} up to {upto} are lost", self.last));
        self.holes.push(Hole { after: self.last, upto });
        self.last = upto;
    }

    /// Ids at the end of a segment are lost; its index remembers it.
    fn lose_end(&mut self, segment: &Segment, upto: Id) {
        let hole = Hole { after: self.last, upto };
        self.damage.push(format!("{}: its end is damaged: alerts up to {upto} are lost", segment.name));
        segment.index.write().holes.push(hole);
        self.last = upto;
    }

    /// A segment whose end the next one names.
    fn sealed(&mut self, file: File, end: Previous) -> Result<(), RecoverError> {
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

    /// The last segment of all, or the last one before some that are missing.
    fn last_one(&mut self, file: File, is_newest: bool, ended: &mut Ended) -> Result<(), RecoverError> {
        let number = file.header.number;
        let length = file.file.length()?;
        let stopped = self.stop.filter(|stop| stop.segment == number);
        if let Some(stop) = stopped
            && is_newest
            && stop.offset == length
            && let Some(mut index) = self.sidecar(&file, length)
        {
            index.thaw();
            self.last = stop.head;
            (ended.trim, ended.clock_ms, ended.reserved) = (ended.trim.max(stop.trim), stop.clock_ms, Id::ZERO);
            ended.is_open = true;
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
            // What is behind the end never was part of the log. Without this a later batch could fit to it.
            if length > outcome.end {
                segment.file.truncate(outcome.end)?;
            }
            segment.file.sync()?;
            ended.is_open = length >= outcome.end;
        }
        ended.is_sealed = outcome.is_sealed && is_newest;
        self.found.push(segment);
        Ok(())
    }

    /// Whether segments are missing at the end; only a clean stop, a snapshot or a seal can tell.
    fn missing_end(&mut self, now_ms: u64, ended: &mut Ended) {
        let newest = self.found.last().map_or(0, |segment| segment.number());
        let place = [self.stop, self.snapshot].into_iter().flatten().max_by_key(|place| (place.segment, place.head));
        if let Some(place) = place {
            ended.trim = ended.trim.max(place.trim);
            if place.segment > newest {
                ended.is_open = false;
                if place.head > self.last {
                    self.lose("the newest segment is missing".into(), place.head);
                }
                return;
            }
        }
        if ended.is_sealed {
            let upto = Id::at(now_ms).max(self.last.successor());
            self.lose("the newest segment is missing".into(), upto);
        }
    }

    /// Goes through the records of a segment and makes its index.
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

    /// A content that an interrupted erase left behind is erased, not damaged.
    fn forgive(&mut self, state: &State) {
        for (number, offset, hole) in std::mem::take(&mut self.contents) {
            if state.erasures.contains(&(number, offset)) {
                continue;
            }
            if let Some(segment) = self.found.iter().find(|segment| segment.number() == number) {
                self.damage.push(format!("{}: damaged at offset {offset}: alert {} is lost", segment.name, hole.upto));
                segment.index.write().holes.push(hole);
            }
        }
    }

    fn finish(mut self, state: State, ended: &Ended, identity: Option<[u8; 16]>, highest: u32) -> Recovered {
        let mut catalog = self.catalog;
        (catalog.trim, catalog.head, catalog.clock_ms) = (ended.trim, self.last, ended.clock_ms);
        let first = self.found.first().map(|segment| segment.header.previous);
        if let Some(first) = first.filter(|first| first.number != 0 && first.last > ended.trim) {
            self.damage.push(format!("the oldest segment is missing: alerts up to {} are lost", first.last));
            self.holes.push(Hole { after: ended.trim, upto: first.last });
        }
        let behind = |id: Id| {
            let at = self.found.partition_point(|segment| segment.index.read().last <= id);
            let segment = self.found.get(at).or(self.found.last());
            segment.map_or(Position::default(), |segment| Position {
                segment: segment.number(),
                ordinal: segment.behind(id),
            })
        };
        catalog.trim_at = behind(ended.trim);
        let mut starts = HashMap::new();
        for (topic, trim) in state.topic_trims.iter().filter(|(_, trim)| **trim > ended.trim) {
            catalog.topic_trim = catalog.topic_trim.max(*trim);
            let Some(number) = catalog.topics.number(topic.as_str()) else { continue };
            starts.insert(number, behind(*trim));
            if let Some(row) = catalog.topics.row_mut(number) {
                row.trim = *trim;
            }
        }
        for segment in &self.found {
            catalog.enter(Arc::clone(segment), &starts);
        }
        catalog.holes.append(&mut self.holes);
        catalog.holes.retain(|hole| hole.upto > ended.trim);
        catalog.holes.sort_unstable_by_key(|hole| hole.upto);
        let places = [self.stop, self.snapshot].into_iter().flatten();
        let base = places.map(|place| place.head).fold(self.last.max(ended.reserved), Id::max);
        let newest = self.found.last();
        let (number, end) = newest.map_or((0, 0), |segment| (segment.number(), segment.index.read().end));
        Recovered {
            identity,
            tail: newest.filter(|_| ended.is_open).cloned(),
            previous: Previous { number, end, last: self.last },
            highest,
            base,
            snapshotted: self.snapshot.map_or(0, |place| place.segment.saturating_sub(1)),
            without_sidecar: self.without_sidecar,
            damage: self.damage,
            catalog,
            state,
        }
    }
}
