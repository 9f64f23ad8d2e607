//! Stored keys, their verification, and the notification of streams when a key ends.
//!
//! Used by the service, and by `alertctl` when no daemon runs. The keys are in a file, whose lock one keyring holds as long
//! as it lives, or in a store that the nodes of a fleet share. A change is stored before it is in memory, and in memory
//! before it is answered. A verified secret is remembered beside its key as a keyed hash, so that each key costs one
//! derivation per process. A node that cannot reach the shared store verifies no new secret, and after `auth.stale_max`
//! accepts no key at all.

mod error;
mod file_store;
mod former;
mod key_store;
mod manage;
mod plain_file;
mod record;
mod stored;
mod verify;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::api;
use crate::key::Grant;
use crate::log::Event;
pub(crate) use error::{KeyringError, VerifyError};
use file_store::FileStore;
use key_store::KeyStore;
pub(crate) use key_store::{Change, SharedStore, Snapshot};
pub(crate) use manage::Imported;
use record::KeyRecord;
use stored::{StoredKeys, UnusableEntry};
use verify::{Fingerprint, VerifyPool};

/// Keys in all.
pub(crate) const MAX_KEYS: usize = 10_000;
/// Of the entries that a load finds unusable; the others are counted.
const MAX_LOGGED: usize = 10;

/// What becomes of a key.
#[derive(Clone, Debug)]
pub(crate) enum KeyState {
    /// It works, until then.
    Active {
        /// Milliseconds since 1970.
        expires_ms: Option<u64>,
        /// What it may do now.
        grant: Arc<Grant>,
    },
    /// It is gone.
    Revoked,
    /// Nothing is known of it: this node has been cut off from the keys for too long.
    Unknown,
}

/// What a node may say of the keys that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// Nothing: it has not reached them, or not for too long.
    None,
    /// That they worked a moment ago, but not whether another one does.
    Stale,
    /// That they are all there is.
    Current,
}

/// Where the keys lie and how they are hashed.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The directory of `auth.json`; made if missing.
    pub directory: PathBuf,
    /// PBKDF2 iterations of new keys.
    pub iterations: u32,
    /// Derivations at the same time.
    pub workers: usize,
}

struct KeyEntry {
    record: KeyRecord,
    grant: Arc<Grant>,
    /// Of the secret that was verified for it.
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

/// The keys in force, and the ways to find them.
#[derive(Default)]
struct Keys {
    by_id: HashMap<String, Arc<KeyEntry>>,
    /// Those of the former service by user: their secrets name no id.
    imported: HashMap<String, Vec<Arc<KeyEntry>>>,
    /// Refused, and kept in the store.
    unusable: Vec<UnusableEntry>,
}

/// In words, why nobody can be let in.
pub(crate) const KEYS_OUT_OF_REACH: &str =
    "the keys of the fleet cannot be reached: check the journal, Redis and [engine.redis]";

/// The keys.
pub(crate) struct Keyring {
    /// Locked for the length of a change, the disk included; readers do not need it. Boxed to keep the keyring small where
    /// `alertctl` holds one.
    store: Mutex<Box<KeyStore>>,
    /// Revision in force. Outside the `store` lock: the follower must not block on a change that is itself waiting for the
    /// shared store.
    revision: AtomicU64,
    /// A [`Freshness`].
    freshness: AtomicU8,
    keys: RwLock<Keys>,
    iterations: u32,
    fingerprint_key: Zeroizing<[u8; 32]>,
    /// A known id of our own form.
    own: VerifyPool,
    /// The form of the former service, whose secrets do not name their key.
    former: VerifyPool,
    /// Shared with derivations whose caller is gone.
    derivations: Arc<AtomicU64>,
}

impl Keyring {
    /// Opens the store and takes its lock. Blocks on the disk.
    ///
    /// # Errors
    /// Where the store is locked, foreign or cannot be read.
    pub(crate) fn open(settings: &Settings) -> Result<Self, KeyringError> {
        let store = FileStore::open(&settings.directory)?;
        let keyring = Self::new(settings, KeyStore::File(store), Freshness::Current)?;
        keyring.reload()?;
        Ok(keyring)
    }

