//! Takes in the store of earlier versions: a B-tree file of the library redb.
//!
//! Called once, at the first start on such a store. It writes a whole new log beside it; the store itself is only read
//! (the library repairs it first if its last process was killed).

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use super::batch::Entry;
use super::codec::{Damaged, Reader, StoredAlert};
use super::disk::real::RealDisk;
use super::keeper::Chore;
use super::keys::KeyRow;
use super::open_error::OpenError;
use super::retain::{Plan, TopicTrim};
use super::stage::Staged;
use super::store::{Options, Store};
use super::{Durability, SEGMENT, Settings};
use crate::alert::{Id, Topic};

const LOG: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("log");
const TOPICS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("topics");
const REMOVED: TableDefinition<'_, u128, ()> = TableDefinition::new("removed");
const KEYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("idempotency");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const STATE_ROW: &str = "v1";

/// Alerts of one batch.
const BATCH: usize = 1024;
/// How often progress is told.
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

/// The row of the earlier format that says what holds for the log as a whole.
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
    let options = Options { durability: Durability::None, segment_bytes: SEGMENT };
    let (mut store, _) = Store::open(Arc::new(RealDisk(to.to_owned())), options, (settings.clock)())?;
    store.begin_import(state.trim, state.clock_ms);
    let mut import = Import { store, progress, told: Instant::now(), done: 0, total: state.count };
    import.tell();
    let (log, removed) = (transaction.open_table(LOG)?, transaction.open_table(REMOVED)?);
    let (mut log, mut removed) = (log.iter()?, removed.iter()?);
    let mut next_removed = removed.next().transpose()?.map(|(id, _)| id.value());
    let mut batch = Vec::with_capacity(BATCH);
    while let Some((id, value)) = log.next().transpose()? {
        while let Some(gone) = next_removed.filter(|gone| *gone < id.value()) {
            batch.push(Item::Retired(Id::from_u128(gone)));
            next_removed = removed.next().transpose()?.map(|(id, _)| id.value());
        }
        let record = StoredAlert::read(value.value(), false)?.record(Id::from_u128(id.value()))?;
        batch.push(Item::Alert(Staged { record, user: String::new(), key: None }));
        if batch.len() >= BATCH {
            import.write(&mut batch, &Plan::default())?;
        }
    }
    // Ids that were given and are gone, and those that the last process may have given without a trace.
    batch.extend(next_removed.map(|id| Item::Retired(Id::from_u128(id))));
    while let Some((id, _)) = removed.next().transpose()? {
        batch.push(Item::Retired(Id::from_u128(id.value())));
    }
    let last = batch.last().map_or(import.store.head(), Item::id);
    let head = state.head.max(state.floor);
    batch.extend((head > last).then_some(Item::Retired(head)));
    let mut plan = Plan::default();
    for row in transaction.open_table(TOPICS)?.iter()? {
        let (name, value) = row?;
        let (topic, trim) = topic_trim(name.value(), value.value())?;
        if trim > state.trim {
            plan.add_topic(import.store.catalog.write().topics.intern(&topic), TopicTrim::at(topic, trim));
        }
    }
    import.write(&mut batch, &plan)?;
    for row in transaction.open_table(KEYS)?.iter()? {
        let (hash, value) = row?;
        let mut reader = Reader(value.value());
        let (fingerprint, id, received_ms) = (reader.array()?, reader.id()?, reader.u64()?);
        import.store.keys.insert(*hash.value(), KeyRow { fingerprint, id, received_ms });
    }
    let keeper = import.store.keeper();
    import.store.stop(&keeper)?;
    import.done = import.total;
    import.tell();
    Ok(())
}

/// The newest id that the limit of a topic removed.
fn topic_trim(name: &str, row: &[u8]) -> Result<(Topic, Id), Damaged> {
    let mut reader = Reader(row);
    let (_number, _count, _newest) = (reader.u64()?, reader.u64()?, [reader.id()?, reader.id()?, reader.id()?]);
    Ok((name.parse().map_err(|_| Damaged)?, reader.id()?))
}

enum Item {
    Alert(Staged),
    Retired(Id),
}

impl Item {
    const fn id(&self) -> Id {
        match self {
            Self::Alert(staged) => staged.record.id,
            Self::Retired(id) => *id,
        }
    }
}

/// A log that is being filled.
struct Import<'a> {
    store: Store,
    progress: &'a dyn Fn(&str),
    told: Instant,
    done: u64,
    total: u64,
}

impl Import<'_> {
    fn write(&mut self, batch: &mut Vec<Item>, plan: &Plan) -> Result<(), ConvertError> {
        let entries: Vec<_> = batch
            .iter()
            .map(|item| match item {
                Item::Alert(staged) => Entry::Alert(staged),
                Item::Retired(id) => Entry::Retired(*id),
            })
            .collect();
        if !entries.is_empty() || !plan.is_empty() {
            self.store.write_batch(&entries, plan, true)?;
            self.store.apply_plan(plan);
        }
        self.done += batch.len() as u64;
        batch.clear();
        let keeper = self.store.keeper();
        for chore in self.store.take_chores() {
            // The snapshot is written at the end, with the keys.
            if let Chore::Seal(_) = chore {
                keeper.perform(chore, &mut || ())?;
            }
        }
        if self.told.elapsed() >= TELL {
            self.tell();
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let (done, total) = (self.done.min(self.total), self.total);
        let progress = format!("converting the log of an earlier version: {done} of {total} alerts");
        tracing::info!("{progress}");
        (self.progress)(&progress);
    }
}
