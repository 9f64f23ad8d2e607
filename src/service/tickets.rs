//! Tickets: what opens one stream for a browser whose `EventSource` cannot send a key.
//!
//! Owned by the service, which gives and redeems them. A ticket is 192 random bits, of which only the hash is kept, in
//! memory: a restart forgets all, and their holders ask for new ones. A fleet keeps the hashes in its engine as well, so a
//! ticket opens a stream on any node; there the engine says whether it was used, and memory only how many were given. Always: a ticket is redeemed once at the most, not
//! after [`LIFETIME`], and not once its key has ended. What is remembered is bounded for each key and in all, used
//! tickets included, so that a key which uses up its tickets at once cannot have more than one which keeps them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{Attempt, Caller, Refusal, Service};
use crate::api::Ticket;
use crate::key::{Grant, Scope};
use crate::keyring::KeyState;

/// How long a ticket is good for.
const LIFETIME: Duration = Duration::from_secs(30);
/// Tickets that one key gets within a lifetime.
const PER_KEY: usize = 256;
/// Tickets that all keys together get within a lifetime.
const IN_ALL: usize = 65_536;
/// Random bytes of a ticket.
const RANDOM: usize = 24;

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
pub(super) enum TicketError {
    /// A bound is reached; it tells when there is room again.
    #[error("{0} tickets were given within {seconds} s: come back a little later", seconds = LIFETIME.as_secs())]
    TooMany(usize, Duration),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl From<TicketError> for Refusal {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::TooMany(_, retry_after) => Self::TooMany { what: error.to_string(), retry_after },
            TicketError::Random(_) => Self::Unavailable {
                reason: "no ticket can be made now: try again".into(),
                detail: Some(error.to_string()),
            },
        }
    }
}

impl Service {
    /// Who holds the key behind this ticket, which is used up by it. As a remembered key a good ticket is never held
    /// back; a bad one counts as a wrong key does.
    ///
    /// # Errors
    /// [`Refusal::Ticket`] for every reason alike; [`Refusal::TooMany`] for an address with too many failures;
    /// [`Refusal::Unavailable`] where the fleet's tickets are out of reach.
    pub(crate) async fn redeem_ticket(&self, presented: &str, peer: Option<IpAddr>) -> Result<Caller, Refusal> {
        // By hash, so that the time a look-up takes tells nothing of the tickets that are there.
        let hash = hash(presented);
        let mut grant = self.tickets.redeem(&hash, Instant::now(), self.now_ms());
        if let Some(fleet) = self.engine.fleet() {
            if grant.is_none() {
                // Guesses cost the fleet nothing.
                self.may_try_keys(peer)?;
            }
            let key_id = fleet.take_ticket(&hash).await?;
            grant = key_id.and_then(|id| live(&self.keyring.watch(&id), self.now_ms()));
        }
        if let Some(grant) = grant {
            self.counters.attempt(Attempt::Ticket);
            return Ok(Caller::Key(grant));
        }
        self.may_try_keys(peer)?;
        self.refused_key(peer, Attempt::BadTicket, "unknown, used or expired ticket, or one whose key has ended");
        Err(Refusal::Ticket)
    }

    /// A ticket for one stream as this key.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope to subscribe, [`Refusal::KeyOnly`] on a socket without keys,
    /// [`Refusal::TooMany`] where too many were given, [`Refusal::Unavailable`] where the fleet's are out of reach.
    pub(crate) async fn ticket(&self, caller: &Caller) -> Result<Ticket, Refusal> {
        caller.require(Scope::Subscribe)?;
        let Caller::Key(grant) = caller else { return Err(Refusal::KeyOnly) };
        let ticket = self.tickets.issue(&grant.key_id, self.keyring.watch(&grant.key_id), Instant::now())?;
        if let Some(fleet) = self.engine.fleet() {
            fleet.keep_ticket(&hash(&ticket), &grant.key_id, LIFETIME).await?;
        }
        Ok(Ticket { ticket: ticket.to_string(), expires_in: LIFETIME.as_secs() })
    }
}

type Hash = [u8; 32];

/// The tickets of the last [`LIFETIME`].
#[derive(Default)]
pub(super) struct Tickets(Mutex<Issued>);

#[derive(Default)]
struct Issued {
    /// Not used yet, with the key behind each.
    open: HashMap<Hash, watch::Receiver<KeyState>>,
    /// All, used or not, the oldest first; every ticket lives equally long.
    ends: VecDeque<(Instant, Hash, Arc<str>)>,
    /// When the tickets of each key end, the oldest first.
    of_key: HashMap<Arc<str>, VecDeque<Instant>>,
}

impl Tickets {
    /// A new ticket for the key that `key` has news of.
    ///
    /// # Errors
    /// [`TicketError`].
    pub(super) fn issue(
        &self,
        key_id: &str,
        key: watch::Receiver<KeyState>,
        now: Instant,
    ) -> Result<Zeroizing<String>, TicketError> {
        let mut random = Zeroizing::new([0; RANDOM]);
        getrandom::fill(&mut *random).map_err(TicketError::Random)?;
        let ticket = Zeroizing::new(BASE64.encode(*random));
        let mut issued = self.0.lock();
        issued.forget(now);
        let too_many = |number, oldest: Option<&Instant>| {
            let wait = oldest.map_or(LIFETIME, |ends| ends.saturating_duration_since(now));
            Err(TicketError::TooMany(number, wait))
        };
        if issued.ends.len() >= IN_ALL {
            return too_many(IN_ALL, issued.ends.front().map(|(ends, ..)| ends));
        }
        if let Some(own) = issued.of_key.get(key_id).filter(|own| own.len() >= PER_KEY) {
            return too_many(PER_KEY, own.front());
        }
        let (hash, key_id, ends) = (hash(&ticket), Arc::<str>::from(key_id), now + LIFETIME);
        issued.open.insert(hash, key);
        issued.of_key.entry(Arc::clone(&key_id)).or_default().push_back(ends);
        issued.ends.push_back((ends, hash, key_id));
        Ok(ticket)
    }

