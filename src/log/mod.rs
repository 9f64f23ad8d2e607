//! Logging to the journal, to syslog or to standard error.
//!
//! Owns the subscriber of the process and the thread that writes. The daemon calls [`start`] once; all other code uses
//! `tracing::info!` and the like. An event never waits for a sink: it goes into a bounded queue. Events that do not fit are
//! counted, and the count is logged when there is space again. Events of libraries are logged at `info` and above only,
//! whatever the level, because their debug events may quote headers and so secrets, and each kind of them once a minute.
//!
//! Events get no time, because all sinks add one. Spans are ignored.

mod event;
mod journald;
mod libraries;
mod line;
mod queue;
mod record;
mod repeated;
mod sink;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

pub(crate) use event::Event;
use journald::Journald;
use libraries::{Libraries, OWN};
use queue::Queue;
use record::Record;
pub(crate) use repeated::Repeated;
pub(crate) use tracing::Level;

/// The tracing target of mirrored alerts. They are logged at any level, because `log.mirror_alerts` requests them.
const ALERTS: &str = "alertd::alert";
/// How long [`Handle::flush`] waits for a stuck sink.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the journal may take to read an entry of a process that is about to end.
const READ_TIME: Duration = Duration::from_millis(250);
/// The queue of the process, set by [`start`].
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// The setting `log.target`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    /// The journal if standard error is connected to it, otherwise standard error. Never syslog, because `/dev/log` may
    /// have no reader, while standard error is visible to the person who started the process.
    #[default]
    Auto,
    /// The native protocol of the journal, with fields.
    Journald,
    /// `/dev/log`, facility daemon, one line of text per event.
    Syslog,
    /// Lines `<level> <message> <key>=<value>…`, without time.
    Stderr,
}

/// Settings of the log.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub target: Target,
    /// The level of alertd's own events.
    pub level: Level,
    /// `SYSLOG_IDENTIFIER`, and the name at the beginning of a syslog line.
    pub identifier: String,
    /// The value of `$JOURNAL_STREAM`, from which to tell whether standard error is the journal.
    pub journal_stream: Option<OsString>,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No process listens on the socket of the journal or of syslog.
    #[error("log.target = \"{target}\", but {} cannot be used ({source}); start that service, or set log.target to \"auto\" or \"stderr\"", path.display())]
    Unreachable {
        /// The configured target.
        target: &'static str,
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// [`start`] was called before, or another subscriber is installed.
    #[error("logging has already been started in this process")]
    Twice,
    /// The writing thread could not be started.
    #[error("cannot start the thread that writes the log ({0}); raise the limit of processes (TasksMax=, ulimit -u)")]
    Thread(io::Error),
}

/// Controls the running log; flushes it when dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: Arc<Queue>,
    filter: reload::Handle<Targets, Registry>,
}

impl Handle {
    /// Changes the level, immediately and for all threads.
    pub(crate) fn set_level(&self, level: Level) {
        // Fails only if the subscriber is gone; then there is nothing to filter.
        let _ = self.filter.reload(filter(level));
    }

    /// Waits at most [`FLUSH_TIMEOUT`] until all events so far are written. Returns false if they are not.
    pub(crate) fn flush(&self) -> bool {
        self.queue.flush(FLUSH_TIMEOUT)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.flush();
    }
}

/// [`Handle::flush`] for code without a handle. Returns false also if logging has not started.
pub(crate) fn flush() -> bool {
    QUEUE.get().is_some_and(|queue| queue.flush(FLUSH_TIMEOUT))
}

/// Starts logging for the whole process. `spawn` runs the loop that writes on a new thread.
///
/// # Errors
/// [`LogError`] if the target is not available, or if logging was started before.
pub(crate) fn start(
    settings: Settings,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
) -> Result<Handle, LogError> {
    let sink = sink::open(&settings)?;
    let queue = Arc::clone(QUEUE.get_or_init(Arc::default));
    let (subscriber, filter) = subscriber(Arc::clone(&queue), settings.level);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    let written = Arc::clone(&queue);
    spawn(Box::new(move || queue::write(&written, sink))).map_err(LogError::Thread)?;
    Ok(Handle { queue, filter })
}

/// Writes what `log` logs to the journal, for a program that has not called [`start`]. Returns false if there is no journal.
pub(crate) fn to_journal(identifier: &str, log: impl FnOnce()) -> bool {
    let Ok(journal) = Journald::open(Path::new(journald::SOCKET), identifier) else { return false };
    write_all(Box::new(journal), Level::INFO, log)
}

