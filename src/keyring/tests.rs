use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::record::derive;
use super::*;
use crate::alert::Pattern;
use crate::api::NewKey;
use crate::key::{Scope, secret};

const NOW: u64 = 1_795_455_190_123;

fn open(directory: &std::path::Path) -> Result<Arc<Keyring>, KeyringError> {
    Keyring::open(&Settings { directory: directory.to_owned(), iterations: 10_000, workers: 2 }).map(Arc::new)
}

fn for_user(user: &str) -> NewKey {
    NewKey { user: user.into(), ..NewKey::default() }
}

#[tokio::test]
async fn one_derivation_however_many_keys_and_none_for_what_cannot_be_right() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    for _ in 0..5 {
        keyring.add(for_user("alice"), NOW).unwrap();
    }
    let key = keyring.add(for_user("alice"), NOW).unwrap();
    assert_eq!(keyring.remembered(&key.secret, NOW), None);
    assert_eq!(keyring.verify(&key.secret, NOW).await.unwrap().key_id, key.key.id);
    assert_eq!(keyring.derivations(), 1);
    assert!(keyring.remembered(&key.secret, NOW).is_some());
    let mut typo = key.secret.to_string();
    typo.pop();
    assert_eq!(keyring.verify(&typo, NOW).await, Err(VerifyError::Malformed));
    let unknown = secret::compose("alice", "aaaaaaaaaa", &[1; 24]);
    assert_eq!(keyring.verify(&unknown, NOW).await, Err(VerifyError::Unknown));
    assert_eq!(keyring.derivations(), 1);
    let wrong = secret::compose("alice", &key.key.id, &[1; 24]);
    assert_eq!(keyring.verify(&wrong, NOW).await, Err(VerifyError::Wrong));
    assert_eq!(keyring.derivations(), 1, "the secret of the key is known already");
}

#[tokio::test]
async fn keys_survive_and_the_secret_is_nowhere_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let new = NewKey {
        scopes: vec![Scope::Subscribe],
        topics: vec!["ops.*".parse().unwrap()],
        label: Some("door".into()),
        expires_in: Some(60),
        ..for_user("bob")
    };
    let key = keyring.add(new, NOW).unwrap();
    assert!(matches!(open(directory.path()), Err(KeyringError::Locked(_))));
    let listed = keyring.list().unwrap().keys;
    drop(keyring);
    let path = directory.path().join("auth.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&key.secret[key.secret.len() - 20..]), "{text}");
    let keyring = open(directory.path()).unwrap();
    assert_eq!(keyring.list().unwrap().keys, listed);
    let grant = keyring.verify(&key.secret, NOW + 59_999).await.unwrap();
    assert_eq!((&*grant.user, grant.topics[0].to_string().as_str()), ("bob", "ops.*"));
    assert_eq!(keyring.remembered(&key.secret, NOW + 60_000), None);
    assert_eq!(keyring.verify(&key.secret, NOW + 60_000).await, Err(VerifyError::Expired));
}

#[tokio::test]
async fn a_revocation_reaches_the_streams_and_forgets_the_secret() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let (one, two) = (keyring.add(for_user("eve"), NOW).unwrap(), keyring.add(for_user("eve"), NOW).unwrap());
    keyring.verify(&one.secret, NOW).await.unwrap();
    let (first, second) = (keyring.watch(&one.key.id), keyring.watch(&two.key.id));
    assert_eq!(keyring.revoke(&one.key.id, NOW).unwrap().keys.len(), 1);
    assert!(matches!(&*first.borrow(), KeyState::Revoked));
    assert!(matches!(&*second.borrow(), KeyState::Active { .. }));
    assert_eq!(keyring.remembered(&one.secret, NOW), None);
    assert_eq!(keyring.verify(&one.secret, NOW).await, Err(VerifyError::Unknown));
    assert_eq!(keyring.revoke("eve", NOW).unwrap().keys.len(), 1);
    assert!(matches!(&*second.borrow(), KeyState::Revoked));
    assert!(matches!(keyring.revoke("eve", NOW), Err(KeyringError::NotFound(_))));
}

