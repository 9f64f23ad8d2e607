//! The chain of announcements: each one names the id before it, so a node knows whether it has everything before it.
//!
//! Pure; used by the follower and by the model of the protocol. Always: what is delivered from announcements has no hole
//! and no repeat, and a predecessor that is not what the node has is a reason to compare the node with the log.

use crate::alert::{Id, Record};

/// How an announcement relates to what a node has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link<R> {
    /// The records that come next; empty if the node has all of them.
    Next(Vec<R>),
    /// Records that do not continue what the node has: some before them were missed, or lost.
    Doubt(Vec<R>),
}

/// Something with an id.
pub(super) trait Identified {
    fn id(&self) -> Id;
}

impl Identified for Record {
    fn id(&self) -> Id {
        self.id
    }
}

/// What a node has: its hub was fed with everything up to `at`, and `seen` is the newest id that it has heard of.
/// `seen` is newer until the announcement of an alert that the node stored itself has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Has {
    pub(super) at: Id,
    pub(super) seen: Id,
}

impl Has {
    /// Whether records after `at` that end at `end` leave out what the node has seen.
    pub(super) fn misses_seen<R: Identified>(self, records: &[R], end: Id) -> bool {
        self.at < self.seen && self.seen <= end && !records.iter().any(|record| record.id() == self.seen)
    }
}

/// Compares an announcement of `records` after `before` with a node. A predecessor that is merely older or newer than what
/// the node has proves nothing: after a failover that lost a part of the log, the next alert may follow an older one.
pub(super) fn link<R: Identified>(has: Has, before: Id, mut records: Vec<R>) -> Link<R> {
    if records.last().is_some_and(|last| has.misses_seen(&records, last.id())) {
        return Link::Doubt(records);
    }
    if before == has.at {
        return Link::Next(records);
    }
    if records.iter().any(|record| record.id() == has.at) {
        records.retain(|record| record.id() > has.at);
        return Link::Next(records);
    }
    Link::Doubt(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Identified for u64 {
        fn id(&self) -> Id {
            Id::at(*self)
        }
    }

    fn fits(at: u64, before: u64, records: &[u64]) -> Link<u64> {
        link(Has { at: Id::at(at), seen: Id::at(at) }, Id::at(before), records.to_vec())
    }

    #[test]
    fn only_what_continues_the_newest_id_or_contains_it_is_taken() {
        assert_eq!(fits(5, 5, &[6, 7]), Link::Next(vec![6, 7]));
        assert_eq!(fits(5, 3, &[4, 5, 6]), Link::Next(vec![6]));
        assert_eq!(fits(5, 3, &[4, 5]), Link::Next(vec![]));
        // A hole, and a log that has lost 5.
        for (before, records) in [(6, [7, 8]), (3, [4, 6]), (3, [3, 4]), (4, [6, 7])] {
            assert_eq!(fits(5, before, &records), Link::Doubt(records.to_vec()));
        }
    }

    #[test]
    fn what_leaves_out_an_id_that_the_node_has_seen_is_not_taken() {
        let has = Has { at: Id::at(5), seen: Id::at(7) };
        let fits = |records: &[u64]| matches!(link(has, Id::at(5), records.to_vec()), Link::Next(_));
        assert!(fits(&[6]) && fits(&[6, 7]) && fits(&[7, 8]) && !fits(&[6, 8]) && !fits(&[8]));
    }
}
