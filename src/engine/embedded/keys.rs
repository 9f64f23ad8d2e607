//! Idempotency keys: what each stands for, for a day, a bounded number of them.

use std::collections::{BTreeSet, HashMap};

use crate::alert::Id;
use crate::engine::limits::{IDEMPOTENCY_AGE_MS, MAX_IDEMPOTENCY_KEYS};

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    /// Of the alert, to tell a retry from another alert.
    pub(super) fingerprint: [u8; 32],
    pub(super) id: Id,
    pub(super) received_ms: u64,
}

#[derive(Default)]
pub(super) struct Keys {
    rows: HashMap<[u8; 32], KeyRow>,
    by_age: BTreeSet<(u64, [u8; 32])>,
}

impl Keys {
    /// What a key stands for, unless it is too old.
    pub(super) fn get(&self, hash: &[u8; 32], clock_ms: u64) -> Option<KeyRow> {
        self.rows.get(hash).copied().filter(|row| row.received_ms.saturating_add(IDEMPOTENCY_AGE_MS) >= clock_ms)
    }

    pub(super) fn insert(&mut self, hash: [u8; 32], row: KeyRow) {
        if let Some(before) = self.rows.insert(hash, row) {
            self.by_age.remove(&(before.received_ms, hash));
        }
        self.by_age.insert((row.received_ms, hash));
        if self.rows.len() as u64 > MAX_IDEMPOTENCY_KEYS {
            self.forget_oldest();
        }
    }

    /// Forgets keys that are too old, `limit` of them at most.
    pub(super) fn expire(&mut self, clock_ms: u64, limit: usize) {
        for _ in 0..limit {
            match self.by_age.first() {
                Some((received_ms, _)) if received_ms.saturating_add(IDEMPOTENCY_AGE_MS) < clock_ms => {
                    self.forget_oldest()
                }
                _ => return,
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, hash)) = self.by_age.pop_first() {
            self.rows.remove(&hash);
        }
    }

    /// Forgets what a key says of an alert whose content is erased. Returns whether there was one.
    pub(super) fn erase(&mut self, id: Id) -> bool {
        let rows = self.rows.values_mut().filter(|row| row.id == id);
        rows.map(|row| row.fingerprint = [0; 32]).count() > 0
    }

    /// By age, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &KeyRow)> {
        self.by_age.iter().filter_map(|(_, hash)| Some((hash, self.rows.get(hash)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_with_their_age_or_beyond_their_number_the_oldest_first() {
        const MAX_KEYS: usize = 100_000;
        let mut keys = Keys::default();
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            hash
        };
        let row = |ms: u64| KeyRow { fingerprint: [1; 32], id: Id::at(ms), received_ms: ms };
        for n in 0..=MAX_KEYS {
            keys.insert(hash(n), row(n as u64));
        }
        assert_eq!((keys.len(), keys.get(&hash(0), 0), keys.get(&hash(1), 0)), (MAX_KEYS, None, Some(row(1))));
        assert_eq!(keys.get(&hash(1), IDEMPOTENCY_AGE_MS + 2), None);
        // A key that stands for something newer is as old as that.
        keys.insert(hash(1), row(1_000_000));
        keys.expire(IDEMPOTENCY_AGE_MS + 10, 100);
        assert_eq!(
            (keys.len(), keys.get(&hash(9), 0), keys.get(&hash(1), 0)),
            (MAX_KEYS - 8, None, Some(row(1_000_000)))
        );
        keys.erase(Id::at(1_000_000));
        assert_eq!(keys.get(&hash(1), 0).unwrap().fingerprint, [0; 32]);
        assert_eq!(keys.iter().count(), keys.len());
    }
}
