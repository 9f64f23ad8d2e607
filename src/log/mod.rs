//! Events to the journal, to syslog or to standard error.
//!
//! Owns the subscriber of the process and the one thread that writes. The daemon calls [`start`] once; everything else
//! says `tracing::info!` and the like. What always holds: an event never waits for a sink. It goes into one bounded
//! queue; what finds no room is counted, and the count is written as soon as there is room again. Libraries are heard
//! up to `info` only, whatever the level: what they say below that may quote headers, and so secrets.
//!
//! It adds no time (all three sinks have their own), knows no spans, and filters by level alone.

mod event;
mod journald;
mod line;
mod queue;
mod record;
mod sink;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

pub(crate) use event::Event;
use queue::Queue;
use record::Record;
pub(crate) use tracing::Level;

/// The target of mirrored alerts, which pass at any level: they were asked for by `log.mirror_alerts`.
const ALERTS: &str = "alertd::alert";
/// How long [`Handle::flush`] waits for a stuck sink.
const FLUSH: Duration = Duration::from_secs(1);
/// What [`start`] has started.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Where events go, as `log.target` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    /// The journal where standard error is connected to it, else standard error. Never syslog: nothing tells that
    /// somebody reads `/dev/log`, while whoever started the process sees its standard error.
    #[default]
    Auto,
    /// The journal's native protocol, with fields.
    Journald,
    /// `/dev/log`, facility daemon, one line of text for each event.
    Syslog,
    /// Lines `<level> <message> <key>=<value>…`, without time.
    Stderr,
}

/// What [`start`] needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where to.
    pub target: Target,
    /// How much of alertd's own events.
    pub level: Level,
    /// `SYSLOG_IDENTIFIER`, and the name in front of a syslog line.
    pub identifier: String,
    /// The value of `$JOURNAL_STREAM`, which says whether standard error is the journal.
    pub journal_stream: Option<OsString>,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nobody listens at the socket of the journal or of syslog.
    #[error("log.target = \"{target}\", but {} cannot be used ({source}); start that service, or set log.target to \"auto\" or \"stderr\"", path.display())]
    Unreachable {
        /// The configured target.
        target: &'static str,
        /// The socket.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// [`start`] was called before, or another subscriber is installed.
    #[error("logging has already been started in this process")]
    Twice,
    /// The writing thread could not be made.
    #[error("cannot start the thread that writes the log ({0}); raise the limit of processes (TasksMax=, ulimit -u)")]
    Thread(io::Error),
}

/// Changes the level of running logging; writes out the queue when dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    queue: Arc<Queue>,
    filter: reload::Handle<Targets, Registry>,
}

impl Handle {
    /// Puts another level into force, at once and for all threads.
    pub(crate) fn set_level(&self, level: Level) {
        // Fails only where the subscriber is gone, and then there is nothing to filter.
        let _ = self.filter.reload(filter(level));
    }

    /// Waits until everything said so far is written, one second at most; false if that was not enough.
    pub(crate) fn flush(&self) -> bool {
        self.queue.flush(FLUSH)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.flush();
    }
}

/// [`Handle::flush`] for those that have no handle; false also if logging has not started.
pub(crate) fn flush() -> bool {
    QUEUE.get().is_some_and(|queue| queue.flush(FLUSH))
}

/// Starts logging for the whole process; `spawn` gets the loop that writes, to run it on a thread of its own.
///
/// # Errors
/// [`LogError`]: the sink that was asked for is not there, or logging runs already. `Auto` and `Stderr` need no sink.
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

fn subscriber(
    queue: Arc<Queue>,
    level: Level,
) -> (impl Subscriber + Send + Sync + 'static, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(filter(level));
    (tracing_subscriber::registry().with(filter).with(Forward { queue }), handle)
}

/// The greater level is the one that lets more through.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(level.min(Level::INFO))
        .with_target("alertd", level)
        .with_target(ALERTS, level.max(Level::INFO))
}

/// Hands events over to the writing thread.
struct Forward {
    queue: Arc<Queue>,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        self.queue.push(Record::of(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gets through the subscriber at a level, as `message` and target.
    fn heard(level: Level, say: impl FnOnce(&Handle)) -> Vec<Record> {
        let queue = Arc::new(Queue::default());
        let (subscriber, filter) = subscriber(Arc::clone(&queue), level);
        tracing::subscriber::with_default(subscriber, || {
            let handle = Handle { queue: Arc::clone(&queue), filter };
            say(&handle);
            // Nothing drains this queue, so a flush at the drop would only wait.
            std::mem::forget(handle);
        });
        queue.drain()
    }

    fn messages(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| record.message.as_str()).collect()
    }

    /// As the service says it of an alert.
    fn mirror(topic: &str, id: &str, level: Level, user: &str, message: &str) {
        match level {
            Level::INFO => tracing::info!(target: ALERTS, topic, alert_id = id, user, "{message}"),
            Level::WARN => tracing::warn!(target: ALERTS, topic, alert_id = id, user, "{message}"),
            _ => tracing::error!(target: ALERTS, topic, alert_id = id, user, "{message}"),
        }
    }

    #[test]
    fn a_mirrored_alert_passes_at_any_level_with_its_own_priority() {
        let records = heard(Level::ERROR, |_| {
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
    fn a_new_level_is_in_force_at_once_in_both_directions() {
        let records = heard(Level::WARN, |handle| {
            let say = |text: &str| tracing::debug!("{text}");
            say("one");
            handle.set_level(Level::DEBUG);
            say("two");
            handle.set_level(Level::WARN);
            say("three");
        });
        assert_eq!(messages(&records), ["two"]);
    }

    #[test]
    fn libraries_are_never_heard_below_info() {
        let records = heard(Level::TRACE, |_| {
            tracing::debug!(target: "h2::codec", "headers");
            tracing::info!(target: "h2::codec", "said");
            tracing::trace!(target: "alertd::http", "own");
        });
        assert_eq!(messages(&records), ["said", "own"]);
    }
}
