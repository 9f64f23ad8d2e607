//! Secrets that were derived and found wrong, so that a client that repeats one costs a single derivation.
//!
//! Owned by the keyring, which forgets them with every change of the keys. They are kept as fingerprints under the key
//! of the process. Always: their number is bounded, and a result for keys that have changed since is not recorded.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

use super::fingerprint::Fingerprint;

/// The most secrets; beyond that the oldest is forgotten.
const MAX_SECRETS: usize = 8192;

#[derive(Default)]
pub(super) struct RefusedSecrets(Mutex<Refused>);

#[derive(Default)]
struct Refused {
    known: HashSet<Fingerprint>,
    oldest_first: VecDeque<Fingerprint>,
    /// Changes of the keys so far.
    changes: u64,
}

impl RefusedSecrets {
    /// The number of changes so far, for [`add`](Self::add). Must be read before the keys are looked up.
    pub(super) fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    pub(super) fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.lock().known.contains(fingerprint)
    }

    /// Records a secret that no key had after `changes`.
    pub(super) fn add(&self, fingerprint: Fingerprint, changes: u64) {
        let mut refused = self.0.lock();
        if refused.changes != changes || !refused.known.insert(fingerprint) {
            return;
        }
        refused.oldest_first.push_back(fingerprint);
        if refused.oldest_first.len() > MAX_SECRETS
            && let Some(oldest) = refused.oldest_first.pop_front()
        {
            refused.known.remove(&oldest);
        }
    }

    /// Forgets all secrets, because the keys have changed.
    pub(super) fn forget(&self) {
        let mut refused = self.0.lock();
        let changes = refused.changes + 1;
        *refused = Refused { changes, ..Refused::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: usize) -> Fingerprint {
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&number.to_le_bytes());
        fingerprint
    }

    #[test]
    fn the_number_is_bounded_and_the_oldest_goes_first() {
        let refused = RefusedSecrets::default();
        for number in 0..=MAX_SECRETS {
            refused.add(secret(number), 0);
            refused.add(secret(number), 0);
        }
        assert!(
            !refused.contains(&secret(0)) && refused.contains(&secret(1)) && refused.contains(&secret(MAX_SECRETS))
        );
        let inner = refused.0.lock();
        assert_eq!((inner.known.len(), inner.oldest_first.len()), (MAX_SECRETS, MAX_SECRETS));
    }

    #[test]
    fn what_was_found_out_before_a_change_is_not_noted_after_it() {
        let refused = RefusedSecrets::default();
        let before = refused.changes();
        refused.add(secret(1), before);
        refused.forget();
        refused.add(secret(2), before);
        assert!(!refused.contains(&secret(1)) && !refused.contains(&secret(2)));
        refused.add(secret(2), refused.changes());
        assert!(refused.contains(&secret(2)));
    }
}
