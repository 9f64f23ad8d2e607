//! `auth.json` and its lock.
//!
//! Whoever holds a [`Store`] is the only writer: the lock is held for its life. A write either happens whole or not at
//! all, and never through a symbolic link.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::KeyringError;
use super::record::Record;

/// A larger file is none of ours.
const MAX_BYTES: u64 = 32 << 20;

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Says whose file it is, and its version.
    alertd_keys: u32,
    keys: Vec<Record>,
}

pub(super) struct Store {
    directory: PathBuf,
    path: PathBuf,
    /// Held, not used.
    _lock: File,
}

impl Store {
    pub(super) fn open(directory: &Path) -> Result<Self, KeyringError> {
        let failed = |source| KeyringError::Io { path: directory.to_owned(), source };
        if !directory.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let path = directory.join("auth.lock");
        let failed = |source| KeyringError::Io { path: path.clone(), source };
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(failed)?;
        let (opened, named) = (lock.metadata().map_err(failed)?, fs::symlink_metadata(&path).map_err(failed)?);
        if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
            return Err(KeyringError::Link(path));
        }
        give_to_owner(&lock, directory).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), path: directory.join("auth.json"), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(KeyringError::Locked(path)),
            Err(TryLockError::Error(source)) => Err(KeyringError::Io { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The keys; none where there is no file yet.
    pub(super) fn load(&self) -> Result<Vec<Record>, KeyringError> {
        let failed = |source| KeyringError::Io { path: self.path.clone(), source };
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
            Ok(file) if !file.is_file() => return Err(KeyringError::Link(self.path.clone())),
            Ok(file) if file.len() > MAX_BYTES => return Err(self.foreign("it is too large")),
            Ok(_) => {}
        }
        let text = fs::read(&self.path).map_err(failed)?;
        let document: Document = serde_json::from_slice(&text).map_err(|error| self.foreign(error))?;
        if document.alertd_keys != 1 {
            return Err(self.foreign(format_args!("its version is {}, not 1", document.alertd_keys)));
        }
        Ok(document.keys)
    }

    fn foreign(&self, reason: impl ToString) -> KeyringError {
        KeyringError::Foreign { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Replaces the file; after a crash at any moment it is the old or the new one.
    pub(super) fn save(&self, keys: Vec<Record>) -> Result<(), KeyringError> {
        let written = self.replace(&Document { alertd_keys: 1, keys });
        written.map_err(|source| KeyringError::Io { path: self.path.clone(), source })
    }

    fn replace(&self, document: &Document) -> io::Result<()> {
        let temporary = self.directory.join("auth.json.new");
        // One that a crash left behind; a link there goes as well, unfollowed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        give_to_owner(&file, &self.directory)?;
        let mut text = serde_json::to_vec_pretty(document)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(&self.directory)?.sync_all()
    }
}

/// Root writes as the directory's owner, or the daemon could not read what `alertctl` wrote.
fn give_to_owner(file: &File, directory: &Path) -> io::Result<()> {
    let (own, owner) = (file.metadata()?, fs::metadata(directory)?);
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) && own.uid() == 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}
