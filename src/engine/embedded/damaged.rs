//! The damaged places of the log that were found since the start: each is named in the journal once, and counted.
//!
//! Readers and the scrub report to it. Places that were found while the log was opened are holes of the catalog instead.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::catalog::Catalog;
use super::segment::Segment;
use crate::log::Event;

/// Places that are remembered; further ones are not named. Their number fits into 16 bits.
const NAMED: usize = 10_000;
/// In place of an ordinal: the header of the segment.
const HEADER: u32 = u32::MAX;

/// Number of the segment, and ordinal.
#[derive(Default)]
pub(super) struct DamagedPlaces(Mutex<HashSet<(u32, u32)>>);

impl DamagedPlaces {
    pub(super) fn name(&self, segment: &Segment, ordinal: u32) {
        if !self.is_new(segment, ordinal) {
            return;
        }
        let offset = segment.index.read().offset(ordinal).unwrap_or(0);
        let lost = match segment.id(ordinal) {
            Some(id) => format!("the alert {id} is lost"),
            None => format!("an alert up to {} is lost", segment.id_near(ordinal)),
        };
        tracing::error!(
            message_id = %Event::StoreDamaged,
            "{}: the record at offset {offset} is damaged: {lost}, and readers get a gap",
            segment.name
        );
    }

    pub(super) fn name_header(&self, segment: &Segment) {
        if self.is_new(segment, HEADER) {
            tracing::error!(
                message_id = %Event::StoreDamaged,
                "{}: the header is damaged: its alerts are served until alertd ends, and lost after that; make a backup now",
                segment.name
            );
        }
    }

    fn is_new(&self, segment: &Segment, ordinal: u32) -> bool {
        let mut places = self.0.lock();
        places.len() < NAMED && places.insert((segment.number(), ordinal))
    }

    /// Changes with each new place; none if there are so many that a new one is not noticed.
    pub(super) fn version(&self) -> Option<u64> {
        let found = self.0.lock().len();
        (found < NAMED).then_some(found as u64)
    }

    /// How many of them are in segments that retention has left.
    pub(super) fn count(&self, catalog: &Catalog) -> usize {
        self.0.lock().iter().filter(|(number, _)| catalog.segment(*number).is_some()).count()
    }
}
