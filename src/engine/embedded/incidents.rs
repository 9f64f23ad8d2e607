//! Incidents in this engine: the writer changes them, and everybody reads them from memory.

use super::Embedded;
use crate::alert::{Id, Record, Topic};
use crate::engine::intake::ActOutcome;
use crate::engine::{ActFailure, IncidentPage};
use crate::incident::{Act, Counts, Key, Query, Row, Settings};

impl Embedded {
    pub(in crate::engine) async fn act(&self, act: Act) -> ActOutcome {
        let outcome = self.0.intake.submit_act(act, async |job| self.0.jobs.send(job).await).await;
        if let Err(ActFailure::Failed(error)) = &outcome {
            self.0.shared.note_deadline(error);
        }
        outcome
    }

    pub(in crate::engine) fn incidents(&self, query: &Query) -> IncidentPage {
        let (page, next) = self.0.incidents.read().page(query);
        // Copied after the lock is released.
        let incidents = page.into_iter().map(|incident| (incident.key.clone(), incident.row.clone())).collect();
        IncidentPage { incidents, next }
    }

    pub(in crate::engine) fn incident(&self, key: &Key) -> Option<Row> {
        self.0.incidents.read().get(key).cloned()
    }

    pub(in crate::engine) fn incident_alert(&self, topic: &Topic, id: Id) -> Option<Record> {
        self.0.incidents.read().alert(topic, id)
    }

    pub(in crate::engine) fn incident_counts(&self) -> Counts {
        self.0.incidents.read().counts()
    }

    pub(in crate::engine) fn set_incidents(&self, settings: Settings) {
        self.0.incidents.write().set_settings(settings);
    }
}
