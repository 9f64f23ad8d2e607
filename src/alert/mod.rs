//! Alerts as pure values: their parts, their validation and encoding, and the filters that select them.
//!
//! Used by every layer above. No clock, no environment, no I/O: time is a parameter.
//!
//! | file | owns |
//! |---|---|
//! | [`draft`] | the validation of what producers send |
//! | [`json_body`] | the JSON body of a publish |
//! | [`id`] | ids, which are also cursors |
//! | [`incident`] | what an alert says about an incident |
//! | [`topic`] | topics and patterns |
//! | [`event_json`] | the JSON of records that are not alerts |
//! | [`filter`] | which alerts a reader wants, and from where on |
//! | [`duration`] | durations as people write them |
//! | [`every`] | how often something is expected on a topic |
//! | [`level`] | info, warn, error |
//! | [`line_ends`] | characters that end a line, escaped |
//! | [`metadata`] | the sender's own JSON object |
//! | [`excerpt`] | what is left of metadata that is too long |
//! | [`frame`] | the bounds of what a reader gets of one alert |
//! | [`retraction`] | the record that an alert was taken back |
//! | [`schema`] | JSON Schemas of the values that are text |

pub mod draft;
pub mod duration;
mod event_json;
pub mod every;
pub mod excerpt;
pub mod fault;
pub mod filter;
pub mod frame;
pub mod id;
pub mod incident;
pub mod json_body;
pub mod level;
pub mod line_ends;
pub mod metadata;
pub mod retraction;
pub mod schema;
pub mod topic;

pub use draft::{Draft, DraftError};
pub(crate) use event_json::EventJson;
pub use every::{Every, NotAnEvery};
pub use fault::{Unreadable, fault, read, read_list};
pub use filter::{Filter, Start};
pub use id::Id;
pub use incident::{IncidentFields, IncidentName, IncidentPlace, IncidentReport, IncidentStatus, Repeats, Ttl};
pub use level::Level;
pub use line_ends::escape_line_ends;
pub use metadata::Metadata;
pub use retraction::Retraction;
pub use topic::{NotATopic, Pattern, Topic};

use bytes::Bytes;

/// What a record of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordKind {
    #[default]
    Alert,
    /// A change of an incident that is not an alert.
    Transition,
    /// The alert with this id was taken back.
    Retraction(Id),
}

/// An alert, a transition or a retraction with its id, as it is stored and sent: the fields that filters need, and its line of JSON,
/// encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: Id,
    pub kind: RecordKind,
    pub topic: Topic,
    /// A transition or a retraction has the highest level, so that every filter passes it.
    pub level: Level,
    /// By the server's clock, in milliseconds since 1970.
    pub received_ms: u64,
    /// The whole of it as one line, without the line break.
    pub json: Bytes,
}

impl Record {
    #[must_use]
    pub fn is_alert(&self) -> bool {
        self.kind == RecordKind::Alert
    }
}

/// Milliseconds since 1970 as `2026-11-23T17:33:10.123Z`; a time out of range becomes 1970.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let mut text = String::with_capacity(24);
    // Fails only for a text that cannot grow.
    let _ = PRINTER.print_timestamp(&time.unwrap_or_default(), &mut text);
    text
}
