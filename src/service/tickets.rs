//! Tickets, each of which opens one stream for a browser, whose `EventSource` cannot send a key.
//!
//! Owned by the service, which issues and redeems them. A ticket is 192 random bits, of which only the hash is kept, in
//! memory: after a restart, clients request new ones. A fleet keeps the hashes in its engine too, so that a ticket opens a
//! stream on any node; the engine then decides whether it was used, and memory only counts issued tickets.
//!
//! A ticket is redeemed at most once, not after [`LIFETIME`], and not after its key was revoked or has expired. The number of
//! remembered tickets is bounded for each key and in total. Used tickets count too, so that a key gets no more tickets by
//! using them immediately.

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

/// How long a ticket is valid.
const LIFETIME: Duration = Duration::from_secs(30);
/// Maximum number of tickets for one key within a lifetime.
const MAX_TICKETS_PER_KEY: usize = 256;
/// Maximum number of tickets for all keys together within a lifetime.
const MAX_TICKETS: usize = 65_536;
/// Maximum number of simultaneous look-ups, in the fleet, of tickets that this node did not issue.
pub(super) const MAX_LOOKUPS: usize = 64;
const RANDOM_BYTES: usize = 24;

#[derive(Debug, thiserror::Error)]
pub(super) enum TicketError {
    /// A limit is reached, with the time until the next ticket.
    #[error("{0} tickets were issued within {seconds} s: try again later", seconds = LIFETIME.as_secs())]
    TooMany(usize, Duration),
    #[error("cannot get random numbers from the system: {0}")]
    Random(getrandom::Error),
}

impl From<TicketError> for Refusal {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::TooMany(_, retry_after) => Self::TooMany { what: error.to_string(), retry_after },
            TicketError::Random(_) => Self::Unavailable {
                reason: "cannot issue a ticket now: try again".into(),
                detail: Some(error.to_string()),
            },
        }
    }
}

impl Service {
    /// Redeems a ticket for the caller with its key. Invalid tickets never hold back valid ones: an `EventSource` repeats a used
    /// ticket for ever, and nobody guesses 192 random bits.
    ///
    /// # Errors
    /// [`Refusal::Ticket`] for every kind of invalid ticket; [`Refusal::Unavailable`] if the tickets of the fleet cannot be
    /// reached.
    pub(crate) async fn redeem_ticket(&self, presented: &str, peer: Option<IpAddr>) -> Result<Caller, Refusal> {
        // Looked up by hash, so that the time it takes reveals nothing about valid tickets.
        let hash = hash(presented);
        let mut grant = self.tickets.redeem(&hash, Instant::now(), self.now_ms());
        if let Some(fleet) = self.engine.fleet()
            && (grant.is_some() || is_ticket(presented))
        {
            // Bounds what guesses cost the fleet, without holding back a ticket of another node for long.
            let _permit = if grant.is_none() { self.lookups.acquire().await.ok() } else { None };
            let key_id = fleet.take_ticket(&hash).await?;
            let current = |id: &String| current_grant(&self.keyring.watch(id), self.now_ms());
            self.keyring.settle_doubt().await;
            grant = key_id.as_ref().and_then(current);
            if grant.is_none() && key_id.is_some() {
                // Another node may have made the key a moment ago.
                self.keyring.catch_up(tokio::time::Instant::now()).await;
                grant = key_id.as_ref().and_then(current);
            }
        }
        if let Some(grant) = grant {
            self.counters.attempt(Attempt::Ticket);
            return Ok(Caller::Key(grant, peer));
        }
        self.note_failure(peer, Attempt::BadTicket, "unknown, used or expired ticket, or one whose key has ended");
        Err(Refusal::Ticket)
    }

