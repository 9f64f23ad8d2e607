//! Incidents, and what is done about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{Id, IncidentName, Level, Topic};
use crate::incident::State;

/// An incident: its latest occurrence.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Incident {
    pub topic: Topic,
    /// Its name, which identifies it on the topic.
    pub incident: IncidentName,
    /// Number of the occurrence. After an incident was resolved, the next alert of level `warn` or `error` begins a new one.
    pub occurrence: u64,
    pub state: State,
    /// Level of the last alert that was not `info`.
    pub level: Level,
    /// Message of the last alert; null if that was retracted, and none before it is known.
    pub message: Option<String>,
    /// Title of the last alert, from its metadata.
    pub title: Option<String>,
    /// Time of the first alert of the occurrence.
    pub opened_at: String,
    /// Time of the last change, or of the last alert that was only counted.
    pub updated_at: String,
    /// Number of alerts, with repeats that were not broadcast, without reminders and those that resolve.
    pub count: u64,
    /// Id of the last alert.
    pub alert: Option<Id>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<String>,
    /// Who resolved it; null if its time to live passed.
    pub resolved_by: Option<String>,
    pub resolved_at: Option<String>,
    /// What somebody noted at the last action.
    pub note: Option<String>,
    /// Time when it resolves without a further alert.
    pub ttl: Option<String>,
}

/// The answer to `GET /incidents`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Incidents {
    /// The one that changed last comes first.
    pub incidents: Vec<Incident>,
    /// Cursor for the next page, for `after`; null at the end.
    pub next: Option<Id>,
}

/// What is noted at an action.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNote {
    /// Text for others who deal with the incident.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub note: Option<String>,
}

// `incident::action` writes it; this type only describes it in the OpenAPI document.
/// A change of an incident that is not an alert, as streams and history have it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct IncidentEvent {
    /// Position in the log, and the cursor for continuing after it.
    pub id: Id,
    pub topic: Topic,
    pub incident: IncidentName,
    pub occurrence: u64,
    pub count: u64,
    /// The new state.
    pub state: State,
    /// The user who changed it; null if time did.
    pub by: Option<String>,
    pub note: Option<String>,
    pub reason: IncidentReason,
    pub time: String,
}

/// Why an incident changed without an alert.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IncidentReason {
    /// Somebody did it.
    Api,
    /// Its time to live passed.
    Ttl,
}
