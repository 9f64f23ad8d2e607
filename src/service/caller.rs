//! Callers: their rights, and the authentication of keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::auth_log::named;
use super::{Attempt, Refusal, Service};
use crate::alert::Pattern;
use crate::key::{Grant, Scope};
use crate::keyring::{Screened, VerifyError};

/// The authenticated source of a request.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A verified key, and the address that it came from; none behind a local proxy that does not say.
    Key(Arc<Grant>, Option<IpAddr>),
    /// The control socket. File permissions restrict it, and it has all rights. The user on the other side, if known.
    Control(Option<u32>),
    /// The publish socket, which may only publish. The user on the other side, if known.
    Publisher(Option<u32>),
    /// A request without a key, which has no rights.
    Anonymous,
}

impl Caller {
    /// The name of the control socket's callers.
    pub(super) const CONTROL: &str = "(control socket)";

    /// The name under which rates, streams and rings are counted.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Key(grant, _) => &grant.key_id,
            other => other.static_name(),
        }
    }

    /// The name of a caller without a key.
    pub(super) const fn static_name(&self) -> &'static str {
        match self {
            Self::Key(..) => "(key)",
            Self::Control(_) => Self::CONTROL,
            Self::Publisher(_) => "(publish socket)",
            Self::Anonymous => "(anonymous)",
        }
    }

    /// The user to whom idempotency keys belong.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Key(grant, _) => &grant.user,
            other => other.name(),
        }
    }

    /// The same for what it publishes.
    pub(super) fn publisher(&self) -> Arc<str> {
        match self {
            Self::Key(grant, _) => Arc::clone(&grant.user),
            other => other.name().into(),
        }
    }

    /// The control socket is for operators, who need access even when limits are reached.
    pub(super) const fn is_rate_limited(&self) -> bool {
        !matches!(self, Self::Control(_))
    }

    /// # Errors
    /// [`Refusal::Scope`] for a key without the scope, [`Refusal::PublishOnly`] on the publish socket,
    /// [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Self::Key(grant, _) if grant.has(scope) => Ok(()),
            Self::Key(..) => Err(Refusal::Scope(scope)),
            Self::Control(_) => Ok(()),
            Self::Publisher(_) if scope == Scope::Publish => Ok(()),
            Self::Publisher(_) => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// Requires one of two scopes.
    ///
    /// # Errors
    /// [`Refusal::Scope`] for a key with neither, which names the first; [`Refusal::PublishOnly`] on the publish socket,
    /// [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require_either(&self, first: Scope, second: Scope) -> Result<(), Refusal> {
        match self {
            Self::Key(grant, _) if grant.has(first) || grant.has(second) => Ok(()),
            Self::Key(..) => Err(Refusal::Scope(first)),
            Self::Control(_) => Ok(()),
            Self::Publisher(_) => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// # Errors
    /// [`Refusal::PublishOnly`] on the publish socket, [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require_any(&self) -> Result<(), Refusal> {
        match self {
            Self::Key(..) | Self::Control(_) => Ok(()),
            Self::Publisher(_) => Err(Refusal::PublishOnly),
            Self::Anonymous => Err(Refusal::Unauthorized),
        }
    }

    /// # Errors
    /// [`Refusal::ControlOnly`] for a key and on the publish socket, [`Refusal::Unauthorized`] without a key.
    pub(crate) fn require_control(&self) -> Result<(), Refusal> {
        match self {
            Self::Control(_) => Ok(()),
            Self::Anonymous => Err(Refusal::Unauthorized),
            Self::Key(..) | Self::Publisher(_) => Err(Refusal::ControlOnly),
        }
    }

    pub(super) fn require_topics(&self, patterns: &[Pattern]) -> Result<(), Refusal> {
        let grant = match self {
            Self::Key(grant, _) => grant,
            Self::Control(_) | Self::Publisher(_) => return Ok(()),
            Self::Anonymous => return Err(Refusal::Unauthorized),
        };
        match patterns.iter().find(|pattern| !grant.covers(pattern)) {
            None => Ok(()),
            Some(pattern) => Err(Refusal::Topic(pattern.clone(), grant.topics.clone())),
        }
    }
}

/// What failed attempts count against. Clients share one only if they try the same user or key from the same address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guesses {
    /// Wrong secrets from an address for one user, or one key, that cost a derivation.
    Secrets(Option<IpAddr>, String),
    /// Bodies from an address without the signature of GitHub's hook.
    Signatures(Option<IpAddr>),
}

const MINUTE: Duration = Duration::from_secs(60);

