//! The scripts, and their arguments in the order in which the scripts take them.
//!
//! Used by the writer, the follower and the queries. Everything that must be one step is one script. Those of the writer
//! are in [`store_script`](super::store_script).

use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script, ToRedisArgs};

use super::link::Link;
use super::seen::Seen;
use crate::alert::{Filter, Id, Pattern, Topic};
use crate::engine::limits;
use crate::engine::topics::Run;
use crate::engine::{Direction, Publish, Range, Retention, TextChange};
use crate::incident::settings::MAX_RESOLVED;
pub(super) use crate::text::hex;

/// The format of the keys in Redis that this version writes, see `lua/log.lua`.
pub(super) const SCHEMA: u64 = 3;
/// The oldest format that it still reads. The previous one is among them, so that a fleet is upgraded node by node; so is 0,
/// because a new log has no number yet.
pub(super) const OLDEST_SCHEMA: u64 = 0;
/// The oldest format that has incidents.
pub(super) const INCIDENTS_SCHEMA: u64 = 2;
/// The oldest format in which alerts are taken back.
pub(super) const RETRACTIONS_SCHEMA: u64 = 3;
/// Entries that one call reads; Redis serves nobody else meanwhile, so these are fewer than the embedded engine's.
const MAX_SCANNED: usize = 500;
/// Topics of a filter whose limits are checked one by one; with more topics, a removal from any topic counts.
const MAX_TRIMMED_TOPICS: u64 = 2000;

/// Incidents for which something is due that a node takes up at once.
pub(super) const MAX_DUE: usize = 128;

/// A script: `log.lua`, and the files that follow.
macro_rules! script {
    ($name:ident, $($file:literal),+) => {
        static $name: LazyLock<Script> = LazyLock::new(|| {
            let files = [include_str!("lua/log.lua"), $(include_str!(concat!("lua/", $file))),+];
            Script::new(&(constants() + &files.concat()))
        });
    };
}
pub(super) use script;

/// The beginning of each script: the constants that it shares with this program. One line, so that the line numbers in
/// the errors of Redis are one more than those of `log.lua`.
pub(super) fn constants() -> String {
    let constants = [
        ("IDEMPOTENCY_AGE_MS", limits::IDEMPOTENCY_AGE_MS),
        ("MAX_IDEMPOTENCY_KEYS", limits::MAX_IDEMPOTENCY_KEYS),
        ("MAX_REMOVED_IDS", limits::MAX_REMOVED_IDS),
        ("CATCH_UP_SPEED", limits::CATCH_UP_SPEED),
        ("MAX_MERGED_TOPICS", limits::MAX_MERGED_TOPICS as u64),
        ("MAX_SCANNED", MAX_SCANNED as u64),
        ("MAX_TRIMMED_TOPICS", MAX_TRIMMED_TOPICS),
        ("MAX_DUE", MAX_DUE as u64),
        ("MAX_RESOLVED", MAX_RESOLVED as u64),
        ("SCHEMA", SCHEMA),
        ("OLDEST_SCHEMA", OLDEST_SCHEMA),
        ("INCIDENTS_SCHEMA", INCIDENTS_SCHEMA),
    ];
    let (names, values): (Vec<_>, Vec<_>) = constants.iter().map(|(name, value)| (*name, value.to_string())).unzip();
    format!("local {} = {}\n", names.join(", "), values.join(", "))
}

script!(TICK, "change.lua", "incident.lua", "tick.lua");
script!(SEEK, "seek.lua");
script!(READ, "read.lua");
script!(KEYS, "keys.lua");
script!(TOPICS, "topics.lua");
script!(EXPECTATIONS, "expectations.lua");
script!(TRIAL, "trial.lua");
script!(EXPORT, "export.lua");
script!(CHANGED, "incident.lua", "changed.lua");
script!(IMPORT, "change.lua", "incident.lua", "import.lua");
script!(REPLACE, "replace.lua");
script!(REWRITE, "change.lua", "rewrite.lua");

/// Before the names of the keys of a log that is being restored.
const IMPORTED: &str = "restore:";

