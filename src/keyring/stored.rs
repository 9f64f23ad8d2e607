//! The stored form of keys: JSON with a checksum for each, so that damage to one entry costs one key.
//!
//! Used by the key file and the shared store alike. An unusable entry is refused and named, and the others stay in
//! force. It is written back as it was found, because somebody may repair it, or a newer version may understand it.
//!
//! The checksum covers every other member of the entry, those of newer versions included, in an order of its own. Versions
//! before it treat it as an unknown member: they write it back, and refuse to change such an entry other than by removing it
//! (see `rotate`). So a checksum never outlives a change of its entry, and an entry without one is from such a version, or
//! edited by hand. Where neither can be, it is damaged ([`Checksums`]).

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::MAX_KEYS;
use super::record::KeyRecord;
use crate::api;

const CHECKSUM: &str = "checksum";

/// Whether entries may lack a checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    /// An earlier version or a person may have written entries.
    Optional,
    /// All entries were written with one.
    Required,
}

#[derive(Clone, Default)]
pub(super) struct StoredKeys {
    pub(super) usable: Vec<KeyRecord>,
    pub(super) unusable: Vec<UnusableEntry>,
    /// How many there were when they were written, if the file says so.
    pub(super) written: Option<usize>,
}

/// An entry that this version cannot use as a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnusableEntry {
    /// The id of the key, or the place of the entry if it has none.
    pub(super) id: String,
    /// What is wrong, for clients, with the remedy.
    pub(super) reason: &'static str,
    /// Details for the log.
    pub(super) detail: String,
    /// The entry as it was found.
    pub(super) text: String,
}

/// An entry as it is written.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    #[serde(flatten)]
    record: &'a KeyRecord,
    checksum: String,
}

impl<'a> Entry<'a> {
    pub(super) fn new(record: &'a KeyRecord) -> serde_json::Result<Self> {
        // Through the text, so that the checksum is over what will be read.
        let members = serde_json::from_str(&serde_json::to_string(record)?)?;
        Ok(Self { record, checksum: checksum(&members) })
    }
}

/// CRC32C of the members, in the order of their names.
fn checksum(members: &Map<String, Value>) -> String {
    let member = |crc, (name, value)| crc32c::crc32c_append(crc, format!("{name:?}:{value},").as_bytes());
    format!("crc32c:{:08x}", members.iter().fold(0, member))
}

/// The key of an entry.
///
/// # Errors
/// What is wrong, for clients and for the log.
fn decode(entry: &str, checksums: Checksums) -> Result<KeyRecord, (&'static str, String)> {
    let unreadable = |error: serde_json::Error| {
        ("this version cannot read it; restore it from a backup, or use the version that wrote it", error.to_string())
    };
    let mut members: Map<String, Value> = serde_json::from_str(entry).map_err(unreadable)?;
    if let Some(found) = members.remove(CHECKSUM) {
        let expected = checksum(&members);
        if found != expected.as_str() {
            let reason = "its checksum does not match: restore it from a backup; if it was edited on purpose, remove its \
                          member \"checksum\"";
            return Err((reason, format!("{found} was stored, {expected} is right")));
        }
    } else if checksums == Checksums::Required {
        let reason = "it has lost its checksum: restore it from a backup; if it was edited on purpose, remove the member \
                      \"number\" of the file";
        return Err((reason, "the file has as many keys as were written, each with a checksum".to_owned()));
    }
    let record: KeyRecord = serde_json::from_value(Value::Object(members)).map_err(unreadable)?;
    match record.check() {
        Ok(()) => Ok(record),
        Err(detail) => Err(("it cannot be right: correct it, or restore it from a backup", detail.to_owned())),
    }
}

impl StoredKeys {
    /// Sorts entries into those that can be used and those that cannot.
    ///
    /// # Errors
    /// What is wrong with all of them together.
    pub(super) fn read(
        entries: impl IntoIterator<Item = (Option<String>, String)>,
        checksums: Checksums,
    ) -> Result<Self, String> {
        let (mut keys, mut ids) = (Self::default(), HashSet::new());
        for (number, (id, text)) in entries.into_iter().enumerate() {
            match decode(&text, checksums) {
                Ok(record) if !ids.insert(record.id.clone()) => {
                    return Err(format!("the key {:?} is there twice", record.id));
                }
                Ok(record) => keys.usable.push(record),
                Err((reason, detail)) => {
                    let id = id.unwrap_or_else(|| format!("keys[{number}]"));
                    keys.unusable.push(UnusableEntry { id, reason, detail, text });
                }
            }
        }
        if keys.len() > MAX_KEYS {
            return Err(format!("there are more than {MAX_KEYS} keys"));
        }
        Ok(keys)
    }

    /// What it means if there are not as many keys as were written.
    pub(super) fn loss(&self) -> Option<String> {
        self.written.filter(|written| *written != self.len()).map(|written| {
            format!(
                "was written with {written} keys and has {}: unless somebody removed one by hand, or an earlier version \
                 changed it, it is damaged: restore it from a backup. The next change of a key ends this message",
                self.len()
            )
        })
    }

    /// The keys as the API lists them.
    pub(super) fn info(&self) -> api::Keys {
        let unusable =
            self.unusable.iter().map(|entry| api::UnusableKey { id: entry.id.clone(), reason: entry.reason.into() });
        api::Keys { keys: self.usable.iter().map(KeyRecord::info).collect(), unusable: unusable.collect() }
    }