impl Service {
    /// Authenticates a key. A key that was verified before, and one of alertd's own that has a tag, costs one look-up in a hash
    /// table and a keyed hash, and so does each secret that is certainly wrong. Any other key costs PBKDF2 on the
    /// verification pool, and counts against its sender and its user if it is wrong.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for every kind of invalid key, which only the log distinguishes; [`Refusal::TooMany`] for an
    /// address with too many wrong secrets for this user; [`Refusal::Unavailable`] if too many keys wait for verification, or
    /// if the keys of the fleet cannot be reached.
    pub(crate) async fn authenticate(&self, presented: &str, peer: Option<IpAddr>) -> Result<Caller, Refusal> {
        // Boxed here and below, because the task of each request is as large as its largest branch.
        if self.keyring.doubted_since().is_some() {
            Box::pin(self.keyring.settle_doubt()).await;
        }
        let now_ms = self.now_ms();
        if let Some(grant) = self.keyring.remembered(presented, now_ms) {
            self.counters.attempt(Attempt::Remembered);
            return Ok(Caller::Key(grant, peer));
        }
        Box::pin(self.verify(presented, peer, now_ms)).await
    }

    /// Authenticates a key that was not verified before.
    async fn verify(&self, presented: &str, peer: Option<IpAddr>, now_ms: u64) -> Result<Caller, Refusal> {
        let mut screened = self.keyring.screen(presented, now_ms);
        if screened == Err(VerifyError::Unknown) {
            // Another node of the fleet may have made it a moment ago.
            screened = if self.keyring.catch_up(tokio::time::Instant::now()).await {
                self.keyring.screen(presented, now_ms)
            } else {
                Err(VerifyError::Away)
            };
        }
        let owner = match screened {
            Ok(Screened::Accepted(grant)) => {
                self.counters.attempt(Attempt::Verified);
                return Ok(Caller::Key(grant, peer));
            }
            Ok(Screened::Undecided { owner }) => owner,
            Err(reason) => return Err(self.refuse_key(peer, reason)),
        };
        let guesses = Guesses::Secrets(peer, owner);
        self.may_guess(&guesses)?;
        match self.keyring.verify(presented, now_ms).await {
            Ok(grant) => {
                self.counters.attempt(Attempt::Verified);
                Ok(Caller::Key(grant, peer))
            }
            Err(reason) => {
                if reason == VerifyError::Wrong {
                    self.count_guess(&guesses);
                }
                Err(self.refuse_key(peer, reason))
            }
        }
    }

    fn refuse_key(&self, peer: Option<IpAddr>, reason: VerifyError) -> Refusal {
        match reason {
            VerifyError::Busy => {
                self.counters.attempt(Attempt::Refused(reason));
                Refusal::unavailable("too many keys are waiting for verification: try again")
            }
            VerifyError::Away => {
                self.counters.attempt(Attempt::Refused(reason));
                Refusal::unavailable("this node cannot reach the keys of its fleet: try again, or use another node")
            }
            reason => {
                self.note_failure(peer, Attempt::Refused(reason), &reason.to_string());
                Refusal::Unauthorized
            }
        }
    }

    /// Refuses an attempt after too many failures.
    pub(super) fn may_guess(&self, guesses: &Guesses) -> Result<(), Refusal> {
        let rate = self.settings.load().failed_auth_rate;
        self.guesses.check(guesses, rate, MINUTE, Instant::now()).map_err(|retry_after| {
            let (Guesses::Secrets(peer, _) | Guesses::Signatures(peer)) = guesses;
            let reason = match guesses {
                Guesses::Secrets(_, owner) => format!("too many wrong secrets for {owner}"),
                Guesses::Signatures(_) => "too many bodies without the right signature".to_owned(),
            };
            self.note_failure(*peer, Attempt::Limited, &reason);
            let (what, who) = match guesses {
                Guesses::Secrets(peer, user) => (format!("wrong keys for {user}"), named(*peer)),
                Guesses::Signatures(peer) => ("bodies without the right signature".to_owned(), named(*peer)),
            };
            let what = format!("too many {what} from {who} (limits.failed_auth_rate): wait, and check the secret");
            Refusal::TooMany { what, retry_after }
        })
    }

    /// Counts a failure. The rate only holds back later attempts.
    pub(super) fn count_guess(&self, guesses: &Guesses) {
        let rate = self.settings.load().failed_auth_rate;
        let _ = self.guesses.take(guesses, rate, MINUTE, Instant::now());
    }

    /// Records a request without a key.
    pub(crate) fn refuse_keyless(&self, peer: Option<IpAddr>) -> Refusal {
        self.note_failure(peer, Attempt::Missing, "no key was sent");
        Refusal::Unauthorized
    }

    /// Notes a failed attempt in the metric, and in the log as far as its address does not fill that.
    pub(super) fn note_failure(&self, peer: Option<IpAddr>, attempt: Attempt, reason: &str) {
        self.counters.attempt(attempt);
        self.auth_log.note(peer, attempt, reason, Instant::now());
    }
}
