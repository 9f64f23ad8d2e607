//! Retractions of alerts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{Id, Topic};

// `alert::retraction` writes it; this type only describes it in the OpenAPI document.
/// The retraction of an alert, as streams and history have it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RetractEvent {
    /// Position in the log, and the cursor for continuing after it.
    pub id: Id,
    pub topic: Topic,
    /// The alert that was retracted.
    pub alert: Id,
    /// The user who retracted it.
    pub by: String,
    pub time: String,
}
