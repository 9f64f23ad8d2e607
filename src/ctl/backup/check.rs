//! `alertctl check`: reads and verifies everything in a backup, or in the stores of a stopped daemon.

use super::super::args::{Check, DaemonOptions};
use super::super::exit::Failure;
use super::super::output::Output;
use super::super::progress::Progress;
use super::super::settings::LogStore;
use super::super::text::escaped;
use super::super::{keys, settings};
use super::{described, of_keys, of_log, read};
use crate::backup::Part;
use crate::engine::embedded::AtRest;
use crate::keyring;

/// # Errors
/// [`Failure::Damaged`] if anything is damaged.
pub(crate) async fn run(args: &Check, daemon: &DaemonOptions, output: &mut Output) -> Result<(), Failure> {
    let damage = match &args.file {
        Some(path) => {
            let mut damage = Vec::new();
            let summary = read(path, &mut |read| {
                damage.extend(read.err().map(|problem| format!("{}: {problem}", path.display())));
                Ok(())
            })?;
            output.line(&described(&summary)).await?;
            damage
        }
        None => store(daemon, output).await?,
    };
    for damage in &damage {
        output.line(&escaped(damage)).await?;
    }
    output.flush().await?;
    match (damage.len(), &args.file) {
        (0, _) => Ok(()),
        (places, Some(path)) => Err(Failure::Damaged(format!(
            "{} is damaged in {places} places; take another backup, or restore what is left with alertctl restore --damaged",
            path.display()
        ))),
        (places, None) => Err(Failure::Damaged(format!(
            "the store is damaged in {places} places; everything else is served. alertctl backup FILE saves it, and \
             alertctl restore FILE brings a backup back"
        ))),
    }
}

/// Prints what the stores contain, and returns what is damaged in them.
async fn store(daemon: &DaemonOptions, output: &mut Output) -> Result<Vec<String>, Failure> {
    let stores = settings::stores(daemon)?;
    let LogStore::Directory(directory) = &stores.log else {
        return Err(Failure::Usage(format!(
            "the log is in {}, which looks after its own files; to verify a backup: alertctl check FILE",
            stores.log
        )));
    };
    let log = directory.join("log");
    let AtRest { mut export, damage, lock: _lock } =
        AtRest::open(directory, keys::now_ms()).map_err(|error| of_log(&error, daemon))?;
    let in_log = |damage: &String| format!("{}/{damage}", log.display());
    let mut found: Vec<String> = damage.iter().map(in_log).collect();
    let (mut alerts, mut progress) = (0, Progress::begin(Some(export.alerts), false));
    loop {
        let parts =
            export.next().map_err(|error| Failure::Failed(format!("cannot read {}: {error}", log.display())))?;
        if parts.is_empty() {
            break;
        }
        let ids = parts.iter().filter_map(|part| match part {
            Part::Alert { record, .. } => Some(record.id),
            _ => None,
        });
        let ids: Vec<_> = ids.collect();
        alerts += ids.len();
        if let Some(last) = ids.last() {
            progress.add(ids.len() as u64, *last);
        }
    }
    progress.end();
    // Opening the log has named some damaged places already; these are the others.
    let is_new = |damage: &String| !found.contains(damage);
    let others: Vec<_> = export.damage.iter().map(in_log).filter(is_new).collect();
    found.extend(others);
    let mut user_keys = 0;
    if let Some(directory) = &stores.keys {
        let checked = keyring::check_at_rest(directory).map_err(|error| of_keys(&error, daemon))?;
        user_keys = checked.0;
        found.extend(checked.1);
    }
    let until = export.extent.until;
    output.line(&format!("{alerts} alerts up to {until} and {user_keys} keys in {}", stores.log)).await?;
    Ok(found)
}
