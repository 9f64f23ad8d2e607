//! Stored keys, their verification, and the notification of streams when a key ends.
//!
//! Used by the service, and by `alertctl` when no daemon runs. The keys are in a file, which one keyring holds locked, or in
//! a store that the nodes of a fleet share ([`news`]). A change is stored before it is in memory, and in memory before it
//! is answered. A verified secret is remembered as a keyed hash; alertd's own random secrets have one that is stored.

mod backup;
#[cfg(test)]
mod corruption;
mod error;
mod expiring;
mod file_store;
mod fingerprint;
mod former;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod key_store;
mod last_known;
mod manage;
mod news;
mod plain_file;
mod record;
mod refused;
mod stored;
mod tags;
mod verify;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::api;
use crate::key::Grant;
use crate::log::Event;
pub(crate) use backup::{KeyRestore, check_at_rest, export_at_rest};
pub(crate) use error::{KeyringError, VerifyError};
use file_store::FileStore;
use fingerprint::{Fingerprint, Fingerprints};
use key_store::KeyStore;
pub(crate) use key_store::{Change, SharedStore, Snapshot};
pub(crate) use manage::Imported;
pub(crate) use news::News;
use record::KeyRecord;
use refused::RefusedSecrets;
use stored::{StoredKeys, UnusableEntry};
use tags::UntaggedKeys;
pub(crate) use verify::Screened;
use verify::VerifyPool;

/// Maximum number of keys.
pub(crate) const MAX_KEYS: usize = 10_000;
/// Maximum number of unusable entries that a load logs one by one.
const MAX_LOGGED: usize = 10;

/// The state of a key, for those who watch it.
#[derive(Clone, Debug)]
pub(crate) enum KeyState {
    /// The key is valid, until it expires.
    Active {
        /// Milliseconds since 1970.
        expires_ms: Option<u64>,
        grant: Arc<Grant>,
    },
    Revoked,
    /// This node could not reach the shared keys for too long.
    Unknown,
}

/// How far the keys that a node knows can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// Not at all: the node has not reached the shared keys, or not for too long.
    None,
    /// Known keys are accepted, but no others are verified.
    Stale,
    /// The node knows all keys.
    Current,
}

/// Where the keys are stored and how they are hashed.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The directory of `auth.json`; created if it does not exist.
    pub directory: PathBuf,
    /// PBKDF2 iterations of new keys.
    pub iterations: u32,
    /// Number of parallel derivations.
    pub workers: usize,
}

struct KeyEntry {
    record: KeyRecord,
    grant: Arc<Grant>,
    /// The fingerprint of the secret that was verified for this key.
    verified: Mutex<Option<Fingerprint>>,
    state: watch::Sender<KeyState>,
}

impl KeyEntry {
    fn new(record: KeyRecord) -> Self {
        let grant = Arc::new(record.grant());
        let state = KeyState::Active { expires_ms: grant.expires_ms, grant: Arc::clone(&grant) };
        Self { record, grant, verified: Mutex::default(), state: watch::Sender::new(state) }
    }

    fn remember(&self, fingerprint: Fingerprint) {
        *self.verified.lock() = Some(fingerprint);
    }
}

/// The current keys and their indexes.
#[derive(Default)]
struct Keys {
    by_id: HashMap<String, Arc<KeyEntry>>,
    /// The keys of the former alert server by user, because their secrets contain no id.
    imported: HashMap<String, Vec<Arc<KeyEntry>>>,
    /// Entries that are refused but remain in the store.
    unusable: Vec<UnusableEntry>,
}

/// The reason why no key can be accepted.
pub(crate) const KEYS_OUT_OF_REACH: &str =
    "the keys of the fleet cannot be reached: check the journal, Redis and [engine.redis]";

