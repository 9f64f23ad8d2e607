//! The embedded engine: alerts in one file on this machine's disk.
//!
//! One thread writes ([`writer`]): it gathers what publishers sent while the last commit was on its way to the disk into
//! the next commit, so many publishers share one flush. Readers work on consistent views beside it, a bounded number at
//! once. A store that fails is closed and opened again until it works; until then publishing and reading answer why.

mod batch;
mod codec;
mod read;
mod reserve;
mod retain;
mod tables;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as queue};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::topics::Run;
use super::{AppendError, Clock, Feed, OUTCOME_UNKNOWN, Page, Publish, Range, ReadError, Retention, Seek, Stored};
use crate::alert::{Filter, Id, Start, Topic};
use crate::api::EngineStatus;
use crate::histogram::{Distribution, Histogram};
use read::View;
pub(crate) use tables::OpenError;
use tables::StoreError;
use writer::{Job, Writer};

/// Publishes that wait for the writer at the most; beyond that they are refused at once.
const QUEUE: usize = 4096;
/// Commits that wait for the hub.
const FEED: usize = 256;
/// Reads at the same time.
const READERS: usize = 8;
/// How long a publish waits for its commit.
const DEADLINE: Duration = Duration::from_secs(10);

/// When a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the disk has it: it survives a power cut.
    Fsync,
    /// At once: the last second is lost with the process.
    None,
}

/// What the engine needs to know.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Where the store lies; made if missing.
    pub directory: PathBuf,
    /// When a publish is answered.
    pub durability: Durability,
    /// How much is kept.
    pub retention: Retention,
    /// The time of day.
    pub clock: Clock,
}

/// The engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Embedded(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    jobs: queue::SyncSender<Job>,
    readers: Semaphore,
    thread: Mutex<Option<JoinHandle<()>>>,
    durability: Durability,
}

/// What the writer tells the readers.
struct Shared {
    directory: PathBuf,
    /// None while the store is closed after an error.
    database: RwLock<Option<Arc<Database>>>,
    head: Mutex<Id>,
    /// Why publishing would fail, if it would.
    trouble: Mutex<Option<String>>,
    /// The watchdog's marker that waits; 0 is none.
    marker: AtomicU64,
    commits: Histogram,
}

impl Shared {
    fn database(&self) -> Option<Arc<Database>> {
        self.database.read().clone()
    }

    fn set_database(&self, database: Option<Arc<Database>>) {
        *self.database.write() = database;
    }

    fn head(&self) -> Id {
        *self.head.lock()
    }

    fn set_head(&self, head: Id) {
        *self.head.lock() = head;
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }
}

impl Embedded {
    /// Opens the store and starts its writer. Blocks, after a crash of a large log for a while. The receiver gets all
    /// that is stored from now on, in order; it must be read, or publishing comes to a halt.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub(crate) fn open(settings: Settings) -> Result<(Self, mpsc::Receiver<Feed>), OpenError> {
        let (database, state) = tables::open(&settings.directory)?;
        let shared = Arc::new(Shared {
            directory: settings.directory.clone(),
            database: RwLock::new(Some(Arc::new(database))),
            head: Mutex::new(state.head),
            trouble: Mutex::default(),
            marker: AtomicU64::new(0),
            commits: Histogram::default(),
        });
        let (jobs, queued) = queue::sync_channel(QUEUE);
        let (feed, fed) = mpsc::channel(FEED);
        let durability = settings.durability;
        let writer = Writer::new(Arc::clone(&shared), settings, state, feed);
        let spawned = std::thread::Builder::new().name("alertd-writer".into()).spawn(move || writer.run(&queued));
        let thread = spawned.map_err(|source| OpenError::Io { path: shared.directory.clone(), source })?;
        let readers = Semaphore::new(READERS);
        Ok((Self(Arc::new(Inner { shared, jobs, readers, thread: Mutex::new(Some(thread)), durability })), fed))
    }

    /// Changes how much is kept, from the next step of retention on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        // A full queue is a moment of high load; the value is small, so waiting for room is no risk.
        let _ = self.0.jobs.send(Job::Retention(retention));
    }

    pub(super) async fn append_all(&self, group: Vec<Publish>) -> Result<Vec<Stored>, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.0.jobs.try_send(Job::Append(group, answer)).map_err(|refused| {
            AppendError::Unavailable(match refused {
                queue::TrySendError::Full(_) => "too many publishes wait for the disk: try again".into(),
                queue::TrySendError::Disconnected(_) => "alertd is stopping: try again".into(),
            })
        })?;
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AppendError::Unavailable(format!("alertd is stopping: {OUTCOME_UNKNOWN}"))),
            Err(_) => Err(AppendError::Unavailable(format!(
                "the disk did not take it within {} s: {OUTCOME_UNKNOWN}",
                DEADLINE.as_secs()
            ))),
        }
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stopping = || ReadError("alertd is stopping".into());
        let _permit = self.0.readers.acquire().await.map_err(|_| stopping())?;
        let Some(database) = self.0.shared.database() else {
            return Err(ReadError(self.0.shared.trouble().unwrap_or_else(|| stopping().0)));
        };
        let looked = tokio::task::spawn_blocking(move || look(&View::new(&database)?)).await.map_err(|_| stopping())?;
        looked.map_err(|e| ReadError(format!("the store in {} cannot be read: {e}", self.0.shared.directory.display())))
    }

    pub(super) async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, ReadError> {
        let (start, filter) = (start.clone(), filter.clone());
        self.view(move |view| view.seek(&start, &filter, until, latest_after_ms)).await
    }

    pub(super) async fn read(&self, range: Range) -> Result<Page, ReadError> {
        self.view(move |view| view.read(&range, false)).await
    }

    pub(super) async fn read_back(&self, range: Range) -> Result<Page, ReadError> {
        self.view(move |view| view.read(&range, true)).await
    }

    pub(super) async fn topics(&self, runs: Vec<Run>, most: usize) -> Result<Vec<Topic>, ReadError> {
        self.view(move |view| view.topics(&runs, most)).await
    }

    pub(super) fn head(&self) -> Id {
        self.0.shared.head()
    }

    pub(super) async fn stats(&self) -> EngineStatus {
        let seen = self.view(|view| Ok((view.state.clone(), view.oldest()?))).await;
        let counted = seen.is_ok();
        let (state, oldest) = seen.unwrap_or_default();
        let file = std::fs::metadata(self.0.shared.directory.join(tables::FILE));
        EngineStatus {
            kind: "embedded".into(),
            durability: match self.0.durability {
                Durability::Fsync => "fsync".into(),
                Durability::None => "none".into(),
            },
            head: self.head(),
            counted,
            oldest,
            alerts: state.count,
            bytes: state.bytes,
            topics: state.topics,
            store_bytes: file.map_or(0, |file| file.len()),
            notes: Vec::new(),
            nodes: Vec::new(),
        }
    }

    pub(super) fn commits(&self) -> Distribution {
        self.0.shared.commits.read()
    }

    pub(super) fn health(&self) -> Result<(), String> {
        self.0.shared.trouble().map_or(Ok(()), Err)
    }

    pub(super) fn probe(&self, marker: u64) {
        self.0.shared.marker.store(marker, Ordering::Release);
        // A full queue wakes the writer as well.
        let _ = self.0.jobs.try_send(Job::Wake);
    }

    pub(super) async fn close(&self) {
        let inner = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || {
            let _ = inner.jobs.send(Job::Close);
            let thread = inner.thread.lock().take();
            if let Some(thread) = thread {
                let _ = thread.join();
            }
        });
        let _ = closed.await;
    }
}
