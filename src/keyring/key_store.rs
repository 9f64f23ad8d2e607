//! The store of the keys: a file on this machine, or a store that the nodes of a fleet share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::KeyringError;
use super::file_store::FileStore;
use super::last_known::LastKnown;
use super::record::KeyRecord;
use super::stored::{Checksums, Entry, StoredKeys};
use crate::log::Event;

/// The shared store of a fleet. All methods block; errors are messages for people, with a remedy.
pub(crate) trait SharedStore: Send + Sync {
    /// The name of the store, for messages.
    fn name(&self) -> String;

    /// Identifies this store among all others.
    fn identity(&self) -> String {
        self.name()
    }

    /// Reads the whole content.
    ///
    /// # Errors
    /// A message, if the store cannot be reached.
    fn load(&self) -> Result<Snapshot, String>;

    /// Applies a change if the revision is still `expected`, and returns the new revision, which is greater than `floor` too.
    /// Returns `None` if the revision is another.
    ///
    /// # Errors
    /// A message, if the store cannot be reached; the outcome is then unknown.
    fn save(&self, expected: u64, floor: u64, change: Change) -> Result<Option<u64>, String>;

    /// Asks for news of the keys, without waiting for them. Nothing to do for a store that is read when it changes.
    fn look(&self) {}
}

/// The content of a [`SharedStore`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Grows with each change.
    pub revision: u64,
    /// Each key as JSON, by id.
    pub keys: BTreeMap<String, String>,
    /// If there are more or fewer keys than were saved: a message with a remedy.
    pub damage: Option<String>,
}

/// A change of the content of a [`SharedStore`].
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
        /// The content that was last loaded or saved here.
        snapshot: Snapshot,
        /// Keeps the snapshot while the node is stopped.
        file: LastKnown,
    },
}

impl KeyStore {
    /// The shared keys, with what this node knew of them when it stopped.
    pub(super) fn shared(directory: &Path, shared: Arc<dyn SharedStore>) -> Self {
        let (file, revision, keys) = LastKnown::open(directory, shared.identity());
        Self::Shared { shared, snapshot: Snapshot { revision, keys, damage: None }, file }
    }

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
    pub(super) fn load(&mut self) -> Result<StoredKeys, KeyringError> {
        match self {
            Self::File(store) => store.load(),
            Self::Shared { shared, snapshot, file } => {
                let loaded = load_shared(&**shared, snapshot);
                file.keep(snapshot.revision, &snapshot.keys);
                loaded
            }
        }
    }

    /// Replaces all keys. Returns false, without a change, if another node changed them at the same time.
    pub(super) fn save(&mut self, keys: &StoredKeys) -> Result<bool, KeyringError> {
        let (shared, snapshot, file) = match self {
            Self::File(store) => return store.save(keys).map(|()| true),
            Self::Shared { shared, snapshot, file } => (shared, snapshot, file),
        };
        let usable = keys.usable.iter().map(|record| Some((record.id.clone(), json(record)?)));
        let unusable = keys.unusable.iter().map(|entry| Some((entry.id.clone(), entry.text.clone())));
        let keys: Option<BTreeMap<_, _>> = usable.chain(unusable).collect();
        let keys = keys.ok_or_else(|| KeyringError::Away("a key cannot be written as JSON".into()))?;
        let saved = shared.save(snapshot.revision, snapshot.revision, difference(&snapshot.keys, &keys));
        let Some(revision) = saved.map_err(KeyringError::Away)? else { return Ok(false) };
        *snapshot = Snapshot { revision, keys, damage: None };
        file.keep(snapshot.revision, &snapshot.keys);
        Ok(true)
    }
}

/// Reads a shared store into `known`.
///
/// A store that is older than what this node knows was emptied or restored from an older state; one that differs at the
/// same revision has lost keys. This node then restores what it knows: otherwise revoked keys would work again, and
/// others would not. A node that knows nothing refuses a store that has lost keys.
fn load_shared(shared: &dyn SharedStore, known: &mut Snapshot) -> Result<StoredKeys, KeyringError> {
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
    let keys =
        StoredKeys::read(found.keys.iter().map(|(id, text)| (Some(id.clone()), text.clone())), Checksums::Optional);
    let keys = keys.map_err(|reason| KeyringError::Damaged { path: PathBuf::from(shared.name()), reason })?;
    *known = found;
    Ok(keys)
}

fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Change {
    let is_new = |(id, json): &(&String, &String)| before.get(*id) != Some(*json);
    Change {
        put: after.iter().filter(is_new).map(|(id, json)| (id.clone(), json.clone())).collect(),
        gone: before.keys().filter(|id| !after.contains_key(*id)).cloned().collect(),
    }
}

fn json(record: &KeyRecord) -> Option<String> {
    serde_json::to_string(&Entry::new(record).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::api::NewKey;
    use crate::keyring::{Freshness, Keyring, Settings};

    const NOW: u64 = 1_795_455_190_123;

    fn for_user(user: &str) -> NewKey {
        NewKey { user: user.into(), ..NewKey::default() }
    }

    /// A shared store without a network.
    #[derive(Default)]
    struct Memory(Mutex<Snapshot>);

    impl SharedStore for Memory {
        fn name(&self) -> String {
            "a store in memory".into()
        }

        fn load(&self) -> Result<Snapshot, String> {
            Ok(self.0.lock().clone())
        }

        fn save(&self, expected: u64, floor: u64, change: Change) -> Result<Option<u64>, String> {
            let mut stored = self.0.lock();
            if stored.revision != expected {
                return Ok(None);
            }
            stored.revision = expected.max(floor) + 1;
            stored.keys.retain(|id, _| !change.gone.contains(id));
            stored.keys.extend(change.put);
            Ok(Some(stored.revision))
        }
    }

    #[tokio::test]
    async fn a_damaged_entry_of_a_shared_store_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let shared = Arc::new(Memory::default());
        let node = |name: &str| {
            let settings = Settings { directory: directory.path().join(name), iterations: 10_000, workers: 2 };
            let keyring = Keyring::shared(&settings, Arc::clone(&shared) as Arc<dyn SharedStore>).unwrap();
            keyring.reload().unwrap();
            keyring.set_freshness(Freshness::Current);
            keyring
        };
        let first = node("first");
        let (bad, good) = (first.add(for_user("alice"), NOW).unwrap(), first.add(for_user("bob"), NOW).unwrap());
        let damaged = {
            let mut stored = shared.0.lock();
            let text = stored.keys.get_mut(&bad.key.id).unwrap();
            *text = text[..text.len() / 2].to_owned();
            text.clone()
        };
        // A new node. A node that knew the keys before would restore them in the store.
        let second = Arc::new(node("second"));
        assert_eq!((second.len(), second.unusable()), (1, 1));
        assert!(second.verify(&good.secret, NOW).await.is_ok());
        second.add(for_user("carol"), NOW).unwrap();
        assert_eq!(shared.0.lock().keys[&bad.key.id], damaged);
        second.revoke(&bad.key.id, NOW).unwrap();
        assert!(!shared.0.lock().keys.contains_key(&bad.key.id));
    }
}
