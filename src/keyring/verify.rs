//! Verification of presented secrets: when a derivation runs, where, and how many at a time.
//!
//! The service calls [`Keyring::remembered`] first, then [`Keyring::screen`], and [`Keyring::verify`] only if that is
//! undecided. Derivations run on blocking threads in two pools, so that a flood of secrets in the form of the former
//! alert server leaves alertd's own keys their share. Requests with the same secret share one derivation, and each key
//! or user may have only a few running, so that wrong secrets for one id cannot fill a pool. The number of waiting
//! secrets is bounded; more are refused and may be tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

use super::fingerprint::Fingerprint;
use super::{Freshness, KeyEntry, Keyring, Keys, VerifyError};
use crate::key::Grant;
use crate::key::secret::{self, Presented};

/// Distinct secrets that wait or are being verified, for each of the two pools.
const MAX_IN_FLIGHT: usize = 1024;
/// How many of these one key, or one user of the former alert server, may have beyond the number of its keys: the
/// holder of a key presents only one secret.
const MAX_IN_FLIGHT_PER_OWNER: usize = 3;

/// A bounded share of the derivations.
pub(super) struct VerifyPool {
    permits: Arc<Semaphore>,
    in_flight: Mutex<HashMap<Fingerprint, InFlight>>,
}

/// The verification of one secret, shared by all requests that present it.
struct InFlight {
    owner: String,
    users: usize,
    outcome: Arc<OnceCell<Option<Arc<KeyEntry>>>>,
}

/// What is known about a secret without a derivation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Screened {
    /// It is the secret of a key.
    Accepted(Arc<Grant>),
    /// A derivation is necessary.
    Undecided {
        /// The key, or the user of imported keys, that it claims to belong to.
        owner: String,
    },
}

/// A request that waits for a verification. When the last one is dropped, the verification is forgotten.
struct Waiter<'a> {
    pool: &'a VerifyPool,
    fingerprint: Fingerprint,
    outcome: Arc<OnceCell<Option<Arc<KeyEntry>>>>,
}

impl VerifyPool {
    pub(super) fn new(permits: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), in_flight: Mutex::default() }
    }

    pub(super) fn waiting(&self) -> usize {
        self.in_flight.lock().len()
    }

    /// Takes a place for a secret of this owner, which may belong to one of `keys` keys.
    fn enter(&self, fingerprint: Fingerprint, owner: &str, keys: usize) -> Option<Waiter<'_>> {
        let mut in_flight = self.in_flight.lock();
        if !in_flight.contains_key(&fingerprint) {
            let of_owner = in_flight.values().filter(|verification| verification.owner == owner).count();
            if in_flight.len() >= MAX_IN_FLIGHT || of_owner >= MAX_IN_FLIGHT_PER_OWNER + keys {
                return None;
            }
        }
        let new = || InFlight { owner: owner.to_owned(), users: 0, outcome: Arc::default() };
        let verification = in_flight.entry(fingerprint).or_insert_with(new);
        verification.users += 1;
        Some(Waiter { pool: self, fingerprint, outcome: Arc::clone(&verification.outcome) })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.pool.in_flight.lock();
        if let Some(verification) = in_flight.get_mut(&self.fingerprint) {
            verification.users -= 1;
            if verification.users == 0 {
                in_flight.remove(&self.fingerprint);
            }
        }
    }
}

impl Keyring {
    /// The grant of a secret that was verified since the start. Never runs a derivation.
    #[must_use]
    pub(crate) fn remembered(&self, presented: &str, now_ms: u64) -> Option<Arc<Grant>> {
        if !self.may(Freshness::Stale) || self.is_overdue() {
            return None;
        }
        let claimed = secret::claimed(presented)?;
        let keys = self.keys.read();
        let candidates = keys.candidates(claimed, presented);
        // What is unknown costs no hash.
        let entry = candidates.first().and_then(|_| known(candidates, &self.fingerprints.of(presented)))?;
        (!entry.record.is_expired(now_ms)).then(|| Arc::clone(&entry.grant))
    }