    pub(super) const fn len(&self) -> usize {
        self.usable.len() + self.unusable.len()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::api::NewKey;
    use crate::key::{Scope, secret};
    use crate::keyring::record::{Algorithm, derive, time};
    use crate::keyring::{KeyState, Keyring, Settings};

    const NOW: u64 = 1_795_455_190_123;

    fn open(directory: &Path) -> Arc<Keyring> {
        Arc::new(Keyring::open(&Settings { directory: directory.to_owned(), iterations: 10_000, workers: 2 }).unwrap())
    }

    fn record() -> KeyRecord {
        KeyRecord {
            id: secret::id([7; 10]),
            user: "alice".into(),
            scopes: vec![Scope::Publish],
            topics: vec!["ops.*".parse().unwrap()],
            label: Some("a \"b\" \u{e9}".into()),
            created_at: time(1_795_455_190_123),
            expires_at: Some(time(1_895_455_190_000)),
            imported: false,
            successor: None,
            algorithm: Algorithm::default(),
            iterations: 10,
            salt: "0".repeat(32),
            hash: derive("", "", 1),
            tag: None,
            unknown: [("quota".to_owned(), serde_json::json!({"rate": 0.1, "b": [1, null]}))].into_iter().collect(),
        }
    }

    fn encode(record: &KeyRecord) -> String {
        serde_json::to_string(&Entry::new(record).unwrap()).unwrap()
    }

    #[test]
    fn no_flipped_bit_makes_another_key() {
        let text = encode(&record());
        assert!(decode(&text, Checksums::Optional).unwrap() == record());
        let mut refused = 0;
        for (at, bit) in (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1 << bit;
            match decode(&String::from_utf8_lossy(&damaged), Checksums::Optional) {
                Err(_) => refused += 1,
                // The name of the checksum is damaged; the entry itself is intact.
                Ok(found) => assert!(KeyRecord { unknown: record().unknown, ..found } == record(), "{at} {bit}"),
            }
        }
        assert!(refused > 7 * text.len(), "{refused} of {}", 8 * text.len());
    }

    #[test]
    fn an_entry_of_an_earlier_version_is_read_and_gets_a_checksum() {
        let earlier = serde_json::to_string(&record()).unwrap();
        assert!(!earlier.contains(CHECKSUM));
        assert!(decode(&earlier, Checksums::Optional).unwrap() == record());
        assert!(encode(&decode(&earlier, Checksums::Optional).unwrap()).contains("crc32c:"));
    }

    #[test]
    fn an_entry_that_an_earlier_version_wrote_back_still_works() {
        // To an earlier version the checksum is an unknown member, and the members have another order.
        let earlier: KeyRecord = serde_json::from_str(&encode(&record())).unwrap();
        assert!(earlier.unknown.contains_key(CHECKSUM));
        let written = serde_json::to_string(&earlier).unwrap();
        assert_ne!(written, encode(&record()));
        assert!(decode(&written, Checksums::Optional).unwrap() == record());
    }

    #[test]
    fn each_unusable_entry_is_named_and_the_others_stay() {
        let other = KeyRecord { id: secret::id([8; 10]), ..record() };
        let entries = [
            (Some("a".into()), encode(&record()).replace("alice", "alicf")),
            (None, "[]".into()),
            (Some("b".into()), encode(&other)),
            (Some("c".into()), serde_json::to_string(&KeyRecord { iterations: 0, ..record() }).unwrap()),
            (Some("d".into()), serde_json::to_string(&record()).unwrap().replace("pbkdf2-sha256", "scrypt")),
        ];
        let keys = StoredKeys::read(entries, Checksums::Optional).unwrap();
        assert!(keys.usable == [other]);
        let named: Vec<_> = keys.unusable.iter().map(|entry| (&*entry.id, &entry.reason[..12])).collect();
        assert_eq!(
            named,
            [("a", "its checksum"), ("keys[1]", "this version"), ("c", "it cannot be"), ("d", "this version")]
        );
    }

    #[tokio::test]
    async fn a_damaged_entry_stays_in_the_file_until_it_is_mended_or_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        let keyring = open(directory.path());
        let key = keyring.add(NewKey { user: "alice".into(), ..NewKey::default() }, NOW).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("alice", "alicf")).unwrap();
        let watched = keyring.watch(&key.key.id);
        assert_eq!((keyring.reload().unwrap(), keyring.len(), keyring.unusable()), (1, 0, 1));
        assert!(matches!(&*watched.borrow(), KeyState::Revoked));
        keyring.add(NewKey { user: "bob".into(), ..NewKey::default() }, NOW).unwrap();
        drop(keyring);
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("alicf", "alice")).unwrap();
        let keyring = open(directory.path());
        assert!(keyring.verify(&key.secret, NOW).await.is_ok());
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("alice", "alicf")).unwrap();
        keyring.reload().unwrap();
        assert_eq!(keyring.revoke(&key.key.id, NOW).unwrap().unusable[0].id, key.key.id);
        assert_eq!((keyring.len(), keyring.unusable()), (1, 0));
        assert!(!fs::read_to_string(&path).unwrap().contains(&key.key.id));
    }
}