pub(super) struct Arguments {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Arguments {
    pub(super) fn new(script: &'static LazyLock<Script>, link: &Link, time: String) -> Self {
        Self::of_log(script, link, "", time)
    }

    /// For a log whose keys have names that begin like this.
    fn of_log(script: &'static LazyLock<Script>, link: &Link, begin: &str, time: String) -> Self {
        // All keys are declared, so that a slot that is being moved refuses the call before it has changed anything.
        let names = [
            "log",
            "log-copy",
            "state",
            "rows",
            "topics",
            "recent",
            "removed",
            "retracted",
            "idem",
            "idem-age",
            "idem-users",
            "keys",
            "nodes",
        ];
        let new = Self {
            script,
            keys: names.iter().map(|name| link.key(&format!("{begin}{name}"))).collect(),
            arguments: Vec::new(),
        };
        new.arg(time)
    }

    /// Declares the keys of incidents too.
    pub(super) fn with_incidents(self, link: &Link) -> Self {
        self.with_incidents_of(link, "")
    }

    fn with_incidents_of(mut self, link: &Link, begin: &str) -> Self {
        let names = ["", "-open", "-over", "-due", "-of", "-alerts", "-counts"];
        self.keys.extend(names.map(|name| link.key(&format!("{begin}incidents{name}"))));
        self
    }

    /// Declares the index of a topic.
    pub(super) fn topic(&mut self, link: &Link, topic: &Topic) {
        self.keys.push(link.key(&format!("t:{topic}")));
    }

    /// An idempotency key, its fingerprint and its owner; empty without a key.
    pub(super) fn idempotency(mut self, link: &Link, publish: &Publish) -> Self {
        let Some(key) = &publish.idempotency else { return self.arg("").arg("").arg("") };
        let owner = hex(&key.owner());
        self.keys.push(link.key(&format!("idem-of:{owner}")));
        let mark = if key.state.is_some() { "=" } else { "" };
        self.arg(hex(&key.hash())).arg(format!("{mark}{}", hex(&publish.fingerprint()))).arg(owner)
    }

    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    pub(super) fn seen(self, seen: &Seen) -> Self {
        self.arg(seen.id.to_string()).arg(&seen.alert[..])
    }

    pub(super) fn retention(self, retention: &Retention) -> Self {
        self.arg(retention.age_ms).arg(retention.count).arg(retention.bytes).arg(retention.topic_count)
    }

    fn filter(mut self, filter: &Filter) -> Self {
        self = self.arg(filter.level() as u8);
        for pattern in filter.patterns() {
            self = self.arg(match pattern {
                Pattern::All => "*".to_owned(),
                Pattern::Exact(topic) => format!("={topic}"),
                Pattern::Below(parent) => format!("<{parent}"),
            });
        }
        self
    }

    /// Runs the script; it is loaded first if the server does not have it.
    pub(super) async fn run(&self, connection: &mut MultiplexedConnection) -> Result<Vec<Vec<u8>>, RedisError> {
        let mut call = self.script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        for argument in &self.arguments {
            call.arg(argument);
        }
        call.invoke_async(connection).await
    }
}

/// What a node reports once a second.
pub(super) struct Tick<'a> {
    pub(super) epoch: &'a str,
    pub(super) seen: &'a Seen,
    /// What the hub was fed with last.
    pub(super) fed: &'a Seen,
    pub(super) new_epoch: &'a str,
    pub(super) node: &'a str,
    pub(super) probe: u64,
    pub(super) elapsed_ms: u64,
    pub(super) streams: u64,
    pub(super) retention: &'a Retention,
}

pub(super) fn tick(link: &Link, time: String, tick: &Tick<'_>) -> Arguments {
    Arguments::new(&TICK, link, time)
        .with_incidents(link)
        .arg(tick.epoch)
        .seen(tick.seen)
        .seen(tick.fed)
        .arg(tick.new_epoch)
        .arg(tick.node)
        .arg(tick.probe)
        .arg(tick.elapsed_ms)
        .retention(tick.retention)
        .arg(tick.streams)
        .arg(env!("CARGO_PKG_VERSION"))
}

