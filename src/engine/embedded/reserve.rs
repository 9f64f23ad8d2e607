//! A file that reserves some space: even a removal needs space, because it is a record of the log.
//!
//! Owned by the writer. Removing the file makes room for a few commits.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Enough for many removals, and for a snapshot beside the old one.
const SIZE: usize = 8 << 20;

/// The file.
pub(super) struct Reserve(PathBuf);

impl Reserve {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.join("reserve"))
    }

    /// Reserves the space, unless it is reserved. Writes real bytes, because a hole in a file takes no space.
    pub(super) fn hold(&self) -> io::Result<()> {
        if fs::metadata(&self.0).is_ok_and(|file| file.len() >= SIZE as u64) {
            return Ok(());
        }
        let held = self.fill();
        if held.is_err() {
            self.release();
        }
        held
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.0)?;
        // Not zeros: some file systems store those as holes.
        let block = [0x5a; 64 << 10];
        for _ in 0..SIZE / block.len() {
            file.write_all(&block)?;
        }
        file.sync_all()
    }

    /// Frees the space, if it was reserved.
    pub(super) fn release(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_real_space_and_goes_when_released() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(directory.path());
        reserve.hold().unwrap();
        reserve.hold().unwrap();
        assert_eq!(fs::metadata(directory.path().join("reserve")).unwrap().len(), SIZE as u64);
        reserve.release();
        reserve.release();
        assert!(!directory.path().join("reserve").exists());
    }
}
