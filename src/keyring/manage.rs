//! Changes of the keys: add, revoke, rotate, import.
//!
//! A change is stored first and then takes effect. All functions block, for a derivation and for the store.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key_store::KeyStore;
use super::record::{Algorithm, KeyRecord, derive, hex, tag, time};
use super::stored::StoredKeys;
use super::{Keyring, KeyringError, MAX_KEYS, file_store, former, random};
use crate::alert::Pattern;
use crate::api::{self, CreatedKey, NewKey};
use crate::key::{Scope, is_user, secret};

/// Maximum number of topic patterns of a key.
const MAX_TOPICS: usize = 64;
/// Maximum bytes of a label.
const MAX_LABEL: usize = 128;
/// How long a rotated key remains valid by default.
const DEFAULT_OVERLAP_SECONDS: u64 = 24 * 3600;
/// The longest expiry and overlap: a hundred years.
const MAX_LIFETIME_SECONDS: u64 = 100 * 366 * 86_400;
/// How often a change is attempted when other nodes change the keys at the same time.
const MAX_CHANGE_ATTEMPTS: usize = 16;
/// How long an expired key is still listed.
const LISTED_AFTER_EXPIRY_MS: u64 = 30 * 86_400_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imported {
    pub added: usize,
    /// Number of keys that existed before.
    pub skipped: usize,
}

impl Keyring {
    /// Creates a key.
    ///
    /// # Errors
    /// [`KeyringError::Invalid`], or an error of the store.
    pub(crate) fn add(&self, new: NewKey, now_ms: u64) -> Result<CreatedKey, KeyringError> {
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
        if new.expires_in.is_some_and(|seconds| seconds == 0 || seconds > MAX_LIFETIME_SECONDS) {
            return Err(invalid("expires_in", "is 1 second to 100 years"));
        }
        let mut scopes = if new.scopes.is_empty() { vec![Scope::Publish, Scope::Subscribe] } else { new.scopes };
        scopes.sort_unstable();
        scopes.dedup();
        let mut topics = if new.topics.is_empty() { vec![Pattern::All] } else { new.topics };
        topics.sort_unstable();
        topics.dedup();
        let record = KeyRecord {
            id: String::new(),
            user: new.user,
            scopes,
            topics,
            label: new.label.filter(|label| !label.is_empty()),
            created_at: time(now_ms),
            expires_at: new.expires_in.map(|seconds| time(now_ms.saturating_add(seconds * 1000))),
            imported: false,
            successor: None,
            algorithm: Algorithm::default(),
            unknown: serde_json::Map::new(),
            iterations: self.iterations,
            salt: String::new(),
            hash: String::new(),
            tag: None,
        };
        self.create(record, now_ms, |_, _| Ok(()))
    }

    /// Gives a key its id, secret and hash, and stores it together with the changes that `change` makes to other keys.
    fn create(
        &self,
        mut record: KeyRecord,
        now_ms: u64,
        change: impl Fn(&mut Vec<KeyRecord>, &str) -> Result<(), KeyringError>,
    ) -> Result<CreatedKey, KeyringError> {
        record.id = secret::id(random()?);
        let secret = secret::compose(&record.user, &record.id, &Zeroizing::new(random()?));
        record.salt = hex(&random::<16>()?);
        record.hash = derive(&secret, &record.salt, self.iterations);
        record.tag = Some(tag(&secret, &record.salt));
        let key = record.info();
        self.change(now_ms, |keys| {
            change(&mut keys.usable, &record.id)?;
            keys.usable.push(record.clone());
            Ok(())
        })?;
        Ok(CreatedKey { key, secret, old_expires_at: None })
    }

    /// Removes a key, an entry that cannot be used, or all keys of a user.
    ///
    /// # Errors
    /// [`KeyringError::NotFound`], or an error of the store.
    pub(crate) fn revoke(&self, id_or_user: &str, now_ms: u64) -> Result<api::Keys, KeyringError> {
        self.change(now_ms, |keys| {
            let is_id = keys.usable.iter().any(|record| record.id == id_or_user);
            let is_meant = |record: &mut KeyRecord| (if is_id { &record.id } else { &record.user }) == id_or_user;
            let gone = StoredKeys {
                usable: keys.usable.extract_if(.., is_meant).collect(),
                unusable: keys.unusable.extract_if(.., |entry| entry.id == id_or_user).collect(),
                written: None,
            };
            match gone.len() {
                0 => Err(KeyringError::NotFound(id_or_user.chars().take(64).collect())),
                _ => Ok(gone.info()),
            }
        })
    }

