//! The keys of a fleet: the engine's Redis as the keyring's shared store, and the task that follows its changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::engine::Fleet;
use crate::keyring::{Change, Freshness, Keyring, News, SharedStore, Snapshot};
use crate::log::Event;

/// Without news from the shared store for this long, the known keys are stale and no new secret is verified.
const STALE_AFTER: Duration = Duration::from_secs(3);
/// A deadline that is noticed this late shows that the process was suspended; it then waits [`GRACE`] for news.
const SUSPENDED: Duration = Duration::from_millis(500);
/// How long a process that was suspended waits for news.
const GRACE: Duration = Duration::from_secs(1);

/// The shared store of the keyring. Its methods block, and are called on blocking threads only.
pub(super) struct RedisKeys {
    pub(super) fleet: Fleet,
    /// The servers, for messages.
    pub(super) location: String,
    pub(super) runtime: Handle,
}

impl SharedStore for RedisKeys {
    fn name(&self) -> String {
        self.location.clone()
    }

    fn identity(&self) -> String {
        self.fleet.log_name()
    }

    fn load(&self) -> Result<Snapshot, String> {
        let loaded = self.runtime.block_on(self.fleet.load_keys()).map_err(|error| error.detail)?;
        Ok(Snapshot { revision: loaded.revision, keys: loaded.by_id, damage: loaded.damage })
    }

    fn save(&self, expected: u64, floor: u64, change: Change) -> Result<Option<u64>, String> {
        let saved = self.fleet.save_keys(expected, floor, &change.put, &change.gone);
        self.runtime.block_on(saved).map_err(|error| error.detail)
    }

    fn look(&self) {
        self.fleet.look();
    }
}

/// Applies changes that other nodes make, and sets the freshness of the keys: without news they become stale after
/// [`STALE_AFTER`], and after `stale_max` they are no longer accepted.
pub(super) async fn follow(keyring: Arc<Keyring>, fleet: Fleet, stale_max: watch::Receiver<Duration>) {
    let mut news = fleet.keys_heard();
    let mut reported = None;
    let mut last_news: Option<Instant> = None;
    let mut grace: Option<Instant> = None;
    let mut freshness = Freshness::None;
    loop {
        let deadline = match (last_news, freshness) {
            (Some(last_news), Freshness::Current) => Some(grace.take().unwrap_or(last_news + STALE_AFTER)),
            (Some(last_news), Freshness::Stale) => Some(last_news + (*stale_max.borrow()).max(STALE_AFTER)),
            _ => None,
        };
        let changed = match deadline {
            Some(deadline) => timeout_at(deadline, news.changed()).await,
            None => Ok(news.changed().await),
        };
        let now = match changed {
            Err(_) if freshness == Freshness::Current => {
                if deadline.is_some_and(|deadline| deadline.elapsed() > SUSPENDED) {
                    // Redis may be reachable: revocations of the meantime must arrive before a key is accepted.
                    grace = Some(Instant::now() + GRACE);
                    fleet.look();
                    continue;
                }
                Freshness::Stale
            }
            Err(_) => Freshness::None,
            // The engine has ended.
            Ok(Err(_)) => return,
            Ok(Ok(())) => {
                let Some(keys) = *news.borrow_and_update() else { continue };
                let is_known = keys.are_whole && keyring.revision() == keys.revision;
                if freshness == Freshness::None || !is_known {
                    let error = reload(&keyring).await.err();
                    if error != reported
                        && let Some(error) = &error
                    {
                        tracing::warn!(message_id = %Event::KeysUnread, "the keys of the fleet cannot be read: {error}");
                    }
                    reported = error;
                    if reported.is_some() {
                        continue;
                    }
                }
                last_news = Some(keys.at);
                let until = keys.at + (*stale_max.borrow()).max(STALE_AFTER);
                keyring.heard(News { at: keys.at, until });
                Freshness::Current
            }
        };
        if now != freshness {
            freshness = now;
            keyring.set_freshness(now);
            report(now, &keyring);
        }
    }
}

fn report(freshness: Freshness, keyring: &Keyring) {
    match freshness {
        Freshness::Current => {
            tracing::info!(message_id = %Event::KeysBack, keys = keyring.len(), "the keys of the fleet can be reached");
        }
        Freshness::Stale => tracing::warn!(
            message_id = %Event::KeysAway,
            "the keys of the fleet cannot be reached: known keys remain valid, and no others are verified"
        ),
        Freshness::None => tracing::error!(
            message_id = %Event::KeysStale,
            "the keys of the fleet cannot be reached for longer than auth.stale_max: ending all streams with keys"
        ),
    }
}

async fn reload(keyring: &Arc<Keyring>) -> Result<(), String> {
    let keyring = Arc::clone(keyring);
    let reloaded = tokio::task::spawn_blocking(move || keyring.reload().map_err(|error| error.to_string())).await;
    reloaded.unwrap_or_else(|error| Err(error.to_string())).map(drop)
}
