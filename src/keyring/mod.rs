//! Keys at rest, their verification, and the news of their end.
//!
//! Used by the service, and by `alertctl` where no daemon runs. One keyring holds the store's lock for its life and is the
//! only writer. A change is on disk before it is in memory, and in memory before it is answered. A verified secret is
//! remembered beside its key by a keyed hash, so a derivation is paid once per key and process.

mod origin;
mod record;
mod store;
mod verify;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::alert::Pattern;
use crate::api::{CreatedKey, KeyInfo, NewKey};
use crate::key::{Grant, Scope, is_user, secret};
use record::{Record, derive, hex, time};
use store::Store;
use verify::{Fingerprint, Lane};

/// Keys in all.
pub const MAX_KEYS: usize = 10_000;
/// Topic patterns of a key.
const MAX_TOPICS: usize = 64;
/// Bytes of a label.
const MAX_LABEL: usize = 128;
/// How long a rotated key goes on working where nobody says otherwise, seconds.
const OVERLAP: u64 = 24 * 3600;
/// The longest expiry and overlap, seconds: a hundred years.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;
/// An expired key is listed for so long, milliseconds.
const LISTED_AFTER_EXPIRY: u64 = 30 * 86_400_000;

/// Why the keyring cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store belongs to another process.
    #[error("{} is locked: a running alertd holds the keys; go through its control socket, or stop it first", .0.display())]
    Locked(PathBuf),
    /// The file is not ours, and stays as it is.
    #[error("{} is not alertd's key file ({reason}) and is left untouched: move it away, or set auth.store_dir; `alertctl key import FILE` takes over the keys of the former alert server", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// The file is ours, but what it says cannot be.
    #[error("{}: {reason}: mend it, or restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is no longer the one that was read.
    #[error("{} was changed by another hand and is not overwritten: `alertctl reload` takes it up, then try again", .0.display())]
    Changed(PathBuf),
    /// A link where a file should be.
    #[error("{} is not a plain file: links are not followed there; put the file itself in its place", .0.display())]
    Link(PathBuf),
    /// The disk.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// No such key or user.
    #[error("no key and no user is named {0}: `alertctl key list` shows them")]
    NotFound(String),
    /// A key cannot be like that.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field of the request.
        field: String,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Why a secret was refused; only the log tells these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Too many verifications wait.
    #[error("too many verifications wait")]
    Busy,
    /// It cannot be a secret of ours.
    #[error("malformed or mistyped")]
    Malformed,
    /// No such key.
    #[error("unknown or revoked key")]
    Unknown,
    /// Its time is over.
    #[error("expired key")]
    Expired,
    /// The key is there, the secret is another.
    #[error("wrong secret")]
    Wrong,
}

/// What becomes of a key.
#[derive(Clone, Debug)]
pub enum KeyState {
    /// It works, until then.
    Active {
        /// Milliseconds since 1970.
        expires_ms: Option<u64>,
        /// What it may do now.
        grant: Arc<Grant>,
    },
    /// It is gone.
    Revoked,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Keys taken over.
    pub added: usize,
    /// Keys that were there already.
    pub skipped: usize,
}

/// Where the keys lie and how they are hashed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of `auth.json`; made if missing.
    pub directory: PathBuf,
    /// PBKDF2 iterations of new keys.
    pub iterations: u32,
    /// Derivations at the same time.
    pub workers: usize,
}

struct Entry {
    record: Record,
    grant: Arc<Grant>,
    /// Of the secret that was verified for it.
    verified: Mutex<Option<Fingerprint>>,
    state: watch::Sender<KeyState>,
}

impl Entry {
    fn new(record: Record) -> Self {
        let grant = Arc::new(record.grant());
        let state = KeyState::Active { expires_ms: grant.expires_ms, grant: Arc::clone(&grant) };
        Self { record, grant, verified: Mutex::default(), state: watch::Sender::new(state) }
    }

