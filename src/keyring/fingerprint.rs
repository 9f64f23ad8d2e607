//! Fingerprints: keyed hashes under which secrets are recognised while the process runs.
//!
//! The keyring makes one of each secret that is presented. Always: the key is random, is stored nowhere and differs in each
//! process, so that a fingerprint is of no use elsewhere.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyringError, random};

pub(super) type Fingerprint = [u8; 32];

/// HMAC-SHA-256 that has taken in its key already, which is half of the work for a text as short as a secret.
pub(super) struct Fingerprints(Hmac<Sha256>);

impl Fingerprints {
    /// # Errors
    /// [`KeyringError::Random`].
    pub(super) fn new() -> Result<Self, KeyringError> {
        let key: Zeroizing<[u8; 64]> = Zeroizing::new(random()?);
        Ok(Self(Hmac::new((&*key).into())))
    }

    pub(super) fn of(&self, secret: &str) -> Fingerprint {
        self.0.clone().chain_update(secret).finalize().into_bytes().into()
    }
}
