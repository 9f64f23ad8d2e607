//! The keys of a fleet: the engine's Redis as the keyring's shared store, and the task that follows its changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::engine::Fleet;
use crate::keyring::{Change, Freshness, Keyring, SharedStore, Snapshot};
use crate::log::Event;

/// Silence of the shared store after which the known keys are stale and no new secret is verified.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// For the keyring, which is called off the serving threads.
pub(super) struct RedisKeys {
    pub(super) fleet: Fleet,
    pub(super) place: String,
    pub(super) runtime: Handle,
}

impl SharedStore for RedisKeys {
    fn name(&self) -> String {
        self.place.clone()
    }

    fn load(&self) -> Result<Snapshot, String> {
        let loaded = self.runtime.block_on(self.fleet.load_keys()).map_err(|error| error.detail)?;
        Ok(Snapshot { revision: loaded.revision, keys: loaded.by_id, damage: loaded.damage })
    }

    fn save(&self, expected: u64, floor: u64, change: Change) -> Result<Option<u64>, String> {
        let saved = self.fleet.save_keys(expected, floor, &change.put, &change.gone);
        self.runtime.block_on(saved).map_err(|error| error.detail)
    }
}

/// Takes up what other nodes change, and says how far this node may be trusted while it hears nothing: it verifies nothing
/// new after a moment, and after `stale_max` it vouches for nobody.
pub(super) async fn follow(keyring: Arc<Keyring>, fleet: Fleet, stale_max: watch::Receiver<Duration>) {
    let mut news = fleet.keys_heard();
    let mut said = None;
    let mut heard: Option<Instant> = None;
    let mut freshness = Freshness::None;
    loop {
        let next = match (heard, freshness) {
            (Some(heard), Freshness::Current) => Some(heard + STALE_AFTER),
            (Some(heard), Freshness::Stale) => Some(heard + (*stale_max.borrow()).max(STALE_AFTER)),
            _ => None,
        };
        let changed = match next {
            Some(next) => timeout_at(next, news.changed()).await,
            None => Ok(news.changed().await),
        };
        let now = match changed {
            Err(_) if freshness == Freshness::Current => Freshness::Stale,
            Err(_) => Freshness::None,
            // The engine is gone.
            Ok(Err(_)) => return,
            Ok(Ok(())) => {
                let Some(keys) = *news.borrow_and_update() else { continue };
                let is_known = keys.are_whole && keyring.revision() == keys.revision;
                if freshness == Freshness::None || !is_known {
                    let trouble = reload(&keyring).await.err();
                    if trouble != said
                        && let Some(trouble) = &trouble
                    {
                        tracing::warn!(message_id = %Event::KeysUnread, "the keys of the fleet cannot be read: {trouble}");
                    }
                    said = trouble;
                    if said.is_some() {
                        continue;
                    }
                }
                heard = Some(keys.at);
                Freshness::Current
            }
        };
        if now != freshness {
            freshness = now;
            keyring.set_freshness(now);
            match now {
                Freshness::Current => {
                    tracing::info!(message_id = %Event::KeysBack, keys = keyring.len(), "the keys of the fleet are in reach")
                }
                Freshness::Stale => tracing::warn!(
                    message_id = %Event::KeysAway,
                    "the keys of the fleet are out of reach: those that are known go on, no other is verified"
                ),
                Freshness::None => tracing::error!(
                    message_id = %Event::KeysStale,
                    "the keys of the fleet are out of reach for longer than auth.stale_max: all streams with keys are ended"
                ),
            }
        }
    }
}

/// The error is for people.
async fn reload(keyring: &Arc<Keyring>) -> Result<(), String> {
    let keyring = Arc::clone(keyring);
    let reloaded = tokio::task::spawn_blocking(move || keyring.reload().map_err(|error| error.to_string())).await;
    reloaded.unwrap_or_else(|error| Err(error.to_string())).map(drop)
}