/// Writes the reason why the daemon does not run to the journal, as one entry, if standard error is the journal. It does not
/// depend on [`start`], which may not have been called yet. Returns false if standard error is something else.
pub(crate) fn start_failed(reason: &dyn fmt::Display, journal_stream: Option<OsString>) -> bool {
    let Some(journal) = sink::journal_of_stderr(journal_stream.as_deref(), "alertd") else { return false };
    write_all(journal, Level::ERROR, || tracing::error!(message_id = %Event::StartFailed, "cannot start: {reason}"))
}

fn write_all(mut journal: Box<dyn queue::Sink>, level: Level, log: impl FnOnce()) -> bool {
    let queue = Arc::new(Queue::default());
    let (subscriber, _filter) = subscriber(Arc::clone(&queue), level);
    tracing::subscriber::with_default(subscriber, log);
    let is_written = queue.drain().iter().all(|record| journal.write(record).is_ok());
    // journald looks up the unit of a sender when it reads the entry, so the process must not be gone by then.
    std::thread::park_timeout(READ_TIME);
    is_written
}

fn subscriber(
    queue: Arc<Queue>,
    level: Level,
) -> (impl Subscriber + Send + Sync + 'static, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(filter(level));
    (tracing_subscriber::registry().with(filter).with(Forward { queue, libraries: Libraries::default() }), handle)
}

/// Events of alertd at `level`, of libraries at most at `info`, and mirrored alerts at any level. A greater level has more
/// events.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(level.min(Level::INFO))
        .with_target(OWN, level)
        .with_target(ALERTS, level.max(Level::INFO))
}

/// Passes events to the queue.
struct Forward {
    queue: Arc<Queue>,
    libraries: Libraries,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let now = Instant::now();
        self.libraries.settle(now).into_iter().for_each(|record| self.queue.push(record));
        if self.libraries.admit(event.metadata(), now) {
            self.queue.push(Record::of(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records that pass the subscriber at a level while `run` logs.
    fn logged(level: Level, run: impl FnOnce(&Handle)) -> Vec<Record> {
        let queue = Arc::new(Queue::default());
        let (subscriber, filter) = subscriber(Arc::clone(&queue), level);
        tracing::subscriber::with_default(subscriber, || {
            let handle = Handle { queue: Arc::clone(&queue), filter };
            run(&handle);
            // No thread empties this queue, so that dropping the handle would wait in vain.
            std::mem::forget(handle);
        });
        queue.drain()
    }

    fn messages(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| record.message.as_str()).collect()
    }

    /// Logs an alert as the service does.
    fn mirror(topic: &str, id: &str, level: Level, user: &str, message: &str) {
        match level {
            Level::INFO => tracing::info!(target: ALERTS, topic, alert_id = id, user, "{message}"),
            Level::WARN => tracing::warn!(target: ALERTS, topic, alert_id = id, user, "{message}"),
            _ => tracing::error!(target: ALERTS, topic, alert_id = id, user, "{message}"),
        }
    }

    #[test]
    fn a_mirrored_alert_is_logged_at_any_level_with_its_own_priority() {
        let records = logged(Level::ERROR, |_| {
            mirror("ops.db", "5-0", Level::INFO, "alice", "up {}");
            mirror("ops.db", "6-0", Level::WARN, "alice", "slow");
            mirror("ops.db", "7-0", Level::ERROR, "alice", "down");
            tracing::info!("not this");
        });
        assert_eq!(messages(&records), ["up {}", "slow", "down"]);
        assert_eq!(records.iter().map(Record::priority).collect::<Vec<_>>(), [6, 4, 3]);
        let fields: Vec<_> = records[0].fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(fields, [("topic", "ops.db"), ("alert_id", "5-0"), ("user", "alice")]);
    }

    #[test]
    fn a_new_level_takes_effect_immediately_in_both_directions() {
        let records = logged(Level::WARN, |handle| {
            let debug = |text: &str| tracing::debug!("{text}");
            debug("one");
            handle.set_level(Level::DEBUG);
            debug("two");
            handle.set_level(Level::WARN);
            debug("three");
        });
        assert_eq!(messages(&records), ["two"]);
    }

    #[test]
    fn events_of_libraries_below_info_are_never_logged() {
        let records = logged(Level::TRACE, |_| {
            tracing::debug!(target: "h2::codec", "headers");
            tracing::info!(target: "h2::codec", "said");
            tracing::trace!(target: "alertd::http", "own");
        });
        assert_eq!(messages(&records), ["said", "own"]);
    }
}
