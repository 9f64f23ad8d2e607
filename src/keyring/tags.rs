//! Adds tags to keys of versions without tags: recorded when such a key is verified, and stored a moment later, many at
//! a time.
//!
//! Owned by the keyring. If a tag cannot be stored, the key only costs another derivation after the next start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Keyring;
use super::record::{KeyRecord, tag};

/// After a start many keys are verified at once, and each change writes the file with all keys.
const DELAY: Duration = Duration::from_secs(1);

/// Keys that wait for their tag to be stored, with the tag. Bounded by the number of keys.
#[derive(Default)]
pub(super) struct UntaggedKeys(Mutex<HashMap<String, KeyRecord>>);

impl Keyring {
    /// Records the tag of a verified secret, to be stored later; call it within the runtime.
    pub(super) fn tag_later(self: &Arc<Self>, record: &KeyRecord, secret: &str, now_ms: u64) {
        if record.imported || record.tag.is_some() {
            return;
        }
        let tagged = KeyRecord { tag: Some(tag(secret, &record.salt)), ..record.clone() };
        let mut untagged = self.untagged.0.lock();
        untagged.insert(record.id.clone(), tagged);
        // The task of the first tag stores all that are recorded until then.
        if untagged.len() > 1 {
            return;
        }
        let keyring = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            let store = move || {
                let tags: Vec<_> = std::mem::take(&mut *keyring.untagged.0.lock()).into_values().collect();
                if let Err(error) = keyring.store_tags(&tags, now_ms) {
                    tracing::warn!(%error, "keys of an earlier version could not be given their tags");
                }
            };
            // Fails only when the runtime ends.
            let _ = tokio::task::spawn_blocking(store).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NewKey;
    use crate::key::secret;
    use crate::keyring::{Screened, Settings, VerifyError};

    const NOW: u64 = 1_795_455_190_123;

    fn open(directory: &std::path::Path) -> Arc<Keyring> {
        let settings = Settings { directory: directory.to_owned(), iterations: 10_000, workers: 2 };
        Arc::new(Keyring::open(&settings).unwrap())
    }

    fn for_user(user: &str) -> NewKey {
        NewKey { user: user.into(), ..NewKey::default() }
    }

    /// The key file as an earlier version wrote it.
    fn without_tags(directory: &std::path::Path) {
        let path = directory.join("auth.json");
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file.as_object_mut().unwrap().remove("number");
        for key in file["keys"].as_array_mut().unwrap() {
            let key = key.as_object_mut().unwrap();
            assert!(key.remove("tag").is_some());
            key.remove("checksum");
        }
        std::fs::write(&path, file.to_string()).unwrap();
    }

    #[test]
    fn a_tag_admits_after_a_restart_and_refuses_what_is_wrong_without_a_derivation() {
        let directory = tempfile::tempdir().unwrap();
        let key = open(directory.path()).add(for_user("a"), NOW).unwrap();
        let keyring = open(directory.path());
        let wrong = secret::compose("a", &key.key.id, &[1; 24]);
        assert_eq!(keyring.screen(&wrong, NOW), Err(VerifyError::Wrong));
        assert_eq!(keyring.remembered(&key.secret, NOW), None);
        assert!(
            matches!(keyring.screen(&key.secret, NOW), Ok(Screened::Accepted(grant)) if grant.key_id == key.key.id)
        );
        assert!(keyring.remembered(&key.secret, NOW).is_some());
        let unknown = secret::compose("a", "aaaaaaaaaa", &[1; 24]);
        assert_eq!(keyring.screen(&unknown, NOW), Err(VerifyError::Unknown));
        assert_eq!(keyring.screen("x", NOW), Err(VerifyError::Malformed));
        keyring.revoke(&key.key.id, NOW).unwrap();
        assert_eq!(keyring.screen(&key.secret, NOW), Err(VerifyError::Unknown));
        assert_eq!(keyring.derivations(), 0);
    }

    #[tokio::test]
    async fn keys_of_an_earlier_version_get_their_tags_when_they_are_verified() {
        let directory = tempfile::tempdir().unwrap();
        let keys = {
            let keyring = open(directory.path());
            ["a", "b", "c"].map(|user| keyring.add(for_user(user), NOW).unwrap())
        };
        without_tags(directory.path());
        let keyring = open(directory.path());
        for key in &keys[..2] {
            let owner = key.key.id.clone();
            assert_eq!(keyring.screen(&key.secret, NOW), Ok(Screened::Undecided { owner }));
            keyring.verify(&key.secret, NOW).await.unwrap();
        }
        // Until the task that stores them has ended.
        while Arc::strong_count(&keyring) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(keyring);
        let keyring = open(directory.path());
        let screened = keys.each_ref().map(|key| keyring.screen(&key.secret, NOW).unwrap());
        assert!(matches!(screened, [Screened::Accepted(_), Screened::Accepted(_), Screened::Undecided { .. }]));
    }

    #[tokio::test]
    async fn a_wrong_secret_is_derived_once_until_the_keys_change() {
        let directory = tempfile::tempdir().unwrap();
        let key = open(directory.path()).add(for_user("a"), NOW).unwrap();
        without_tags(directory.path());
        let keyring = open(directory.path());
        let wrong = secret::compose("a", &key.key.id, &[1; 24]);
        for _ in 0..3 {
            if keyring.screen(&wrong, NOW) != Err(VerifyError::Wrong) {
                assert_eq!(keyring.verify(&wrong, NOW).await, Err(VerifyError::Wrong));
            }
        }
        assert_eq!(keyring.derivations(), 1);
        keyring.add(for_user("b"), NOW).unwrap();
        assert!(matches!(keyring.screen(&wrong, NOW), Ok(Screened::Undecided { .. })));
    }

    #[test]
    fn an_imported_key_has_no_use_for_a_tag() {
        let record = KeyRecord { imported: true, ..tagged() };
        assert_eq!((tagged().is_tagged("x"), record.is_tagged("x")), (Some(true), None));
    }

    fn tagged() -> KeyRecord {
        let directory = tempfile::tempdir().unwrap();
        let keyring = open(directory.path());
        keyring.add(for_user("a"), NOW).unwrap();
        let record = keyring.read(|entry| entry.record.clone()).remove(0);
        KeyRecord { tag: Some(tag("x", &record.salt)), ..record }
    }
}
