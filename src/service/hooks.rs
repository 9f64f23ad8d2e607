//! Hooks: the authentication of GitHub, and the limit of payloads in memory.
//!
//! A tool that can send a key is a caller like any other. GitHub instead signs the body with a configured secret; the
//! signature permits only publishing to the configured topics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Attempt, Caller, Guesses, Refusal, Service};
use crate::alert::Pattern;
use crate::hooks::signature::Secret;
use crate::key::{Grant, Scope};

/// Maximum number of payloads in memory, separately for senders with keys and for GitHub. Each may have `hooks.max_body`
/// bytes.
const MAX_PAYLOADS: usize = 16;
/// How long a request waits for a slot. GitHub gives up after ten seconds.
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);
/// The user as whom GitHub's alerts are published. No key can have this name.
const GITHUB: &str = "(github hook)";

/// The configuration of the GitHub hook.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    pub secret: Secret,
    /// The topics that GitHub may publish to.
    pub topics: Vec<Pattern>,
}

/// Slots for payloads that are being read or stored.
pub(super) struct PayloadSlots {
    with_key: Semaphore,
    signed: Semaphore,
}

impl Default for PayloadSlots {
    fn default() -> Self {
        Self { with_key: Semaphore::new(MAX_PAYLOADS), signed: Semaphore::new(MAX_PAYLOADS) }
    }
}

impl PayloadSlots {
    async fn acquire(slots: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
        let busy = || Refusal::unavailable("too many hooks at the same time: try again");
        timeout(SLOT_TIMEOUT, slots.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }
}

impl Service {
    /// Waits for a slot for the payload of a caller with a key. Must be called before the body is read.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if none becomes free in time.
    pub(crate) async fn hook_slot(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        PayloadSlots::acquire(&self.payloads.with_key).await
    }

    /// Waits for a slot for a sender that claims to be GitHub. Its signature can only be checked after the body is read.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if no secret is configured, [`Refusal::TooMany`] for an address with too many failures,
    /// otherwise those of [`hook_slot`](Self::hook_slot).
    pub(crate) async fn signed_hook_slot(&self, peer: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Refusal> {
        self.github()?;
        self.may_guess(&Guesses::Signatures(peer))?;
        PayloadSlots::acquire(&self.payloads.signed).await
    }

    /// Authenticates GitHub by its signature of a body.
    ///
    /// # Errors
    /// [`Refusal::Signature`] if the signature is wrong, [`Refusal::NotFound`] if no secret is configured.
    pub(crate) fn authenticate_github(
        &self,
        signature: Option<&str>,
        body: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Caller, Refusal> {
        let GitHub { secret, topics } = self.github()?;
        if !signature.is_some_and(|signature| secret.signs(body, signature)) {
            self.note_failure(peer, Attempt::BadSignature, "the signature of GitHub's hook is wrong or missing");
            self.count_guess(&Guesses::Signatures(peer));
            return Err(Refusal::Signature);
        }
        self.counters.attempt(Attempt::Signed);
        let (key_id, user) = (GITHUB.to_owned(), GITHUB.into());
        let grant = Grant { key_id, user, scopes: vec![Scope::Publish], topics, expires_ms: None };
        Ok(Caller::Key(Arc::new(grant), peer))
    }

    /// Counts a body that was too large or incomplete as a failed attempt, because it held a slot without a valid signature.
    pub(crate) fn count_unsigned_body(&self, peer: Option<IpAddr>) {
        self.note_failure(peer, Attempt::BadSignature, "the body of a signed hook was too large or incomplete");
        self.count_guess(&Guesses::Signatures(peer));
    }

    fn github(&self) -> Result<GitHub, Refusal> {
        let off = || Refusal::NotFound("the GitHub hook is off: set hooks.github_secret_file to turn it on".into());
        self.settings.load().github.clone().ok_or_else(off)
    }
}
