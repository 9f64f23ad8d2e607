//! The key file of the former alert server: JSON of TinyDB, table `users`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::record::{Algorithm, KeyRecord, time};
use crate::alert::Pattern;
use crate::key::{Scope, is_user};

/// The iterations of all its keys.
const ITERATIONS: u32 = 100_000;

#[derive(Deserialize)]
struct Document {
    users: BTreeMap<String, User>,
}

#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    api_keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: Value,
    #[serde(default)]
    created_at: Value,
    salt: String,
    hash: String,
}

/// The keys of the file, with ids from `new_id`.
///
/// # Errors
/// A message, if the file is invalid.
pub(super) fn read(file: &[u8], now_ms: u64, mut new_id: impl FnMut() -> String) -> Result<Vec<KeyRecord>, String> {
    let document: Document = serde_json::from_slice(file)
        .map_err(|e| format!("is not a TinyDB file with a table \"users\" of username and api_keys: {e}"))?;
    let mut records = Vec::new();
    for user in document.users.into_values() {
        if !is_user(&user.username) {
            return Err(format!("the user name {:?} is not 1 to 64 of A-Z a-z 0-9 . _ -", user.username));
        }
        for key in user.api_keys {
            let old_id = key.id.as_str().map_or_else(|| key.id.to_string(), ToOwned::to_owned);
            let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hex(&key.salt, 32) || !is_hex(&key.hash, 64) {
                return Err(format!(
                    "the key {old_id:?} of {} has no salt of 32 and hash of 64 hex digits",
                    user.username
                ));
            }
            records.push(KeyRecord {
                id: new_id(),
                user: user.username.clone(),
                scopes: vec![Scope::Publish, Scope::Subscribe],
                topics: vec![Pattern::All],
                label: Some(format!(
                    "imported {}",
                    old_id.chars().filter(|c| !c.is_control()).take(100).collect::<String>()
                )),
                created_at: created(&key.created_at).unwrap_or_else(|| time(now_ms)),
                expires_at: None,
                imported: true,
                successor: None,
                algorithm: Algorithm::default(),
                unknown: serde_json::Map::new(),
                iterations: ITERATIONS,
                // The salt is the text of the digits, so their case must not change.
                salt: key.salt,
                hash: key.hash.to_ascii_lowercase(),
                tag: None,
            });
        }
    }
    Ok(records)
}

/// A time with or without a zone, or seconds since 1970.
fn created(value: &Value) -> Option<jiff::Timestamp> {
    if let Some(seconds) = value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "a time in whole seconds is what is wanted")]
        return jiff::Timestamp::from_second(seconds as i64).ok();
    }
    let text = value.as_str()?;
    let zoned = text.parse::<jiff::Timestamp>().ok();
    zoned.or_else(|| jiff::tz::TimeZone::UTC.to_timestamp(text.parse().ok()?).ok())
}
