//! What is expected on topics, or of incidents on them: that an alert is published at least every so often.
//!
//! The service keeps the table and decides with it what is missed and what is met; the engines store what a restart must
//! not forget. Pure values: time is a parameter. Always: a table has at most [`MAX`] expectations, a quarter of
//! them of one user, and each silence is announced once, and its end once.
//!
//! | file | owns |
//! |---|---|
//! | [`subject`] | what an expectation is about |
//! | [`stored`] | an expectation as it is stored, and its changes |
//! | [`table`] | all expectations, with the last sign of life of each |
//! | [`announcement`] | the alerts that say what is missed and what is met |

pub(crate) mod announcement;
#[cfg(test)]
mod model;
pub(crate) mod stored;
pub(crate) mod subject;
pub(crate) mod table;

pub(crate) use announcement::{Announcement, Kind};
pub(crate) use stored::{Change, Stored};
pub(crate) use subject::Subject;
pub(crate) use table::{Full, MAX, Seen, Table, Verdict, Watched, Work};
