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
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) head: Id,
    /// The newest id that was removed and may have matched the filter.
    pub(super) trimmed: Id,
    /// The oldest alert that is retained.
    pub(super) oldest: Option<Id>,
    /// Whether the log gave the cursor of [`Start::After`] and has removed nothing after it.
    pub(super) has_cursor: bool,
}

/// The id from which on nothing is missing: the oldest alert that is retained, or what follows the newest id that may be
/// missing, if that is newer. None in an empty log.
pub(crate) fn complete_from(oldest: Option<Id>, missing: Id) -> Option<Id> {
    if missing == Id::ZERO { oldest } else { oldest.map(|oldest| oldest.max(missing.successor())) }
}

impl Seek {
    /// Decides for a stream that gets everything after `until` from the hub.
    pub(super) fn new(start: &Start, until: Id, known: Known, latest: Vec<Record>) -> Self {
        let Known { head, trimmed, oldest, has_cursor } = known;
        let mut awaited = None;
        let gap = |requested: String| Some(Gap { requested, oldest: complete_from(oldest, trimmed), head });
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
    pub filter: Filter,
    /// Exclusive.
    pub after: Id,
    /// Inclusive; [`Id::MAX`] for all that the log has.
    pub until: Id,
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
    /// The newest id that retention removed, or that was lost to damage within this part, and that may have matched the
    /// filter.
    pub trimmed: Id,
    /// The newest id that was lost to damage within this part.
    pub damaged: Option<Id>,
    /// The oldest alert that is retained.
    pub oldest: Option<Id>,
}

impl Page {
    /// The gap of a reader that continues after `cursor` and knows that everything up to `known` may be missing: something
    /// more was removed while it read.
    #[must_use]
    pub(crate) fn gap(&self, cursor: Id, known: Id, head: Id) -> Option<Gap> {
        let is_new = self.trimmed > known && self.trimmed > cursor;
        let oldest = complete_from(self.oldest, self.trimmed);
        is_new.then(|| Gap { requested: cursor.to_string(), oldest, head })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_from_the_oldest_id_of_a_gap_on() {
        let at = Id::at;
        let known = || Known { head: at(9), trimmed: at(6), oldest: Some(at(2)), has_cursor: true };
        let gap = Seek::new(&Start::After(at(3)), at(9), known(), Vec::new()).gap.unwrap();
        assert_eq!(gap.oldest, Some(at(6).successor()));
        assert_eq!(complete_from(Some(at(8)), at(6)), Some(at(8)));
        assert_eq!((complete_from(Some(at(2)), Id::ZERO), complete_from(None, at(6))), (Some(at(2)), None));
        let page = Page { records: Vec::new(), next: None, trimmed: at(6), damaged: None, oldest: Some(at(2)) };
        assert_eq!(page.gap(at(3), at(2), at(9)).unwrap().oldest, Some(at(6).successor()));
        assert!(page.gap(at(3), at(6), at(9)).is_none() && page.gap(at(6), at(2), at(9)).is_none());
    }
}
