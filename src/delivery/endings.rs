//! Why streams end: the reasons, and the wait for those that come from outside (drain, the key, the stream's age).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::drain::Drain;
use crate::alert::Filter;
use crate::engine::Clock;
use crate::keyring::KeyState;
use crate::random;
use crate::sse::Bye;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Gone,
    /// An alert was retracted of which the client may have got a part.
    Retracted,
    /// A poll has got everything.
    Complete,
    /// The server ends the stream and says why.
    Bye(Bye),
}

impl StreamEnd {
    pub(crate) const ALL: [Self; 10] = [
        Self::Gone,
        Self::Retracted,
        Self::Complete,
        Self::Bye(Bye::Restart),
        Self::Bye(Bye::Stop),
        Self::Bye(Bye::Revoked),
        Self::Bye(Bye::Expired),
        Self::Bye(Bye::Slow),
        Self::Bye(Bye::Lifetime),
        Self::Bye(Bye::Drain),
    ];

    /// The value of the metric label `reason`.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Retracted => "retracted",
            Self::Complete => "complete",
            Self::Bye(bye) => bye.as_str(),
        }
    }
}

/// The outside reasons that can end a stream. Streams of one key and filter share them, except for their age.
#[derive(Clone)]
pub(super) struct Endings {
    pub(super) drain: watch::Receiver<Drain>,
    /// None on the local sockets, which need no key.
    pub(super) key: Option<watch::Receiver<KeyState>>,
    /// The key has to go on covering this filter.
    pub(super) filter: Arc<Filter>,
    pub(super) clock: Clock,
}

impl Endings {
    /// Waits for the first reason to end one stream, which may live until `expires_at`.
    pub(super) async fn wait(self, expires_at: Option<Instant>) -> Bye {
        self.wait_for(expires_at, Some(random::fraction())).await
    }

    /// Waits for the first reason that ends all streams that share it.
    pub(super) async fn wait_for_all(self) -> Bye {
        self.wait_for(None, None).await
    }

    /// `place` is that of a stream among those that leave one after the other.
    async fn wait_for(mut self, expires_at: Option<Instant>, place: Option<f64>) -> Bye {
        loop {
            let drain = *self.drain.borrow_and_update();
            if let Drain::Ending(bye) = drain {
                return bye;
            }
            let leaves_at = place.and_then(|place| drain.leaves_at(place));
            let key_check = match self.next_key_check() {
                Ok(key_check) => key_check,
                Err(bye) => return bye,
            };
            tokio::select! {
                _ = self.drain.changed() => {}
                () = changed(&mut self.key) => {}
                () = at(key_check) => {}
                () = at(leaves_at) => return Bye::Drain,
                () = at(expires_at) => return Bye::Lifetime,
            }
        }
    }

    /// Whether the streams may go on, as far as their key is concerned.
    pub(super) fn check(&mut self) -> Result<(), Bye> {
        self.next_key_check().map(drop)
    }

    /// When the key has to be checked again although it did not change, or why the stream has to end now.
    fn next_key_check(&mut self) -> Result<Option<Instant>, Bye> {
        let Some(key) = &mut self.key else { return Ok(None) };
        match &*key.borrow_and_update() {
            KeyState::Revoked => Err(Bye::Revoked),
            // This node can no longer tell whether the key is good; another node may know.
            KeyState::Unknown => Err(Bye::Restart),
            KeyState::Active { grant, .. } if !grant.may_read(self.filter.patterns()) => Err(Bye::Revoked),
            KeyState::Active { expires_ms: None, .. } => Ok(None),
            KeyState::Active { expires_ms: Some(ms), .. } => match ms.checked_sub((self.clock)()) {
                None | Some(0) => Err(Bye::Expired),
                // At least once a minute, because setting the wall clock does not move a timer.
                Some(left) => Ok(Some(Instant::now() + Duration::from_millis(left).min(Duration::from_secs(60)))),
            },
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn changed(key: &mut Option<watch::Receiver<KeyState>>) {
    let changed = match key {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => false,
    };
    // The keyring reports a key as revoked before it closes the channel, so a closed channel has no more news.
    if !changed {
        std::future::pending().await
    }
}
