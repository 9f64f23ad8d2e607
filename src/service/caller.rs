//! Callers: who they are, what they may do, and how a key is authenticated.

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
    /// The control socket: file permissions are the credential, everything is allowed.
    Control,
    /// The publish socket: it takes alerts and nothing else.
    Publisher,
    /// Nobody, or nobody yet: may do nothing.
    Anonymous,
}

fn named(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string())
}

impl Caller {
    /// What rates, streams and rings are counted by.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.key_id,
            Self::Control => "(control socket)",
            Self::Publisher => "(publish socket)",
            Self::Anonymous => "(anonymous)",
        }
    }

    /// What idempotency keys belong to.
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.user,
            other => other.name(),
        }
    }

    /// The control socket is for operators, who must get through whatever the rates say.
    pub(super) const fn is_rate_limited(&self) -> bool {
        !matches!(self, Self::Control)
    }

    /// # Errors
    /// [`Refusal::Scope`] for a key without the scope, and what fits for the other callers.
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
    /// [`Refusal::PublishOnly`] on the publish socket, [`Refusal::Unauthorized`] for nobody.
    pub(crate) fn require_any(&self) -> Result<(), Refusal> {
        match self {
            Self::Key(_) | Self::Control => Ok(()),
            Self::Publisher => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// # Errors
    /// [`Refusal::ControlOnly`] for everybody but the control socket.
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
    /// The caller with this key. A key that was verified before costs a hash table look-up, any other one PBKDF2 on the
    /// verification pool.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for every kind of wrong key, which only the log tells apart; [`Refusal::TooMany`] for an
    /// address with too many failures; [`Refusal::Unavailable`] when too many keys wait to be verified.
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
                Err(Refusal::unavailable("too many keys wait to be verified: try again"))
            }
            Err(VerifyError::Away) => {
                Err(Refusal::unavailable("this node cannot reach the keys of its fleet: try again, or another node"))
            }
            Err(reason) => {
                self.refused_key(peer, Attempt::Refused(reason), &reason.to_string());
                Err(Refusal::Unauthorized)
            }
        }
    }

    /// Refuses an address with too many failed attempts; a key that was verified before is never held back.
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
        // This attempt is answered as a failure whatever the rate says; the rate holds back the ones after it.
        let _ = self.failed_auth.take(peer, rate, Duration::from_secs(60), Instant::now());
    }
}
