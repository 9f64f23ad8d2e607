//! The log of a stopped alertd: reading it without changing it, and replacing it.
//!
//! Called by `alertctl`, as root or as the service's user. Both hold the lock of the log, so that no alertd starts meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use parking_lot::RwLock;

use super::disk::read_only::ReadOnlyDisk;
use super::disk::real::RealDisk;
use super::export::Export;
use super::import::Import;
use super::keeper::Keeper;
use super::location::{self, Lock};
use super::open_error::OpenError;
use super::recover::recover;
use crate::alert::Id;
use crate::backup::{Extent, Part};

/// The log of a stopped alertd.
pub(crate) struct AtRest {
    pub(crate) export: Export,
    /// Damage to whole files, each with its name; damaged records are reported as they are read.
    pub(crate) damage: Vec<String>,
    /// Keeps alertd from starting while it is held.
    pub(crate) lock: Option<Lock>,
}

impl AtRest {
    /// Opens the log in a state directory, and changes nothing in it.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub(crate) fn open(directory: &Path, now_ms: u64) -> Result<Self, OpenError> {
        let lock = location::lock_existing(directory)?;
        Self::read(&location::find(directory)?, lock, now_ms)
    }

    /// The same for a directory that is locked already.
    pub(super) fn read(log: &Path, lock: Option<Lock>, now_ms: u64) -> Result<Self, OpenError> {
        let disk = ReadOnlyDisk(log.to_owned());
        let unreadable = |reason: String| OpenError::Unreadable { path: log.to_owned(), reason };
        let recovered = recover(&disk, now_ms).map_err(|error| unreadable(error.to_string()))?;
        let keeper = Keeper {
            disk: Arc::new(disk),
            catalog: Arc::new(RwLock::new(recovered.catalog)),
            snapshotted: Arc::new(AtomicU32::new(recovered.snapshotted)),
            pins: Arc::default(),
            retracted: Arc::default(),
        };
        let export = Export::begin(&keeper).map_err(|source| OpenError::Io { path: log.to_owned(), source })?;
        Ok(Self { export, damage: recovered.damage, lock })
    }
}

/// A log that replaces another one.
pub(crate) struct Restore {
    directory: PathBuf,
    import: Import,
    _lock: Lock,
}

impl Restore {
    /// Begins a log beside the one in a state directory, which must exist.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub(crate) fn begin(directory: &Path, extent: Extent, now_ms: u64) -> Result<Self, OpenError> {
        let lock = location::lock_for_restore(directory)?;
        let path = directory.join(location::LOCK);
        give(directory, &path).map_err(|source| OpenError::Io { path, source })?;
        let made = location::make_unfinished(directory)?;
        let failed = |source: io::Error| OpenError::Io { path: made.clone(), source };
        let disk = Arc::new(RealDisk(made.clone()));
        let import =
            Import::begin(disk, extent, now_ms).map_err(|error| failed(io::Error::other(error.to_string())))?;
        Ok(Self { directory: directory.to_owned(), import, _lock: lock })
    }

    /// Adds a part; parts with ids must come in the order of their ids.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn add(&mut self, part: Part) -> Result<(), OpenError> {
        self.import.add(part).map_err(|source| OpenError::Io { path: self.directory.clone(), source })
    }

    /// Puts the log in its place. Returns where the former one is kept, if there was one.
    ///
    /// # Errors
    /// The disk fails; the former log is then in its place, or beside it.
    pub(crate) fn finish(self, until: Id) -> Result<Option<PathBuf>, OpenError> {
        let Self { directory, import, _lock } = self;
        let done = import.finish(until).and_then(|()| {
            let unfinished = directory.join(location::UNFINISHED);
            give_to_owner(&directory, &unfinished)?;
            let kept = location::put_in_place(&directory)?;
            give(&directory, &directory.join(location::EARLIER))?;
            location::clear_suspicion(&directory)?;
            Ok(kept)
        });
        done.map_err(|source| OpenError::Io { path: directory.clone(), source })
    }
}

/// Gives a directory with its files to the owner of another one.
fn give_to_owner(of: &Path, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        give(of, &entry?.path())?;
    }
    give(of, directory)
}

fn give(of: &Path, path: &Path) -> io::Result<()> {
    let (wanted, found) = (fs::metadata(of)?, fs::symlink_metadata(path)?);
    // Only root can, and only root needs to.
    if (wanted.uid(), wanted.gid()) == (found.uid(), found.gid()) || found.file_type().is_symlink() {
        return Ok(());
    }
    chown(path, Some(wanted.uid()), Some(wanted.gid()))
}