#[tokio::test]
async fn a_rotated_key_works_beside_the_new_one_until_the_overlap_ends() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let old = keyring.add(for_user("carol"), NOW).unwrap();
    keyring.verify(&old.secret, NOW).await.unwrap();
    let watched = keyring.watch(&old.key.id);
    let new = keyring.rotate(&old.key.id, Some(60), NOW).unwrap();
    assert!(matches!(&*watched.borrow(), KeyState::Active { expires_ms: Some(ms), .. } if *ms == NOW + 60_000));
    assert!(keyring.remembered(&old.secret, NOW + 59_000).is_some());
    assert_eq!(keyring.remembered(&old.secret, NOW + 60_000), None);
    assert_eq!(&*keyring.verify(&new.secret, NOW + 90_000).await.unwrap().user, "carol");
    let last = keyring.rotate(&new.key.id, Some(0), NOW).unwrap();
    assert_eq!(keyring.verify(&new.secret, NOW).await, Err(VerifyError::Unknown));
    assert!(keyring.verify(&last.secret, NOW).await.is_ok());
}

#[tokio::test]
async fn imported_keys_go_on_working() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let mut raw = b"dave:".to_vec();
    raw.extend([0x5c; 24]);
    let secret = URL_SAFE_NO_PAD.encode(raw);
    let salt = "00112233445566778899aabbccddeeff";
    let file = serde_json::json!({"users": {"1": {"username": "dave", "api_keys": [
        {"id": 3, "created_at": "2025-01-02T03:04:05.678", "salt": salt, "hash": derive(&secret, salt, 100_000)},
        {"id": "x", "created_at": 1_700_000_000.5, "salt": salt, "hash": "0".repeat(64)},
    ]}}, "_default": {}});
    let file = file.to_string();
    assert_eq!(keyring.import(file.as_bytes(), NOW).unwrap(), Imported { added: 2, skipped: 0 });
    assert_eq!(keyring.import(file.as_bytes(), NOW).unwrap(), Imported { added: 0, skipped: 2 });
    assert_eq!(&*keyring.verify(&secret, NOW).await.unwrap().user, "dave");
    let created: Vec<_> = keyring.list().unwrap().keys.into_iter().map(|key| key.created_at).collect();
    assert_eq!(created, ["2023-11-14T22:13:20.000Z", "2025-01-02T03:04:05.678Z"]);
    for bad in [
        "",
        "{}",
        r#"{"users":{"1":{"username":"a b"}}}"#,
        r#"{"users":{"1":{"username":"a","api_keys":[{"id":1,"salt":"x","hash":"y"}]}}}"#,
    ] {
        assert!(matches!(keyring.import(bad.as_bytes(), NOW), Err(KeyringError::Invalid { .. })), "{bad}");
    }
    assert_eq!(keyring.len(), 2);
}