    fn remember(&self, fingerprint: Fingerprint) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
    }
}

/// The keys in force, and the ways to find them.
#[derive(Default)]
struct Keys {
    by_id: HashMap<String, Arc<Entry>>,
    /// Those of the former service by user: their secrets name no id.
    imported: HashMap<String, Vec<Arc<Entry>>>,
}

/// The keys.
pub struct Keyring {
    /// Locked for the length of a change, the disk included; readers do not need it. Boxed to keep the keyring small where
    /// `alertctl` holds one.
    store: Mutex<Box<Store>>,
    keys: RwLock<Keys>,
    iterations: u32,
    fingerprint_key: Zeroizing<[u8; 32]>,
    /// A known id of our own form.
    own: Lane,
    /// The form of the service before, whose secrets do not name their key.
    origin: Lane,
    /// Shared with derivations whose caller is gone.
    derivations: Arc<AtomicU64>,
}

impl Keyring {
    /// Opens the store and takes its lock. Blocks on the disk.
    ///
    /// # Errors
    /// Where the store is locked, foreign or cannot be read.
    pub fn open(settings: &Settings) -> Result<Self, KeyringError> {
        let mut store = Store::open(&settings.directory)?;
        let records = store.load()?;
        let keyring = Self {
            store: Mutex::new(Box::new(store)),
            keys: RwLock::default(),
            iterations: settings.iterations,
            fingerprint_key: Zeroizing::new(random()?),
            own: Lane::new(settings.workers.max(1)),
            origin: Lane::new(1),
            derivations: Arc::default(),
        };
        keyring.install(records);
        Ok(keyring)
    }

    /// PBKDF2 runs since start.
    #[must_use]
    pub fn derivations(&self) -> u64 {
        self.derivations.load(Ordering::Relaxed)
    }

    /// Distinct secrets that are being verified or wait for it: of alertd's own keys, and of those taken over.
    #[must_use]
    pub fn waiting(&self) -> [usize; 2] {
        [self.own.waiting(), self.origin.waiting()]
    }

    /// All keys, by user and age.
    #[must_use]
    pub fn list(&self) -> Vec<KeyInfo> {
        let mut records: Vec<_> = self.read(|entry| entry.record.clone());
        records.sort_by(|a, b| (&a.user, a.created_at, &a.id).cmp(&(&b.user, b.created_at, &b.id)));
        records.iter().map(Record::info).collect()
    }