    /// Keys that a fleet shares. They are not waited for: until the first [`reload`](Self::reload) nothing is known.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub(crate) fn shared(settings: &Settings, shared: Arc<dyn SharedStore>) -> Result<Self, KeyringError> {
        Self::new(settings, KeyStore::Shared { shared, snapshot: Snapshot::default() }, Freshness::None)
    }

    fn new(settings: &Settings, store: KeyStore, freshness: Freshness) -> Result<Self, KeyringError> {
        Ok(Self {
            store: Mutex::new(Box::new(store)),
            revision: AtomicU64::new(0),
            freshness: AtomicU8::new(freshness as u8),
            keys: RwLock::default(),
            iterations: settings.iterations,
            fingerprint_key: Zeroizing::new(random()?),
            own: VerifyPool::new(settings.workers.max(1)),
            former: VerifyPool::new(1),
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

    /// The revision of the shared store's keys that is in force here; 0 for a file. Never blocks.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// PBKDF2 runs since start.
    #[must_use]
    pub(crate) fn derivations(&self) -> u64 {
        self.derivations.load(Ordering::Relaxed)
    }

    /// Distinct secrets that are being verified or wait for it: of alertd's own keys, and of those taken over.
    #[must_use]
    pub(crate) fn waiting(&self) -> [usize; 2] {
        [self.own.waiting(), self.former.waiting()]
    }

    /// Whether it does not know its keys, not even as they were a while ago.
    #[must_use]
    pub(crate) fn has_no_keys(&self) -> bool {
        !self.may(Freshness::Stale)
    }

    /// All keys, by user and age, and the entries that cannot be used.
    ///
    /// # Errors
    /// [`KeyringError::Away`] where they are not known.
    pub(crate) fn list(&self) -> Result<api::Keys, KeyringError> {
        if self.has_no_keys() {
            return Err(KeyringError::Away(KEYS_OUT_OF_REACH.into()));
        }
        let mut keys = self.stored();
        keys.usable.sort_by(|a, b| (&a.user, a.created_at, &a.id).cmp(&(&b.user, b.created_at, &b.id)));
        Ok(keys.info())
    }

    /// As they are to be stored.
    fn stored(&self) -> StoredKeys {
        let keys = self.keys.read();
        StoredKeys {
            usable: keys.by_id.values().map(|entry| entry.record.clone()).collect(),
            unusable: keys.unusable.clone(),
        }
    }

    fn read<T>(&self, look: impl Fn(&Arc<KeyEntry>) -> T) -> Vec<T> {
        self.keys.read().by_id.values().map(look).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.keys.read().by_id.len()
    }

    /// How many stored entries are refused, because they cannot be read or their checksum does not match.
    #[must_use]
    pub(crate) fn unusable(&self) -> usize {
        self.keys.read().unusable.len()
    }

    /// News of a key; [`KeyState::Revoked`] at once where there is none of that id.
    #[must_use]
    pub(crate) fn watch(&self, id: &str) -> watch::Receiver<KeyState> {
        let keys = self.keys.read();
        let none = || if self.has_no_keys() { KeyState::Unknown } else { KeyState::Revoked };
        keys.by_id.get(id).map_or_else(|| watch::Sender::new(none()).subscribe(), |entry| entry.state.subscribe())
    }

    /// Reads the store again: what an operator restored or edited, or another node changed, takes effect. Returns
    /// how many keys changed.
    ///
    /// # Errors
    /// Where they cannot be read; the keys stay as they are.
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

    /// Puts these keys into force; entries that did not change stay, with what is remembered of them.
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
        self.revision.store(revision, Ordering::Release);
        changed
    }
}

/// The entry of a record that changed. With the same secret it keeps those who watch; with another, who held the old
/// one is out.
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
