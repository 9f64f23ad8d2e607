//! Alerts as they are published, stored and read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{IncidentEvent, RetractEvent};
use crate::alert::{Every, Id, IncidentName, IncidentStatus, Level, Topic, Ttl};
use crate::sse::Gap;

// `Draft::record` writes it; this type only describes it in the OpenAPI document.
/// An alert.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alert {
    /// Position in the log, and the cursor for continuing after this alert.
    pub id: Id,
    /// Topic to which the alert was published.
    pub topic: Topic,
    /// Text of the alert.
    #[schemars(length(min = 1, max = 4096))]
    pub message: String,
    /// Severity.
    pub level: Level,
    /// Any JSON object, as the publisher sent it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Name of the incident that the alert reports, if it reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentName>,
    /// Whether the incident goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<IncidentStatus>,
    /// Number of the incident's occurrence, if the alert changed the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<u64>,
    /// Number of alerts of the occurrence so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Time of receipt, by the server's clock.
    pub received_at: String,
}

// `Draft::from_json` reads it; this type only describes it in the OpenAPI document.
/// An alert to publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAlert {
    /// Topic to publish to. If absent, the topic in the path, or `default`.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// Text of at most 4,096 bytes of UTF-8.
    #[schemars(length(min = 1, max = 4096))]
    pub message: String,
    /// Severity.
    #[serde(default)]
    pub level: Level,
    /// Any JSON object.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// How long the topic may then be silent before alertd publishes an alert about it.
    #[serde(default)]
    pub expect_within: Option<Every>,
    /// Name of the incident that the alert reports.
    #[serde(default)]
    pub incident: Option<IncidentName>,
    /// Whether the incident goes on; without an incident it must be absent. If absent, it is `open`.
    #[serde(default)]
    pub status: Option<IncidentStatus>,
    /// How long the incident lasts without a further alert; without an incident it must be absent.
    #[serde(default)]
    pub ttl: Option<Ttl>,
}

// `Draft::from_json_line` reads it; this type only describes it in the OpenAPI document.
/// A line of a body with several alerts.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAlertLine {
    /// Topic to publish to. If absent, the topic in the path, or `default`.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// Text of at most 4,096 bytes of UTF-8.
    #[schemars(length(min = 1, max = 4096))]
    pub message: String,
    /// Severity.
    #[serde(default)]
    pub level: Level,
    /// Any JSON object.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// How long the topic may then be silent before alertd publishes an alert about it.
    #[serde(default)]
    pub expect_within: Option<Every>,
    /// Name of the incident that the alert reports.
    #[serde(default)]
    pub incident: Option<IncidentName>,
    /// Whether the incident goes on; without an incident it must be absent. If absent, it is `open`.
    #[serde(default)]
    pub status: Option<IncidentStatus>,
    /// How long the incident lasts without a further alert; without an incident it must be absent.
    #[serde(default)]
    pub ttl: Option<Ttl>,
    /// What the header `Idempotency-Key` is, for this line.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
}

/// The answer to a publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Published {
    /// `alert stored`, or `alert repeated` for an alert of an incident that was only counted.
    pub status: String,
    /// `untracked` if the alert would have opened an incident, but a limit is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("const" = "untracked"))]
    pub incident: Option<String>,
    /// The alert as subscribers receive it; for one that was only counted, the last one that they received.
    #[schemars(with = "Alert")]
    pub alert: Box<RawValue>,
}

/// The answer to a hook, and to several alerts as lines.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AllStored {
    /// Always `alerts stored`.
    pub status: String,
    /// Number of new alerts.
    pub stored: usize,
    /// Number of alerts that were stored before, or that an incident only counts. They are not stored again.
    pub repeated: usize,
}

/// An entry of a page of history.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum HistoryEntry {
    Alert(Alert),
    Event(HistoryEvent),
}

/// An entry of history other than an alert.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum HistoryEvent {
    /// An incident was changed.
    Incident(IncidentEvent),
    /// An alert was retracted.
    Retract(RetractEvent),
}

/// A page of history, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// Alerts; with `include=incidents` also changes of incidents and retractions, which have a member `event`.
    #[schemars(with = "Vec<HistoryEntry>")]
    pub alerts: Vec<Box<RawValue>>,
    /// Cursor for the next page in the same direction; null at the end.
    pub next: Option<Id>,
    /// Not null if requested alerts may be missing.
    pub gap: Option<Gap>,
}
