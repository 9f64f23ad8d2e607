//! What `alertctl` takes from the daemon's configuration. The only file here that knows how it is loaded.

use std::path::{Path, PathBuf};

use super::args::DaemonOptions;
use super::exit::Failure;
use crate::config::{self, Inputs, Resolved, Source};
use crate::keyring;

/// Reads the configuration as the daemon would that is meant.
///
/// # Errors
/// [`Failure::Configuration`] with all its errors, a line each.
pub(crate) fn load(daemon: &DaemonOptions) -> Result<Resolved, Failure> {
    let mut inputs = Inputs::from_process(daemon.config.clone());
    if let Some(instance) = &daemon.instance {
        inputs.file.get_or_insert_with(|| instance.config());
        inputs.env.extend(instance.environment());
    }
    config::load(&inputs).map_err(|errors| Failure::Configuration(errors.to_string()))
}

/// The file that is read where none is named; it may be missing.
#[must_use]
pub(crate) fn default_file() -> &'static Path {
    config::default_file()
}

/// Every value with its source.
#[must_use]
pub(crate) fn show(resolved: &Resolved) -> String {
    config::show(resolved)
}

/// The control socket, and whether somebody chose it; none where the configuration cannot be read, which must not keep
/// anybody from speaking to the daemon.
#[must_use]
pub(crate) fn control_socket(daemon: &DaemonOptions) -> Option<(PathBuf, bool)> {
    let resolved = load(daemon).ok()?;
    let chosen = is_chosen(&resolved, "control_socket");
    Some((resolved.config.control_socket, chosen))
}

/// The publish socket, likewise.
#[must_use]
pub(crate) fn publish_socket(daemon: &DaemonOptions) -> Option<(PathBuf, bool)> {
    let resolved = load(daemon).ok()?;
    let chosen = is_chosen(&resolved, "publish_socket");
    Some((resolved.config.publish_socket, chosen))
}

fn is_chosen(resolved: &Resolved, name: &str) -> bool {
    resolved.source(name).is_some_and(|source| *source != Source::Default)
}

/// Where the keys lie and how they are hashed.
///
/// # Errors
/// As [`load`].
pub(crate) fn key_store(daemon: &DaemonOptions) -> Result<keyring::Settings, Failure> {
    let auth = load(daemon)?.config.auth;
    if auth.store == config::Store::Engine {
        return Err(Failure::Unavailable(
            "no alertd runs here, and its keys are in the Redis of its fleet (auth.store): start it, or ask another node with --url".into(),
        ));
    }
    Ok(keyring::Settings { directory: auth.store_dir, iterations: auth.iterations, workers: 1 })
}
