//! The bare store: one redb table from increasing numbers to the bytes of alerts, and one thread that commits all waiting alerts together.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use redb::{Database, Durability, TableDefinition};
use rustix::event::{EventfdFlags, eventfd};
use serde_json::json;

use crate::machine::own_cpu;
use crate::{Failure, Result};

const TABLE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("alerts");
/// The most that one commit takes.
const BATCH: usize = 1024;
/// Without fsync: how often all is flushed nevertheless.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The file; it must not exist.
    #[arg(long)]
    file: PathBuf,
    /// Alerts of each commit.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Bytes of each.
    #[arg(long, default_value_t = 360)]
    bytes: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Whether each commit is flushed to the disk.
    #[arg(long)]
    fsync: bool,
}

/// Writes for so long, and prints how fast.
pub(super) fn run(options: &Options) -> Result<()> {
    let mut store = Store::create(&options.file, options.fsync)?;
    let alert = vec![b'a'; options.bytes];
    let (began, cpu) = (Instant::now(), own_cpu());
    let mut stored = 0u64;
    while began.elapsed().as_secs_f64() < options.seconds {
        store.commit(std::iter::repeat_n(alert.as_slice(), options.batch))?;
        stored += options.batch as u64;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (own_cpu() - cpu) * 1e6 / stored as f64;
    println!(
        "{}",
        json!({ "publishes_per_s": stored as f64 / seconds, "cpu_us_per_publish": cpu, "answered": stored })
    );
    Ok(())
}

struct Store {
    database: Database,
    fsync: bool,
    next: u128,
    flushed: Instant,
}

impl Store {
    fn create(path: &Path, fsync: bool) -> Result<Self> {
        let database = Database::builder().set_cache_size(64 << 20).create(path)?;
        Ok(Self { database, fsync, next: 0, flushed: Instant::now() })
    }

    fn commit<'a>(&mut self, alerts: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let flush = self.fsync || self.flushed.elapsed() >= FLUSH;
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(if flush { Durability::Immediate } else { Durability::None })?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for alert in alerts {
                table.insert(self.next, alert)?;
                self.next += 1;
            }
        }
        transaction.commit()?;
        if flush {
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

type Job = (usize, Vec<u8>);

/// The store on a thread of its own.
pub(super) struct Committer {
    jobs: Sender<Job>,
    results: Receiver<Vec<Job>>,
    done: std::sync::Arc<OwnedFd>,
}

impl Committer {
    pub(super) fn start(path: &Path, fsync: bool) -> Result<Self> {
        let store = Store::create(path, fsync)?;
        let done = std::sync::Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (jobs, queued) = channel();
        let (sender, results) = channel();
        let signal = std::sync::Arc::clone(&done);
        std::thread::spawn(move || {
            if let Err(error) = commit_all(store, &queued, &sender, &signal) {
                eprintln!("the store failed: {error}");
            }
        });
        Ok(Self { jobs, results, done })
    }

    /// Readable when something was committed.
    pub(super) fn done(&self) -> impl AsFd + '_ {
        &*self.done
    }

    pub(super) fn submit(&self, number: usize, chunk: Vec<u8>) -> Result<()> {
        self.jobs.send((number, chunk)).map_err(|_| Failure::from("the store has ended"))
    }

    /// What was committed since the last call, in order.
    pub(super) fn committed(&self) -> impl Iterator<Item = Job> + '_ {
        let _ = rustix::io::read(&*self.done, &mut [0; 8]);
        self.results.try_iter().flatten()
    }
}

fn commit_all(mut store: Store, jobs: &Receiver<Job>, results: &Sender<Vec<Job>>, signal: &OwnedFd) -> Result<()> {
    while let Ok(first) = jobs.recv() {
        let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).take(BATCH).collect();
        store.commit(batch.iter().map(|(_, chunk)| chunk.as_slice()))?;
        results.send(batch)?;
        rustix::io::write(signal, &1u64.to_ne_bytes())?;
    }
    Ok(())
}
