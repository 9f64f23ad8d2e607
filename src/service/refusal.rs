//! Why the service refuses a request. The HTTP layer maps each reason to a status, in one place.
//!
//! `Display` is for clients and never contains a path, a host or the text of a library. Only the operator sees the
//! [`detail`](Refusal::detail).

use std::time::Duration;

use crate::alert::Pattern;
use crate::engine::{AppendError, Unavailable};
use crate::key::Scope;
use crate::keyring::KeyringError;

/// A refusal with its remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No key or an invalid one. The text is the same for all reasons, so that guessing reveals nothing.
    #[error("this requires a valid key: send it as Authorization: Bearer KEY")]
    Unauthorized,
    /// An invalid ticket. The text is the same for all reasons, as for keys.
    #[error("this requires a valid ticket: it opens one stream, within 30 s; get a new one with POST /tickets")]
    Ticket,
    /// The body has no signature, or not one with the secret of the GitHub hook.
    #[error(
        "X-Hub-Signature-256 does not match this body and the secret in hooks.github_secret_file: enter that secret in the settings of the webhook at GitHub"
    )]
    Signature,
    #[error("this key does not have the scope \"{0}\": use one that has it (alertctl key add --scope {0})")]
    Scope(Scope),
    #[error("the publish socket can only publish: use the control socket, or HTTP with a key")]
    PublishOnly,
    #[error("a ticket stands for a key: request it over HTTP with a key; this socket opens streams without a ticket")]
    KeyOnly,
    #[error("this works on the control socket only")]
    ControlOnly,
    /// The topics of the key do not cover a topic.
    #[error("this key may not use the topic {0}: its topics are {own}", own = joined(.1))]
    Topic(Pattern, Vec<Pattern>),
    #[error(
        "this alert is not one of this key's user: use a key of the user who published it, or one with the scope \"admin\""
    )]
    NotOwn,
    /// A field or parameter is invalid.
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    /// The key, user or hook does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts an earlier one.
    #[error("{0}")]
    Conflict(String),
    /// The alert was retracted.
    #[error("{0}")]
    Gone(String),
    #[error("{what}")]
    TooMany {
        /// The text for the client, with the name of the limit.
        what: String,
        retry_after: Duration,
    },
    /// An operator has the streams leave.
    #[error("this alertd is being drained and opens no streams: use another one, or try again later")]
    Draining { retry_after: Duration },
    /// Temporarily impossible; for a publish the outcome is unknown.
    #[error("{reason}")]
    Unavailable {
        /// The text for the client.
        reason: String,
        /// For the operator: the file or server, its error, and the remedy.
        detail: Option<String>,
    },
}

fn joined(patterns: &[Pattern]) -> String {
    patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), detail: None }
    }

    /// The text for the operator, in the log and in answers on the control socket.
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
            AppendError::Retracted => Self::Gone(error.to_string()),
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
            KeyringError::Rotated { .. } => Self::Conflict(error.to_string()),
            other => {
                let reason = "the keys cannot be read or changed now: see the journal of alertd for the reason".into();
                Self::Unavailable { reason, detail: Some(other.to_string()) }
            }
        }
    }
}
