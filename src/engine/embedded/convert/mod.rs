//! Converts the store of earlier versions, a B-tree file of the library redb.
//!
//! Called once, at the first start on such a store. It writes a whole new log beside it; the store itself is only read
//! (the library repairs it first if its last process was killed).

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use super::Settings;
use super::codec::{Damaged, Reader, StoredAlert};
use super::disk::real::RealDisk;
use super::import::Import;
use super::open_error::OpenError;
use crate::alert::{Id, RecordKind, Topic};
use crate::backup::{Extent, Part};

const LOG: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("log");
const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
const REMOVED: TableDefinition<'_, u128, ()> = TableDefinition::new("removed");
const KEYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("idempotency");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const STATE_ROW: &str = "v1";

/// How often progress is reported.
const TELL: Duration = Duration::from_secs(2);

/// What can go wrong while the store is read or the log is written.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    #[error(transparent)]
    Library(Box<redb::Error>),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("the log cannot be written: {0}")]
    Write(#[from] std::io::Error),
    #[error("the log cannot be written: {0}")]
    Open(#[from] super::inventory::RecoverError),
    #[error("it has a format that this alertd does not know")]
    Unknown,
}

macro_rules! from_library {
    ($($error:ty),*) => {$(
        impl From<$error> for ConvertError {
            fn from(error: $error) -> Self {
                Self::Library(Box::new(error.into()))
            }
        }
    )*};
}
from_library!(redb::TransactionError, redb::TableError, StorageError);

/// The row of the earlier format with the facts about the log as a whole.
struct State {
    head: Id,
    floor: Id,
    trim: Id,
    count: u64,
    clock_ms: u64,
}

impl State {
    fn read(value: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(value);
        let (head, floor, trim, _topic_trim) = (reader.id()?, reader.id()?, reader.id()?, reader.id()?);
        let (count, _bytes, _topics, _next_topic) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        Ok(Self { head, floor, trim, count, clock_ms: reader.u64()? })
    }
}

/// Makes a log in `to` out of the store at `from`.
pub(super) fn convert(from: &Path, to: &Path, settings: &Settings, progress: &dyn Fn(&str)) -> Result<(), OpenError> {
    let path = from.to_owned();
    let database = Database::open(from).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.clone()),
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            OpenError::Io { path: path.clone(), source }
        }
        other => OpenError::Unreadable { path: path.clone(), reason: other.to_string() },
    })?;
    run(&database, to, settings, progress).map_err(|error| match error {
        ConvertError::Write(source) => OpenError::Io { path: to.to_owned(), source },
        other => OpenError::Unreadable { path, reason: other.to_string() },
    })
}

fn run(database: &Database, to: &Path, settings: &Settings, progress: &dyn Fn(&str)) -> Result<(), ConvertError> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(STATE)?;
    let Some(row) = table.get(STATE_ROW)? else {
        // A store that was made and never written to has the table and no row; a later format has another row.
        return if table.iter()?.next().is_none() { Ok(()) } else { Err(ConvertError::Unknown) };
    };
    let state = State::read(row.value())?;
    // Ids that the last process may have given, but that no record shows, count as given.
    let extent = Extent { trim: state.trim, until: state.head.max(state.floor), clock_ms: state.clock_ms };
    let mut import = Import::begin(Arc::new(RealDisk(to.to_owned())), extent, (settings.clock)())?;
    let mut telling = Telling { progress, told: Instant::now(), done: 0, total: state.count };
    telling.tell();
    let (log, removed) = (transaction.open_table(LOG)?, transaction.open_table(REMOVED)?);
    let (mut log, mut removed) = (log.iter()?, removed.iter()?);
    let mut next_removed = removed.next().transpose()?.map(|(id, _)| id.value());
    while let Some((id, value)) = log.next().transpose()? {
        while let Some(gone) = next_removed.filter(|gone| *gone < id.value()) {
            import.add(Part::Retired(Id::from_u128(gone)))?;
            next_removed = removed.next().transpose()?.map(|(id, _)| id.value());
        }
        let record = StoredAlert::read(value.value(), 0)?.record(Id::from_u128(id.value()), RecordKind::Alert)?;
        import.add(Part::Alert { record, user: String::new() })?;
        telling.count();
    }
    while let Some(gone) = next_removed {
        import.add(Part::Retired(Id::from_u128(gone)))?;
        next_removed = removed.next().transpose()?.map(|(id, _)| id.value());
    }
    for row in transaction.open_table(TOPICS)?.iter()? {
        let (name, value) = row?;
        let (topic, trim) = topic_trim(name.value(), value.value())?;
        if trim > state.trim {
            import.add(Part::TopicTrim(topic, trim))?;
        }
    }
    for row in transaction.open_table(KEYS)?.iter()? {
        let (hash, value) = row?;
        let mut reader = Reader(value.value());
        let (fingerprint, id, received_ms) = (reader.array()?, reader.id()?, reader.u64()?);
        import.add(Part::Key { hash: *hash.value(), fingerprint, id, received_ms })?;
    }
    import.finish(extent.until)?;
    telling.done = telling.total;
    telling.tell();
    Ok(())
}

/// The newest id that the limit of a topic removed.
fn topic_trim(name: &str, row: &[u8]) -> Result<(Topic, Id), Damaged> {
    let mut reader = Reader(row);
    let (_number, _count, _newest) = (reader.u64()?, reader.u64()?, [reader.id()?, reader.id()?, reader.id()?]);
    Ok((name.parse().map_err(|_| Damaged)?, reader.id()?))
}

/// Reports the progress of the conversion.
struct Telling<'a> {
    progress: &'a dyn Fn(&str),
    told: Instant,
    done: u64,
    total: u64,
}

impl Telling<'_> {
    fn count(&mut self) {
        self.done += 1;
        if self.told.elapsed() >= TELL {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let (done, total) = (self.done.min(self.total), self.total);
        let progress = format!("converting the log of an earlier version: {done} of {total} alerts");
        tracing::info!("{progress}");
        (self.progress)(&progress);
    }
}