/// The stored keys and their verification.
pub(crate) struct Keyring {
    /// Locked during a change and its write to disk, but not by readers. Boxed to keep the type small in `alertctl`.
    store: Mutex<Box<KeyStore>>,
    /// The current revision. Outside the `store` lock, because the follower must not block on a change that itself waits for
    /// the shared store.
    revision: AtomicU64,
    freshness: AtomicU8,
    heard: news::Heard,
    keys: RwLock<Keys>,
    iterations: u32,
    fingerprints: Fingerprints,
    /// Verifies secrets of alertd's own form, which contain an id.
    own: VerifyPool,
    /// Verifies secrets of the former alert server, which contain no id.
    former: VerifyPool,
    refused: RefusedSecrets,
    untagged: UntaggedKeys,
    /// Shared with derivations that outlive their caller.
    derivations: Arc<AtomicU64>,
}

impl Keyring {
    /// Opens the store and takes its lock. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeyringError`] if the store is locked, foreign or cannot be read.
    pub(crate) fn open(settings: &Settings) -> Result<Self, KeyringError> {
        let store = FileStore::open(&settings.directory)?;
        let keyring = Self::new(settings, KeyStore::File(store), Freshness::Current)?;
        keyring.reload()?;
        Ok(keyring)
    }

    /// A keyring with the shared keys of a fleet. It knows no keys before the first [`reload`](Self::reload).
    ///
    /// # Errors
    /// [`KeyringError`] if the system provides no random numbers.
    pub(crate) fn shared(settings: &Settings, shared: Arc<dyn SharedStore>) -> Result<Self, KeyringError> {
        Self::new(settings, KeyStore::shared(&settings.directory, shared), Freshness::None)
    }

    fn new(settings: &Settings, store: KeyStore, freshness: Freshness) -> Result<Self, KeyringError> {
        Ok(Self {
            heard: news::Heard::of(&store),
            store: Mutex::new(Box::new(store)),
            revision: AtomicU64::new(0),
            freshness: AtomicU8::new(freshness as u8),
            keys: RwLock::default(),
            iterations: settings.iterations,
            fingerprints: Fingerprints::new()?,
            own: VerifyPool::new(settings.workers.max(1)),
            former: VerifyPool::new(1),
            refused: RefusedSecrets::default(),
            untagged: UntaggedKeys::default(),
            derivations: Arc::default(),
        })
    }

    fn may(&self, freshness: Freshness) -> bool {
        self.freshness.load(Ordering::Acquire) >= freshness as u8
    }

    /// Sets how fresh the known keys are. [`Freshness::None`] forgets them all and notifies their streams.
    pub(crate) fn set_freshness(&self, freshness: Freshness) {
        self.freshness.store(freshness as u8, Ordering::Release);
        if freshness == Freshness::None {
            let known = std::mem::take(&mut *self.keys.write());
            for entry in known.by_id.into_values() {
                entry.state.send_replace(KeyState::Unknown);
            }
        }
    }

    /// The current revision of the shared keys; 0 for a file. Never blocks.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// PBKDF2 computations since the start.
    #[must_use]
    pub(crate) fn derivations(&self) -> u64 {
        self.derivations.load(Ordering::Relaxed)
    }

    /// Number of distinct secrets being verified or waiting for it: of alertd's own keys, and of imported ones.
    #[must_use]
    pub(crate) fn waiting(&self) -> [usize; 2] {
        [self.own.waiting(), self.former.waiting()]
    }

    /// Whether the keys are unknown, because the shared store could not be reached for too long.
    #[must_use]
    pub(crate) fn has_no_keys(&self) -> bool {
        !self.may(Freshness::Stale)
    }

    /// All keys, sorted by user and time of creation, and the entries that cannot be used.
    ///
    /// # Errors
    /// [`KeyringError::Away`] if the keys are unknown.
    pub(crate) fn list(&self) -> Result<api::Keys, KeyringError> {
        if self.has_no_keys() {
            return Err(KeyringError::Away(KEYS_OUT_OF_REACH.into()));
        }
        let mut keys = self.stored();
        keys.usable.sort_by(|a, b| (&a.user, a.created_at, &a.id).cmp(&(&b.user, b.created_at, &b.id)));
        Ok(keys.info())
    }

