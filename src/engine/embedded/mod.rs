//! The embedded engine: alerts in a log of segments on this machine's disk.
//!
//! One thread writes ([`writer`]): it gathers what publishers sent while the last batch was being written into the next
//! batch, so many publishers share one sync. A bounded number of readers work at the same time. A disk that fails is
//! tried again until it works; until then publishing fails with the reason.
//!
//! From the bottom: [`disk`] is what the log requires of a disk; [`frame`], [`codec`] and [`header`] are the stored
//! forms; [`scan`] tells damage from a torn tail; [`index`], [`postings`] and [`topics`] find records, [`catalog`]
//! holds them; [`incident_table`] holds the incidents; [`recover`] opens a log, [`stage`], [`commit`] and [`store`] write
//! it, [`read`] reads it, [`keeper`] does background work; [`scrub`] looks for damage; [`convert`] converts older stores.

mod appender;
mod at_rest;
mod batch;
#[cfg(test)]
mod bulk;
mod catalog;
mod codec;
mod commit;
mod convert;
mod copies;
#[cfg(test)]
mod corruption;
mod cursors;
mod damaged;
mod disk;
mod dropped;
mod erase;
mod expectations;
mod export;
mod fetch;
#[cfg(test)]
mod formats;
mod frame;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod header;
mod import;
mod incident_changes;
#[cfg(test)]
mod incident_power;
mod incident_table;
mod incident_upkeep;
mod incidents;
mod index;
mod inventory;
mod job_queue;
mod keeper;
mod keeper_thread;
mod keys;
#[cfg(test)]
mod killed;
mod location;
mod notes;
mod oldest;
mod open_error;
mod overwrite;
mod pins;
mod postings;
#[cfg(test)]
mod power;
mod read;
mod rebuild;
mod reclaim;
mod recover;
mod recovered;
mod replay;
mod reserve;
mod retain;
mod retracted;
mod retraction;
mod scan;
mod scrub;
mod seek;
mod segment;
mod shared;
mod sidecar;
mod snapshot;
mod stage;
mod store;
mod suspicion;
#[cfg(test)]
mod testing;
mod topics;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, atomic::Ordering, mpsc as queue};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};

use super::incident_meter::IncidentMeter;
use super::intake::{Intake, Outcome};
use super::topics::Run;
use super::{Cause, Clock, Direction, Feed, Page, Publish, Range, Retention, Seek, Status, Unavailable};
use crate::alert::{Filter, Id, Start, Topic};
use crate::api::EngineStatus;
use crate::log::Event;
use crate::supervisor;
pub(crate) use at_rest::{AtRest, Restore};
use disk::real::RealDisk;
pub(crate) use export::Export;
use incident_table::IncidentTable;
use job_queue::{JobSender, job_queue};
use keeper::Keeper;
pub(crate) use open_error::OpenError;
use read::View;
use scrub::Scrub;
use shared::Shared;
use store::{Options, Store};
use suspicion::Suspicion;
use writer::Writer;

/// The most publishes that wait for the writer; more are refused at once.
const QUEUE: usize = 4096;
/// Commits that wait for the hub.
const FEED: usize = 256;
/// Reads at the same time.
const READERS: usize = 8;
/// How long a publish waits for its commit.
const DEADLINE: Duration = Duration::from_secs(10);
/// Pieces of work that wait for the keeper.
const CHORES: usize = 64;
/// The size at which a segment is ended. Small in tests, so that they have many segments.
const SEGMENT: u64 = if cfg!(test) { 256 << 10 } else { 64 << 20 };

/// When a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the disk has it: it survives a power cut.
    Fsync,
    /// When the kernel has it: a power cut loses at most the last 100 ms or 4 MiB; the end of the process loses
    /// nothing.
    None,
}

/// The settings of the engine.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Where the store is; made if missing.
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
    view: View,
    incidents: Arc<RwLock<IncidentTable>>,
    incident_meter: Arc<IncidentMeter>,
    jobs: JobSender,
    intake: Intake,
    readers: Semaphore,
    threads: Mutex<Vec<JoinHandle<()>>>,
    durability: Durability,
    export: Keeper,
}

impl Embedded {
    /// As [`open_with`](Self::open_with), without progress.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    #[cfg(test)]
    pub(crate) fn open(settings: Settings) -> Result<(Self, mpsc::Receiver<Feed>), OpenError> {
        Self::open_with(settings, &|_| ())
    }

