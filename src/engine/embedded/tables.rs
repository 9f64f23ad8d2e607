//! The tables of the store, and opening it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableTable, StorageError, TableDefinition};

use super::codec::{Damaged, State};

/// Ids to records.
pub(super) const LOG: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("log");
/// Number of the topic and id, to the level.
pub(super) const BY_TOPIC: TableDefinition<'_, (u64, u128), u8> = TableDefinition::new("by_topic");
/// Topics that have alerts.
pub(super) const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
/// Ids that were removed although older ones are still there; a cursor may still stand on one.
pub(super) const REMOVED: TableDefinition<'_, u128, ()> = TableDefinition::new("removed");
/// Hash of user and idempotency key, to what it stands for.
pub(super) const KEYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("idempotency");
/// The same by age.
pub(super) const KEYS_BY_AGE: TableDefinition<'_, (u64, &[u8; 32]), ()> = TableDefinition::new("idempotency_by_age");
/// One row: the state of the log.
pub(super) const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
/// The name of that row; a later format takes another.
pub(super) const STATE_ROW: &str = "v1";

/// The file in the state directory.
pub(super) const FILE: &str = "alerts.redb";
/// Bytes of the page cache.
const CACHE: usize = 32 << 20;

/// Why a store cannot be opened, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("cannot use the directory {}: {source}; make it and let this user write to it, or set state_dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process: stop the other alertd, or give this one another state_dir", .0.display())]
    InUse(PathBuf),
    /// It is damaged, or no store of alerts.
    #[error("{} cannot be read: {reason}; move it away to begin an empty log, or bring it back from a backup", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// The disk.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

/// Opens the store, or makes it.
pub(super) fn open(directory: &Path) -> Result<(Database, State), OpenError> {
    let path = directory.join(FILE);
    if !directory.exists() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
    }
    let is_new = !path.exists();
    let database = Database::builder().set_cache_size(CACHE).create(&path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.clone()),
        DatabaseError::Storage(StorageError::Io(source)) if is_new => {
            OpenError::Directory { path: directory.to_owned(), source }
        }
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            OpenError::Io { path: path.clone(), source }
        }
        other => OpenError::Unreadable { path: path.clone(), reason: other.to_string() },
    })?;
    if is_new {
        let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        private.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    }
    let state = prepare(&database).map_err(|reason| OpenError::Unreadable { path, reason: reason.to_string() })?;
    Ok((database, state))
}

/// Makes missing tables and reads the state.
fn prepare(database: &Database) -> Result<State, StoreError> {
    let transaction = database.begin_write()?;
    let state = {
        transaction.open_table(LOG)?;
        transaction.open_table(BY_TOPIC)?;
        transaction.open_table(TOPICS)?;
        transaction.open_table(REMOVED)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(KEYS_BY_AGE)?;
        let table = transaction.open_table(STATE)?;
        let row = table.get(STATE_ROW)?;
        row.map(|row| State::decode(row.value())).transpose()?.unwrap_or_default()
    };
    transaction.commit()?;
    Ok(state)
}

/// Anything that the store may answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Library(Box<redb::Error>),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(super) fn is_full(&self) -> bool {
        let Self::Library(error) = self else { return false };
        matches!(&**error, redb::Error::Io(e) if matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge))
    }
}

macro_rules! from_library {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Library(Box::new(error.into()))
            }
        }
    )*};
}
from_library!(redb::TransactionError, redb::TableError, StorageError, redb::CommitError, redb::SetDurabilityError);