    fn read<T>(&self, look: impl Fn(&Arc<Entry>) -> T) -> Vec<T> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).by_id.values().map(look).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).by_id.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// News of a key; [`KeyState::Revoked`] at once where there is none of that id.
    #[must_use]
    pub fn watch(&self, id: &str) -> watch::Receiver<KeyState> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.by_id
            .get(id)
            .map_or_else(|| watch::Sender::new(KeyState::Revoked).subscribe(), |entry| entry.state.subscribe())
    }

    /// Makes a key. Blocks for a derivation and the disk.
    ///
    /// # Errors
    /// [`KeyringError::Invalid`], or where the store cannot be written.
    pub fn add(&self, new: NewKey, now_ms: u64) -> Result<CreatedKey, KeyringError> {
        let invalid = |field: &str, reason: &str| KeyringError::Invalid { field: field.into(), reason: reason.into() };
        if !is_user(&new.user) {
            return Err(invalid("user", "a user name is 1 to 64 characters of A-Z a-z 0-9 . _ -"));
        }
        if new.topics.len() > MAX_TOPICS {
            return Err(invalid("topics", "a key has at most 64 topic patterns: take a wider one"));
        }
        if new.label.as_ref().is_some_and(|label| label.len() > MAX_LABEL || label.chars().any(char::is_control)) {
            return Err(invalid("label", "a label is at most 128 bytes without control characters"));
        }
        if new.expires_in.is_some_and(|seconds| seconds == 0 || seconds > MAX_SECONDS) {
            return Err(invalid("expires_in", "is 1 second to 100 years"));
        }
        let mut scopes = if new.scopes.is_empty() { vec![Scope::Publish, Scope::Subscribe] } else { new.scopes };
        scopes.sort_unstable();
        scopes.dedup();
        let mut topics = if new.topics.is_empty() { vec![Pattern::All] } else { new.topics };
        topics.sort_unstable();
        topics.dedup();
        let record = Record {
            id: String::new(),
            user: new.user,
            scopes,
            topics,
            label: new.label.filter(|label| !label.is_empty()),
            created_at: time(now_ms),
            expires_at: new.expires_in.map(|seconds| time(now_ms.saturating_add(seconds * 1000))),
            imported: false,
            successor: None,
            iterations: self.iterations,
            salt: String::new(),
            hash: String::new(),
        };
        self.create(record, now_ms, |_, _| Ok(()))
    }

    /// Gives a key its id, secret and hash, and stores it with whatever `change` does to the others.
    fn create(
        &self,
        mut record: Record,
        now_ms: u64,
        change: impl FnOnce(&mut Vec<Record>, &str) -> Result<(), KeyringError>,
    ) -> Result<CreatedKey, KeyringError> {
        record.id = secret::id(random()?);
        let secret = secret::compose(&record.user, &record.id, &Zeroizing::new(random()?));
        record.salt = hex(&random::<16>()?);
        record.hash = derive(&secret, &record.salt, self.iterations);
        let key = record.info();
        self.change(now_ms, |records| {
            change(records, &record.id)?;
            records.push(record);
            Ok(())
        })?;
        Ok(CreatedKey { key, secret: secret.to_string(), old_expires_at: None })
    }

    /// Ends a key, or all keys of a user.
    ///
    /// # Errors
    /// [`KeyringError::NotFound`], or where the store cannot be written.
    pub fn revoke(&self, id_or_user: &str, now_ms: u64) -> Result<Vec<KeyInfo>, KeyringError> {
        self.change(now_ms, |records| {
            let is_id = records.iter().any(|record| record.id == id_or_user);
            let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(records)
                .into_iter()
                .partition(|record| if is_id { record.id == id_or_user } else { record.user == id_or_user });
            *records = kept;
            if gone.is_empty() {
                return Err(KeyringError::NotFound(id_or_user.chars().take(64).collect()));
            }
            Ok(gone.iter().map(Record::info).collect())
        })
    }

    /// Makes a key like this one; the old one goes on for `overlap` seconds (a day if none is given), 0 ends it now.
    ///
    /// # Errors
    /// [`KeyringError::NotFound`], [`KeyringError::Invalid`], or where the store cannot be written.
    pub fn rotate(&self, id: &str, overlap: Option<u64>, now_ms: u64) -> Result<CreatedKey, KeyringError> {
        let overlap = overlap.unwrap_or(OVERLAP);
        if overlap > MAX_SECONDS {
            return Err(KeyringError::Invalid { field: "overlap".into(), reason: "is at most 100 years".into() });
        }
        let found = self.read(|entry| entry.record.clone()).into_iter().find(|record| record.id == id);
        let old = found.ok_or_else(|| KeyringError::NotFound(id.chars().take(64).collect()))?;
        if old.is_expired(now_ms) {
            let reason = "has expired: make a new one with key add".into();
            return Err(KeyringError::Invalid { field: "id".into(), reason });
        }
        if let Some(successor) = &old.successor {
            // Its expiry is that of the overlap by now, which a second successor must not take for its own.
            let reason = format!("was rotated already: rotate {successor}, which took its place, or make a new key");
            return Err(KeyringError::Invalid { field: "id".into(), reason });
        }
        let end = now_ms.saturating_add(overlap * 1000);
        let end = old.expires_ms().map_or(end, |ms| ms.min(end));
        // The new key lives as long as the old one was meant to.
        let meant = old.expires_at.map(|time| time.as_millisecond() - old.created_at.as_millisecond());
        let meant = meant.and_then(|ms| u64::try_from(ms).ok());
        let new = Record {
            created_at: time(now_ms),
            expires_at: meant.map(|ms| time(now_ms.saturating_add(ms))),
            imported: false,
            iterations: self.iterations,
            ..old.clone()
        };
        let created = self.create(new, now_ms, |records, successor| {
            // Changed while the new one was hashed: a revoked key must not live on in a successor.
            let at = records.iter().position(|record| *record == old);
            let at = at.ok_or_else(|| KeyringError::NotFound(old.id.clone()))?;
            if overlap == 0 {
                records.remove(at);
            } else {
                records[at].expires_at = Some(time(end));
                records[at].successor = Some(successor.to_owned());
            }
            Ok(())
        })?;
        Ok(CreatedKey { old_expires_at: Some(crate::alert::rfc3339(end)), ..created })
    }

    /// Takes over the keys of the service before; those that are there already are skipped.
    ///
    /// # Errors
    /// [`KeyringError::Invalid`] for another kind of file, or where the store cannot be written.
    pub fn import(&self, file: &[u8], now_ms: u64) -> Result<Imported, KeyringError> {
        let mut ids = Vec::new();
        let read = origin::read(file, now_ms, || {
            let made = random().map(secret::id);
            let id = made.as_ref().cloned().unwrap_or_default();
            ids.push(made);
            id
        });
        ids.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read.map_err(|reason| KeyringError::Invalid { field: "file".into(), reason })?;
        self.change(now_ms, |records| {
            let mut imported = Imported::default();
            for record in read {
                if records.iter().any(|known| known.hash == record.hash && known.user == record.user) {
                    imported.skipped += 1;
                } else {
                    imported.added += 1;
                    records.push(record);
                }
            }
            Ok(imported)
        })
    }

    /// Reads the file again: what an operator restored or edited comes into force. Returns how many keys changed.
    ///
    /// # Errors
    /// Where the file cannot be read; the keys stay as they are.
    pub fn reload(&self) -> Result<usize, KeyringError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let records = store.load()?;
        Ok(self.install(records))
    }

    /// One change of the keys: on disk, then in memory, then told to the streams.
    fn change<T>(
        &self,
        now_ms: u64,
        change: impl FnOnce(&mut Vec<Record>) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = self.read(|entry| entry.record.clone());
        records.retain(|record| !record.is_expired(now_ms.saturating_sub(LISTED_AFTER_EXPIRY)));
        let done = change(&mut records)?;
        if records.len() > MAX_KEYS {
            let reason = format!("{} holds {MAX_KEYS} keys at the most: revoke some", store.path().display());
            return Err(KeyringError::Invalid { field: "keys".into(), reason });
        }
        records.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        store.save(&records)?;
        self.install(records);
        Ok(done)
    }

    /// Puts these keys into force; entries that did not change stay, with what is remembered of them.
    fn install(&self, records: Vec<Record>) -> usize {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *keys).by_id;
        let mut changed = 0;
        for record in records {
            let entry = match before.remove(&record.id) {
                Some(entry) if entry.record == record => entry,
                Some(entry) => {
                    changed += 1;
                    Arc::new(replace(&entry, record))
                }
                None => {
                    changed += 1;
                    Arc::new(Entry::new(record))
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
        changed
    }
}

/// The entry of a record that changed. With the same secret it keeps those who watch; with another, who held the old
/// one is out.
fn replace(old: &Entry, record: Record) -> Entry {
    if !old.record.has_secret_of(&record) {
        old.state.send_replace(KeyState::Revoked);
        return Entry::new(record);
    }
    let new = Entry { state: old.state.clone(), ..Entry::new(record) };
    *new.verified.lock().unwrap_or_else(PoisonError::into_inner) =
        *old.verified.lock().unwrap_or_else(PoisonError::into_inner);
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
