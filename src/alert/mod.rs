//! Alerts as pure values: what they are, what selects them, how they are validated and written down.
//!
//! Called by every layer above. No clock, no environment, no I/O: time comes in as a parameter.
//!
//! | file | owns |
//! |---|---|
//! | [`draft`] | the one validating door for what producers send |
//! | [`id`] | ids, which are also cursors |
//! | [`topic`] | topics and patterns |
//! | [`filter`] | what a reader asks for, and where it begins |
//! | [`duration`] | durations as people write them |
//! | [`level`] | info, warn, error |
//! | [`metadata`] | the free JSON object |
//! | [`schema`] | how the values that are text describe themselves |

pub mod draft;
pub mod duration;
pub mod filter;
pub mod id;
pub mod level;
pub mod metadata;
pub mod schema;
pub mod topic;

pub use draft::{Draft, DraftError, fault};
pub use filter::{Filter, Start};
pub use id::Id;
pub use level::Level;
pub use metadata::Metadata;
pub use topic::{NotATopic, Pattern, Topic};

use bytes::Bytes;

/// An alert with its id, as it is stored and sent: what filters need, and its line of JSON, encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub id: Id,
    /// Where it was published.
    pub topic: Topic,
    /// How serious it is.
    pub level: Level,
    /// When it came in by the server's clock, milliseconds since 1970.
    pub received_ms: u64,
    /// The whole alert as one line of JSON, without a line break.
    pub json: Bytes,
}

/// A time as `2026-11-23T17:33:10.123Z`; one that no calendar has becomes 1970.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    PRINTER.timestamp_to_string(&time.unwrap_or_default())
}

/// The same time as HTTP writes it: `Mon, 23 Nov 2026 17:33:10 GMT`.
#[must_use]
pub fn http_date(ms: u64) -> String {
    const PRINTER: jiff::fmt::rfc2822::DateTimePrinter = jiff::fmt::rfc2822::DateTimePrinter::new();
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // It fails only for years before 0.
    PRINTER.timestamp_to_rfc9110_string(&time.unwrap_or_default()).unwrap_or_default()
}
