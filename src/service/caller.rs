//! Callers: their rights, and the authentication of keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Attempt, Refusal, Service};
use crate::alert::Pattern;
use crate::key::{Grant, Scope};
use crate::keyring::VerifyError;

/// The authenticated source of a request.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A verified key.
    Key(Arc<Grant>),
    /// The control socket. File permissions restrict it, and it has all rights.
    Control,
    /// The publish socket, which may only publish.
    Publisher,
    /// A request without a key, which has no rights.
    Anonymous,
}

fn named(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string())
}

impl Caller {
    /// The name under which rates, streams and rings are counted.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.key_id,
            Self::Control => "(control socket)",
            Self::Publisher => "(publish socket)",
            Self::Anonymous => "(anonymous)",
        }
    }

    /// The user to whom idempotency keys belong.
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.user,
            other => other.name(),
        }
    }

    /// The control socket is for operators, who need access even when limits are reached.
    pub(super) const fn is_rate_limited(&self) -> bool {
        !matches!(self, Self::Control)
    }

    /// # Errors
    /// [`Refusal::Scope`] for a key without the scope, [`Refusal::PublishOnly`] on the publish socket,
    /// [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Self::Key(grant) if grant.has(scope) => Ok(()),
            Self::Key(_) => Err(Refusal::Scope(scope)),
            Self::Control => Ok(()),
            Self::Publisher if scope == Scope::Publish => Ok(()),
            Self::Publisher => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// # Errors
    /// [`Refusal::PublishOnly`] on the publish socket, [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require_any(&self) -> Result<(), Refusal> {
        match self {
            Self::Key(_) | Self::Control => Ok(()),
            Self::Publisher => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// # Errors
    /// [`Refusal::ControlOnly`] for a key and on the publish socket, [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require_control(&self) -> Result<(), Refusal> {
        match self {
            Self::Control => Ok(()),
            Self::Anonymous => Err(Refusal::Unauthorized),
            Self::Key(_) | Self::Publisher => Err(Refusal::ControlOnly),
        }
    }

    pub(super) fn require_topics(&self, patterns: &[Pattern]) -> Result<(), Refusal> {
        let grant = match self {
            Self::Key(grant) => grant,
            Self::Control | Self::Publisher => return Ok(()),
            Self::Anonymous => return Err(Refusal::Unauthorized),
        };
        match patterns.iter().find(|pattern| !grant.covers(pattern)) {
            None => Ok(()),
            Some(pattern) => Err(Refusal::Topic(pattern.clone(), grant.topics.clone())),
        }
    }
}

impl Service {
    /// Authenticates a key. A key that was verified before costs one look-up in a hash table; any other costs PBKDF2 on the
    /// verification pool.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for every kind of invalid key, which only the log distinguishes; [`Refusal::TooMany`] for an
    /// address with too many failures; [`Refusal::Unavailable`] if too many keys wait for verification, or if the keys of the
    /// fleet cannot be reached.
    pub(crate) async fn authenticate(&self, presented: &str, peer: Option<IpAddr>) -> Result<Caller, Refusal> {
        let now_ms = self.now_ms();
        if let Some(grant) = self.keyring.remembered(presented, now_ms) {
            self.counters.attempt(Attempt::Remembered);
            return Ok(Caller::Key(grant));
        }
        self.may_try_keys(peer)?;
        match self.keyring.verify(presented, now_ms).await {
            Ok(grant) => {
                self.counters.attempt(Attempt::Verified);
                Ok(Caller::Key(grant))
            }
            Err(busy @ VerifyError::Busy) => {
                self.counters.attempt(Attempt::Refused(busy));
                Err(Refusal::unavailable("too many keys are waiting for verification: try again"))
            }
            Err(VerifyError::Away) => Err(Refusal::unavailable(
                "this node cannot reach the keys of its fleet: try again, or use another node",
            )),
            Err(reason) => {
                self.refused_key(peer, Attempt::Refused(reason), &reason.to_string());
                Err(Refusal::Unauthorized)
            }
        }
    }

    /// Refuses an address with too many failed attempts. Not called for a key that was verified before.
    pub(super) fn may_try_keys(&self, peer: Option<IpAddr>) -> Result<(), Refusal> {
        let (rate, minute) = (self.settings.load().failed_auth_rate, Duration::from_secs(60));
        self.failed_auth.check(&peer, rate, minute, Instant::now()).map_err(|retry_after| {
            self.counters.attempt(Attempt::Limited);
            let who = named(peer);
            Refusal::TooMany {
                what: format!("too many wrong keys from {who} (limits.failed_auth_rate): wait, and check the key"),
                retry_after,
            }
        })
    }

    /// Counts and logs a request without a key.
    pub(crate) fn refuse_keyless(&self, peer: Option<IpAddr>) -> Refusal {
        self.refused_key(peer, Attempt::Missing, "no key was sent");
        Refusal::Unauthorized
    }

    /// Counts and logs a failed attempt.
    pub(super) fn refused_key(&self, peer: Option<IpAddr>, attempt: Attempt, reason: &str) {
        self.counters.attempt(attempt);
        tracing::warn!(address = named(peer), reason, "authentication failed");
        let rate = self.settings.load().failed_auth_rate;
        // The result is ignored, because this attempt is refused anyway; the rate limits later ones.
        let _ = self.failed_auth.take(peer, rate, Duration::from_secs(60), Instant::now());
    }
}