    /// Decides about a secret without a derivation, if possible.
    ///
    /// # Errors
    /// [`VerifyError`] for every secret that is certainly wrong, and if the keys cannot be reached.
    pub(crate) fn screen(&self, presented: &str, now_ms: u64) -> Result<Screened, VerifyError> {
        if !self.may(Freshness::Current) {
            return Err(VerifyError::Away);
        }
        let live = self.live(presented, now_ms)?;
        let first = live.first().ok_or(VerifyError::Expired)?;
        let fingerprint = self.fingerprints.of(presented);
        if self.refused.contains(&fingerprint) {
            return Err(VerifyError::Wrong);
        }
        if first.record.imported {
            return Ok(Screened::Undecided { owner: first.record.user.clone() });
        }
        match first.record.is_tagged(presented) {
            Some(true) => {
                first.remember(fingerprint);
                Ok(Screened::Accepted(Arc::clone(&first.grant)))
            }
            // A key has only one secret, and that of this key is known already.
            None if first.verified.lock().is_none() => Ok(Screened::Undecided { owner: first.record.id.clone() }),
            _ => Err(VerifyError::Wrong),
        }
    }

    /// Verifies a secret by a derivation off the calling thread.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub(crate) async fn verify(self: &Arc<Self>, presented: &str, now_ms: u64) -> Result<Arc<Grant>, VerifyError> {
        if !self.may(Freshness::Current) {
            return Err(VerifyError::Away);
        }
        let changes = self.refused.changes();
        let live = self.live(presented, now_ms)?;
        let Some(first) = live.first() else { return Err(VerifyError::Expired) };
        let (pool, owner) = if first.record.imported {
            (&self.former, first.record.user.clone())
        } else {
            (&self.own, first.record.id.clone())
        };
        let fingerprint = self.fingerprints.of(presented);
        let waiter = pool.enter(fingerprint, &owner, live.len()).ok_or(VerifyError::Busy)?;
        let outcome = waiter.outcome.get_or_try_init(|| self.derive(pool, presented, fingerprint, live)).await?;
        let Some(entry) = outcome else {
            self.refused.add(fingerprint, changes);
            return Err(VerifyError::Wrong);
        };
        // The key may have been revoked or changed in the meantime.
        let keys = self.keys.read();
        match keys.by_id.get(&entry.record.id) {
            Some(now) if !now.record.has_secret_of(&entry.record) => Err(VerifyError::Unknown),
            None => Err(VerifyError::Unknown),
            Some(now) if now.record.is_expired(now_ms) => Err(VerifyError::Expired),
            Some(now) => {
                now.remember(fingerprint);
                self.tag_later(&now.record, presented, now_ms);
                Ok(Arc::clone(&now.grant))
            }
        }
    }

    /// The key with this secret. Runs once for all requests that wait; if the request that runs it is dropped, the next one
    /// starts it again.
    async fn derive(
        &self,
        pool: &VerifyPool,
        presented: &str,
        fingerprint: Fingerprint,
        live: Vec<Arc<KeyEntry>>,
    ) -> Result<Option<Arc<KeyEntry>>, VerifyError> {
        let permit = Arc::clone(&pool.permits).acquire_owned().await.map_err(|_| VerifyError::Busy)?;
        // Another request may have verified this secret after the caller looked and before it entered the pool.
        if let Some(entry) = known(&live, &fingerprint) {
            return Ok(Some(Arc::clone(entry)));
        }
        let (secret, derivations) = (Zeroizing::new(presented.to_owned()), Arc::clone(&self.derivations));
        let found = tokio::task::spawn_blocking(move || {
            // The permit is held until the derivation ends, even if no request waits for it any more.
            let _permit = permit;
            // A key whose secret is known has no other one.
            let found = live.into_iter().filter(|entry| entry.verified.lock().is_none()).find(|entry| {
                derivations.fetch_add(1, Ordering::Relaxed);
                entry.record.is_secret(&secret)
            });
            if let Some(entry) = &found {
                entry.remember(fingerprint);
            }
            found
        });
        found.await.map_err(|_| VerifyError::Busy)
    }

    /// Those of the candidates that have not expired.
    fn live(&self, presented: &str, now_ms: u64) -> Result<Vec<Arc<KeyEntry>>, VerifyError> {
        let parsed = secret::parse(presented).ok_or(VerifyError::Malformed)?;
        let keys = self.keys.read();
        match keys.candidates(parsed, presented) {
            [] => Err(VerifyError::Unknown),
            found => Ok(found.iter().filter(|entry| !entry.record.is_expired(now_ms)).cloned().collect()),
        }
    }
}

