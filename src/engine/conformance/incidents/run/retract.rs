//! The step that takes an alert back.

use super::super::super::UNLIMITED;
use super::Run;
use crate::alert::{Id, RecordKind};
use crate::engine::{Retract, Retractable, Retracted};

impl Run {
    /// Takes an alert back, with its reminders. What retention leaves of others is not known here at each moment.
    pub(super) async fn retract(&mut self) {
        let alerts: Vec<_> = self.fed.iter().filter(|record| record.kind == RecordKind::Alert).cloned().collect();
        if alerts.is_empty() || self.retention != UNLIMITED {
            return;
        }
        let (topic, id) = {
            let alert = &alerts[self.random.index(alerts.len())];
            (alert.topic.clone(), alert.id)
        };
        let retract = Retract { topic, id, by: "carol".into(), allowed: Retractable::All };
        let Retracted::Now(record) = self.log.engine.retract(retract.clone()).await.unwrap() else { panic!("before") };
        let gone = self.model.retract(id);
        let heard = self.hear(gone.len()).await;
        assert_eq!(heard.last(), Some(&record), "{}", self.name);
        let mut kinds: Vec<_> = heard.iter().map(|record| record.kind).collect();
        kinds.sort_by_key(|kind| if let RecordKind::Retraction(id) = kind { *id } else { Id::MAX });
        let mut expected: Vec<_> = gone.iter().map(|id| RecordKind::Retraction(*id)).collect();
        expected.sort_by_key(|kind| if let RecordKind::Retraction(id) = kind { *id } else { Id::MAX });
        assert_eq!(kinds, expected, "{}", self.name);
        self.fed.retain(|record| !gone.contains(&record.id));
        self.retracted.extend(gone);
        assert!(matches!(self.log.engine.retract(retract).await, Ok(Retracted::Before)), "{}", self.name);
    }
}
