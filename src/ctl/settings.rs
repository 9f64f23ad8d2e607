//! What `alertctl` takes from the daemon's configuration. The only file here that knows how it is loaded.

use std::path::{Path, PathBuf};

use super::exit::Failure;
use crate::config::{self, Inputs, Resolved, Source};
use crate::keyring;

/// Reads the configuration as the daemon would, `file` being another one than the usual.
///
/// # Errors
/// [`Failure::Configuration`] with all its errors, a line each.
pub fn load(file: Option<&Path>) -> Result<Resolved, Failure> {
    let inputs = Inputs::from_process(file.map(Path::to_path_buf));
    config::load(&inputs).map_err(|errors| Failure::Configuration(errors.to_string()))
}

/// Every value with its source.
#[must_use]
pub fn show(resolved: &Resolved) -> String {
    config::show(resolved)
}

/// The control socket, and whether somebody chose it; none where the configuration cannot be read, which must not keep
/// anybody from speaking to the daemon.
#[must_use]
pub fn control_socket(file: Option<&Path>) -> Option<(PathBuf, bool)> {
    let resolved = load(file).ok()?;
    let chosen = resolved.source("control_socket").is_some_and(|source| *source != Source::Default);
    Some((resolved.config.control_socket, chosen))
}

/// The publish socket, likewise.
#[must_use]
pub fn publish_socket(file: Option<&Path>) -> Option<PathBuf> {
    load(file).ok().map(|resolved| resolved.config.publish_socket)
}

/// Where the keys lie and how they are hashed.
///
/// # Errors
/// As [`load`].
pub fn key_store(file: Option<&Path>) -> Result<keyring::Settings, Failure> {
    let auth = load(file)?.config.auth;
    Ok(keyring::Settings { directory: auth.store_dir, iterations: auth.iterations, workers: 1 })
}
