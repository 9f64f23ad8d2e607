//! The text form of a secret, which clients send as their bearer token.
//!
//! `alertd_<user>~<id>~<random><checksum>`: a prefix for secret scanners, the public id, with which one look-up finds the
//! key, 192 random bits, and a checksum, so that a mistyped secret costs no hashing. Secrets of the former alert server,
//! base64url of `user:` and 24 bytes, are recognised by their form.

use std::fmt;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::is_user;

/// The beginning of every secret.
pub const PREFIX: &str = "alertd_";
/// Random bytes in a secret.
pub const RANDOM: usize = 24;
/// Random bytes for the id of a key.
pub const ID_RANDOM: usize = 10;
/// A longer text cannot be a secret.
const MAX_LEN: usize = 256;
const CHECKSUM_LEN: usize = 6;

/// The form of a presented secret, which is not verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// A secret of alertd's own form.
    Own {
        /// The claimed user.
        user: &'a str,
        /// The claimed id.
        id: &'a str,
    },
    /// A secret of the former alert server; [`former_user`] returns its user.
    Former,
}

/// The secret of a key. It is wiped from memory when it is dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// The public id of a key: ten characters of `a-z2-7`.
#[must_use]
pub fn id(random: [u8; ID_RANDOM]) -> String {
    random.iter().map(|byte| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(byte % 32)])).collect()
}

/// The secret of a new key.
#[must_use]
pub fn compose(user: &str, id: &str, random: &[u8; RANDOM]) -> Secret {
    let random = Zeroizing::new(BASE64.encode(random));
    let body = Zeroizing::new(format!("{PREFIX}{user}~{id}~{}", random.as_str()));
    format!("{}{}", body.as_str(), checksum(&body)).into()
}

/// Parses a presented secret. `None` if it cannot be one, for example because it is incomplete or mistyped.
#[must_use]
pub fn parse(text: &str) -> Option<Presented<'_>> {
    let claimed = claimed(text)?;
    match (claimed, split(text)) {
        (Presented::Own { .. }, Some((body, given))) => (checksum(body) == given).then_some(claimed),
        _ => Some(claimed),
    }
}

/// The same without a look at the checksum, which whoever compares the whole secret with a known one does not need.
#[must_use]
pub fn claimed(text: &str) -> Option<Presented<'_>> {
    if text.len() > MAX_LEN || !text.is_ascii() {
        return None;
    }
    if !text.starts_with(PREFIX) {
        return former_user(text).map(|_| Presented::Former);
    }
    let mut parts = split(text)?.0.strip_prefix(PREFIX)?.split('~');
    let (user, id, random) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && is_user(user) && random.len() == RANDOM * 4 / 3;
    whole.then_some(Presented::Own { user, id })
}

/// A secret of alertd's own form without its checksum, and the checksum.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(CHECKSUM_LEN)?)
}

/// The user in a secret of the former alert server.
#[must_use]
pub fn former_user(text: &str) -> Option<String> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    let user = bytes.get(..bytes.len().checked_sub(RANDOM)?)?.strip_suffix(b":")?;
    let user = std::str::from_utf8(user).ok()?;
    is_user(user).then(|| user.to_owned())
}

/// Detects typing errors; it is no protection against forgery.
fn checksum(body: &str) -> String {
    BASE64.encode(Sha256::digest(body)).chars().take(CHECKSUM_LEN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_a_mistyped_one_does_not() {
        let id = id([7; ID_RANDOM]);
        let secret = compose("al.ice-1", &id, &[0xa5; RANDOM]);
        assert_eq!(parse(&secret), Some(Presented::Own { user: "al.ice-1", id: &id }));
        for at in 0..secret.len() {
            let mut typo = secret.as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(parse(std::str::from_utf8(&typo).unwrap()), None, "changed at {at}");
            assert_eq!(parse(&secret[..at]), None, "cut at {at}");
        }
        let mistyped = format!("{}x", &secret[..secret.len() - 1]);
        assert_eq!(claimed(&mistyped), parse(&secret));
        for other in ["", "alertd_", "alertd_~~", "alertd_é", &"a".repeat(4096), "Bearer x"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn debug_output_does_not_show_a_secret() {
        let secret = compose("alice", &id([7; ID_RANDOM]), &[0xa5; RANDOM]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn the_form_of_the_former_alert_server_is_recognised() {
        let mut raw = b"bob:".to_vec();
        raw.extend([0xff; RANDOM]);
        let text = BASE64.encode(&raw);
        assert_eq!(parse(&text), Some(Presented::Former));
        assert_eq!(former_user(&text).as_deref(), Some("bob"));
        assert_eq!(parse(&BASE64.encode(&raw[1..3])), None);
    }
}