    /// The keys in the form in which they are stored.
    fn stored(&self) -> StoredKeys {
        let keys = self.keys.read();
        let usable = keys.by_id.values().map(|entry| entry.record.clone()).collect();
        StoredKeys { usable, unusable: keys.unusable.clone(), written: None }
    }

    fn read<T>(&self, look: impl Fn(&Arc<KeyEntry>) -> T) -> Vec<T> {
        self.keys.read().by_id.values().map(look).collect()
    }

    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.keys.read().by_id.len()
    }

    /// The number of stored entries that are refused, because they cannot be read or their checksum does not match.
    #[must_use]
    pub(crate) fn unusable(&self) -> usize {
        self.keys.read().unusable.len()
    }

    /// Watches the state of a key; [`KeyState::Revoked`] if there is none with this id.
    #[must_use]
    pub(crate) fn watch(&self, id: &str) -> watch::Receiver<KeyState> {
        let keys = self.keys.read();
        let none = || if self.has_no_keys() { KeyState::Unknown } else { KeyState::Revoked };
        keys.by_id.get(id).map_or_else(|| watch::Sender::new(none()).subscribe(), |entry| entry.state.subscribe())
    }

    /// Reads the store again and applies changes by operators or other nodes. Returns the number of changed keys.
    ///
    /// # Errors
    /// [`KeyringError`] if the keys cannot be read; they then remain unchanged.
    pub(crate) fn reload(&self) -> Result<usize, KeyringError> {
        self.take_up(&mut self.store.lock())
    }

    fn take_up(&self, store: &mut KeyStore) -> Result<usize, KeyringError> {
        let keys = store.load()?;
        let known = self.keys.read().unusable.clone();
        let new = keys.unusable.iter().filter(|entry| !known.contains(entry));
        for UnusableEntry { id, reason, detail, .. } in new.clone().take(MAX_LOGGED) {
            tracing::error!(
                message_id = %Event::KeyUnusable,
                key = id,
                "the key {id:?} in {} is refused, the others stay in force: {reason} ({detail})",
                store.name()
            );
        }
        if let more @ 1.. = new.count().saturating_sub(MAX_LOGGED) {
            tracing::error!(message_id = %Event::KeyUnusable, "{more} more keys in {} are refused", store.name());
        }
        Ok(self.install(keys, store.revision()))
    }

    /// Replaces the keys. Unchanged entries are kept, with their remembered fingerprints.
    fn install(&self, stored: StoredKeys, revision: u64) -> usize {
        let mut keys = self.keys.write();
        let mut before = std::mem::take(&mut *keys).by_id;
        keys.unusable = stored.unusable;
        let mut changed = 0;
        for record in stored.usable {
            let entry = match before.remove(&record.id) {
                Some(entry) if entry.record == record => entry,
                Some(entry) => {
                    changed += 1;
                    Arc::new(replace(&entry, record))
                }
                None => {
                    changed += 1;
                    Arc::new(KeyEntry::new(record))
                }
            };
            if entry.record.imported {
                keys.imported.entry(entry.record.user.clone()).or_default().push(Arc::clone(&entry));
            }
            keys.by_id.insert(entry.record.id.clone(), entry);
        }
        for entry in before.into_values() {
            changed += 1;
            entry.state.send_replace(KeyState::Revoked);
        }
        drop(keys);
        self.refused.forget();
        self.revision.store(revision, Ordering::Release);
        changed
    }
}

/// The entry for a changed record. With the same secret, watchers are notified of the new state; with another secret, the
/// old key counts as revoked.
fn replace(old: &KeyEntry, record: KeyRecord) -> KeyEntry {
    if !old.record.has_secret_of(&record) {
        old.state.send_replace(KeyState::Revoked);
        return KeyEntry::new(record);
    }
    let new = KeyEntry { state: old.state.clone(), ..KeyEntry::new(record) };
    *new.verified.lock() = *old.verified.lock();
    new.state.send_replace(KeyState::Active { expires_ms: new.grant.expires_ms, grant: Arc::clone(&new.grant) });
    new
}

fn random<const N: usize>() -> Result<[u8; N], KeyringError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeyringError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
