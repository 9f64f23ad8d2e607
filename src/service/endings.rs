//! Everything that can end a stream from outside: the daemon, its key, its age.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::alert::Filter;
use crate::engine::Clock;
use crate::keyring::KeyState;
use crate::sse::Bye;

/// What to listen to. Streams of one key and filter end for the same reasons, but for their age.
#[derive(Clone)]
pub(super) struct Endings {
    /// The daemon's goodbye.
    pub(super) drain: watch::Receiver<Option<Bye>>,
    /// The key behind the stream, if there is one.
    pub(super) key: Option<watch::Receiver<KeyState>>,
    /// What the key must go on covering.
    pub(super) filter: Arc<Filter>,
    /// Turns the key's expiry into a time to wait for.
    pub(super) clock: Clock,
}

impl Endings {
    /// Waits for the first reason to end the stream; `lifetime` is when it is old enough.
    pub(super) async fn wait(mut self, lifetime: Option<Instant>) -> Bye {
        loop {
            let drain = *self.drain.borrow_and_update();
            if let Some(bye) = drain {
                return bye;
            }
            let expiry = match self.key_expiry() {
                Ok(expiry) => expiry,
                Err(bye) => return bye,
            };
            tokio::select! {
                _ = self.drain.changed() => {}
                () = changed(&mut self.key) => {}
                () = at(expiry) => {}
                () = at(lifetime) => return Bye::Lifetime,
            }
        }
    }

    /// The time at which the key ends, looked at afresh whenever it may have changed.
    fn key_expiry(&mut self) -> Result<Option<Instant>, Bye> {
        let Some(key) = &mut self.key else { return Ok(None) };
        match &*key.borrow_and_update() {
            KeyState::Revoked => Err(Bye::Revoked),
            // Another node may well vouch for it.
            KeyState::Unknown => Err(Bye::Restart),
            KeyState::Active { grant, .. } if !super::may_read(grant, self.filter.patterns()) => Err(Bye::Revoked),
            KeyState::Active { expires_ms: None, .. } => Ok(None),
            KeyState::Active { expires_ms: Some(ms), .. } => match ms.checked_sub((self.clock)()) {
                None | Some(0) => Err(Bye::Expired),
                // Looked at again at least each minute: a wall clock that is set does not move a timer.
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
    let told = match key {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => false,
    };
    // A closed channel has nothing to tell any more: the keyring says that a key is gone before it lets go of it.
    if !told {
        std::future::pending().await
    }
}