    /// Opens the store and starts its writer. Blocks; this may take a while after a crash, or for a store of an earlier
    /// version, and then calls `progress` with a message. The receiver gets all that is stored from now on, in order;
    /// if it is not read, publishing stops.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub(crate) fn open_with(
        settings: Settings,
        progress: &dyn Fn(&str),
    ) -> Result<(Self, mpsc::Receiver<Feed>), OpenError> {
        let lock = location::prepare(&settings, progress)?;
        let log = settings.directory.join(location::LOG);
        suspicion::check(&settings.directory, &log, (settings.clock)(), progress)?;
        let options = Options { durability: settings.durability, segment_bytes: SEGMENT };
        let disk = Arc::new(RealDisk(log.clone()));
        let opened = Store::open(disk, options, (settings.clock)());
        let (store, damage) = opened.map_err(|error| OpenError::of_log(&log, error))?;
        for damage in damage {
            tracing::error!(message_id = %Event::StoreDamaged, "{}/{damage}", log.display());
        }
        let shared = Arc::new(Shared::new(settings.directory.clone(), settings.retention));
        let (view, incidents) = (View::new(Arc::clone(&store.catalog)), Arc::clone(&store.incidents));
        let incident_meter = Arc::clone(&store.incident_meter);
        let (jobs, queued) = job_queue(QUEUE);
        let (chores, kept) = queue::sync_channel(CHORES);
        let (feed, fed) = mpsc::channel(FEED);
        let (keeper, export) = (store.keeper(), store.keeper());
        let scrub = Scrub::new(view.clone(), Arc::clone(&shared), Arc::clone(&settings.clock));
        let writer = Writer::new(Arc::clone(&shared), &settings, store, feed, chores);
        let io = |source| OpenError::Io { path: settings.directory.clone(), source };
        let thread = |name, run: Box<dyn FnOnce() + Send>| {
            let suspicion = Suspicion::new(Arc::clone(&shared), name);
            let run = move || {
                let _suspicion = suspicion;
                run();
            };
            supervisor::essential_thread(name, run).map_err(io)
        };
        let threads = vec![
            thread("alertd-writer", Box::new(move || writer.run(&queued)))?,
            thread("alertd-keeper", Box::new(move || keeper_thread::run(&keeper, &kept, scrub, lock)))?,
        ];
        let store = format!("the store in {}", settings.directory.display());
        let intake = Intake::new(store, DEADLINE, DEADLINE);
        let (readers, threads, durability) = (Semaphore::new(READERS), Mutex::new(threads), settings.durability);
        let inner =
            Inner { shared, view, incidents, incident_meter, jobs, intake, readers, threads, durability, export };
        Ok((Self(Arc::new(inner)), fed))
    }

    /// Changes how much is kept, from the next step of retention on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        *self.0.shared.retention.lock() = retention;
    }

    pub(super) async fn append_all(&self, alerts: Vec<Publish>) -> Outcome {
        let outcome = self.0.intake.submit(alerts, async |job| self.0.jobs.send(job).await).await;
        outcome.inspect_err(|error| self.0.shared.note_deadline(error))
    }

    async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let _permit = self.0.readers.acquire().await.map_err(|_| Unavailable::stopping())?;
        if self.0.shared.is_closed.load(Ordering::Acquire) {
            return Err(Unavailable::stopping());
        }
        let view = self.0.view.clone();
        let suspicion = Suspicion::new(Arc::clone(&self.0.shared), "log-reader");
        let look = move || {
            let _suspicion = suspicion;
            look(&view)
        };
        let looked = tokio::task::spawn_blocking(look).await;
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
        if let Some(seek) = self.0.view.seek_in_memory(start, filter, until) {
            return Ok(seek);
        }
        let (start, filter) = (start.clone(), filter.clone());
        self.view(move |view| view.seek(&start, &filter, until, latest_after_ms)).await
    }

    pub(super) async fn read(&self, range: Range, direction: Direction) -> Result<Page, Unavailable> {
        self.view(move |view| view.read(&range, direction == Direction::Backward)).await
    }

    pub(super) fn page_version(&self, filter: &Filter, after: Id) -> Option<u64> {
        let (is_whole, erased) = {
            let catalog = self.0.view.catalog.read();
            (catalog.trimmed(filter) <= after, catalog.erased)
        };
        let damaged = self.0.view.damaged.version().filter(|_| is_whole)?;
        Some(erased << 16 | damaged)
    }

    pub(super) async fn topics(&self, runs: Vec<Run>, most: usize) -> Result<Vec<Topic>, Unavailable> {
        self.view(move |view| Ok(view.topics(&runs, most))).await
    }

    pub(super) fn head(&self) -> Id {
        self.0.view.catalog.read().head
    }

    pub(super) async fn stats(&self) -> EngineStatus {
        let scrubbed_ms = self.0.shared.scrubbed_ms.load(Ordering::Relaxed).try_into().unwrap_or(0);
        let catalog = self.0.view.catalog.read();
        let damaged = catalog.holes.len() + self.0.view.damaged.count(&catalog);
        EngineStatus {
            kind: "embedded".into(),
            durability: match self.0.durability {
                Durability::Fsync => "fsync".into(),
                Durability::None => "none".into(),
            },
            head: catalog.head,
            counted: !self.0.shared.is_closed.load(Ordering::Acquire),
            oldest: catalog.oldest,
            alerts: catalog.count,
            bytes: catalog.bytes,
            topics: catalog.topics.listed(),
            store_bytes: catalog.on_disk(),
            held_bytes: self.0.export.pins.held_bytes(),
            damaged: damaged as u64,
            scrubbed_at: Timestamp::from_millisecond(scrubbed_ms).ok().filter(|at| at.as_millisecond() > 0),
            server_warnings: Vec::new(),
            nodes: Vec::new(),
        }
    }

    pub(super) fn status(&self) -> Status {
        let shared = &self.0.shared;
        Status {
            kind: "embedded",
            health: shared.health().map_or(Ok(()), Err),
            server_warnings: Vec::new(),
            commits: shared.commits.read(),
            incidents: self.0.incident_meter.read(),
        }
    }

    pub(super) fn probe(&self, marker: u64) {
        self.0.shared.marker.store(marker, Ordering::Release);
        self.0.jobs.wake();
    }

    pub(super) async fn close(&self) {
        let inner = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || {
            inner.jobs.close();
            let threads = std::mem::take(&mut *inner.threads.lock());
            for thread in threads {
                let _ = thread.join();
            }
            location::remove_converted(&inner.shared.directory);
        });
        let _ = closed.await;
    }
}
