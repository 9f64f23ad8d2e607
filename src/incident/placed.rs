//! An alert of the log that has a place in an incident.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::row::{Key, LastAlert};
use crate::alert::{IncidentName, IncidentStatus, Metadata, Record, RecordKind};

/// An alert with its place in an incident.
#[derive(Clone, Debug)]
pub(crate) struct PlacedAlert {
    pub key: Key,
    pub occurrence: u64,
    /// The alert, as its incident keeps it.
    pub alert: LastAlert,
    /// Whether its metadata say that it is a reminder. Those of alertd itself are from no user.
    pub is_called_reminder: bool,
}

impl PlacedAlert {
    /// None if the record is no alert, or changed no incident.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored<'a> {
            message: String,
            #[serde(borrow)]
            metadata: &'a RawValue,
            incident: IncidentName,
            status: IncidentStatus,
            occurrence: u64,
            count: u64,
        }
        #[derive(Deserialize)]
        struct Called {
            reminder: Option<u64>,
        }
        if record.kind != RecordKind::Alert {
            return None;
        }
        let stored: Stored<'_> = serde_json::from_slice(&record.json).ok()?;
        let called = serde_json::from_str::<Called>(stored.metadata.get());
        let alert = LastAlert {
            id: Some(record.id),
            ms: record.received_ms,
            level: record.level,
            message: stored.message,
            metadata: LastAlert::kept(&Metadata::new(stored.metadata).ok()?),
            status: stored.status,
            count: stored.count,
        };
        let key = Key { topic: record.topic.clone(), name: stored.incident };
        let is_called_reminder = called.is_ok_and(|called| called.reminder.is_some());
        Some(Self { key, occurrence: stored.occurrence, alert, is_called_reminder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Id, IncidentPlace};

    #[test]
    fn an_alert_with_a_place_reads_back_and_others_have_none() {
        let body = br#"{"topic":"ops","message":"m","level":"warn","incident":"i","metadata":{"title":"t"}}"#;
        let draft = Draft::from_json(None, body).unwrap();
        let place = IncidentPlace { occurrence: 2, count: 7 };
        let record = draft.placed_record(Id::at(5), 9, Some(place));
        let placed = PlacedAlert::of(&record).unwrap();
        assert_eq!((placed.occurrence, placed.alert.count, placed.is_called_reminder), (2, 7, false));
        assert_eq!(placed.alert.record(&placed.key, 2), Some(record));
        assert!(PlacedAlert::of(&draft.record(Id::at(5), 9)).is_none());
    }
}
