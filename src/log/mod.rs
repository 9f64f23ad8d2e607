//! Events to the journal, to syslog or to standard error.
//!
//! Started once by the daemon. Events go through one bounded queue to one thread, so a log that is stuck never holds up
//! an alert: what does not fit is counted, and the count is written when there is room again.

mod ids;
mod sink;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use sink::Sink;
pub use sink::Target;

/// Events that wait for the thread.
const QUEUE: usize = 4096;
/// Bytes of one value; the rest is cut.
const VALUE: usize = 16 << 10;
/// Mirrored alerts pass whatever the level is: they were asked for by name.
const ALERTS: &str = "alertd::alert";

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The sink.
    #[error("cannot log to {target} (log.target): {reason}; take \"stderr\" or \"auto\"")]
    Sink {
        /// As configured.
        target: &'static str,
        /// The system's word.
        reason: String,
    },
    /// Only once in a process.
    #[error("logging was started before")]
    Twice,
}

/// What the sinks write.
struct Entry {
    metadata: &'static Metadata<'static>,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    /// As in syslog(3).
    fn priority(&self) -> u8 {
        match *self.metadata.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }
}

enum Job {
    Write(Entry),
    Flush(SyncSender<()>),
}

struct Shared {
    level: AtomicU8,
    dropped: AtomicU64,
}

/// Changes the level, and flushes at the end.
pub struct Handle {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

impl Handle {
    /// Puts another level into force.
    pub fn set_level(&self, level: Level) {
        self.shared.level.store(rank(level), Ordering::Relaxed);
    }

    /// Waits until all that was said is written, a second at the most.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(1));
        }
    }
}

const fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// [`LogError`].
pub fn start(target: Target, level: Level, journal_stream: Option<&str>) -> Result<Handle, LogError> {
    let sink = Sink::open(target, journal_stream)?;
    let (jobs, queued) = sync_channel(QUEUE);
    let shared = Arc::new(Shared { level: AtomicU8::new(rank(level)), dropped: AtomicU64::new(0) });
    let counted = Arc::clone(&shared);
    let spawned = std::thread::Builder::new().name("alertd-log".into()).spawn(move || write(&sink, &queued, &counted));
    spawned.map_err(|e| LogError::Sink { target: "a thread", reason: e.to_string() })?;
    let layer = Forward { shared: Arc::clone(&shared), jobs: jobs.clone() };
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(Handle { shared, jobs })
}

fn write(sink: &Sink, queued: &Receiver<Job>, shared: &Shared) {
    loop {
        match queued.recv_timeout(Duration::from_secs(1)) {
            Ok(Job::Write(entry)) => sink.write(&entry),
            Ok(Job::Flush(done)) => drop(done.send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let dropped = shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "the log was too slow: messages were left out");
        }
    }
}

/// Hands events over to the thread.
struct Forward {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let ours = metadata.target().starts_with("alertd");
        // What libraries say is for whoever looks into them.
        let limit = self.shared.level.load(Ordering::Relaxed) - u8::from(!ours);
        metadata.target() == ALERTS || rank(*metadata.level()) <= limit
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry { metadata: event.metadata(), message: String::new(), fields: Vec::new() };
        event.record(&mut entry);
        if self.jobs.try_send(Job::Write(entry)).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Entry {
    fn put(&mut self, field: &Field, mut value: String) {
        if value.len() > VALUE {
            let cut = (0..=VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
            value.truncate(cut);
        }
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
