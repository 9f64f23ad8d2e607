//! What is asked of a log: where a stream begins, and parts of it.

use crate::alert::{Filter, Id, Record, Start};
use crate::sse::Gap;

/// Where a stream begins: the result of a seek for a [`Start`].
#[derive(Clone, Debug)]
pub(crate) struct Seek {
    /// Something asked for may be missing.
    pub gap: Option<Gap>,
    /// For `latest`: the newest matching alert of each topic, oldest first.
    pub latest: Vec<Record>,
    /// The replay goes on behind this id.
    pub after: Id,
    /// The newest id that retention removed and that may have passed the filter.
    pub trimmed: Id,
    /// The log has the cursor, and this node is not there yet: nothing can be said before the hub has reached this id.
    pub awaited: Option<Id>,
}

/// What a log knows that decides where a stream begins.
pub(super) struct Known {
    /// The newest id.
    pub(super) head: Id,
    /// The newest id that was removed and may have passed the filter.
    pub(super) trimmed: Id,
    /// The oldest alert that is retained.
    pub(super) oldest: Option<Id>,
    /// Whether the log gave the cursor of [`Start::After`], and nothing behind it was removed from the old end.
    pub(super) has_cursor: bool,
}

impl Seek {
    /// Decides, for a stream that hears from the hub what comes after `until`.
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
                // Another node of a fleet may well be ahead of this one.
                awaited = Some(*cursor).filter(|cursor| *cursor > until && (has_cursor || *cursor <= head));
                // Beyond the head nothing comes after it, and what is given next may have a smaller id.
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

/// Which alerts to read: those that pass the filter, with `after < id <= until`.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// Topics and level.
    pub filter: Filter,
    /// Exclusive.
    pub after: Id,
    /// Inclusive; [`Id::MAX`] for all that the log has.
    pub until: Id,
    /// So many at the most.
    pub limit: usize,
    /// About so many bytes of them at the most, but one alert at the least.
    pub bytes: usize,
}

/// A part of a range. It may be short, or empty, and still not be the end: the work per page is bounded.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Oldest first, in both directions.
    pub records: Vec<Record>,
    /// Forward: all up to this id has been seen. Backward: all from this id on. None where the range is exhausted.
    pub next: Option<Id>,
    /// The newest id that retention removed and that may have passed the filter.
    pub trimmed: Id,
    /// The oldest alert that is retained.
    pub oldest: Option<Id>,
}
