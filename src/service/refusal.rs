//! Why the service does not do what was asked; the HTTP layer gives each its status in one place.
//!
//! Its `Display` is for whoever asked and never contains a path, a host or the text of a library. What only the operator
//! may see is the [`detail`](Refusal::detail).

use std::time::Duration;

use crate::alert::Pattern;
use crate::engine::{AppendError, Unavailable};
use crate::key::Scope;
use crate::keyring::KeyringError;

/// A refusal with its remedy, for the one who asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No key, or none that works; one wording for all, so that nothing is learnt by trying.
    #[error("this needs a valid key: send it as Authorization: Bearer KEY")]
    Unauthorized,
    /// No ticket that works; one wording for all, as with keys.
    #[error("this needs a valid ticket: it opens one stream, within 30 s; ask for a new one with POST /tickets")]
    Ticket,
    /// Not signed, or not with the secret of the GitHub hook.
    #[error(
        "X-Hub-Signature-256 is not of this body and the secret in hooks.github_secret_file: enter that secret on GitHub's page of the webhook"
    )]
    Signature,
    /// The key lacks a scope.
    #[error("this key has no scope \"{0}\": ask for one that has it (alertctl key add --scope {0})")]
    Scope(Scope),
    /// The socket lacks a right.
    #[error("the publish socket takes alerts only: use the control socket, or HTTP with a key")]
    PublishOnly,
    /// Only a key has this.
    #[error("a ticket stands for a key: ask for it over HTTP with one; this socket opens streams without")]
    KeyOnly,
    /// Only the control socket may do this.
    #[error("this works on the control socket only")]
    ControlOnly,
    /// The key's topics do not reach so far.
    #[error("this key may not use the topic {0}: its topics are {own}", own = words(.1))]
    Topic(Pattern, Vec<Pattern>),
    /// A field or parameter is not as it must be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field or parameter.
        field: String,
        /// What it must be.
        reason: String,
    },
    /// No key of that id or user.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts an earlier one.
    #[error("{0}")]
    Conflict(String),
    /// Too much of something.
    #[error("{what}")]
    TooMany {
        /// What, and the limit's name.
        what: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// Not now; for a publish the outcome is unknown.
    #[error("{reason}")]
    Unavailable {
        /// For whoever asked.
        reason: String,
        /// For the operator: which file or server, what it answered, and the remedy.
        detail: Option<String>,
    },
}

fn words(patterns: &[Pattern]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), detail: None }
    }

    /// What the operator sees beside the reason: in the log, and in answers on the control socket.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Unavailable { detail, .. } => detail.as_deref(),
            _ => None,
        }
    }

    pub(super) fn invalid(field: &str, reason: impl ToString) -> Self {
        Self::Invalid { field: field.into(), reason: reason.to_string() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict(error.to_string()),
            AppendError::NotStored(ref unavailable) | AppendError::Unknown(ref unavailable) => {
                Self::Unavailable { reason: error.to_string(), detail: Some(unavailable.detail.clone()) }
            }
        }
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable { reason: error.to_string(), detail: Some(error.detail) }
    }
}

impl From<KeyringError> for Refusal {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::NotFound(_) => Self::NotFound(error.to_string()),
            KeyringError::Invalid { field, reason } => Self::Invalid { field, reason },
            other => {
                let reason = "the keys cannot be read or changed now: the journal of alertd has the reason".into();
                Self::Unavailable { reason, detail: Some(other.to_string()) }
            }
        }
    }
}
