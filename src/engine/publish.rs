//! Writing to a log: alerts with their idempotency keys, the outcome, and how much is retained.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Unavailable;
use crate::alert::{Draft, Record};
use crate::incident::Untracked;

/// The beginning of a hash of a user's name.
pub(super) type Owner = [u8; 8];

pub(super) fn owner(user: &[u8]) -> Owner {
    let mut owner = Owner::default();
    owner.copy_from_slice(&Sha256::digest(user)[..8]);
    owner
}

/// Scopes an `Idempotency-Key` to its user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Idempotency {
    /// The user; the keys of two users are independent.
    pub user: String,
    /// The key as it was sent.
    pub key: String,
    /// None if the key stands for one alert, and another alert under it is a conflict. Otherwise the key names something that
    /// changes its state: the same state again is a repeat, whatever the alert says, and a different state is a new alert
    /// that takes over the key.
    pub state: Option<String>,
}

impl Idempotency {
    /// Identifies the user, to count the keys of each.
    pub(super) fn owner(&self) -> Owner {
        owner(self.user.as_bytes())
    }

    /// A user name has no NUL, so the keys of two users have different hashes.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::new().chain_update(&self.user).chain_update([0]).chain_update(&self.key).finalize().into()
    }
}

/// An alert to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub draft: Draft,
    /// Who publishes it.
    pub user: Arc<str>,
    /// Present if a retry must not store it twice.
    pub idempotency: Option<Idempotency>,
}

impl Publish {
    /// Equal for two publishes under one key if they are the same.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        match self.state() {
            Some(state) => Sha256::digest(state).into(),
            None => Sha256::digest(self.draft.canonical()).into(),
        }
    }

    /// The state of what the key names, if the key has one.
    pub(super) fn state(&self) -> Option<&str> {
        self.idempotency.as_ref()?.state.as_deref()
    }
}

/// How much is retained; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Milliseconds.
    pub age_ms: u64,
    /// Alerts.
    pub count: u64,
    /// Bytes of alerts.
    pub bytes: u64,
    /// Alerts of one topic.
    pub topic_count: u64,
}

/// What an engine made of an alert that reports an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// It concerns no incident, or was recognised by its idempotency key.
    #[default]
    None,
    /// It changed its incident.
    Tracked,
    /// It would have opened an incident, and did not.
    Untracked(Untracked),
    /// It was counted, and neither stored nor broadcast. The record is the last alert that was.
    Counted,
}

/// The alert is in the log, as durably as configured.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub record: Record,
    /// True if an earlier publish with the same idempotency key had stored it.
    pub repeated: bool,
    pub incident: Tracking,
}

impl Stored {
    /// Whether nothing was stored: it came before, or was only counted.
    #[must_use]
    pub(crate) fn is_repeat(&self) -> bool {
        self.repeated || self.incident == Tracking::Counted
    }
}

/// Why an alert was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the Idempotency-Key was used for another alert within the last 24 hours: use a new key for a new alert")]
    Conflict,
    /// The alert that the idempotency key stands for was taken back.
    #[error("the alert with this Idempotency-Key was retracted: use a new key for a new alert")]
    Retracted,
    #[error("{0}: nothing was stored, send it again")]
    NotStored(Unavailable),
    /// The outcome is unknown until a retry with the same idempotency key.
    #[error("{0}: the alert may be stored or not, send it again (with the same Idempotency-Key it is stored once)")]
    Unknown(Unavailable),
}

impl AppendError {
    /// Why the engine could not store it; none for a conflict or a retracted alert.
    #[must_use]
    pub(crate) const fn unavailable(&self) -> Option<&Unavailable> {
        match self {
            Self::Conflict | Self::Retracted => None,
            Self::NotStored(unavailable) | Self::Unknown(unavailable) => Some(unavailable),
        }
    }
}
