//! Keys as pure values: scopes, grants, the text form of a secret.

pub mod secret;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::Pattern;

/// One kind of permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Publish alerts.
    Publish,
    /// Read streams and history.
    Subscribe,
    /// Read `/metrics`.
    Metrics,
    /// Manage keys and read the status.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Publish, Self::Subscribe, Self::Metrics, Self::Admin];

    /// The lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a text is a user name: 1 to 64 characters of `[A-Za-z0-9._-]`.
#[must_use]
pub fn is_user(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// The text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is publish, subscribe, metrics or admin")]
pub struct NotAScope;

impl std::str::FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NotAScope)
    }
}

/// The rights of a verified key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key's public id.
    pub key_id: String,
    /// The user who owns the key.
    pub user: Arc<str>,
    pub scopes: Vec<Scope>,
    pub topics: Vec<Pattern>,
    /// Time of expiry, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl Grant {
    /// Whether the key has this scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the key may read everything that these patterns select.
    #[must_use]
    pub fn may_read(&self, patterns: &[Pattern]) -> bool {
        self.has(Scope::Subscribe) && patterns.iter().all(|pattern| self.covers(pattern))
    }

    /// Whether the topics of the key include everything that `pattern` selects.
    #[must_use]
    pub fn covers(&self, pattern: &Pattern) -> bool {
        self.topics.iter().any(|own| own.covers(pattern))
    }
}
