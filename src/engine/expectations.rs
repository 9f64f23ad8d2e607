//! What is expected on topics, as both engines store it: a text for each subject, which is a topic or an incident on it,
//! under a revision that grows with each change.
//!
//! Called by the service, whose format the texts have. A change names the revision that it is made of, so that two nodes
//! never undo each other's changes.

use std::collections::BTreeMap;

use super::{Engine, Unavailable};

/// All that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredTexts {
    /// Grows with each change.
    pub revision: u64,
    pub by_subject: BTreeMap<String, String>,
}

/// A change of what is stored.
#[derive(Clone, Debug)]
pub(crate) struct TextChange {
    /// The revision that it is made of.
    pub expected: u64,
    /// The new revision is above this one too.
    pub floor: u64,
    /// Texts to write, by subject.
    pub put: Vec<(String, String)>,
    /// Subjects whose texts are removed.
    pub gone: Vec<String>,
}

impl Engine {
    /// The revision of the stored expectations, without reading them.
    ///
    /// # Errors
    /// They cannot be read now.
    pub(crate) async fn expectations_revision(&self) -> Result<u64, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.expectations_revision().await,
            Self::Redis(redis) => redis.expectations_revision().await,
        }
    }

    /// # Errors
    /// They cannot be read now.
    pub(crate) async fn load_expectations(&self) -> Result<StoredTexts, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.load_expectations().await,
            Self::Redis(redis) => redis.load_expectations().await,
        }
    }

    /// Changes them, and returns the new revision; none, without a change, if their revision is not the expected one.
    ///
    /// # Errors
    /// They cannot be written now; with Redis, whether they were changed is unknown.
    pub(crate) async fn save_expectations(&self, change: TextChange) -> Result<Option<u64>, Unavailable> {
        match self {
            Self::Embedded(embedded) => embedded.save_expectations(change).await,
            Self::Redis(redis) => redis.save_expectations(&change).await,
        }
    }
}
