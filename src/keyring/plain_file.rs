//! Files in a directory that other users may be able to write to: opened without following links, owned by its owner.
//!
//! Used by the file store for the key file and its lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use super::KeyringError;

/// Opens an existing plain file. What a link points to may be opened, but is never created, changed or used.
pub(super) fn open_plain(path: &Path, write: bool) -> Result<File, KeyringError> {
    let failed = |source| KeyringError::Io { path: path.to_owned(), source };
    // Checked first, because opening a pipe would block.
    if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err(KeyringError::Link(path.to_owned()));
    }
    let file = OpenOptions::new().read(true).write(write).open(path).map_err(failed)?;
    let (opened, named) = (file.metadata().map_err(failed)?, fs::symlink_metadata(path).map_err(failed)?);
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(KeyringError::Link(path.to_owned()));
    }
    Ok(file)
}

/// Root writes as the directory's owner, or the daemon could not read what `alertctl` wrote.
pub(super) fn give_to_owner(file: &File, directory: &Path) -> io::Result<()> {
    let (own, owner) = (file.metadata()?, fs::metadata(directory)?);
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) && own.uid() == 0 {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}