#[test]
fn a_foreign_file_and_a_link_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.json");
    for foreign in [r#"{"users": {}}"#, "", "not json", r#"{"alertd_keys": 1, "keys": {}}"#] {
        fs::write(&path, foreign).unwrap();
        let error = open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("auth.json is not alertd's key file") && error.contains("key import"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    fs::remove_file(&path).unwrap();
    let target = directory.path().join("elsewhere");
    fs::write(&target, r#"{"alertd_keys": 1, "keys": []}"#).unwrap();
    symlink(&target, &path).unwrap();
    assert!(matches!(open(directory.path()), Err(KeyringError::Link(_))));
}

#[tokio::test]
async fn a_reload_takes_in_what_was_edited() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let (kept, gone) = (keyring.add(for_user("kim"), NOW).unwrap(), keyring.add(for_user("lee"), NOW).unwrap());
    keyring.verify(&kept.secret, NOW).await.unwrap();
    let (narrowed, revoked) = (keyring.watch(&kept.key.id), keyring.watch(&gone.key.id));
    let path = directory.path().join("auth.json");
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["keys"].as_array_mut().unwrap().retain(|key| key["user"] == "kim");
    file["keys"][0]["topics"] = serde_json::json!(["ops"]);
    file["keys"][0].as_object_mut().unwrap().remove("checksum");
    file.as_object_mut().unwrap().remove("number");
    fs::write(&path, file.to_string()).unwrap();
    assert_eq!(keyring.reload().unwrap(), 2);
    assert!(matches!(&*revoked.borrow(), KeyState::Revoked));
    assert!(matches!(&*narrowed.borrow(), KeyState::Active { grant, .. } if grant.topics[0].to_string() == "ops"));
    assert_eq!(keyring.remembered(&kept.secret, NOW).unwrap().topics[0].to_string(), "ops");
    fs::write(&path, "{").unwrap();
    assert!(keyring.reload().is_err());
    assert_eq!(keyring.len(), 1);
}

#[test]
fn what_a_key_cannot_be_is_refused_by_field() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    for (new, field) in [
        (for_user(""), "user"),
        (for_user("a b"), "user"),
        (for_user(&"a".repeat(65)), "user"),
        (NewKey { label: Some("x".repeat(129)), ..for_user("a") }, "label"),
        (NewKey { label: Some("\u{1b}[2J".into()), ..for_user("a") }, "label"),
        (NewKey { expires_in: Some(0), ..for_user("a") }, "expires_in"),
        (NewKey { expires_in: Some(u64::MAX), ..for_user("a") }, "expires_in"),
        (NewKey { topics: vec![Pattern::All; 65], ..for_user("a") }, "topics"),
    ] {
        let Err(KeyringError::Invalid { field: named, .. }) = keyring.add(new, NOW) else { panic!("{field}") };
        assert_eq!(named, field);
    }
    assert!(!directory.path().join("auth.json").exists());
}

#[tokio::test]
async fn all_imported_keys_of_a_user_work() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let secrets: Vec<_> = (0..20).map(|n| URL_SAFE_NO_PAD.encode([&b"dave:"[..], &[n; 24]].concat())).collect();
    let salt = "00112233445566778899aabbccddeeff";
    let key = |secret: &String| serde_json::json!({"id": 1, "salt": salt, "hash": derive(secret, salt, 100_000)});
    let keys: Vec<_> = secrets.iter().map(key).collect();
    let file = serde_json::json!({"users": {"1": {"username": "dave", "api_keys": keys}}}).to_string();
    keyring.import(file.as_bytes(), NOW).unwrap();
    for secret in &secrets {
        assert_eq!(&*keyring.verify(secret, NOW).await.unwrap().user, "dave");
    }
}

#[test]
fn a_key_is_rotated_once_so_its_overlap_is_not_taken_for_its_lifetime() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let old = keyring.add(for_user("a"), NOW).unwrap();
    let new = keyring.rotate(&old.key.id, None, NOW).unwrap();
    assert_eq!(new.key.expires_at, None);
    let again = keyring.rotate(&old.key.id, None, NOW).err().unwrap().to_string();
    assert!(again.contains(&new.key.id), "{again}");
    assert_eq!(keyring.rotate(&new.key.id, None, NOW).unwrap().key.expires_at, None);
}

#[tokio::test]
async fn who_holds_a_secret_that_was_replaced_is_out() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let key = keyring.add(for_user("a"), NOW).unwrap();
    keyring.verify(&key.secret, NOW).await.unwrap();
    let watched = keyring.watch(&key.key.id);
    edit(directory.path(), |key| key["hash"] = "0".repeat(64).into());
    keyring.reload().unwrap();
    assert!(matches!(&*watched.borrow(), KeyState::Revoked));
    assert_eq!(keyring.remembered(&key.secret, NOW), None);
    assert_eq!(keyring.verify(&key.secret, NOW).await, Err(VerifyError::Wrong));
}

/// Changes the first key as an operator does, who removes its checksum and the number of keys.
fn edit(directory: &std::path::Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = directory.join("auth.json");
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["keys"][0].as_object_mut().unwrap().remove("checksum");
    file.as_object_mut().unwrap().remove("number");
    change(&mut file["keys"][0]);
    fs::write(&path, file.to_string()).unwrap();
}

