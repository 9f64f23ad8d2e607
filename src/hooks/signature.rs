//! GitHub's signature: HMAC-SHA256 of the body with a shared secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret shared with the sender. `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub(crate) const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Verifies a value of `X-Hub-Signature-256` for this body, in constant time.
    #[must_use]
    pub(crate) fn signs(&self, body: &[u8], signature: &str) -> bool {
        let Some(sent) = signature.strip_prefix("sha256=").and_then(bytes) else { return false };
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return false };
        mac.chain_update(body).verify_slice(&sent).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Decodes 64 hex digits.
fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_signature_is_good() {
        // The example of GitHub's documentation.
        let secret = Secret::new(Zeroizing::new("It's a Secret to Everybody".to_owned()));
        let (body, hex) = (b"Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
        assert!(secret.signs(body, &format!("sha256={hex}")));
        for bad in [
            hex.to_owned(),
            String::new(),
            "sha256=".to_owned(),
            format!("sha1={hex}"),
            format!("sha256={hex}00"),
            format!("sha256={}0", &hex[..63]),
            format!("sha256={}ä", &hex[..62]),
        ] {
            assert!(!secret.signs(body, &bad), "{bad}");
        }
        assert!(!secret.signs(b"Hello, World", &format!("sha256={hex}")));
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
