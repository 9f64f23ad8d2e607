//! Who sends to the hooks, and how many at once.
//!
//! Tools that can send a key do so like everybody else. GitHub signs its body instead, with a secret that the configuration
//! names: that is a credential to publish, and nothing else, to the topics beside it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Attempt, Caller, Refusal, Service};
use crate::alert::Pattern;
use crate::hooks::signature::Secret;
use crate::key::{Grant, Scope};

/// Payloads at the same time, of senders with keys and of GitHub; each may be as large as `hooks.max_body`.
const MOST: usize = 16;
/// How long another one waits. GitHub gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// The name under which GitHub publishes; no user can have it.
const GITHUB: &str = "(github hook)";

/// What GitHub may do.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    /// What it signs with.
    pub secret: Secret,
    /// Where it may publish.
    pub topics: Vec<Pattern>,
}

/// The payloads that are being read or stored.
pub(super) struct Payloads {
    with_key: Semaphore,
    signed: Semaphore,
}

impl Default for Payloads {
    fn default() -> Self {
        Self { with_key: Semaphore::new(MOST), signed: Semaphore::new(MOST) }
    }
}

impl Payloads {
    async fn enter(of: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
        let busy = || Refusal::Unavailable("too many hooks send at once: try again".into());
        timeout(PATIENCE, of.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }
}

impl Service {
    /// A place for the payload of a caller; ask for it before the body is read.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where none becomes free in time.
    pub(crate) async fn hook_place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        Payloads::enter(&self.payloads.with_key).await
    }

    /// The same for somebody who says to be GitHub, which only the signature of the whole body shows.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where no secret is configured, [`Refusal::TooMany`] for an address with too many failures, else
    /// as [`hook_place`](Self::hook_place).
    pub(crate) async fn signed_place(&self, peer: Option<IpAddr>) -> Result<SemaphorePermit<'_>, Refusal> {
        self.github()?;
        self.may_try_keys(peer)?;
        Payloads::enter(&self.payloads.signed).await
    }

    /// Whether this is from GitHub.
    ///
    /// # Errors
    /// [`Refusal::Signature`], [`Refusal::NotFound`].
    pub(crate) fn authenticate_github(
        &self,
        signature: Option<&str>,
        body: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Caller, Refusal> {
        let GitHub { secret, topics } = self.github()?;
        if !signature.is_some_and(|signature| secret.signs(body, signature)) {
            self.refused_key(peer, Attempt::BadSignature, "the signature of GitHub's hook is wrong or missing");
            return Err(Refusal::Signature);
        }
        self.counters.attempt(Attempt::Signed);
        let (key_id, user) = (GITHUB.to_owned(), GITHUB.to_owned());
        Ok(Caller::Key(Arc::new(Grant { key_id, user, scopes: vec![Scope::Publish], topics, expires_ms: None })))
    }

    /// Notes that the body of somebody who says to be GitHub was too large or did not come: until it is known who sends, that
    /// is a place that somebody takes.
    pub(crate) fn unsigned_body(&self, peer: Option<IpAddr>) {
        self.refused_key(peer, Attempt::BadSignature, "the body of a signed hook is too large or did not come");
    }

    fn github(&self) -> Result<GitHub, Refusal> {
        let off = || Refusal::NotFound("the GitHub hook is off: name its secret in hooks.github_secret_file".into());
        self.settings.load().github.clone().ok_or_else(off)
    }
}
