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
use tokio::sync::{Semaphore, mpsc};

use super::intake::{Intake, Job, Outcome};
use super::topics::Run;
use super::{Cause, Clock, Direction, Feed, Page, Publish, Range, Retention, Seek, Status, Unavailable};
use crate::alert::{Filter, Id, Start, Topic};
use crate::api::EngineStatus;
use crate::histogram::Histogram;
use crate::supervisor;
use read::View;
pub(crate) use tables::OpenError;
use tables::StoreError;
use writer::Writer;

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
    intake: Intake,
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
    retention: Mutex<Retention>,
    /// Why publishing would fail, if it would.
    trouble: Mutex<Option<Unavailable>>,
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

    fn trouble(&self) -> Option<Unavailable> {
        self.trouble.lock().clone()
    }

    fn set_trouble(&self, trouble: Option<Unavailable>) {
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
            retention: Mutex::new(settings.retention),
            trouble: Mutex::default(),
            marker: AtomicU64::new(0),
            commits: Histogram::default(),
        });
        let (jobs, queued) = queue::sync_channel(QUEUE);
        let (feed, fed) = mpsc::channel(FEED);
        let durability = settings.durability;
        let writer = Writer::new(Arc::clone(&shared), settings, state, feed);
        let spawned = supervisor::essential_thread("alertd-writer", move || writer.run(&queued));
        let thread = spawned.map_err(|source| OpenError::Io { path: shared.directory.clone(), source })?;
        let store = format!("the store in {}", shared.directory.display());
        let intake = Intake::new(store, DEADLINE, DEADLINE);
        let (readers, thread) = (Semaphore::new(READERS), Mutex::new(Some(thread)));
        Ok((Self(Arc::new(Inner { shared, jobs, intake, readers, thread, durability })), fed))
    }

    /// Changes how much is kept, from the next step of retention on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        *self.0.shared.retention.lock() = retention;
    }

    pub(super) async fn append_all(&self, alerts: Vec<Publish>) -> Outcome {
        self.0.intake.submit(alerts, |job| self.0.jobs.try_send(job)).await
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let _permit = self.0.readers.acquire().await.map_err(|_| Unavailable::stopping())?;
        let Some(database) = self.0.shared.database() else {
            return Err(self.0.shared.trouble().unwrap_or_else(Unavailable::stopping));
        };
        let looked = tokio::task::spawn_blocking(move || look(&View::new(&database)?)).await;
        looked.map_err(|_| Unavailable::stopping())?.map_err(|error| {
            let detail = format!("{} cannot be read: {error}", self.0.intake.store);
            Unavailable::new(Cause::StoreFailing, detail)
        })
    }

    pub(super) async fn seek(
        &self,
        start: &Start,
        filter: &Filter,
        until: Id,
        latest_after_ms: u64,
    ) -> Result<Seek, Unavailable> {
        let (start, filter) = (start.clone(), filter.clone());
        self.view(move |view| view.seek(&start, &filter, until, latest_after_ms)).await
    }

    pub(super) async fn read(&self, range: Range, direction: Direction) -> Result<Page, Unavailable> {
        self.view(move |view| view.read(&range, direction == Direction::Backward)).await
    }

    pub(super) async fn topics(&self, runs: Vec<Run>, most: usize) -> Result<Vec<Topic>, Unavailable> {
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
            server_warnings: Vec::new(),
            nodes: Vec::new(),
        }
    }

    pub(super) fn status(&self) -> Status {
        let shared = &self.0.shared;
        Status {
            kind: "embedded",
            health: shared.trouble().map_or(Ok(()), Err),
            server_warnings: Vec::new(),
            commits: shared.commits.read(),
        }
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
