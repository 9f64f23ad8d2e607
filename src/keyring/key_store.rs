//! Where the keys are stored: in a file of this machine, or in a store that the nodes of a fleet share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::KeyringError;
use super::file_store::FileStore;
use super::record::{KeyRecord, check};
use crate::log::Event;

/// What a fleet keeps its keys in. All of it blocks; errors are for people, with the remedy.
pub(crate) trait SharedStore: Send + Sync {
    /// What it is, in words.
    fn name(&self) -> String;

    /// All that it keeps.
    ///
    /// # Errors
    /// Where it cannot be reached.
    fn load(&self) -> Result<Snapshot, String>;

    /// Changes what it keeps, if that is still of the revision `expected`, and returns the new revision, which is above
    /// `floor` too. None where it is of another one.
    ///
    /// # Errors
    /// Where it cannot be reached; whether it was changed is unknown then.
    fn save(&self, expected: u64, floor: u64, change: Change) -> Result<Option<u64>, String>;
}

/// The content of a [`SharedStore`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Grows with each change.
    pub revision: u64,
    /// Each key as JSON, by id.
    pub keys: BTreeMap<String, String>,
    /// Where these are more or fewer than were saved: what became of them, in words with the remedy.
    pub damage: Option<String>,
}

/// A change of what a [`SharedStore`] keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Keys to write, by id.
    pub put: Vec<(String, String)>,
    /// Ids of keys to remove.
    pub gone: Vec<String>,
}

pub(super) enum KeyStore {
    File(FileStore),
    Shared {
        shared: Arc<dyn SharedStore>,
        /// As it was last loaded or saved here.
        snapshot: Snapshot,
    },
}

impl KeyStore {
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(store) => store.path().display().to_string(),
            Self::Shared { shared, .. } => shared.name(),
        }
    }

    pub(super) const fn revision(&self) -> u64 {
        match self {
            Self::File(_) => 0,
            Self::Shared { snapshot, .. } => snapshot.revision,
        }
    }

    /// The keys.
    ///
    /// A shared store that is older than what this node knows was emptied or restored from an older state; one that
    /// differs at the same revision has lost keys. It gets back what this node knows: otherwise revoked keys would work
    /// again, and others would not. A node that knows nothing refuses a store that has lost keys.
    pub(super) fn load(&mut self) -> Result<Vec<KeyRecord>, KeyringError> {
        let (shared, known) = match self {
            Self::File(store) => return store.load(),
            Self::Shared { shared, snapshot } => (shared, snapshot),
        };
        let mut found = shared.load().map_err(KeyringError::Away)?;
        let is_other = found.keys != known.keys || found.damage.is_some();
        let has_lost = found.revision == known.revision && is_other;
        if known.revision > 0 && (found.revision < known.revision || has_lost) {
            let change = difference(&found.keys, &known.keys);
            let saved = shared.save(found.revision, known.revision, change).map_err(KeyringError::Away)?;
            match saved {
                Some(revision) => {
                    tracing::warn!(
                        message_id = %Event::KeysRestored,
                        "{} had older keys than this node, or fewer, and was given them back",
                        shared.name()
                    );
                    known.revision = revision;
                    found = known.clone();
                }
                // Another node was faster.
                None => found = shared.load().map_err(KeyringError::Away)?,
            }
        }
        if let Some(damage) = found.damage {
            return Err(KeyringError::Away(damage));
        }
        let records =
            read(&found.keys).map_err(|reason| KeyringError::Damaged { path: PathBuf::from(shared.name()), reason })?;
        *known = found;
        Ok(records)
    }

    /// Keeps these and no others; false, and nothing is changed, where another node's change came in between.
    pub(super) fn save(&mut self, records: &[KeyRecord]) -> Result<bool, KeyringError> {
        let (shared, snapshot) = match self {
            Self::File(store) => return store.save(records).map(|()| true),
            Self::Shared { shared, snapshot } => (shared, snapshot),
        };
        let json = |record: &KeyRecord| Some((record.id.clone(), serde_json::to_string(record).ok()?));
        let keys: Option<BTreeMap<_, _>> = records.iter().map(json).collect();
        let keys = keys.ok_or_else(|| KeyringError::Away("a key cannot be written as JSON".into()))?;
        let saved = shared.save(snapshot.revision, snapshot.revision, difference(&snapshot.keys, &keys));
        let Some(revision) = saved.map_err(KeyringError::Away)? else { return Ok(false) };
        *snapshot = Snapshot { revision, keys, damage: None };
        Ok(true)
    }
}

fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Change {
    let is_new = |(id, json): &(&String, &String)| before.get(*id) != Some(*json);
    Change {
        put: after.iter().filter(is_new).map(|(id, json)| (id.clone(), json.clone())).collect(),
        gone: before.keys().filter(|id| !after.contains_key(*id)).cloned().collect(),
    }
}

fn read(keys: &BTreeMap<String, String>) -> Result<Vec<KeyRecord>, String> {
    let records: Result<Vec<KeyRecord>, String> = keys
        .iter()
        .map(|(id, json)| serde_json::from_str(json).map_err(|error| format!("key {id:?}: {error}")))
        .collect();
    let records = records?;
    check(&records)?;
    Ok(records)
}
