//! What the log requires of a disk: one directory of files, read and written by offset.
//!
//! Everything that the log stores goes through [`Disk`] and [`DiskFile`], so that a test can put a simulated disk below
//! it that loses, tears and reorders writes. [`real`] is the disk of this machine.

pub(super) mod read_only;
pub(super) mod real;
#[cfg(test)]
pub(super) mod simulated;

use std::io;
use std::sync::Arc;

/// A directory of files. A new name, a rename and a removal survive a power cut only after [`Disk::sync_directory`].
pub(super) trait Disk: Send + Sync {
    /// Makes a new file; it is an error if the name exists.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn unlink(&self, name: &str) -> io::Result<()>;
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file. Its content survives a power cut only after [`DiskFile::sync`].
pub(super) trait DiskFile: Send + Sync {
    /// Writes all bytes, or fails after any part of them.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills the buffer, except at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
}

/// Reads `length` bytes, or fewer at the end of the file.
pub(super) fn read(file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let got = file.read_at(&mut bytes, offset)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Replaces a small file: after a power cut either the old or the new content is there, whole.
pub(super) fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let _ = disk.unlink(&temporary);
    let file = disk.create(&temporary)?;
    let written = file.write_at(content, 0).and_then(|()| file.sync());
    if let Err(error) = written.and_then(|()| disk.rename(&temporary, name)) {
        let _ = disk.unlink(&temporary);
        return Err(error);
    }
    disk.sync_directory()
}

/// Whether the disk, or this user's quota, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
