//! What is expected on topics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{Every, IncidentName, Level, Topic};

/// What is to be expected on a topic, `PUT /expectations/{topic}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewExpectation {
    /// How often something is published at least.
    pub every: Every,
    /// Level of the alert that says that it was missed.
    #[serde(default = "error")]
    pub level: Level,
    /// If it is given, only alerts of this incident count. At most 119 characters.
    #[serde(default)]
    pub incident: Option<IncidentName>,
}

const fn error() -> Level {
    Level::Error
}

/// What is expected on a topic.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Expectation {
    pub topic: Topic,
    /// The incident whose alerts count; null if all alerts of the topic do.
    pub incident: Option<IncidentName>,
    /// How often something is published at least.
    pub every: Every,
    /// Level of the alert that says that it was missed.
    pub level: Level,
    /// Time of the last sign of life; null if there was none.
    pub last: Option<String>,
    /// Time when the next sign of life is due, or was due that did not come.
    pub due: String,
    /// Whether it did not come, and an alert said so.
    pub missed: bool,
}

/// The answer to `GET /expectations`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Expectations {
    /// Those of the topics that the key may read, by topic and incident.
    pub expectations: Vec<Expectation>,
}
