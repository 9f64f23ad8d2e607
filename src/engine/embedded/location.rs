//! Where the log is, who may use it, and what an earlier version left there.
//!
//! Nothing that was stored is ever ignored: a store of the earlier format is converted, and anything unknown is refused
//! by name. A text takes the place of the earlier format's file; earlier versions refuse it, so none of them begins an
//! empty store beside the log.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Settings;
use super::convert;
use super::open_error::OpenError;

/// The directory of the log.
pub(super) const LOG: &str = "log";
/// The log while a store is being converted, or a backup is being restored.
pub(super) const UNFINISHED: &str = "log.tmp";
/// The log that was in its place before a backup was restored.
const REPLACED: &str = "log.replaced";
pub(super) const LOCK: &str = "log.lock";
/// The file of the earlier format.
pub(super) const EARLIER: &str = "alerts.redb";
/// The same, once it is converted, until the first clean stop.
const CONVERTED: &str = "alerts.redb.converted";
/// A note that the storage of an alertd panicked, and that the log was not checked since.
pub(super) const SUSPECT: &str = "log.suspect";
/// In the log: it contains everything that [`EARLIER`] holds, which is still in its place.
const MARKER: &str = "converted";
const MAGIC: &[u8] = b"redb";
const TEXT: &[u8] =
    b"alertd: the alerts are in the directory log; this file keeps earlier versions from starting beside it\n";

/// Keeps other processes from the log while it is held.
pub(crate) struct Lock(#[expect(dead_code, reason = "dropping it is what it is for")] File);

/// What is at [`EARLIER`].
enum Earlier {
    Nothing,
    Text,
    Store,
}

/// Makes the directory of the log, or finds it, or converts what an earlier version left.
pub(super) fn prepare(settings: &Settings, progress: &dyn Fn(&str)) -> Result<Lock, OpenError> {
    let directory = &settings.directory;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| OpenError::Directory { path: directory.clone(), source })?;
    let lock = lock(directory)?;
    let (log, earlier) = (directory.join(LOG), directory.join(EARLIER));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let unreadable = |path: &Path, reason: &str| OpenError::Unreadable { path: path.to_owned(), reason: reason.into() };
    let is_there = log.try_exists().map_err(io(&log))?;
    match (look(&earlier)?, is_there) {
        (Earlier::Nothing, false) if directory.join(CONVERTED).exists() => {
            return Err(unreadable(&log, "it is missing, although a store was converted into it"));
        }
        (Earlier::Text, false) => {
            let reason = format!(
                "it is missing, although {EARLIER} says that the alerts are there (remove both for an empty log)"
            );
            return Err(unreadable(&log, &reason));
        }
        (Earlier::Nothing, false) => {
            make(&log).and_then(|()| sync(directory)).map_err(io(&log))?;
            write_text(directory).map_err(io(&earlier))?;
        }
        (Earlier::Nothing, true) => write_text(directory).map_err(io(&earlier))?,
        (Earlier::Text, true) => {}
        (Earlier::Store, false) => {
            let unfinished = make_unfinished(directory)?;
            convert::convert(&earlier, &unfinished, settings, progress)?;
            write(&unfinished.join(MARKER), b"").and_then(|()| sync(&unfinished)).map_err(io(&unfinished))?;
            fs::rename(&unfinished, &log).and_then(|()| sync(directory)).map_err(io(&log))?;
            set_aside(directory).map_err(io(&earlier))?;
        }
        (Earlier::Store, true) if log.join(MARKER).exists() => set_aside(directory).map_err(io(&earlier))?,
        (Earlier::Store, true) => {
            return Err(unreadable(
                &earlier,
                "it is a store of an earlier version, and the directory log beside it is in use; keep one of them",
            ));
        }
    }
    Ok(lock)
}

/// Removes the converted store, which is not needed after the first clean stop.
pub(super) fn remove_converted(directory: &Path) {
    // If it cannot be removed, the next stop or retraction tries again.
    if fs::remove_file(directory.join(CONVERTED)).is_ok() {
        let _ = sync(directory);
    }
}

