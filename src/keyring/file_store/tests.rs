//! Tests: what is written is read again, and what cannot be used is kept or refused by name.

use super::*;
use crate::key::secret;
use crate::keyring::MAX_KEYS;
use crate::keyring::record::{Algorithm, derive, time};
use std::os::unix::fs::{chown, symlink};

fn record(number: usize) -> KeyRecord {
    let topic = |n: usize| format!("{}{n:03}", "a".repeat(125)).parse().unwrap();
    KeyRecord {
        id: secret::id(std::array::from_fn(|i| (number >> (5 * i.min(7))) as u8)),
        user: "a".repeat(64),
        scopes: crate::key::Scope::ALL.to_vec(),
        topics: (0..64).map(topic).collect(),
        label: Some("\"".repeat(128)),
        created_at: time(0),
        expires_at: Some(time(0)),
        imported: false,
        successor: Some("abcdefghij".into()),
        iterations: 10_000_000,
        salt: "0".repeat(32),
        hash: derive("", "", 1),
        tag: Some("0".repeat(32)),
        algorithm: Algorithm::default(),
        unknown: Map::new(),
    }
}

fn usable(usable: Vec<KeyRecord>) -> StoredKeys {
    StoredKeys { usable, ..StoredKeys::default() }
}

#[test]
fn fields_of_a_newer_version_are_ignored_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    FileStore::open(directory.path()).unwrap().save(&usable(vec![record(1)])).unwrap();
    let mut newer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    newer["quota"] = 7.into();
    newer["keys"][0]["color"] = "red".into();
    newer["keys"][0].as_object_mut().unwrap().remove("checksum");
    newer.as_object_mut().unwrap().remove("number");
    fs::write(&path, serde_json::to_vec(&newer).unwrap()).unwrap();
    let mut store = FileStore::open(directory.path()).unwrap();
    let mut keys = store.load().unwrap();
    keys.usable.push(record(2));
    store.save(&keys).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(written["quota"], 7);
    assert_eq!(written["keys"][0]["color"], "red");
    assert!(written["keys"][1].get("color").is_none());
}

#[test]
fn a_key_that_has_lost_its_checksum_is_refused_unless_the_file_was_edited() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    FileStore::open(directory.path()).unwrap().save(&usable(vec![record(1), record(2)])).unwrap();
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let load = |file: &Value| {
        fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
        FileStore::open(directory.path()).unwrap().load().unwrap()
    };
    file["keys"][0]["user"] = "mallory".into();
    file["keys"][0].as_object_mut().unwrap().remove("checksum");
    let keys = load(&file);
    assert!(keys.usable == [record(2)] && keys.unusable[0].id == record(1).id);
    assert!(keys.unusable[0].reason.contains("\"number\""), "{}", keys.unusable[0].reason);
    file.as_object_mut().unwrap().remove("number");
    let keys = load(&file);
    assert!(keys.usable.len() == 2 && keys.usable[0].user == "mallory" && keys.unusable.is_empty());
}

#[test]
fn a_number_of_a_newer_version_costs_no_key_however_often_the_file_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let quota = || ("quota".to_owned(), 6.934_698_245_112_694e276.into());
    let unknown = Map::from_iter([quota()]);
    let text = r#"{"id":"broken","quota":6.934698245112694e+276}"#;
    let mut keys = usable(vec![KeyRecord { unknown, ..record(1) }]);
    let unusable = crate::keyring::stored::UnusableEntry {
        id: "broken".into(),
        reason: "",
        detail: String::new(),
        text: text.into(),
    };
    keys.unusable.push(unusable);
    // One store, because a child of another test may hold the lock of one that was dropped until it runs its program.
    let mut store = FileStore::open(directory.path()).unwrap();
    store.load().unwrap();
    for _ in 0..3 {
        store.save(&keys).unwrap();
        keys = store.load().unwrap();
        assert_eq!((keys.usable.len(), keys.unusable.len()), (1, 1));
        assert_eq!(keys.unusable[0].text, text);
    }
}

#[test]
fn another_version_is_refused_by_name_and_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    let newer = r#"{"alertd_keys": 2, "keys": {"other": "shape"}}"#;
    fs::write(&path, newer).unwrap();
    let mut store = FileStore::open(directory.path()).unwrap();
    let error = store.load().err().unwrap().to_string();
    assert!(error.contains("version 2") && error.contains("auth.json"), "{error}");
    store.save(&usable(vec![record(1)])).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    assert!(parse(newer.as_bytes()).unwrap().err().unwrap().contains("version is 2"));
}

#[test]
fn a_key_without_an_algorithm_uses_pbkdf2_and_an_unknown_one_is_refused() {
    let mut key = serde_json::to_value(record(1)).unwrap();
    assert_eq!(key["algorithm"], "pbkdf2-sha256");
    key.as_object_mut().unwrap().remove("algorithm");
    assert!(serde_json::from_value::<KeyRecord>(key.clone()).unwrap() == record(1));
    key["algorithm"] = "scrypt".into();
    assert!(serde_json::from_value::<KeyRecord>(key).is_err());
}

#[test]
fn as_much_as_may_be_written_can_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path()).unwrap();
    store.save(&usable((0..MAX_KEYS).map(record).collect())).unwrap();
    assert_eq!(store.load().unwrap().usable.len(), MAX_KEYS);
}

#[test]
fn what_a_crash_left_before_the_rename_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(directory.path()).unwrap();
    store.save(&usable(vec![record(1)])).unwrap();
    drop(store);
    fs::write(directory.path().join("auth.json.new"), "{\"alertd_keys\": 1, \"keys\": [").unwrap();
    let mut store = FileStore::open(directory.path()).unwrap();
    assert!(store.load().unwrap().usable == [record(1)]);
    store.save(&usable(vec![record(1), record(2)])).unwrap();
    assert_eq!(store.load().unwrap().usable.len(), 2);
    assert!(!directory.path().join("auth.json.new").exists());
}

#[test]
fn a_dangling_link_in_the_locks_place_makes_no_file_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let (store, target) = (directory.path().join("store"), directory.path().join("target"));
    fs::create_dir(&store).unwrap();
    symlink(&target, store.join("auth.lock")).unwrap();
    assert!(matches!(FileStore::open(&store), Err(KeyringError::Link(_))));
    assert!(!target.exists());
}

#[test]
fn only_a_lock_that_was_made_here_is_given_to_the_directorys_owner() {
    let directory = tempfile::tempdir().unwrap();
    let own = fs::metadata(directory.path()).unwrap().uid();
    let (store, target) = (directory.path().join("store"), directory.path().join("target"));
    fs::create_dir(&store).unwrap();
    fs::write(&target, "").unwrap();
    // Only root can create this case.
    if own != 0 || chown(&store, Some(12345), Some(12345)).is_err() {
        return;
    }
    fs::hard_link(&target, store.join("auth.lock")).unwrap();
    FileStore::open(&store).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
    fs::remove_file(store.join("auth.lock")).unwrap();
    let mut made = FileStore::open(&store).unwrap();
    made.save(&StoredKeys::default()).unwrap();
    for name in ["auth.lock", "auth.json"] {
        assert_eq!(fs::metadata(store.join(name)).unwrap().uid(), 12345, "{name}");
    }
}