    /// Creates a key with the same rights. The old one remains valid for `overlap` seconds, by default a day; with 0 it ends
    /// immediately.
    ///
    /// # Errors
    /// [`KeyringError::NotFound`], [`KeyringError::Invalid`], or an error of the store.
    pub(crate) fn rotate(&self, id: &str, overlap: Option<u64>, now_ms: u64) -> Result<CreatedKey, KeyringError> {
        let overlap = overlap.unwrap_or(DEFAULT_OVERLAP_SECONDS);
        if overlap > MAX_LIFETIME_SECONDS {
            return Err(KeyringError::Invalid { field: "overlap".into(), reason: "is at most 100 years".into() });
        }
        // In a fleet, the key may just have been created on another node.
        self.renew(&mut self.store.lock())?;
        let found = self.read(|entry| entry.record.clone()).into_iter().find(|record| record.id == id);
        let old = found.ok_or_else(|| KeyringError::NotFound(id.chars().take(64).collect()))?;
        if old.is_expired(now_ms) {
            let reason = "has expired: make a new one with key add".into();
            return Err(KeyringError::Invalid { field: "id".into(), reason });
        }
        if let Some(field) = old.unknown.keys().next() {
            // The meaning of the field is unknown: copying it may be wrong, and without it the new key may have more rights.
            let reason = format!("has the field {field} of a newer alertd: rotate it there, or make a new key");
            return Err(KeyringError::Invalid { field: "id".into(), reason });
        }
        if let Some(successor) = &old.successor {
            // Its expiry is now the end of the overlap, which must not become the expiry of another successor.
            return Err(KeyringError::Rotated { id: id.to_owned(), successor: successor.clone() });
        }
        let end = now_ms.saturating_add(overlap * 1000);
        let end = old.expires_ms().map_or(end, |ms| ms.min(end));
        // The new key has the same lifetime as the old one had.
        let meant = old.expires_at.map(|time| time.as_millisecond() - old.created_at.as_millisecond());
        let meant = meant.and_then(|ms| u64::try_from(ms).ok());
        let new = KeyRecord {
            created_at: time(now_ms),
            expires_at: meant.map(|ms| time(now_ms.saturating_add(ms))),
            imported: false,
            iterations: self.iterations,
            ..old.clone()
        };
        let created = self.create(new, now_ms, |records, successor| {
            // The old key may have been revoked while the new one was hashed. Then there must be no successor.
            let at = records.iter().position(|record| record.id == old.id);
            let at = at.ok_or_else(|| KeyringError::NotFound(old.id.clone()))?;
            if records[at] != old {
                let reason = "was changed by somebody else just now: look with `alertctl key list`".into();
                return Err(KeyringError::Invalid { field: "id".into(), reason });
            }
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

    /// Imports the keys of the former alert server, or of another alertd's `auth.json`. Keys that exist already are skipped.
    ///
    /// # Errors
    /// [`KeyringError::Invalid`] for any other file, or an error of the store.
    pub(crate) fn import(&self, file: &[u8], now_ms: u64) -> Result<Imported, KeyringError> {
        let mut ids = Vec::new();
        let read = file_store::parse(file).unwrap_or_else(|| {
            former::read(file, now_ms, || {
                let made = random().map(secret::id);
                let id = made.as_ref().cloned().unwrap_or_default();
                ids.push(made);
                id
            })
        });
        ids.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read.map_err(|reason| KeyringError::Invalid { field: "file".into(), reason })?;
        self.change(now_ms, |keys| {
            let records = &mut keys.usable;
            let mut imported = Imported::default();
            for record in &read {
                if records.iter().any(|known| known.hash == record.hash && known.user == record.user) {
                    imported.skipped += 1;
                } else {
                    imported.added += 1;
                    records.push(record.clone());
                }
            }
            Ok(imported)
        })
    }

    /// Applies changes that other nodes may just have made.
    fn renew(&self, store: &mut KeyStore) -> Result<(), KeyringError> {
        if let KeyStore::Shared { .. } = store {
            self.take_up(store)?;
        }
        Ok(())
    }

    /// Stores the tags of keys that have none. Blocks on the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(super) fn store_tags(&self, tags: &[KeyRecord], now_ms: u64) -> Result<(), KeyringError> {
        let missing = |record: &&KeyRecord, known: &KeyRecord| known.tag.is_none() && known.has_secret_of(record);
        let known = self.read(|entry| entry.record.clone());
        let is_due = |tagged: &KeyRecord| known.iter().any(|known| missing(&tagged, known));
        // In a fleet another node may have been faster.
        if !tags.iter().any(is_due) {
            return Ok(());
        }
        self.change(now_ms, |keys| {
            for record in &mut keys.usable {
                if let Some(tagged) = tags.iter().find(|tagged| missing(tagged, record)) {
                    record.tag.clone_from(&tagged.tag);
                }
            }
            Ok(())
        })
    }

    /// Stores a change, then applies it and notifies streams. If another node changed the keys at the same time, the change is
    /// made again on top of that.
    fn change<T>(
        &self,
        now_ms: u64,
        change: impl Fn(&mut StoredKeys) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        let mut store = self.store.lock();
        for _ in 0..MAX_CHANGE_ATTEMPTS {
            self.renew(&mut store)?;
            let mut keys = self.stored();
            keys.usable.retain(|record| !record.is_expired(now_ms.saturating_sub(LISTED_AFTER_EXPIRY_MS)));
            let done = change(&mut keys)?;
            if keys.len() > MAX_KEYS {
                let reason = format!("{} holds {MAX_KEYS} keys at the most: revoke some", store.name());
                return Err(KeyringError::Invalid { field: "keys".into(), reason });
            }
            keys.usable.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
            if store.save(&keys)? {
                self.install(keys, store.revision());
                return Ok(done);
            }
        }
        Err(KeyringError::Away(format!("other nodes change the keys in {} all the time: try again", store.name())))
    }
}
