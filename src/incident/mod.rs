//! Incidents: what alerts, people and time make of a named problem on a topic.
//!
//! An incident is identified by its topic and its name. It is open, acknowledged or resolved; after it was resolved, the next
//! alert of level `warn` or `error` begins a new occurrence. The engines keep one [`Row`] for each incident and change it in
//! the step that stores the record; what it becomes is decided here. Pure values: time is a parameter. Always: a row is
//! changed together with a record of the log, except by a repeat that is only counted, and alerts and transitions carry the
//! occurrence and its count, so that whoever folds a stream agrees with the rows.
//!
//! | file | owns |
//! |---|---|
//! | [`row`] | an incident as it is stored |
//! | [`report`] | what an alert makes of an incident |
//! | [`action`] | what people and time make of it |
//! | [`counts`] | how many there are, by state and level |
//! | [`happened`] | what changes amount to, for the metrics |
//! | [`placed`] | an alert of the log that has a place in an incident |
//! | [`query`] | which incidents a reader wants, and how they are shown |
//! | [`settings`] | limits, and the times of repeats and reminders |

pub(crate) mod action;
mod counts;
mod happened;
pub(crate) mod placed;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod row;
pub(crate) mod settings;

pub(crate) use action::{Act, ActError, Acted, Action};
pub(crate) use counts::Counts;
pub(crate) use happened::Happened;
pub(crate) use placed::PlacedAlert;
pub(crate) use query::{Query, Wanted};
pub(crate) use report::{Reported, Room, Untracked};
pub(crate) use row::{Key, Row, State};
pub(crate) use settings::Settings;
