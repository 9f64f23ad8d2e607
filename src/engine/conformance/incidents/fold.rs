//! What a subscriber makes of its stream: each record's place in its incident, and the state that follows.

use std::collections::HashMap;

use crate::alert::{Level, Record, RecordKind};
use crate::incident::{Key, Row, State};

#[derive(Debug)]
struct Folded {
    occurrence: u64,
    count: u64,
    state: String,
    level: Level,
}

fn json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(&record.json).unwrap()
}

/// Occurrence and count; none if the record changed no incident.
pub(super) fn place(record: &Record) -> Option<(u64, u64)> {
    let json = json(record);
    Some((json["occurrence"].as_u64()?, json["count"].as_u64()?))
}

#[derive(Default)]
pub(super) struct Fold(HashMap<(String, String), Folded>);

impl Fold {
    pub(super) fn apply(&mut self, record: &Record) {
        let json = json(record);
        let (id, topic) = (record.id.to_string(), record.topic.as_str());
        assert_eq!((json["id"].as_str(), json["topic"].as_str()), (Some(&*id), Some(topic)));
        let Some((occurrence, count)) = place(record) else { return };
        let key = (record.topic.to_string(), json["incident"].as_str().unwrap().to_owned());
        let known = self.0.get(&key);
        let (state, level) = match record.kind {
            RecordKind::Transition => (json["state"].as_str().unwrap(), known.unwrap().level),
            RecordKind::Retraction(_) => unreachable!("it has no place"),
            RecordKind::Alert if json["status"] == "resolved" => ("resolved", known.unwrap().level),
            // After its end, an alert that has a place begins an occurrence.
            RecordKind::Alert => match known.filter(|known| known.state != "resolved") {
                None => ("open", record.level),
                Some(known) if record.level > known.level => ("open", record.level),
                Some(known) if record.level == Level::Info => (&*known.state, known.level),
                Some(known) => (&*known.state, record.level),
            },
        };
        let state = state.to_owned();
        self.0.insert(key, Folded { occurrence, count, state, level });
    }

    /// The row of an incident is what the fold says, but for repeats that were not broadcast.
    pub(super) fn check(&self, key: &Key, row: &Row, at: &str) {
        let folded = &self.0[&(key.topic.to_string(), key.name.to_string())];
        let counts = row.last.as_ref().map_or(0, |last| last.count)..=row.count;
        assert!(counts.contains(&folded.count), "{at}: {key:?} {folded:?} {row:?}");
        let state: State = serde_json::from_value(folded.state.clone().into()).unwrap();
        assert_eq!((folded.occurrence, state, folded.level), (row.occurrence, row.state, row.level), "{at}: {key:?}");
    }
}
