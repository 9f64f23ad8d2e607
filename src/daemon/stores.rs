//! Opens the stores: the log of alerts and the keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;

use super::shared_keys::RedisKeys;
use super::{Failure, settings, shared_keys};
use crate::config;
use crate::engine::embedded::{Embedded, OpenError};
use crate::engine::redis::{self, Redis};
use crate::engine::{Clock, Engine, Feed};
use crate::keyring::Keyring;
use crate::supervisor;
use crate::systemd::Notifier;

/// How often a slow start is logged. Each time, the service manager is asked for three times as long.
const SLOW_OPEN_INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Stores {
    pub(super) engine: Engine,
    pub(super) feed: mpsc::Receiver<Feed>,
    pub(super) keyring: Arc<Keyring>,
    /// The clock of the stores: that of this machine, or of Redis.
    pub(super) clock: Clock,
    /// Where the alerts are stored, for messages.
    pub(super) location: String,
}

impl Stores {
    /// Opens the stores on a blocking thread, because a large log takes time after a crash. Does not wait for Redis.
    pub(super) async fn open(
        config: &config::Config,
        fleet: Option<redis::Settings>,
        clock: &Clock,
        stale_max: watch::Receiver<Duration>,
        notifier: &Notifier,
    ) -> Result<Self, Failure> {
        let (keys, runtime) = (settings::keyring(config), tokio::runtime::Handle::current());
        let are_shared = config.auth.store == config::Store::Engine;
        let directory = fleet.is_none().then(|| config.state_dir.clone());
        let incidents = settings::incidents(config);
        let (embedded, clock) = (settings::embedded(config, Arc::clone(clock)), Arc::clone(clock));
        let (progress, mut progressed) = watch::channel(String::new());
        let mut opening = tokio::task::spawn_blocking(move || {
            let Some(fleet) = fleet else {
                let keyring = Arc::new(Keyring::open(&keys)?);
                let location = format!("embedded engine in {}", embedded.directory.display());
                let (embedded, feed) =
                    Embedded::open_with(embedded, &|text| drop(progress.send_replace(text.to_owned())))?;
                let engine = Engine::Embedded(embedded);
                engine.set_incidents(incidents);
                return Ok(Self { engine, feed, keyring, clock, location });
            };
            let location = fleet.topology.to_string();
            let _inside = runtime.enter();
            let (redis, feed) = Redis::start(fleet);
            let engine = Engine::Redis(redis.clone());
            // Before its first look at what is due, which otherwise goes by the defaults and has to be repeated.
            engine.set_incidents(incidents);
            let keyring = if are_shared {
                let (fleet, location) = (redis.fleet().clone(), location.clone());
                let shared = RedisKeys { fleet, location, runtime: runtime.clone() };
                let keyring = Arc::new(Keyring::shared(&keys, Arc::new(shared))?);
                let following = shared_keys::follow(Arc::clone(&keyring), redis.fleet().clone(), stale_max);
                supervisor::essential("key-follower", following);
                keyring
            } else {
                Arc::new(Keyring::open(&keys)?)
            };
            let clock = redis.fleet().clock();
            Ok::<_, Failure>(Self { engine, feed, keyring, clock, location })
        });
        let first = tokio::time::Instant::now() + SLOW_OPEN_INTERVAL;
        let mut slow = tokio::time::interval_at(first, SLOW_OPEN_INTERVAL);
        loop {
            tokio::select! {
                opened = &mut opening => return opened.map_err(|error| failed(error, directory))?,
                Ok(()) = progressed.changed() => notifier.status(&progressed.borrow_and_update()),
                _ = slow.tick() => {
                    tracing::info!("opening the store, which may take a while after a crash");
                    notifier.extend_timeout(3 * SLOW_OPEN_INTERVAL);
                }
            }
        }
    }
}

/// The failure of a start whose stores could not be opened because of a panic.
fn failed(error: JoinError, directory: Option<PathBuf>) -> Failure {
    match directory.filter(|_| error.is_panic()) {
        Some(path) => {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Failure::Store(OpenError::Panicked { path, reason: text.unwrap_or("without a message").to_owned() })
        }
        None => Failure::Io(std::io::Error::other("opening the stores failed")),
    }
}
