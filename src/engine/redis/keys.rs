//! The keys that the nodes of a fleet share: texts by id, under a revision that grows with each change.
//!
//! The format of the texts is the keyring's. The daemon connects both.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::codec::{self, Unreadable};
use super::shared::KeysHeard;
use super::{Fleet, script};
use crate::engine::Unavailable;

#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Grows with each change.
    pub revision: u64,
    /// Each as text, by id.
    pub by_id: BTreeMap<String, String>,
    /// If these are more or fewer than were saved: a description with the remedy.
    pub damage: Option<String>,
}

impl Fleet {
    /// The newest state of the keys; none before the log was reached first.
    #[must_use]
    pub(crate) fn keys_heard(&self) -> watch::Receiver<Option<KeysHeard>> {
        self.0.shared.keys.subscribe()
    }

    /// Tells these keys from those of another fleet: the servers and the prefix.
    #[must_use]
    pub(crate) fn log_name(&self) -> String {
        self.0.shared.link.log_name()
    }

    /// All keys.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn load_keys(&self) -> Result<Keys, Unavailable> {
        let shared = &self.0.shared;
        let answer = self.0.script(script::load_keys(&shared.link, shared.time_argument())).await?;
        let (revision, saved, by_id) = parse(&answer).ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))?;
        let damage = (saved != by_id.len()).then(|| {
            let (topology, link, here) = (shared.link.topology(), &shared.link, by_id.len());
            format!(
                "{topology} has {here} keys, but {saved} were saved: a node that knows the missing keys restores them; without such a node restore {} from a backup, or accept the keys that are there: redis-cli HDEL {} keys_count",
                link.key("keys"),
                link.key("state")
            )
        });
        Ok(Keys { revision, by_id, damage })
    }

    /// Changes the keys if their revision is `expected`. The new revision is above it and above `floor`; none if the keys
    /// have another revision.
    ///
    /// # Errors
    /// The server cannot be reached; whether the keys were changed is unknown.
    pub(crate) async fn save_keys(
        &self,
        expected: u64,
        floor: u64,
        put: &[(String, String)],
        gone: &[String],
    ) -> Result<Option<u64>, Unavailable> {
        let shared = &self.0.shared;
        let call = script::save_keys(&shared.link, shared.time_argument(), expected, floor, put, gone);
        let answer = self.0.script(call).await?;
        Ok(answer.first().and_then(|revision| codec::number(revision)))
    }
}

pub(super) fn parse(answer: &[Vec<u8>]) -> Option<(u64, usize, BTreeMap<String, String>)> {
    // A value that is not text is not a key; the keyring refuses it.
    let mut parts = answer.iter().map(|part| String::from_utf8_lossy(part).into_owned());
    let revision = parts.next()?.parse().ok()?;
    let saved = parts.next()?.parse().ok()?;
    let mut keys = BTreeMap::new();
    while let Some(id) = parts.next() {
        keys.insert(id, parts.next()?);
    }
    Some((revision, saved, keys))
}
