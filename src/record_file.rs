//! A small file with one value, which is read as a whole or not at all.
//!
//! Called by code that keeps state over a restart. The first line has the version of the format and a checksum, and the
//! rest is JSON. A file is replaced atomically; one of a later version and a damaged one are refused by name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the format, after which fields may be added without a new one.
const VERSION: u32 = 1;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum RecordFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it was written by a later version of alertd")]
    Version,
    #[error("it is damaged")]
    Damaged,
}

/// A file, and what its owner has logged about it.
pub(crate) struct RecordFile {
    path: PathBuf,
    has_failed: bool,
}

impl RecordFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, has_failed: false }
    }

    /// The value, if there is one. A file that cannot be used is named in the journal, with what follows from that, and
    /// ignored.
    pub(crate) fn read<T: DeserializeOwned>(&self, consequence: &str) -> Option<T> {
        read(&self.path).unwrap_or_else(|error| {
            tracing::warn!("{} cannot be used ({error}): {consequence}", self.path.display());
            None
        })
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// Why the file cannot be used, with its path, for a value that must not be replaced without a person.
    pub(crate) fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, String> {
        read(&self.path).map_err(|error| format!("{} cannot be used: {error}", self.path.display()))
    }

    /// Replaces the value, and returns whether that was possible. The first of several failures is logged.
    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> bool {
        let written = write(&self.path, value);
        if let (Err(error), false) = (&written, self.has_failed) {
            let reason = crate::disk::explained(&self.path, error);
            tracing::warn!("{} cannot be written: {reason}", self.path.display());
        }
        self.has_failed = written.is_err();
        written.is_ok()
    }
}

/// Reads a value; none if there is no file.
///
/// # Errors
/// [`RecordFileError`] if the file cannot be read, has a later version, or is not what was written.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordFileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(RecordFileError::Damaged),
        Err(error) => return Err(error.into()),
    };
    let (head, json) = text.split_once('\n').ok_or(RecordFileError::Damaged)?;
    let mut words = head.split(' ');
    let version = words.next().and_then(|version| version.parse::<u32>().ok()).ok_or(RecordFileError::Damaged)?;
    if version > VERSION {
        return Err(RecordFileError::Version);
    }
    let checksum = words.next().and_then(|checksum| u32::from_str_radix(checksum, 16).ok());
    if checksum != Some(crc32c::crc32c(json.as_bytes())) {
        return Err(RecordFileError::Damaged);
    }
    serde_json::from_str(json).map(Some).map_err(|_| RecordFileError::Damaged)
}

/// Replaces the file, which only its owner can read, and makes its directory if there is none.
///
/// # Errors
/// An error of the system; the file is then as it was.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut json = serde_json::to_string(value).map_err(io::Error::other)?;
    json.push('\n');
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    write!(file, "{VERSION} {:08x}\n{json}", crc32c::crc32c(json.as_bytes()))?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fleet-log");
        assert_eq!(read::<Vec<u64>>(&path).unwrap(), None);
        write(&path, &vec![1_u64, 22]).unwrap();
        write(&path, &vec![3_u64, 44]).unwrap();
        assert_eq!(read(&path).unwrap(), Some(vec![3_u64, 44]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                fs::write(&path, damaged).unwrap();
                let found = read::<Vec<u64>>(&path);
                // The digits of a checksum may be upper or lower case.
                assert!(found.is_err() || found.unwrap() == Some(vec![3, 44]), "bit {bit} of byte {at}");
            }
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read::<Vec<u64>>(&path).is_err(), "{at}");
        }
        fs::write(&path, [b"2".as_slice(), &whole[1..]].concat()).unwrap();
        assert!(matches!(read::<Vec<u64>>(&path), Err(RecordFileError::Version)));
    }
}
