//! The settings that `alertctl` takes from the daemon's configuration. No other file of `ctl` loads it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::args::DaemonOptions;
use super::exit::Failure;
use crate::config::{self, Inputs, Resolved, Source};
use crate::daemon::Checked;
use crate::engine::redis;
use crate::keyring;

/// Loads the configuration like the selected daemon does.
///
/// # Errors
/// [`Failure::Configuration`] with all errors of the configuration, one per line.
pub(crate) fn load(daemon: &DaemonOptions) -> Result<Resolved, Failure> {
    config::load(&inputs(daemon)).map_err(|errors| Failure::Configuration(errors.to_string()))
}

/// Checks everything that the selected daemon reads before it opens its stores.
///
/// # Errors
/// [`Failure::Configuration`] with all errors, one per line.
pub(crate) fn check(daemon: &DaemonOptions) -> Result<Checked, Failure> {
    crate::daemon::check(&inputs(daemon)).map_err(|errors| Failure::Configuration(errors.to_string()))
}

fn inputs(daemon: &DaemonOptions) -> Inputs {
    let mut inputs = Inputs::from_process(daemon.config.clone());
    if let Some(instance) = &daemon.instance {
        inputs.file.get_or_insert_with(|| instance.config());
        inputs.env.extend(instance.environment());
    }
    inputs
}

/// The file that is read if none is named. It may be missing.
#[must_use]
pub(crate) fn default_file() -> &'static Path {
    config::default_file()
}

/// Every setting with its source.
#[must_use]
pub(crate) fn show(resolved: &Resolved) -> String {
    config::show(resolved)
}

/// The control socket, and whether it is configured rather than the default. `None` if the configuration cannot be loaded,
/// because a daemon must be reachable even then.
#[must_use]
pub(crate) fn control_socket(daemon: &DaemonOptions) -> Option<(PathBuf, bool)> {
    let resolved = load(daemon).ok()?;
    let is_configured = is_configured(&resolved, "control_socket");
    Some((resolved.config.control_socket, is_configured))
}

/// The control socket of a daemon that runs as a service, even if its configuration cannot be loaded.
#[must_use]
pub(crate) fn usual_control_socket(daemon: &DaemonOptions) -> PathBuf {
    let usual = || match &daemon.instance {
        Some(instance) => instance.socket("control.sock"),
        None => PathBuf::from("/run/alertd/control.sock"),
    };
    control_socket(daemon).map_or_else(usual, |(path, _)| path)
}

/// The publish socket, like [`control_socket`].
#[must_use]
pub(crate) fn publish_socket(daemon: &DaemonOptions) -> Option<(PathBuf, bool)> {
    let resolved = load(daemon).ok()?;
    let is_configured = is_configured(&resolved, "publish_socket");
    Some((resolved.config.publish_socket, is_configured))
}

/// Where the log of alerts is stored.
pub(crate) enum LogStore {
    /// The state directory.
    Directory(PathBuf),
    /// The Redis of a fleet.
    Redis(Box<redis::Settings>),
}

impl fmt::Display for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Redis(settings) => settings.topology.fmt(f),
        }
    }
}

/// Where the log of alerts and the keys are stored.
pub(crate) struct Stores {
    pub(crate) log: LogStore,
    /// None if they are in the Redis of a fleet.
    pub(crate) keys: Option<PathBuf>,
    /// A daemon that is about to start, or could be started by a client, listens there.
    pub(crate) control_socket: PathBuf,
}

/// The stores of the selected daemon.
///
/// # Errors
/// Those of [`load`], and [`Failure::Configuration`] if the password of Redis cannot be read.
pub(crate) fn stores(daemon: &DaemonOptions) -> Result<Stores, Failure> {
    let resolved = load(daemon)?;
    let fleet = crate::daemon::redis_outside(&resolved, &inputs(daemon));
    let fleet = fleet.map_err(|error| Failure::Configuration(error.to_string()))?;
    let config = resolved.config;
    let log = fleet.map_or_else(|| LogStore::Directory(config.state_dir), |fleet| LogStore::Redis(Box::new(fleet)));
    let keys = (config.auth.store != config::Store::Engine).then_some(config.auth.store_dir);
    Ok(Stores { log, keys, control_socket: config.control_socket })
}

fn is_configured(resolved: &Resolved, name: &str) -> bool {
    resolved.source(name).is_some_and(|source| *source != Source::Default)
}

/// Where the keys are stored and how they are hashed.
///
/// # Errors
/// Those of [`load`], and [`Failure::Unavailable`] if the keys are not in a file.
pub(crate) fn key_store(daemon: &DaemonOptions) -> Result<keyring::Settings, Failure> {
    let auth = load(daemon)?.config.auth;
    if auth.store == config::Store::Engine {
        return Err(Failure::Unavailable(
            "no alertd runs here, and its keys are in the Redis of its fleet (auth.store); start it, or use another node with --url".into(),
        ));
    }
    Ok(keyring::Settings { directory: auth.store_dir, iterations: auth.iterations, workers: 1 })
}
