//! What clients did with a fleet during a run and what they were told, and the proof that every promise was kept.
//!
//! [`traffic`] records a [`History`] while a fault happens, and [`check`] proves it. Nothing but `traffic` knows sockets or
//! a clock: all times are counted from the beginning of the run, as clients saw them.

mod check;
mod key_changes;
mod publishers;
mod readers;
mod tests;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use alertd::alert::Id;

pub(super) use check::{Report, Violation};
pub(super) use traffic::Traffic;

/// All that the clients of one run saw.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By their message, which is different for each.
    pub(super) publishes: BTreeMap<String, Publish>,
    pub(super) readers: Vec<Reader>,
    /// Complete passes through the history during the run.
    pub(super) walks: Vec<Walk>,
    /// The history of each node, when all was over.
    pub(super) logs: Vec<Vec<(Id, String)>>,
    pub(super) revoked: Vec<Revoked>,
    /// From the beginning of the fault until all nodes were ready again.
    pub(super) fault: Option<(Duration, Duration)>,
    pub(super) storage: Storage,
    /// Answers that no client may get, whatever happens to the servers.
    pub(super) unexpected: Vec<String>,
}

/// What the servers may do to the log during the run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    #[default]
    KeepsOneLog,
    /// Nodes may store on two servers for a moment, of which one loses what it got. So ids of both interleave.
    MayFork,
    /// Retention removes alerts, so that it says nothing if one is not in the log at the end.
    Trims,
}

/// One alert, however often it was sent.
#[derive(Debug, Default)]
pub(super) struct Publish {
    pub(super) topic: String,
    /// When it was sent for the first time.
    pub(super) sent: Duration,
    /// Ids that it was answered with, and when: several if it was repeated under its idempotency key.
    pub(super) answered: Vec<(Id, Duration)>,
    /// The status of 4xx, if it was refused and never answered otherwise.
    pub(super) refused: Option<u16>,
}

/// A subscriber, over all of its connections.
#[derive(Debug, Default, Clone)]
pub(super) struct Reader {
    pub(super) name: String,
    /// None for all topics.
    pub(super) topic: Option<String>,
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Alert {
        id: Id,
        message: String,
    },
    /// Requested alerts below `oldest` may be missing; all of them up to `head` if it is None.
    Gap {
        oldest: Option<Id>,
        head: Id,
    },
    /// An event with an id but no alert: all up to it were delivered or filtered out.
    Cursor(Id),
}

/// Pages that follow each other.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// When the first page was requested.
    pub(super) began: Duration,
    pub(super) direction: Direction,
    pub(super) pages: Vec<Vec<(Id, String)>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the beginning of the log, by `since`.
    #[default]
    Forward,
    /// From its end, by `before`.
    Backward,
}

/// A key that was revoked, and what it was still good for.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// When the revocation was answered with success.
    pub(super) at: Duration,
    /// When requests were sent that were answered with success, and the node.
    pub(super) accepted: Vec<(Duration, usize)>,
    /// What its stream delivered.
    pub(super) delivered: Vec<String>,
}
