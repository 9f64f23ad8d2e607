//! Who asks, and what that allows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Attempt, Refusal, Service};
use crate::alert::Pattern;
use crate::key::{Grant, Scope};
use crate::keyring::VerifyError;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A verified key.
    Key(Arc<Grant>),
    /// The control socket: file permissions are the credential, everything is allowed.
    Control,
    /// The publish socket: alerts in, nothing else.
    Publisher,
}

fn named(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string())
}

pub(super) fn may_read(grant: &Grant, patterns: &[Pattern]) -> bool {
    grant.has(Scope::Subscribe) && patterns.iter().all(|pattern| grant.covers(pattern))
}

impl Caller {
    /// Whom idempotency keys, rates and rings are counted for.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.key_id,
            Self::Control => "(control socket)",
            Self::Publisher => "(publish socket)",
        }
    }

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

    pub(super) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Self::Key(grant) if !grant.has(scope) => Err(Refusal::Scope(scope)),
            Self::Publisher if scope != Scope::Publish => Err(Refusal::PublishOnly),
            _ => Ok(()),
        }
    }

    pub(super) fn require_topics(&self, patterns: &[Pattern]) -> Result<(), Refusal> {
        let Self::Key(grant) = self else { return Ok(()) };
        match patterns.iter().find(|pattern| !grant.covers(pattern)) {
            None => Ok(()),
            Some(pattern) => Err(Refusal::Topic(pattern.clone(), grant.topics.clone())),
        }
    }
}

impl Service {
    /// Who holds this key. A remembered key costs a hash table look-up; another one PBKDF2 on the pool.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for every reason alike, which only the log tells apart; [`Refusal::TooMany`] for an
    /// address with too many failures; [`Refusal::Unavailable`] where too many keys wait to be verified.
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
                Err(Refusal::Unavailable("too many keys wait to be verified: try again".into()))
            }
            Err(VerifyError::Away) => Err(Refusal::Unavailable(
                "this node cannot reach the keys of its fleet: try again, or another node".into(),
            )),
            Err(reason) => {
                self.refused_key(peer, Attempt::Refused(reason), &reason.to_string());
                Err(Refusal::Unauthorized)
            }
        }
    }

    /// Whether this address may present a key that is not known yet.
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

    /// Refuses a request that came without a key.
    pub(crate) fn refuse_keyless(&self, peer: Option<IpAddr>) -> Refusal {
        self.refused_key(peer, Attempt::Missing, "no key was sent");
        Refusal::Unauthorized
    }

    /// Notes a request without a working key.
    pub(super) fn refused_key(&self, peer: Option<IpAddr>, attempt: Attempt, reason: &str) {
        self.counters.attempt(attempt);
        tracing::warn!(address = named(peer), reason, "authentication failed");
        let rate = self.settings.load().failed_auth_rate;
        // The failure itself is answered as one, whatever the rate says; the next ones are held back.
        let _ = self.failed_auth.take(peer, rate, Duration::from_secs(60), Instant::now());
    }

    /// Whether the caller is anybody at all: what `/health` asks.
    ///
    /// # Errors
    /// [`Refusal::PublishOnly`] on the publish socket.
    pub(crate) fn health(&self, caller: &Caller) -> Result<(), Refusal> {
        match caller {
            Caller::Publisher => Err(Refusal::PublishOnly),
            _ => Ok(()),
        }
    }
}