pub(super) fn seek(link: &Link, time: String, cursor: Option<Id>, filter: &Filter) -> Arguments {
    Arguments::new(&SEEK, link, time).arg(cursor.map_or_else(String::new, |cursor| cursor.to_string())).filter(filter)
}

pub(super) fn read(link: &Link, time: String, range: &Range, direction: Direction) -> Arguments {
    Arguments::new(&READ, link, time)
        .arg(u8::from(direction == Direction::Backward))
        .arg(range.after.to_string())
        .arg(range.until.to_string())
        .arg(range.limit)
        .arg(range.bytes)
        .filter(&range.filter)
}

pub(super) fn load_keys(link: &Link, time: String) -> Arguments {
    Arguments::new(&KEYS, link, time).arg("")
}

pub(super) fn save_keys(
    link: &Link,
    time: String,
    expected: u64,
    floor: u64,
    put: &[(String, String)],
    gone: &[String],
) -> Arguments {
    let mut call = Arguments::new(&KEYS, link, time).arg(expected).arg(floor).arg(put.len());
    for (id, json) in put {
        call = call.arg(id).arg(json);
    }
    gone.iter().fold(call, |call, id| call.arg(id))
}

pub(super) fn topics(link: &Link, time: String, runs: &[Run], most: usize) -> Arguments {
    let run = |run: &Run| match run {
        Run::One(name) => format!("={name}"),
        Run::From(name) => format!("<{name}"),
    };
    runs.iter().map(run).fold(Arguments::new(&TOPICS, link, time).arg(most), Arguments::arg)
}

pub(super) fn load_expectations(link: &Link, time: String) -> Arguments {
    expectations(link, time).arg("")
}

pub(super) fn save_expectations(link: &Link, time: String, change: &TextChange) -> Arguments {
    let TextChange { expected, floor, put, gone } = change;
    let mut call = expectations(link, time).arg(*expected).arg(*floor).arg(put.len());
    for (topic, json) in put {
        call = call.arg(topic).arg(json);
    }
    gone.iter().fold(call, |call, topic| call.arg(topic))
}

fn expectations(link: &Link, time: String) -> Arguments {
    let mut call = Arguments::new(&EXPECTATIONS, link, time);
    call.keys.push(link.key("expectations"));
    call
}

pub(super) fn trial(link: &Link, time: String, node: &str) -> Arguments {
    let mut call = Arguments::new(&TRIAL, link, time).arg(node);
    call.keys.extend(["trial-log", "trial-hash", "trial-set"].map(|name| link.key(name)));
    call
}

/// A page of the log for a backup.
pub(super) fn export(link: &Link, after: Id, until: Id, limit: usize, bytes: usize) -> Arguments {
    let call = Arguments::new(&EXPORT, link, String::new()).arg(after.to_string()).arg(until.to_string());
    call.arg(limit).arg(bytes)
}

/// Incidents that were changed after an id, for a backup.
pub(super) fn changed(link: &Link, after: Id, limit: usize) -> Arguments {
    Arguments::new(&CHANGED, link, String::new()).with_incidents(link).arg(after.to_string()).arg(limit)
}

/// Parts of a backup, which are added as further arguments.
pub(super) fn import(link: &Link) -> Arguments {
    Arguments::of_log(&IMPORT, link, IMPORTED, String::new()).with_incidents_of(link, IMPORTED)
}

/// A step of the replacement of the log by one that was imported.
pub(super) fn replace(link: &Link, step: &str, may_replace: bool, has_keys: bool) -> Arguments {
    let call = Arguments::new(&REPLACE, link, String::new()).with_incidents(link);
    call.arg(step).arg(u8::from(may_replace)).arg(u8::from(has_keys))
}

/// A step of rewriting the log, which copies about that many entries and bytes.
pub(super) fn rewrite(link: &Link, entries: usize, bytes: usize) -> Arguments {
    Arguments::new(&REWRITE, link, String::new()).arg(entries).arg(bytes)
}

/// The hash by which the server knows the script of a read.
#[cfg(test)]
pub(super) fn hash_of_read() -> String {
    READ.get_hash().to_owned()
}
