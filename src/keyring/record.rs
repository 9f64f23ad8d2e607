//! The stored form of a key, in the key file or in the shared store of a fleet.
//!
//! Fields of a newer alertd are ignored and written back unchanged.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use pbkdf2::pbkdf2_hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::alert::{Pattern, rfc3339};
use crate::api::KeyInfo;
use crate::key::{Grant, Scope, is_user};
pub(super) use crate::text::hex;

/// How the hash is derived from the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Algorithm {
    #[default]
    #[serde(rename = "pbkdf2-sha256")]
    Pbkdf2Sha256,
}

/// One key. It does not contain the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) topics: Vec<Pattern>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) imported: bool,
    /// The key that replaced this one in a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) successor: Option<String>,
    /// Keys without this field use the default.
    #[serde(default)]
    pub(super) algorithm: Algorithm,
    pub(super) iterations: u32,
    /// 32 hex digits. As in the former alert server, the salt is this text and not the bytes that it encodes.
    pub(super) salt: String,
    /// 64 hex digits.
    pub(super) hash: String,
    /// Shows without a derivation whether a secret is right, 32 hex digits: see [`tag`]. Keys of earlier versions get
    /// it when they are verified. Imported keys never have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

/// With more iterations, an edited file could keep a processor busy for minutes.
const MAX_ITERATIONS: u32 = 10_000_000;

impl KeyRecord {
    /// Checks constraints that the types do not express, because the file may have been edited.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
        match self {
            _ if self.id.is_empty() => Err("a key has no id"),
            _ if !is_user(&self.user) => Err("its user is not 1 to 64 of A-Z a-z 0-9 . _ -"),
            _ if self.scopes.is_empty() => Err("it has no scope"),
            _ if self.topics.is_empty() => Err("it has no topic"),
            _ if !(1..=MAX_ITERATIONS).contains(&self.iterations) => Err("its iterations are not 1 to 10000000"),
            _ if !is_hex(&self.salt, 32) => Err("its salt is not 32 hex digits"),
            _ if !is_hex(&self.hash, 64) => Err("its hash is not 64 hex digits"),
            _ if self.tag.as_ref().is_some_and(|tag| !is_hex(tag, 32)) => Err("its tag is not 32 hex digits"),
            _ => Ok(()),
        }
    }

    /// Whether both records have the same secret.
    pub(super) fn has_secret_of(&self, other: &Self) -> bool {
        (self.algorithm, self.iterations, &self.salt, &self.hash)
            == (other.algorithm, other.iterations, &other.salt, &other.hash)
    }

    pub(super) fn expires_ms(&self) -> Option<u64> {
        self.expires_at.map(|time| u64::try_from(time.as_millisecond()).unwrap_or(0))
    }

    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms().is_some_and(|ms| ms <= now_ms)
    }

    pub(super) fn grant(&self) -> Grant {
        Grant {
            key_id: self.id.clone(),
            user: self.user.as_str().into(),
            scopes: self.scopes.clone(),
            topics: self.topics.clone(),
            expires_ms: self.expires_ms(),
        }
    }

    pub(super) fn info(&self) -> KeyInfo {
        let text = |time: Timestamp| rfc3339(u64::try_from(time.as_millisecond()).unwrap_or(0));
        KeyInfo {
            id: self.id.clone(),
            user: self.user.clone(),
            scopes: self.scopes.clone(),
            topics: self.topics.clone(),
            label: self.label.clone(),
            created_at: text(self.created_at),
            expires_at: self.expires_at.map(text),
            imported: self.imported,
        }
    }

    /// Whether this is the secret, according to the tag; none if there is no tag.
    pub(super) fn is_tagged(&self, secret: &str) -> Option<bool> {
        let known = self.tag.as_ref().filter(|_| !self.imported)?;
        Some(tag(secret, &self.salt).as_bytes().ct_eq(known.as_bytes()).into())
    }

    /// Runs one derivation, which takes tens of milliseconds.
    pub(super) fn is_secret(&self, secret: &str) -> bool {
        let Algorithm::Pbkdf2Sha256 = self.algorithm;
        derive(secret, &self.salt, self.iterations).as_bytes().ct_eq(self.hash.as_bytes()).into()
    }
}

/// PBKDF2-HMAC-SHA256, in hex.
pub(super) fn derive(secret: &str, salt: &str, iterations: u32) -> String {
    let mut hash = [0; 32];
    pbkdf2_hmac::<Sha256>(secret.as_bytes(), salt.as_bytes(), iterations, &mut hash);
    hex(&hash)
}

/// A keyed hash of a secret: the first half of HMAC-SHA-256 under the salt of its key.
///
/// It is fast, so it may be stored only for secrets that nobody can guess. alertd's own have 192 random bits, so a
/// stolen tag does not help to guess them. The secrets of imported keys may be passwords.
pub(super) fn tag(secret: &str, salt: &str) -> String {
    // HMAC takes a key of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(salt.as_bytes()) else { return String::new() };
    // Makes it differ from every other hash under this salt.
    mac.update(b"alertd key tag\0");
    mac.update(secret.as_bytes());
    hex(&mac.finalize().into_bytes()[..16])
}

/// Converts milliseconds since 1970 to a stored time.
pub(super) fn time(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}