    /// Issues a ticket for one stream with the rights of the caller's key.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `subscribe`, [`Refusal::KeyOnly`] on a socket without keys, [`Refusal::TooMany`]
    /// if too many were issued, [`Refusal::Unavailable`] if the tickets of the fleet cannot be reached.
    pub(crate) async fn ticket(&self, caller: &Caller) -> Result<Ticket, Refusal> {
        caller.require(Scope::Subscribe)?;
        let Caller::Key(grant, _) = caller else { return Err(Refusal::KeyOnly) };
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
    /// Tickets that are not used yet, with their key.
    unused: HashMap<Hash, watch::Receiver<KeyState>>,
    /// All tickets with their time of expiry, used or not, the oldest first.
    expiries: VecDeque<(Instant, Hash, Arc<str>)>,
    /// The times of expiry for each key, the oldest first.
    expiries_by_key: HashMap<Arc<str>, VecDeque<Instant>>,
}

impl Tickets {
    /// Issues a ticket; `key` is the current state of its key.
    ///
    /// # Errors
    /// [`TicketError`].
    pub(super) fn issue(
        &self,
        key_id: &str,
        key: watch::Receiver<KeyState>,
        now: Instant,
    ) -> Result<Zeroizing<String>, TicketError> {
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(&mut *random).map_err(TicketError::Random)?;
        let ticket = Zeroizing::new(BASE64.encode(*random));
        let mut issued = self.0.lock();
        issued.remove_expired(now);
        let too_many = |limit, oldest: Option<&Instant>| {
            let wait = oldest.map_or(LIFETIME, |expiry| expiry.saturating_duration_since(now));
            Err(TicketError::TooMany(limit, wait))
        };
        if issued.expiries.len() >= MAX_TICKETS {
            return too_many(MAX_TICKETS, issued.expiries.front().map(|(expiry, ..)| expiry));
        }
        if let Some(own) = issued.expiries_by_key.get(key_id).filter(|own| own.len() >= MAX_TICKETS_PER_KEY) {
            return too_many(MAX_TICKETS_PER_KEY, own.front());
        }
        let (hash, key_id, expiry) = (hash(&ticket), Arc::<str>::from(key_id), now + LIFETIME);
        issued.unused.insert(hash, key);
        issued.expiries_by_key.entry(Arc::clone(&key_id)).or_default().push_back(expiry);
        issued.expiries.push_back((expiry, hash, key_id));
        Ok(ticket)
    }

    /// The current grant of the ticket's key. The ticket is used up even if its key is no longer valid.
    pub(super) fn redeem(&self, hash: &Hash, now: Instant, now_ms: u64) -> Option<Arc<Grant>> {
        let mut issued = self.0.lock();
        issued.remove_expired(now);
        let key = issued.unused.remove(hash)?;
        current_grant(&key, now_ms)
    }
}

/// The grant of a key, if the key is valid now.
fn current_grant(key: &watch::Receiver<KeyState>, now_ms: u64) -> Option<Arc<Grant>> {
    match &*key.borrow() {
        KeyState::Revoked | KeyState::Unknown => None,
        KeyState::Active { expires_ms, .. } if expires_ms.is_some_and(|ms| ms <= now_ms) => None,
        KeyState::Active { grant, .. } => Some(Arc::clone(grant)),
    }
}

impl Issued {
    fn remove_expired(&mut self, now: Instant) {
        while self.expiries.front().is_some_and(|(expiry, ..)| *expiry <= now)
            && let Some((_, hash, key_id)) = self.expiries.pop_front()
        {
            self.unused.remove(&hash);
            if let Some(own) = self.expiries_by_key.get_mut(&key_id) {
                own.pop_front();
                if own.is_empty() {
                    self.expiries_by_key.remove(&key_id);
                }
            }
        }
    }
}

/// Whether a text has the form of a ticket.
fn is_ticket(text: &str) -> bool {
    text.len() == RANDOM_BYTES * 4 / 3 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
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

    fn is_empty(tickets: &Tickets) -> bool {
        let issued = tickets.0.lock();
        issued.unused.is_empty() && issued.expiries.is_empty() && issued.expiries_by_key.is_empty()
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
        assert!(is_empty(&tickets));
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
    fn remembered_tickets_are_bounded_per_key_and_in_total() {
        let (tickets, key, start) = (Tickets::default(), key(None), Instant::now());
        let issue = |id: &str, at| tickets.issue(id, key.subscribe(), at);
        for _ in 0..MAX_TICKETS_PER_KEY {
            let ticket = issue("greedy", start).unwrap();
            tickets.redeem(&hash(&ticket), start, 0).unwrap();
        }
        let refused = issue("greedy", start + SECOND).unwrap_err();
        assert!(
            matches!(refused, TicketError::TooMany(MAX_TICKETS_PER_KEY, wait) if wait == LIFETIME - SECOND),
            "{refused}"
        );
        assert!(issue("other", start + SECOND).is_ok() && issue("greedy", start + LIFETIME).is_ok());
        for n in 2..MAX_TICKETS {
            issue(&(n / MAX_TICKETS_PER_KEY).to_string(), start + LIFETIME).unwrap();
        }
        let refused = issue("late", start + LIFETIME).unwrap_err();
        assert!(matches!(refused, TicketError::TooMany(MAX_TICKETS, wait) if wait == SECOND), "{refused}");
        assert!(tickets.redeem(&hash("x"), start + 2 * LIFETIME, 0).is_none());
        assert!(is_empty(&tickets));
    }
}
