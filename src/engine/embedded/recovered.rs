//! Completes a log whose segments were read: explains holes, and makes the catalog.
//!
//! The second half of [`recover`](super::recover), for which the state besides alerts must be known.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::disk::Disk;
use super::dropped::DroppedRange;
use super::header::Previous;
use super::index::Hole;
use super::rebuild::DamagedContent;
use super::segment::{Position, Segment};
use super::snapshot::{Place, State};
use crate::alert::Id;

/// A log as it was found.
pub(super) struct Recovered {
    pub(super) catalog: Catalog,
    pub(super) state: State,
    pub(super) identity: Option<[u8; 16]>,
    /// The last segment, if writing continues in it.
    pub(super) tail: Option<Arc<Segment>>,
    /// What the header of the next segment will say about the one before.
    pub(super) previous: Previous,
    /// The highest number that any file has.
    pub(super) highest: u32,
    /// New ids are above this one.
    pub(super) base: Id,
    /// Segments up to this number are in the snapshot.
    pub(super) snapshotted: u32,
    /// Sealed segments without a good sidecar.
    pub(super) without_sidecar: Vec<Arc<Segment>>,
    /// Segments that were to be dropped before a crash.
    pub(super) to_drop: Vec<String>,
    /// The records of what was in dropped segments are damaged: the segments count as missing from now on.
    pub(super) has_forgotten_ranges: bool,
    /// What is damaged, as text that names the file.
    pub(super) damage: Vec<String>,
}

/// State while the segments are read.
pub(super) struct Recovery<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) catalog: Catalog,
    /// The newest id at the end of the segment that was read last.
    pub(super) last: Id,
    pub(super) found: Vec<Arc<Segment>>,
    pub(super) without_sidecar: Vec<Arc<Segment>>,
    pub(super) damage: Vec<String>,
    pub(super) holes: Vec<Hole>,
    /// Missing segments, described as text, unless they were dropped from within the log.
    pub(super) missing: Vec<(String, Hole)>,
    /// What the snapshot says about dropped segments.
    pub(super) dropped: Vec<DroppedRange>,
    pub(super) contents: Vec<DamagedContent>,
    pub(super) stop: Option<Place>,
    pub(super) snapshot: Option<Place>,
}

/// How the last segment ended.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) trim: Id,
    pub(super) clock_ms: u64,
    pub(super) reserved: Id,
    /// Writing goes on in the last segment.
    pub(super) is_open: bool,
    /// The last segment says that another one follows.
    pub(super) is_sealed: bool,
    /// The last process stopped cleanly.
    pub(super) is_clean: bool,
}

impl Recovery<'_> {
    /// Reports damage, except for alerts that an interrupted erase left behind and for segments that were dropped.
    pub(super) fn forgive(&mut self, state: &State, trim: Id) {
        for DamagedContent { segment: number, offset, id, is_alert } in std::mem::take(&mut self.contents) {
            let is_copy = !is_alert && state.retracted.contains_key(&id);
            if is_copy || state.erasures.contains(&(number, offset)) {
                continue;
            }
            let Some(segment) = self.found.iter().find(|segment| segment.number() == number) else { continue };
            let place = format!("{}: damaged at offset {offset}", segment.name);
            if is_alert {
                self.damage.push(format!("{place}: alert {id} is lost"));
                segment.index.write().holes.push(Hole { after: id.predecessor(), upto: id });
            } else {
                self.damage.push(place);
            }
        }
        for (what, hole) in std::mem::take(&mut self.missing) {
            // A power cut may bring back some of the segments that retention dropped, and not others.
            if hole.upto > trim && !state.dropped.iter().any(|range| range.explains(&hole)) {
                self.damage.push(format!("{what}: alerts after {} up to {} are lost", hole.after, hole.upto));
                self.holes.push(hole);
            }
        }
    }

    /// Segments that the last process was about to drop from within the log.
    pub(super) fn drop_rest(&mut self, state: &State) -> Vec<String> {
        let is_dropped = |segment: &Arc<Segment>| state.dropped.iter().any(|range| range.has_segment(segment.number()));
        self.without_sidecar.retain(|segment| !is_dropped(segment));
        self.found.extract_if(.., |segment| is_dropped(segment)).map(|segment| segment.name.clone()).collect()
    }

    pub(super) fn finish(mut self, state: State, ended: &Ended, identity: Option<[u8; 16]>, highest: u32) -> Recovered {
        let mut catalog = self.catalog;
        (catalog.trim, catalog.head, catalog.clock_ms) = (ended.trim, self.last, ended.clock_ms);
        catalog.dropped = state.dropped.iter().copied().filter(|range| range.last > ended.trim).collect();
        let first = self.found.first().map(|segment| segment.header.previous);
        let first = first.map(|first| {
            catalog.dropped.iter().find(|range| range.has_segment(first.number)).map_or(first, |range| range.before)
        });
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
            // All alerts of the topic may be erased and their segments dropped.
            let number = catalog.topics.intern(topic);
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
            to_drop: Vec::new(),
            has_forgotten_ranges: false,
            damage: self.damage,
            catalog,
            state,
        }
    }
}
