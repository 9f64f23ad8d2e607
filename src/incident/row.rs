//! An incident as it is stored: the state of its latest occurrence.
//!
//! Fields that this version does not know are kept. The times are milliseconds since 1970 by the engine's clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::alert::{
    Draft, Id, IncidentName, IncidentPlace, IncidentReport, IncidentStatus, Level, Metadata, Record, Topic,
};

/// What identifies an incident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub topic: Topic,
    pub name: IncidentName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "IncidentState")]
pub(crate) enum State {
    /// Nobody has said that they take care of it.
    Open,
    /// Somebody takes care of it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl State {
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deed {
    /// A user; none if time did it.
    pub by: Option<String>,
    pub ms: u64,
}

/// The newest alert of an incident that was broadcast. Kept with the incident, because retention may remove it from the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastAlert {
    /// None until the record has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    pub ms: u64,
    pub level: Level,
    pub message: String,
    /// A JSON object, cut to [`LastAlert::MAX_METADATA`] bytes.
    pub metadata: String,
    pub status: IncidentStatus,
    /// The incident's count with this alert.
    pub count: u64,
}

impl LastAlert {
    /// The bytes of metadata that are kept, so that open incidents cannot fill the memory.
    const MAX_METADATA: usize = 4096;

    pub(super) fn of(draft: &Draft, status: IncidentStatus, count: u64, ms: u64) -> Self {
        let metadata = Self::kept(draft.metadata());
        Self { id: None, ms, level: draft.level(), message: draft.message().to_owned(), metadata, status, count }
    }

    /// What is kept of metadata.
    pub(super) fn kept(metadata: &Metadata) -> String {
        if metadata.as_str().len() > Self::MAX_METADATA {
            metadata.cut(Self::MAX_METADATA).as_str().to_owned()
        } else {
            metadata.as_str().to_owned()
        }
    }

    /// The title that the sender gave it.
    pub(crate) fn title(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Titled {
            title: Option<String>,
        }
        serde_json::from_str::<Titled>(&self.metadata).ok()?.title
    }

    /// The alert as its subscribers got it, but for long metadata; none if it has no id yet, or cannot be made.
    pub(crate) fn record(&self, key: &Key, occurrence: u64) -> Option<Record> {
        let place = IncidentPlace { occurrence, count: self.count };
        Some(self.draft(key)?.placed_record(self.id?, self.ms, Some(place)))
    }

    /// The alert as it was published.
    pub(super) fn draft(&self, key: &Key) -> Option<Draft> {
        let metadata = Metadata::new(serde_json::from_str::<&RawValue>(&self.metadata).ok()?).ok()?;
        let report = IncidentReport::new(key.name.clone(), self.status);
        let draft = Draft::new(key.topic.clone(), self.message.clone(), self.level, metadata).ok()?;
        Some(draft.reporting(Some(report)))
    }
}

/// The latest occurrence of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// 1 for the first.
    pub occurrence: u64,
    pub state: State,
    /// Of the last alert that was `warn` or `error`.
    pub level: Level,
    /// Alerts, with repeats that were not broadcast, without reminders and those that resolve.
    pub count: u64,
    /// Whose alert opened it, for the limit of each user.
    pub user: String,
    pub opened_ms: u64,
    pub updated_ms: u64,
    /// Id of the newest record that changed it; none until the record has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Deed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Deed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it resolves without a further alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<u64>,
    /// Time of the last alert that was broadcast, or of the last reminder.
    pub announced_ms: u64,
    #[serde(default)]
    pub reminders: u64,
    /// None if it was retracted, and no alert before it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastAlert>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

impl Row {
    pub(crate) fn is_resolved(&self) -> bool {
        self.state == State::Resolved
    }

    /// The place of the next record in the incident.
    pub(crate) const fn place(&self) -> IncidentPlace {
        IncidentPlace { occurrence: self.occurrence, count: self.count }
    }

    /// Notes the id of the record that made this row. `has_alert` says whether the record is the alert in
    /// [`last`](Self::last).
    pub(crate) fn recorded(&mut self, id: Id, has_alert: bool) {
        self.changed = Some(id);
        if has_alert && let Some(last) = &mut self.last {
            last.id = Some(id);
        }
    }
}