/// Removes the note of a panic: the log was checked, or another one has taken its place.
pub(super) fn clear_suspicion(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(SUSPECT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An empty directory for a log that is not in its place yet.
pub(super) fn make_unfinished(directory: &Path) -> Result<PathBuf, OpenError> {
    let path = directory.join(UNFINISHED);
    let made = match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => make(&path),
    };
    made.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    Ok(path)
}

/// The log of a stopped alertd.
pub(super) fn find(directory: &Path) -> Result<PathBuf, OpenError> {
    let log = directory.join(LOG);
    let unreadable = |reason: &str| OpenError::Unreadable { path: log.clone(), reason: reason.into() };
    match log.try_exists() {
        Ok(true) => Ok(log),
        Ok(false) if matches!(look(&directory.join(EARLIER))?, Earlier::Store) => {
            Err(unreadable("the store is one of an earlier version, which the next start of alertd converts"))
        }
        Ok(false) => Err(unreadable("it is missing")),
        Err(source) => Err(OpenError::Io { path: log, source }),
    }
}

/// Locks the log for reading, without making a file.
pub(super) fn lock_existing(directory: &Path) -> Result<Option<Lock>, OpenError> {
    let path = directory.join(LOCK);
    match File::open(&path) {
        Ok(file) => take_lock(file, path, directory).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Locks the log so that another one can replace it.
pub(super) fn lock_for_restore(directory: &Path) -> Result<Lock, OpenError> {
    let lock = lock(directory)?;
    let replaced = directory.join(REPLACED);
    // Without a log, an earlier restore was interrupted between two renames, and this one completes it.
    if replaced.exists() && directory.join(LOG).exists() {
        let reason = "it is left from an earlier restore; remove it, or move it away";
        return Err(OpenError::Io { path: replaced, source: io::Error::new(io::ErrorKind::AlreadyExists, reason) });
    }
    Ok(lock)
}

/// Replaces the former log with the unfinished one, which must be complete. One of them is complete at any moment.
pub(super) fn put_in_place(directory: &Path) -> io::Result<Option<PathBuf>> {
    let (log, unfinished, replaced) = (directory.join(LOG), directory.join(UNFINISHED), directory.join(REPLACED));
    sync(&unfinished)?;
    let kept = match fs::rename(&log, &replaced) {
        Ok(()) => Some(replaced),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    sync(directory)?;
    fs::rename(&unfinished, &log)?;
    sync(directory)?;
    // A store of an earlier version that was never converted would count as the one in use.
    let earlier = directory.join(EARLIER);
    if matches!(look(&earlier), Ok(Earlier::Store)) {
        fs::rename(&earlier, directory.join(format!("{EARLIER}.replaced")))?;
    }
    write_text(directory)?;
    Ok(kept)
}

fn lock(directory: &Path) -> Result<Lock, OpenError> {
    let path = directory.join(LOCK);
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
    take_lock(file, path, directory)
}

fn take_lock(file: File, path: PathBuf, directory: &Path) -> Result<Lock, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.join(LOG))),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

fn look(path: &Path) -> Result<Earlier, OpenError> {
    let mut start = Vec::new();
    match File::open(path).and_then(|file| file.take(TEXT.len() as u64).read_to_end(&mut start)) {
        Ok(_) if start == TEXT => Ok(Earlier::Text),
        Ok(_) if start.starts_with(MAGIC) => Ok(Earlier::Store),
        Ok(_) => {
            let reason = "it is neither a store of an earlier version nor what this one leaves in its place".into();
            Err(OpenError::Unreadable { path: path.to_owned(), reason })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Earlier::Nothing),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn write_text(directory: &Path) -> io::Result<()> {
    let temporary = directory.join(format!("{EARLIER}.tmp"));
    write(&temporary, TEXT)?;
    fs::rename(&temporary, directory.join(EARLIER))?;
    sync(directory)
}

/// Keeps the converted store under another name and puts the text in its place, which is never empty meanwhile.
fn set_aside(directory: &Path) -> io::Result<()> {
    match fs::hard_link(directory.join(EARLIER), directory.join(CONVERTED)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    write_text(directory)?;
    match fs::remove_file(directory.join(LOG).join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
