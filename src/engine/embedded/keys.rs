//! Idempotency keys and what each stands for. They are kept for a day, and their number is bounded.
//!
//! Always: a user who sends more keys than all others pushes out its own only.

use std::collections::{BTreeSet, HashMap};

use super::codec::Keyed;
use crate::alert::Id;
use crate::engine::limits::{IDEMPOTENCY_AGE_MS, MAX_IDEMPOTENCY_KEYS};
use crate::engine::publish::Owner;

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    /// The fingerprint of the alert, to tell a retry from another alert.
    pub(super) fingerprint: [u8; 32],
    pub(super) id: Id,
    pub(super) received_ms: u64,
    pub(super) owner: Owner,
    /// Whether the fingerprint is that of a state, which is no secret.
    pub(super) is_state: bool,
}

impl KeyRow {
    pub(super) const fn of(key: &Keyed, id: Id, received_ms: u64, owner: Owner) -> Self {
        Self { fingerprint: key.fingerprint, id, received_ms, owner, is_state: key.is_state }
    }

    /// Whether it stands for an alert that was retracted.
    pub(super) fn is_retracted(&self) -> bool {
        !self.is_state && self.fingerprint == [0; 32]
    }
}

/// Keys by age, the oldest first.
type ByAge = BTreeSet<(u64, [u8; 32])>;

#[derive(Default)]
pub(super) struct Keys {
    rows: HashMap<[u8; 32], KeyRow>,
    by_age: ByAge,
    by_owner: HashMap<Owner, ByAge>,
    /// How many keys each owner has.
    owners: BTreeSet<(usize, Owner)>,
}

impl Keys {
    /// What a key stands for, unless it is too old.
    pub(super) fn get(&self, hash: &[u8; 32], clock_ms: u64) -> Option<KeyRow> {
        self.rows.get(hash).copied().filter(|row| row.received_ms.saturating_add(IDEMPOTENCY_AGE_MS) >= clock_ms)
    }

    pub(super) fn insert(&mut self, hash: [u8; 32], row: KeyRow) {
        self.remove(&hash);
        self.rows.insert(hash, row);
        self.by_age.insert((row.received_ms, hash));
        let own = self.by_owner.entry(row.owner).or_default();
        self.owners.remove(&(own.len(), row.owner));
        own.insert((row.received_ms, hash));
        self.owners.insert((own.len(), row.owner));
        if self.rows.len() as u64 > MAX_IDEMPOTENCY_KEYS {
            let most = self.owners.last().and_then(|(_, owner)| self.by_owner.get(owner));
            if let Some((_, oldest)) = most.and_then(BTreeSet::first).copied() {
                self.remove(&oldest);
            }
        }
    }

    /// Forgets keys that are too old, `limit` of them at most.
    pub(super) fn expire(&mut self, clock_ms: u64, limit: usize) {
        for _ in 0..limit {
            match self.by_age.first().copied() {
                Some((received_ms, hash)) if received_ms.saturating_add(IDEMPOTENCY_AGE_MS) < clock_ms => {
                    self.remove(&hash);
                }
                _ => return,
            }
        }
    }

    fn remove(&mut self, hash: &[u8; 32]) {
        let Some(row) = self.rows.remove(hash) else { return };
        self.by_age.remove(&(row.received_ms, *hash));
        let Some(own) = self.by_owner.get_mut(&row.owner) else { return };
        self.owners.remove(&(own.len(), row.owner));
        own.remove(&(row.received_ms, *hash));
        if own.is_empty() {
            self.by_owner.remove(&row.owner);
        } else {
            self.owners.insert((own.len(), row.owner));
        }
    }

    /// Forgets the fingerprints of an alert whose content is erased.
    pub(super) fn erase(&mut self, id: Id) {
        let rows = self.rows.values_mut().filter(|row| row.id == id && !row.is_state);
        rows.for_each(|row| row.fingerprint = [0; 32]);
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

    fn row(ms: u64) -> KeyRow {
        KeyRow { fingerprint: [1; 32], id: Id::at(ms), received_ms: ms, owner: [9; 8], is_state: false }
    }

    #[test]
    fn keys_end_with_their_age_or_beyond_their_number_the_oldest_first() {
        const MAX_KEYS: usize = 100_000;
        let mut keys = Keys::default();
        let hash = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            hash
        };
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
        keys.insert(hash(2), KeyRow { is_state: true, ..row(1_000_000) });
        keys.erase(Id::at(1_000_000));
        assert!(keys.get(&hash(1), 0).unwrap().is_retracted());
        assert_eq!(keys.get(&hash(2), 0).unwrap().fingerprint, [1; 32]);
        assert_eq!(keys.iter().count(), keys.len());
    }

    #[test]
    fn a_user_with_many_keys_pushes_out_no_key_of_another() {
        let mut keys = Keys::default();
        let hash = |n: u64, owner: u8| {
            let mut hash = [owner; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            hash
        };
        let row = |ms: u64, owner: u8| KeyRow { owner: [owner; 8], ..row(ms) };
        (0..10).for_each(|n| keys.insert(hash(n, 1), row(n, 1)));
        (10..MAX_IDEMPOTENCY_KEYS + 500).for_each(|n| keys.insert(hash(n, 2), row(n, 2)));
        assert_eq!(keys.len() as u64, MAX_IDEMPOTENCY_KEYS);
        assert!((0..10).all(|n| keys.get(&hash(n, 1), 0).is_some()));
        assert!(keys.get(&hash(509, 2), 0).is_none() && keys.get(&hash(510, 2), 0).is_some());
        keys.expire(IDEMPOTENCY_AGE_MS + 5, 100);
        assert_eq!((keys.by_owner[&[1; 8]].len(), keys.owners.len()), (5, 2));
    }
}
