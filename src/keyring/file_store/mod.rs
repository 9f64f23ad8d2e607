//! `auth.json` and its lock.
//!
//! The owner of a [`FileStore`] is the only writer, because it holds the lock. A write is atomic and never follows a symbolic
//! link. If the file was replaced since it was read, for example by that of the former alert server, it is not overwritten.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::KeyringError;
use super::plain_file::{give_to_owner, open_plain};
use super::record::KeyRecord;
use super::stored::{Checksums, Entry, StoredKeys};
use crate::log::Event;

/// The maximum number of keys with the longest topics takes 90 MiB, so a larger file is not a key file.
const MAX_BYTES: u64 = 128 << 20;

/// The version that is read and written. A newer alertd may add fields without changing it.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document<K> {
    /// Identifies the kind of file, and has its version.
    alertd_keys: u32,
    /// How many keys there are. Versions before this one write it back as they found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<usize>,
    keys: K,
    /// Fields of a newer alertd, written back as they were found.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The file for reading. Entries are texts: a number that is parsed and written again may be another one, and then the
/// checksum of its entry would not match.
type KeyFile = Document<Vec<Box<RawValue>>>;

/// An entry of the file for writing.
#[derive(Serialize)]
#[serde(untagged)]
enum Stored<'a> {
    Usable(Entry<'a>),
    Unusable(&'a RawValue),
}

/// The version, which is read first because the keys of another version may have another form.
#[derive(Deserialize)]
struct Head {
    alertd_keys: u32,
}

pub(super) struct FileStore {
    directory: PathBuf,
    path: PathBuf,
    /// The stamp of the file when it was last read or written.
    stamp: Option<Stamp>,
    /// Fields of a newer alertd in the file.
    unknown: Map<String, Value>,
    /// Held, not used.
    _lock: File,
}

/// Identifies a version of the file: device, inode, size and time of change.
type Stamp = (u64, u64, u64, i64, i64);

fn stamp(file: &Metadata) -> Stamp {
    (file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec())
}

impl FileStore {
    pub(super) fn open(directory: &Path) -> Result<Self, KeyringError> {
        let failed = |source| KeyringError::Io { path: directory.to_owned(), source };
        if !directory.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let path = directory.join("auth.lock");
        let failed = |source| KeyringError::Io { path: path.clone(), source };
        // Either created or opened. Opening with "create" would create a file at the target of a dangling link, and an
        // existing file may have another owner, who must not be changed.
        let lock = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(lock) => {
                give_to_owner(&lock, directory).map_err(failed)?;
                lock
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_plain(&path, true)?,
            Err(error) => return Err(failed(error)),
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                path: directory.join("auth.json"),
                stamp: None,
                unknown: Map::new(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(KeyringError::Locked(path)),
            Err(TryLockError::Error(source)) => Err(KeyringError::Io { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The keys; empty if there is no file yet.
    pub(super) fn load(&mut self) -> Result<StoredKeys, KeyringError> {
        let Some((document, stamp)) = self.read()? else {
            (self.stamp, self.unknown) = (None, Map::new());
            return Ok(StoredKeys::default());
        };
        let keys = entries(&document);
        let mut keys = keys.map_err(|reason| KeyringError::Damaged { path: self.path.clone(), reason })?;
        keys.written = document.number;
        if let Some(loss) = keys.loss() {
            tracing::error!(message_id = %Event::KeyUnusable, "{} {loss}", self.path.display());
        }
        (self.stamp, self.unknown) = (Some(stamp), document.unknown);
        Ok(keys)
    }

    fn read(&self) -> Result<Option<(KeyFile, Stamp)>, KeyringError> {
        let failed = |source| KeyringError::Io { path: self.path.clone(), source };
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let file = open_plain(&self.path, false)?;
        let stamp = stamp(&file.metadata().map_err(failed)?);
        let mut text = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(self.foreign("it is too large"));
        }
        let head: Head = serde_json::from_slice(&text).map_err(|error| self.foreign(error))?;
        if head.alertd_keys != VERSION {
            return Err(KeyringError::Version { path: self.path.clone(), found: head.alertd_keys, known: VERSION });
        }
        let document = serde_json::from_slice(&text).map_err(|error| self.foreign(error))?;
        Ok(Some((document, stamp)))
    }

    fn foreign(&self, reason: impl ToString) -> KeyringError {
        KeyringError::Foreign { path: self.path.clone(), reason: reason.to_string() }
    }

    /// Replaces the file atomically: after a crash it is either the old or the new one.
    pub(super) fn save(&mut self, keys: &StoredKeys) -> Result<(), KeyringError> {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(found) if self.stamp == Some(stamp(&found)) => {}
            // Reading again gives a more specific error for a foreign file.
            Ok(_) => return Err(self.read().err().unwrap_or_else(|| KeyringError::Changed(self.path.clone()))),
            Err(source) => return Err(KeyringError::Io { path: self.path.clone(), source }),
        }
        let unknown = self.unknown.clone();
        let written = self.replace(keys, unknown);
        written.map_err(|source| KeyringError::Io { path: self.path.clone(), source })
    }

    fn replace(&mut self, keys: &StoredKeys, unknown: Map<String, Value>) -> io::Result<()> {
        let usable = keys.usable.iter().map(|record| Entry::new(record).map(Stored::Usable));
        let unusable = keys.unusable.iter().map(|entry| serde_json::from_str(&entry.text).map(Stored::Unusable));
        let keys: Vec<Stored<'_>> = usable.chain(unusable).collect::<Result<_, _>>()?;
        let number = Some(keys.len());
        let mut text = serde_json::to_vec_pretty(&Document { alertd_keys: VERSION, number, keys, unknown })?;
        text.push(b'\n');
        let temporary = self.directory.join("auth.json.new");
        // Left behind by a crash. A link is removed too, not followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        give_to_owner(&file, &self.directory)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.stamp = Some(stamp(&file.metadata()?));
        File::open(&self.directory)?.sync_all()
    }
}

fn entries(document: &KeyFile) -> Result<StoredKeys, String> {
    // A version without checksums, or a person who follows the documents, changes only one of the two numbers.
    let is_as_written = document.number == Some(document.keys.len());
    let checksums = if is_as_written { Checksums::Required } else { Checksums::Optional };
    let id = |entry: &RawValue| {
        let members: Value = serde_json::from_str(entry.get()).ok()?;
        members["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
    };
    StoredKeys::read(document.keys.iter().map(|entry| (id(entry), entry.get().to_owned())), checksums)
}

/// The keys in the content of such a file, if all can be used; `None` if it is another kind of file.
pub(super) fn parse(file: &[u8]) -> Option<Result<Vec<KeyRecord>, String>> {
    let version = serde_json::from_slice::<Head>(file).ok()?.alertd_keys;
    if version != VERSION {
        return Some(Err(format!("its version is {version}, and this alertd reads version {VERSION}")));
    }
    let document = serde_json::from_slice::<KeyFile>(file).map_err(|error| error.to_string());
    Some(document.and_then(|document| {
        let keys = entries(&document)?;
        match keys.unusable.first() {
            Some(entry) => Err(format!("the key {:?} cannot be used: {} ({})", entry.id, entry.reason, entry.detail)),
            None => Ok(keys.usable),
        }
    }))
}

#[cfg(test)]
mod tests;