impl Keys {
    /// The keys to which a presented secret may belong.
    fn candidates(&self, claimed: Presented<'_>, presented: &str) -> &[Arc<KeyEntry>] {
        match claimed {
            Presented::Own { user, id } => {
                let own = |entry: &&Arc<KeyEntry>| entry.record.user == user && !entry.record.imported;
                self.by_id.get(id).filter(own).map(std::slice::from_ref).unwrap_or_default()
            }
            Presented::Former => {
                let user = secret::former_user(presented);
                user.and_then(|user| self.imported.get(&user)).map(Vec::as_slice).unwrap_or_default()
            }
        }
    }
}

fn known<'a>(entries: &'a [Arc<KeyEntry>], fingerprint: &Fingerprint) -> Option<&'a Arc<KeyEntry>> {
    entries.iter().find(|entry| {
        let verified = *entry.verified.lock();
        verified.is_some_and(|known| known.ct_eq(fingerprint).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NewKey;
    use crate::keyring::Settings;

    const NOW: u64 = 1_795_455_190_123;

    fn open(directory: &std::path::Path, iterations: u32, workers: usize) -> Arc<Keyring> {
        let settings = Settings { directory: directory.to_owned(), iterations, workers };
        Arc::new(Keyring::open(&settings).unwrap())
    }

    fn for_user(user: &str) -> NewKey {
        NewKey { user: user.into(), ..NewKey::default() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn any_number_of_requests_with_one_key_cost_one_derivation_and_none_is_turned_away() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = open(directory.path(), 20_000, 2);
        let key = keyring.add(for_user("a"), NOW).unwrap();
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..3000 {
            let (keyring, secret) = (Arc::clone(&keyring), key.secret.clone());
            requests.spawn(async move { keyring.verify(&secret, NOW).await.is_ok() });
        }
        assert!(requests.join_all().await.into_iter().all(|accepted| accepted));
        assert_eq!(keyring.derivations(), 1);
        assert!(keyring.own.in_flight.lock().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_goes_away_frees_no_place_before_its_work_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = open(directory.path(), 2_000_000, 1);
        let key = keyring.add(for_user("a"), NOW).unwrap();
        let (ring, wrong) = (Arc::clone(&keyring), secret::compose("a", &key.key.id, &[1; 24]));
        let request = tokio::spawn(async move { ring.verify(&wrong, NOW).await });
        while keyring.derivations() == 0 {
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(keyring.own.permits.available_permits(), 0);
        assert!(keyring.own.in_flight.lock().is_empty());
        assert!(keyring.verify(&key.secret, NOW).await.is_ok());
    }

    #[tokio::test]
    async fn wrong_secrets_for_one_id_take_no_place_from_other_keys() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = open(directory.path(), 1000, 1);
        let (attacked, other) = (keyring.add(for_user("a"), NOW).unwrap(), keyring.add(for_user("b"), NOW).unwrap());
        let busy = Arc::clone(&keyring.own.permits).acquire_owned().await.unwrap();
        let mut flood = tokio::task::JoinSet::new();
        for n in 0..100 {
            let (ring, wrong) = (Arc::clone(&keyring), secret::compose("a", &attacked.key.id, &[n; 24]));
            flood.spawn(async move { ring.verify(&wrong, NOW).await });
        }
        let most = MAX_IN_FLIGHT_PER_OWNER + 1;
        for _ in most..100 {
            assert_eq!(flood.join_next().await.unwrap().unwrap(), Err(VerifyError::Busy));
        }
        assert_eq!(keyring.own.in_flight.lock().len(), most);
        drop(busy);
        assert_eq!(&*keyring.verify(&other.secret, NOW).await.unwrap().user, "b");
        while let Some(refused) = flood.join_next().await {
            assert_eq!(refused.unwrap(), Err(VerifyError::Wrong));
        }
    }

    #[tokio::test]
    async fn a_key_that_is_revoked_while_it_is_verified_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let keyring = open(directory.path(), 1000, 1);
        let key = keyring.add(for_user("a"), NOW).unwrap();
        let busy = Arc::clone(&keyring.own.permits).acquire_owned().await.unwrap();
        let (ring, secret) = (Arc::clone(&keyring), key.secret.clone());
        let request = tokio::spawn(async move { ring.verify(&secret, NOW).await });
        while keyring.own.in_flight.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        keyring.revoke(&key.key.id, NOW).unwrap();
        drop(busy);
        assert_eq!(request.await.unwrap(), Err(VerifyError::Unknown));
    }
}