    /// What the key behind a ticket may do now. Whatever the answer, the ticket is used up.
    pub(super) fn redeem(&self, hash: &Hash, now: Instant, now_ms: u64) -> Option<Arc<Grant>> {
        let mut issued = self.0.lock();
        issued.forget(now);
        let key = issued.open.remove(hash)?;
        live(&key, now_ms)
    }
}

/// What a key may do now, if it works.
fn live(key: &watch::Receiver<KeyState>, now_ms: u64) -> Option<Arc<Grant>> {
    match &*key.borrow() {
        KeyState::Revoked | KeyState::Unknown => None,
        KeyState::Active { expires_ms, .. } if expires_ms.is_some_and(|ms| ms <= now_ms) => None,
        KeyState::Active { grant, .. } => Some(Arc::clone(grant)),
    }
}

impl Issued {
    /// Lets go of what is over.
    fn forget(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(ends, ..)| *ends <= now)
            && let Some((_, hash, key_id)) = self.ends.pop_front()
        {
            self.open.remove(&hash);
            if let Some(own) = self.of_key.get_mut(&key_id) {
                own.pop_front();
                if own.is_empty() {
                    self.of_key.remove(&key_id);
                }
            }
        }
    }
}

fn hash(ticket: &str) -> Hash {
    Sha256::digest(ticket).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(expires_ms: Option<u64>) -> watch::Sender<KeyState> {
        let grant = Grant {
            key_id: "k".into(),
            user: "u".into(),
            scopes: vec![Scope::Subscribe],
            topics: vec![crate::alert::Pattern::All],
            expires_ms,
        };
        watch::Sender::new(KeyState::Active { expires_ms, grant: Arc::new(grant) })
    }

    fn is_at_rest(tickets: &Tickets) -> bool {
        let issued = tickets.0.lock();
        issued.open.is_empty() && issued.ends.is_empty() && issued.of_key.is_empty()
    }

    #[test]
    fn a_ticket_is_redeemed_once_and_in_time() {
        let (tickets, key, start) = (Tickets::default(), key(None), Instant::now());
        let issue = |at| tickets.issue("k", key.subscribe(), at).unwrap();
        let (first, second, third) = (issue(start), issue(start), issue(start + SECOND));
        assert!(first.len() == 32 && first != second);
        let last = start + LIFETIME - Duration::from_nanos(1);
        assert_eq!(tickets.redeem(&hash(&first), last, 0).unwrap().key_id, "k");
        assert!(tickets.redeem(&hash(&first), last, 0).is_none(), "used");
        assert!(tickets.redeem(&hash(&second), start + LIFETIME, 0).is_none(), "too late");
        assert!(tickets.redeem(&hash(&third), start + LIFETIME, 0).is_some());
        for other in ["", "x", &"x".repeat(32), &"x".repeat(100_000)] {
            assert!(tickets.redeem(&hash(other), start, 0).is_none());
        }
        assert!(tickets.redeem(&hash("x"), start + LIFETIME + SECOND, 0).is_none());
        assert!(is_at_rest(&tickets));
    }

    #[test]
    fn a_ticket_ends_with_its_key() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let (expiring, gone, dropped) = (key(Some(1000)), key(None), key(None));
        let [a, b, c, d] =
            [&expiring, &expiring, &gone, &dropped].map(|key| tickets.issue("k", key.subscribe(), now).unwrap());
        gone.send_replace(KeyState::Revoked);
        dropped.send_replace(KeyState::Revoked);
        drop(dropped);
        assert!(tickets.redeem(&hash(&a), now, 999).is_some() && tickets.redeem(&hash(&b), now, 1000).is_none());
        assert!(tickets.redeem(&hash(&c), now, 0).is_none() && tickets.redeem(&hash(&d), now, 0).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_by_key_and_in_all() {
        let (tickets, key, start) = (Tickets::default(), key(None), Instant::now());
        let issue = |id: &str, at| tickets.issue(id, key.subscribe(), at);
        for _ in 0..PER_KEY {
            let ticket = issue("greedy", start).unwrap();
            tickets.redeem(&hash(&ticket), start, 0).unwrap();
        }
        let refused = issue("greedy", start + SECOND).unwrap_err();
        assert!(matches!(refused, TicketError::TooMany(PER_KEY, wait) if wait == LIFETIME - SECOND), "{refused}");
        assert!(issue("other", start + SECOND).is_ok() && issue("greedy", start + LIFETIME).is_ok());
        for n in 2..IN_ALL {
            issue(&(n / PER_KEY).to_string(), start + LIFETIME).unwrap();
        }
        let refused = issue("late", start + LIFETIME).unwrap_err();
        assert!(matches!(refused, TicketError::TooMany(IN_ALL, wait) if wait == SECOND), "{refused}");
        assert!(tickets.redeem(&hash("x"), start + 2 * LIFETIME, 0).is_none());
        assert!(is_at_rest(&tickets));
    }
}
