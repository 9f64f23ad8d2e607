//! Requests to a log and their answers: where a stream begins, and pages of a range.

use crate::alert::{Filter, Id, Record, Start};
use crate::sse::Gap;

/// Where a stream begins: the result of a seek for a [`Start`].
#[derive(Clone, Debug)]
pub(crate) struct Seek {
    /// Something asked for may be missing.
    pub gap: Option<Gap>,
    /// For `latest`: the newest matching alert of each topic, oldest first.
    pub latest: Vec<Record>,
    /// The replay continues after this id.
    pub after: Id,
    /// The newest id that retention removed and that may have matched the filter.
    pub trimmed: Id,
    /// The log has the cursor, but this node is behind it: seek again when the hub has reached this id.
    pub awaited: Option<Id>,
}

/// The facts of a log that decide where a stream begins.
pub(super) struct Known {
    /// The newest id.
    pub(super) head: Id,
    /// The newest id that was removed and may have matched the filter.
    pub(super) trimmed: Id,
    /// The oldest alert that is retained.
    pub(super) oldest: Option<Id>,
    /// Whether the log gave the cursor of [`Start::After`] and has removed nothing after it.
    pub(super) has_cursor: bool,
}

impl Seek {
    /// Decides for a stream that gets everything after `until` from the hub.
    pub(super) fn new(start: &Start, until: Id, known: Known, latest: Vec<Record>) -> Self {
        let Known { head, trimmed, oldest, has_cursor } = known;
        let mut awaited = None;
        let gap = |requested: String| Some(Gap { requested, oldest, head });
        let (gap, after) = match start {
            Start::Live | Start::Latest => (None, until),
            Start::All => (None, Id::ZERO),
            Start::Time(ms) => {
                let is_missing = trimmed != Id::ZERO && trimmed >= Id::at(*ms);
                let gap = if is_missing { gap(crate::alert::rfc3339(*ms)) } else { None };
                (gap, Id::at(*ms).predecessor().min(until))
            }
            Start::After(cursor) => {
                let is_missing = !has_cursor || trimmed > *cursor;
                // Another node of a fleet may be ahead of this one.
                awaited = Some(*cursor).filter(|cursor| *cursor > until && (has_cursor || *cursor <= head));
                // A cursor above the head would hide the next alerts, whose ids may be lower.
                let after = if *cursor > head { until } else { (*cursor).min(until) };
                (if is_missing { gap(cursor.to_string()) } else { None }, after)
            }
            Start::Unreadable(text) => (gap(text.clone()), Id::ZERO),
        };
        Self { gap, latest, after, trimmed, awaited }
    }
}

/// Which end of a range is read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The oldest alerts first.
    Forward,
    /// The newest alerts first; a page is still sorted by id.
    Backward,
}

/// The alerts that match the filter, with `after < id <= until`.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// Topics and level.
    pub filter: Filter,
    /// Exclusive.
    pub after: Id,
    /// Inclusive; [`Id::MAX`] for all that the log has.
    pub until: Id,
    /// The largest number of alerts.
    pub limit: usize,
    /// About the largest number of bytes; a page has at least one alert.
    pub bytes: usize,
}

/// A part of a range. A short or empty page is not the end of the range: the work per page is bounded.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Oldest first, in both directions.
    pub records: Vec<Record>,
    /// Forward, all up to this id has been read; backward, all from this id on. None if the range is exhausted.
    pub next: Option<Id>,
    /// The newest id that retention removed, or that damage took within this part, and that may have matched the filter.
    pub trimmed: Id,
    /// The newest id that damage took within this part.
    pub damaged: Option<Id>,
    /// The oldest alert that is retained.
    pub oldest: Option<Id>,
}