#[tokio::test]
async fn an_entry_that_cannot_be_right_is_refused_and_the_others_stay_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    let (bad, good) = (keyring.add(for_user("a"), NOW).unwrap(), keyring.add(for_user("b"), NOW + 1).unwrap());
    drop(keyring);
    let path = directory.path().join("auth.json");
    let original = fs::read(&path).unwrap();
    for (field, value) in [
        ("iterations", serde_json::json!(u32::MAX)),
        ("iterations", serde_json::json!(0)),
        ("salt", serde_json::json!("")),
        ("hash", serde_json::json!("ab")),
        ("user", serde_json::json!("a~b")),
        ("scopes", serde_json::json!([])),
        ("topics", serde_json::json!([])),
        ("topics", serde_json::json!(7)),
        ("checksum", serde_json::json!("crc32c:00000000")),
    ] {
        edit(directory.path(), |key| key[field] = value);
        let keyring = open(directory.path()).unwrap();
        let unusable = keyring.list().unwrap().unusable;
        assert_eq!(unusable.iter().map(|key| &*key.id).collect::<Vec<_>>(), [bad.key.id.as_str()], "{field}");
        assert_eq!(keyring.verify(&bad.secret, NOW).await, Err(VerifyError::Unknown), "{field}");
        assert!(keyring.verify(&good.secret, NOW).await.is_ok(), "{field}");
        fs::write(&path, &original).unwrap();
    }
    let mut twice: serde_json::Value = serde_json::from_slice(&original).unwrap();
    let twin = twice["keys"][0].clone();
    twice["keys"].as_array_mut().unwrap().push(twin);
    fs::write(&path, twice.to_string()).unwrap();
    assert!(matches!(open(directory.path()), Err(KeyringError::Damaged { .. })));
}

#[test]
fn a_file_that_came_in_between_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let keyring = open(directory.path()).unwrap();
    keyring.add(for_user("a"), NOW).unwrap();
    let path = directory.path().join("auth.json");
    let (ours, theirs) = (fs::read(&path).unwrap(), br#"{"users": {"1": {"username": "a", "api_keys": []}}}"#);
    fs::write(&path, theirs).unwrap();
    assert!(matches!(keyring.add(for_user("b"), NOW), Err(KeyringError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), theirs);
    fs::write(&path, &ours).unwrap();
    assert!(matches!(keyring.add(for_user("b"), NOW), Err(KeyringError::Changed(_))));
    assert_eq!((fs::read(&path).unwrap(), keyring.len()), (ours, 1));
    keyring.reload().unwrap();
    keyring.add(for_user("b"), NOW).unwrap();
    keyring.add(for_user("c"), NOW).unwrap();
}

/// A shared store that answers only when it is told to.
struct Slow {
    asked: mpsc::Sender<()>,
    answer: Mutex<mpsc::Receiver<()>>,
}

impl SharedStore for Slow {
    fn name(&self) -> String {
        "a slow store".into()
    }

    fn load(&self) -> Result<Snapshot, String> {
        self.asked.send(()).map_err(|error| error.to_string())?;
        self.answer.lock().recv().map_err(|error| error.to_string())?;
        Ok(Snapshot { revision: 6, ..Snapshot::default() })
    }

    fn save(&self, expected: u64, _: u64, _: Change) -> Result<Option<u64>, String> {
        Ok(Some(expected + 1))
    }
}

#[test]
fn the_revision_is_read_without_waiting_for_a_change_that_waits_for_the_shared_store() {
    let (asked, is_asked) = mpsc::channel();
    let (go, answer) = mpsc::channel();
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { directory: directory.path().to_owned(), iterations: 10_000, workers: 2 };
    let shared = Slow { asked, answer: Mutex::new(answer) };
    let keyring = Arc::new(Keyring::shared(&settings, Arc::new(shared)).unwrap());
    let changing = thread::spawn({
        let keyring = Arc::clone(&keyring);
        move || keyring.add(for_user("a"), NOW).map(drop)
    });
    is_asked.recv().unwrap();
    let (told, is_told) = mpsc::channel();
    let asking = thread::spawn({
        let keyring = Arc::clone(&keyring);
        move || told.send(keyring.revision())
    });
    assert_eq!(is_told.recv_timeout(Duration::from_secs(10)), Ok(0));
    go.send(()).unwrap();
    changing.join().unwrap().unwrap();
    asking.join().unwrap().unwrap();
    assert_eq!(keyring.revision(), 7);
}
