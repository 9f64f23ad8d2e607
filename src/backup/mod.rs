//! The file of a backup: the log of one alertd or fleet up to an id, and its keys, as lines of JSON.
//!
//! The engines export and import [`Part`]s of a log; the service and `alertctl` write and read the file. Each line has
//! its number and a checksum, so that a line that is damaged, missing, repeated or misplaced is noticed, and the others
//! can still be used. The first line names the kind and the version, and the last one has the counts: without it the
//! file is incomplete. Nothing here does input or output.

mod line;
mod reader;
mod summary;

use crate::alert::{Id, Record, Topic};
use crate::incident::{Key, Row};

pub(crate) use line::{Header, Item, Totals, Writer};
pub(crate) use reader::{Problem, Reader};
pub(crate) use summary::Summary;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.alertd.backup";

/// The facts about a log as a whole at the id up to which it is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Everything up to this id is removed, and not in the export.
    pub(crate) trim: Id,
    /// The newest id; parts have no later ones.
    pub(crate) until: Id,
    /// The time of retention, milliseconds since 1970.
    pub(crate) clock_ms: u64,
}

/// A part of a log. First come alerts, transitions, retired ids and losses, by id, then the limits of topics, then incidents,
/// then keys, by age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// An alert or a transition.
    Alert {
        record: Record,
        /// Who published it; empty where that is not known.
        user: String,
    },
    /// An id whose alert is gone: it is still a valid cursor.
    Retired(Id),
    /// Alerts after `after` up to `upto` may be lost to damage; readers get a gap.
    Lost {
        after: Id,
        upto: Id,
    },
    /// The limit of a topic removed its alerts up to this id.
    TopicTrim(Topic, Id),
    Incident(Key, Box<Row>),
    /// What an idempotency key stands for; of key and alert only hashes are kept.
    Key {
        hash: [u8; 32],
        fingerprint: [u8; 32],
        id: Id,
        received_ms: u64,
    },
}
