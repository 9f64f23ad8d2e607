//! Retraction: an alert is taken back, and its content is gone from wherever it was.
//!
//! Called by the service. The engines remove the content in the step that stores the record of it, so that no reader gets an
//! alert after its retraction; what readers have in memory the hub drops when the record reaches it.

use std::sync::Arc;

use super::{AppendError, Engine};
use crate::alert::{Id, Record, Topic};

/// Whose alerts somebody may take back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Retractable {
    /// Those of everybody.
    All,
    /// Those that this user published.
    OfUser(Arc<str>),
}

impl Retractable {
    /// Whether an alert of this user may be taken back. Alerts of alertd itself, and those of earlier versions, have none.
    pub(super) fn permits(&self, user: &str) -> bool {
        match self {
            Self::All => true,
            Self::OfUser(own) => !user.is_empty() && **own == *user,
        }
    }
}

/// An alert to be taken back.
#[derive(Clone, Debug)]
pub(crate) struct Retract {
    pub topic: Topic,
    pub id: Id,
    /// Who takes it back, for others to read.
    pub by: String,
    pub allowed: Retractable,
}

/// An alert that is not there any more.
#[derive(Clone, Debug)]
pub(crate) enum Retracted {
    /// It was taken back now, with this record.
    Now(Record),
    /// It was taken back before.
    Before,
}

/// Why an alert was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RetractFailure {
    /// The topic has no such alert, or retention has removed it.
    Unknown,
    /// Somebody else published it, or it is not known who did.
    OfOthers,
    /// The outcome is that of an alert which failed in this way.
    Failed(AppendError),
}

impl Engine {
    /// Takes an alert back, and answers when that is as durable as configured. Nothing reads the content from then on, and
    /// within a minute it is in no file and no key of the store.
    ///
    /// # Errors
    /// [`RetractFailure`].
    pub(crate) async fn retract(&self, retract: Retract) -> Result<Retracted, RetractFailure> {
        match self {
            Self::Embedded(embedded) => embedded.retract(retract).await,
            Self::Redis(redis) => redis.retract(retract).await,
        }
    }
}
