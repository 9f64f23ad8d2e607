//! What `alertctl` takes from the daemon's configuration.

use std::path::{Path, PathBuf};

use super::args::{ConfigCommand, TargetArgs};
use super::exit::{Code, Failure};
use super::output;
use crate::config::{self, Inputs, Resolved, Source};

const SYSTEM: &str = "/run/alertd/control.sock";

/// The configuration as the daemon would read it.
pub(super) fn load(args: &TargetArgs) -> Result<Resolved, config::Errors> {
    use std::os::unix::fs::MetadataExt;
    config::load(&Inputs {
        file: args.config.clone(),
        default_file: config::default_file().to_owned(),
        environment: std::env::vars_os().collect(),
        is_root: std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0),
    })
}

/// The control socket: as named, as configured, the user's own, the system's.
pub(super) fn socket(args: &TargetArgs) -> PathBuf {
    if let Some(path) = &args.socket {
        return path.clone();
    }
    if let Some(name) = &args.instance {
        return format!("/run/alertd-{name}/control.sock").into();
    }
    // A configuration that does not load is the daemon's trouble; its socket may work all the same.
    let Ok(resolved) = load(args) else { return SYSTEM.into() };
    let own = resolved.config.control_socket.clone();
    let is_set = resolved.source("control_socket").is_some_and(|source| *source != Source::Default);
    if is_set || own.exists() || !Path::new(SYSTEM).exists() { own } else { SYSTEM.into() }
}

pub(super) fn run(command: &ConfigCommand, args: &TargetArgs) -> Result<(), Failure> {
    let resolved = load(args).map_err(|errors| Failure::new(Code::Config, errors.to_string()))?;
    if let Some((cert, key)) = &resolved.config.http.tls {
        crate::http::tls::Tls::load(cert, key).map_err(|error| Failure::new(Code::Config, error.to_string()))?;
    }
    match command {
        ConfigCommand::Check => output::say("the configuration is good\n"),
        ConfigCommand::Show => output::say(&config::show(&resolved)),
    }
}
