//! One step of a call in which incidents are involved: what it stores, and what is answered.
//!
//! Made by [`plan`](super::plan).

use super::incident_row;
use super::store_script::{self, LastAlert};
use crate::alert::{Id, Record, RecordKind};
use crate::engine::{Publish, Tracking};
use crate::incident::action::Unrecorded;
use crate::incident::{Key, Row};

/// What a step does.
pub(super) enum Does<'a> {
    Alert(&'a Publish, Tracking),
    /// Counts an alert.
    Count(&'a Publish),
    /// Stores a transition or a reminder.
    Record(Unrecorded),
    /// Stores when something will be due.
    Keep,
    /// Forgets that something was due.
    Undue,
}

pub(super) struct Step<'a> {
    pub(super) does: Does<'a>,
    /// The field of the incident that is changed, or empty.
    pub(super) field: String,
    /// The incident afterwards, without the ids of the step.
    pub(super) row: Option<Box<Row>>,
    /// The same as it is stored.
    pub(super) stored: Vec<u8>,
}

/// What becomes of an alert.
pub(super) enum Told {
    /// Done by this step.
    New(usize),
    /// The same again, in one call.
    Again(usize),
    /// Stored by an earlier call. Its time and JSON are none if the alert is gone.
    Known { id: Id, received_ms: u64, alert: Option<(u64, Vec<u8>)> },
}

/// The ids that a step got: of the newest record of its incident, or its own without one; and of the last alert.
pub(super) type Ids = (Id, Option<Id>);

impl Step<'_> {
    /// The step as the script takes it.
    pub(super) fn arguments(&self) -> store_script::Step<'_> {
        let place = self.row.as_ref().map(|row| row.place());
        let topic = || Some(incident_row::key(self.field.as_bytes())?.topic);
        let (kind, record, publish, last) = match &self.does {
            Does::Alert(publish, _) => {
                let draft = &publish.draft;
                let record = (draft.topic().clone(), draft.level(), draft.json_between(place));
                let last = if self.row.is_some() { LastAlert::Own } else { LastAlert::Same };
                ("alert", Some(record), Some(*publish), last)
            }
            Does::Count(publish) => ("count", None, Some(*publish), LastAlert::Same),
            Does::Record(record) => {
                let kind = match record.kind() {
                    RecordKind::Alert => "alert",
                    RecordKind::Transition => "transition",
                    RecordKind::Retraction(_) => "retraction",
                };
                let json = self.row.as_ref().map(|row| record.json_between(row)).unwrap_or_default();
                (kind, topic().map(|topic| (topic, record.level(), json)), None, LastAlert::Same)
            }
            Does::Keep => ("keep", None, None, LastAlert::Same),
            Does::Undue => ("undue", None, None, LastAlert::Same),
        };
        store_script::Step { kind, record, of: None, publish, field: &self.field, last, row: &self.stored }
    }

    /// The incident after the step.
    pub(super) fn row_with(&self, (changed, alert): Ids) -> Option<Row> {
        Some(incident_row::with_ids(self.row.as_deref()?.clone(), changed, alert))
    }

    /// The record that the step stored, or the one that it counted; none without.
    pub(super) fn record(&self, ids: Ids, now_ms: u64) -> Option<Record> {
        let row = self.row_with(ids);
        match &self.does {
            Does::Alert(publish, _) => {
                let place = row.as_ref().map(Row::place);
                Some(publish.draft.placed_record(ids.0, now_ms, place))
            }
            Does::Count(publish) => {
                let (row, key) = (row?, Key::of(&publish.draft)?);
                row.last.as_ref()?.record(&key, row.occurrence)
            }
            Does::Record(record) => Some(record.record(&row?, ids.0, now_ms)),
            Does::Keep | Does::Undue => None,
        }
    }

    pub(super) const fn tracking(&self) -> Tracking {
        match &self.does {
            Does::Alert(_, tracking) => *tracking,
            Does::Count(_) => Tracking::Counted,
            _ => Tracking::None,
        }
    }
}
