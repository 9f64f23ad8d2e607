//! Keys of the former alert server, as its file has them.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Daemon, Key};

/// A secret of this user; the byte makes it unique.
pub fn former_key(user: &str, byte: u8) -> Key {
    let raw = [user.as_bytes(), b":", &[byte; 24]].concat();
    Key { id: user.into(), secret: URL_SAFE_NO_PAD.encode(raw) }
}

/// Imports such keys.
pub fn import(daemon: &Daemon, keys: &[Key]) {
    let salt = "00112233445566778899aabbccddeeff";
    let mut users: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (number, key) in keys.iter().enumerate() {
        let mut hash = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(key.secret.as_bytes(), salt.as_bytes(), 100_000, &mut hash);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let key_of_file = json!({"id": number, "created_at": "2025-05-05T05:05:05", "salt": salt, "hash": hash});
        users.entry(&key.id).or_default().push(key_of_file);
    }
    let users = users.into_iter().map(|(user, keys)| json!({"username": user, "api_keys": keys})).enumerate();
    let users: BTreeMap<_, _> = users.map(|(number, user)| (number.to_string(), user)).collect();
    let file = daemon.directory.path().join("tinydb.json");
    fs::write(&file, json!({ "users": users }).to_string()).unwrap();
    let imported = daemon.ctl(&["key", "import", file.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
}
