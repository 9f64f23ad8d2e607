//! The keys that the nodes of a fleet share, as text by id under a revision that grows with each change.
//!
//! What they mean is the keyring's. The daemon brings both together.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Redis, codec, script};
use crate::engine::ReadError;

impl Redis {
    /// The revision of the keys, and when it was heard last: each second, while all is well.
    #[must_use]
    pub fn key_revisions(&self) -> watch::Receiver<Option<(u64, Instant)>> {
        self.0.shared.keys.subscribe()
    }

    /// All keys, and their revision.
    ///
    /// # Errors
    /// Where the server is away.
    pub async fn load_keys(&self) -> Result<(u64, BTreeMap<String, String>), ReadError> {
        let shared = &self.0.shared;
        let answer = self.look(script::load_keys(&shared.link, shared.time_argument())).await?;
        kept(&answer).ok_or_else(|| ReadError(shared.damaged()))
    }

    /// Changes the keys if they are of the revision `expected`. The new revision is above it and above `floor`; none where
    /// they are of another revision.
    ///
    /// # Errors
    /// Where the server is away; whether they were changed is unknown then.
    pub async fn save_keys(
        &self,
        expected: u64,
        floor: u64,
        put: &[(String, String)],
        gone: &[String],
    ) -> Result<Option<u64>, ReadError> {
        let shared = &self.0.shared;
        let call = script::save_keys(&shared.link, shared.time_argument(), expected, floor, put, gone);
        let answer = self.look(call).await?;
        Ok(answer.first().and_then(|revision| codec::number(revision)))
    }
}

fn kept(answer: &[Vec<u8>]) -> Option<(u64, BTreeMap<String, String>)> {
    let mut parts = answer.iter().map(|part| std::str::from_utf8(part).ok());
    let revision = parts.next()??.parse().ok()?;
    let mut keys = BTreeMap::new();
    while let Some(id) = parts.next() {
        keys.insert(id?.to_owned(), parts.next()??.to_owned());
    }
    Some((revision, keys))
}
