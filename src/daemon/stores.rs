//! Opening what the daemon keeps: the log of alerts and the keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::shared_keys::RedisKeys;
use super::{Failure, settings, shared_keys};
use crate::config;
use crate::engine::embedded::Embedded;
use crate::engine::redis::{self, Redis};
use crate::engine::{Clock, Engine, Feed};
use crate::keyring::Keyring;
use crate::supervisor;
use crate::systemd::Notifier;

/// A slow start says so as often, and asks for three times as long.
const SLOW_OPEN: Duration = Duration::from_secs(5);

/// Alerts and keys.
pub(super) struct Stores {
    pub(super) engine: Engine,
    pub(super) feed: mpsc::Receiver<Feed>,
    pub(super) keyring: Arc<Keyring>,
    /// The clock that they go by.
    pub(super) clock: Clock,
    /// Where the alerts are, in words.
    pub(super) place: String,
}

impl Stores {
    /// Opens what lies on disk, away from the serving threads; after a crash a large log takes its time. A Redis is not
    /// waited for.
    pub(super) async fn open(
        config: &config::Config,
        fleet: Option<redis::Settings>,
        clock: &Clock,
        stale_max: watch::Receiver<Duration>,
        notifier: &Notifier,
    ) -> Result<Self, Failure> {
        let (keys, runtime) = (settings::keyring(config), tokio::runtime::Handle::current());
        let are_shared = config.auth.store == config::Store::Engine;
        let (embedded, clock) = (settings::embedded(config, Arc::clone(clock)), Arc::clone(clock));
        let (told, mut heard) = watch::channel(String::new());
        let mut opening = tokio::task::spawn_blocking(move || {
            let Some(fleet) = fleet else {
                let keyring = Arc::new(Keyring::open(&keys)?);
                let place = format!("embedded engine in {}", embedded.directory.display());
                let (embedded, feed) =
                    Embedded::open_with(embedded, &|progress| drop(told.send_replace(progress.to_owned())))?;
                return Ok(Self { engine: Engine::Embedded(embedded), feed, keyring, clock, place });
            };
            let place = fleet.topology.to_string();
            let _inside = runtime.enter();
            let (redis, feed) = Redis::start(fleet);
            let keyring = if are_shared {
                let shared = RedisKeys { fleet: redis.fleet().clone(), place: place.clone(), runtime: runtime.clone() };
                let keyring = Arc::new(Keyring::shared(&keys, Arc::new(shared))?);
                let following = shared_keys::follow(Arc::clone(&keyring), redis.fleet().clone(), stale_max);
                supervisor::essential("key-follower", following);
                keyring
            } else {
                Arc::new(Keyring::open(&keys)?)
            };
            let clock = redis.fleet().clock();
            Ok::<_, Failure>(Self { engine: Engine::Redis(redis), feed, keyring, clock, place })
        });
        let mut patience = tokio::time::interval_at(tokio::time::Instant::now() + SLOW_OPEN, SLOW_OPEN);
        loop {
            tokio::select! {
                opened = &mut opening => return opened.map_err(|e| Failure::Io(std::io::Error::other(e)))?,
                Ok(()) = heard.changed() => notifier.status(&heard.borrow_and_update()),
                _ = patience.tick() => {
                    tracing::info!("the store is being opened; after a crash this takes its time");
                    notifier.extend_timeout(3 * SLOW_OPEN);
                }
            }
        }
    }
}
