//! `alertctl backup`, `restore` and `check`.
//!
//! A backup comes from a running daemon over its control socket, or from the store of a stopped one. Each line of it is
//! verified as it is written, so a backup that this program reports as made can be restored.

pub(crate) mod check;
pub(crate) mod restore;
mod target_log;
pub(crate) mod write;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::args::DaemonOptions;
use super::exit::Failure;
use super::progress::Progress;
use super::text::local;
use crate::alert::rfc3339;
use crate::backup::{Item, Problem, Reader, Summary};
use crate::engine::embedded::OpenError;
use crate::keyring::KeyringError;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// The units of the selected daemon, as `systemctl` takes them.
fn units(daemon: &DaemonOptions) -> String {
    let instance = daemon.instance.as_ref().map_or_else(String::new, |instance| format!("@{instance}"));
    let unit = |name: &str, kind: &str| format!("{name}{instance}.{kind}");
    let sockets = ["alertd", "alertd-control", "alertd-publish"].map(|name| unit(name, "socket"));
    format!("{} {}", sockets.join(" "), unit("alertd", "service"))
}

/// The failure of a command for which the daemon must be stopped.
fn is_running(daemon: &DaemonOptions) -> Failure {
    Failure::Unavailable(format!(
        "alertd is running, or its sockets would start it; stop it: systemctl stop {}",
        units(daemon)
    ))
}

/// Why the log of a stopped daemon cannot be used.
fn of_log(error: &OpenError, daemon: &DaemonOptions) -> Failure {
    let text = error.to_string();
    match error {
        OpenError::InUse(_) => is_running(daemon),
        OpenError::Unreadable { .. } => Failure::Damaged(text),
        OpenError::Directory { source, .. } | OpenError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Failure::NotPermitted(format!("{text}; use sudo"))
        }
        _ => Failure::Failed(text),
    }
}

fn of_keys(error: &KeyringError, daemon: &DaemonOptions) -> Failure {
    match error {
        KeyringError::Locked(_) => is_running(daemon),
        KeyringError::Foreign { .. } | KeyringError::Damaged { .. } | KeyringError::Version { .. } => {
            Failure::Damaged(error.to_string())
        }
        _ => Failure::Failed(error.to_string()),
    }
}

/// Calls `take` with each item and each problem of a backup, and returns its summary.
fn read(path: &Path, take: &mut dyn FnMut(Result<Item, Problem>) -> Result<(), Failure>) -> Result<Summary, Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot read {}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let (mut reader, mut piece, mut outcome) = (Reader::default(), vec![0; PIECE], Ok(()));
    let mut progress = Progress::begin(None, false);
    loop {
        let got = file.read(&mut piece).map_err(failed)?;
        if got == 0 {
            break;
        }
        let before = reader.summary().totals.alerts;
        reader.feed(&piece[..got], &mut |read| {
            if outcome.is_ok() {
                outcome = take(read);
            }
        });
        outcome.clone()?;
        progress.add(reader.summary().totals.alerts - before, reader.summary().last);
    }
    if let Err(problem) = reader.finish() {
        take(Err(problem))?;
    }
    Ok(reader.summary().clone())
}

/// Describes the content of a backup.
fn described(summary: &Summary) -> String {
    let Some(header) = &summary.header else { return "no backup".into() };
    let lost = match summary.losses {
        0 => String::new(),
        losses => format!(", gaps: {losses}"),
    };
    format!(
        "{} alerts up to {}{lost}, {} idempotency keys and {} keys, of {}",
        summary.totals.alerts,
        header.extent().until,
        summary.totals.keys,
        summary.user_keys,
        local(&rfc3339(header.made_ms)),
    )
}
