//! `alertctl backup`: writes a backup to a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::super::args::{Backup, DaemonOptions};
use super::super::client::{Client, Request};
use super::super::exit::Failure;
use super::super::output::note;
use super::super::progress::Progress;
use super::super::settings::LogStore;
use super::super::{keys, settings};
use super::{described, of_keys, of_log};
use crate::backup::{Header, Item, MEDIA_TYPE, Part, Problem, Reader, Totals, Writer};
use crate::engine::embedded::AtRest;
use crate::engine::{Export, Unavailable, redis};
use crate::keyring::export_at_rest;

/// Bytes that are flushed to the disk at once. A flush of the whole file at the end would hold up those of the daemon.
const UNSYNCED: usize = 256 << 10;
/// How long the daemon may send nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a backup through the daemon or, if none runs on this machine (`local`), from the store itself.
///
/// # Errors
/// [`Failure`]; the file is then as it was before.
pub(crate) async fn run(args: &Backup, client: &Client, local: Option<&DaemonOptions>) -> Result<(), Failure> {
    let mut target = Target::open(&args.file)?;
    match (client.send(Request::get("/backup")).await, local) {
        (Ok(mut response), _) => {
            if response.media_type() != MEDIA_TYPE {
                return Err(Failure::Failed(
                    "the daemon does not answer with a backup; is it an older version?".into(),
                ));
            }
            loop {
                let piece = timeout(PATIENCE, response.piece()).await.map_err(|_| {
                    Failure::Unavailable(format!("the daemon sent nothing for {} s; try again", PATIENCE.as_secs()))
                })?;
                let Some(piece) = piece? else { break };
                target.write(&piece)?;
            }
        }
        (Err(error), Some(daemon)) if error.is_absent() => at_rest(daemon, &mut target).await?,
        (Err(error), _) => return Err(error.into()),
    }
    target.finish()
}

/// Makes a backup of the stores of a stopped daemon.
async fn at_rest(daemon: &DaemonOptions, target: &mut Target) -> Result<(), Failure> {
    let stores = settings::stores(daemon)?;
    let now_ms = keys::now_ms();
    let (mut export, in_log, _lock) = match &stores.log {
        LogStore::Directory(directory) => {
            let AtRest { export, damage, lock } =
                AtRest::open(directory, now_ms).map_err(|error| of_log(&error, daemon))?;
            damage.iter().for_each(|damage| note(damage));
            (Export::from(export), Vec::new(), lock)
        }
        LogStore::Redis(settings) => {
            let direct = redis::Export::direct(settings).await;
            let (export, keys) = direct.map_err(|unavailable| Failure::Unavailable(unavailable.detail))?;
            (Export::from(export), keys, None)
        }
    };
    note(&format!("no daemon runs here: reading the store in {} directly", stores.log));
    let user_keys = stores.keys.map(|directory| export_at_rest(&directory)).transpose();
    let user_keys = user_keys.map_err(|error| of_keys(&error, daemon))?.unwrap_or(in_log);
    let mut lines = Lines { writer: Writer::default(), totals: Totals::default(), target };
    let header = Header::new(export.kind, now_ms, export.alerts, export.extent).with_epoch(export.epoch.clone());
    lines.write([Item::Header(header)])?;
    lines.write(user_keys.into_iter().map(|(id, entry)| Item::UserKey { id, entry }))?;
    loop {
        let failed = |unavailable: Unavailable| Failure::Failed(format!("{}: {}", stores.log, unavailable.detail));
        let parts = export.next().await.map_err(failed)?;
        if parts.is_empty() {
            break;
        }
        lines.write(parts.into_iter().map(Item::Part))?;
    }
    export.damage().iter().for_each(|damage| note(damage));
    let totals = lines.totals;
    lines.write([Item::End(totals)])
}

/// Writes items and counts them.
struct Lines<'a> {
    writer: Writer,
    totals: Totals,
    target: &'a mut Target,
}

impl Lines<'_> {
    fn write(&mut self, items: impl IntoIterator<Item = Item>) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for item in items {
            match &item {
                Item::Part(Part::Alert { .. }) => self.totals.alerts += 1,
                Item::Part(Part::Key { .. }) => self.totals.keys += 1,
                _ => {}
            }
            let failed = |error| Failure::Failed(format!("an alert cannot be written: {error}"));
            self.writer.write(&item, &mut lines).map_err(failed)?;
        }
        self.target.write(&lines)
    }
}

/// Where a backup is written, and its verification so far.
struct Target {
    /// None for standard output.
    file: Option<(File, PathBuf)>,
    /// Bytes written since the last flush.
    unsynced: usize,
    path: PathBuf,
    reader: Reader,
    progress: Progress,
    problem: Option<Problem>,
}

impl Target {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = if path == Path::new("-") {
            None
        } else {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".new");
            let temporary = path.with_file_name(name);
            // Left behind by a kill. A link that somebody has put there is removed too, not followed.
            let _ = fs::remove_file(&temporary);
            // The mode is strict because the file has the hashes of all keys.
            let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
            let failed = |error| Failure::Failed(format!("cannot write {}: {error}", temporary.display()));
            Some((opened.map_err(failed)?, temporary))
        };
        let (reader, progress) = (Reader::default(), Progress::begin(None, false));
        Ok(Self { file, unsynced: 0, path: path.to_owned(), reader, progress, problem: None })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let before = self.reader.summary().totals.alerts;
        let problem = &mut self.problem;
        self.reader.feed(bytes, &mut |read| {
            if let Err(found) = read {
                problem.get_or_insert(found);
            }
        });
        let summary = self.reader.summary();
        if before == 0 {
            self.progress.set_total(summary.header.as_ref().map(|header| header.alerts));
        }
        self.progress.add(summary.totals.alerts - before, summary.last);
        if let Some(problem) = &self.problem {
            return Err(Failure::Failed(format!("the backup is incomplete: {}", problem.reason)));
        }
        let written = match &mut self.file {
            Some((file, _)) => file.write_all(bytes).and_then(|()| {
                self.unsynced += bytes.len();
                if self.unsynced < UNSYNCED {
                    return Ok(());
                }
                self.unsynced = 0;
                file.sync_data()
            }),
            None => io::stdout().write_all(bytes),
        };
        written.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        if self.file.is_none() && error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Failure::Failed(format!("cannot write {}: {error}", self.path.display()))
    }

    /// Moves the complete file to its place.
    fn finish(mut self) -> Result<(), Failure> {
        self.progress.end();
        if let Err(problem) = self.reader.finish() {
            return Err(Failure::Failed(problem.reason));
        }
        let placed = match &mut self.file {
            Some((file, temporary)) => {
                let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                file.sync_all()
                    .and_then(|()| fs::rename(&*temporary, &self.path))
                    .and_then(|()| File::open(directory.unwrap_or(Path::new(".")))?.sync_all())
            }
            None => io::stdout().flush(),
        };
        placed.map_err(|error| self.failed(&error))?;
        note(&format!("{}: {}", self.path.display(), described(self.reader.summary())));
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After a success it is not there any more.
        if let Some((_, temporary)) = &self.file {
            let _ = fs::remove_file(temporary);
        }
    }
}
