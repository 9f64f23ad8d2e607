//! `alertctl journal`: publishes each journal entry as one alert.
//!
//! The position in the journal is saved only after the alert of the entry is stored, and an entry that is read again has
//! the same idempotency key. So a restart of alertctl or of the daemon neither loses nor repeats an entry.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cursor::JournalCursor;
use super::entry::Entry;
use super::reader::{self, Reader};
use super::{body, host};
use crate::alert::{Level, Topic};
use crate::ctl::args::Journal;
use crate::ctl::client::{Client, ClientError};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::ctl::publish::{Await, Undelivered, send};
use crate::ctl::tail::backoff::Backoff;
use crate::random;
use crate::text::{hex, truncate};

/// MESSAGE_ID of "Suppressed … messages from …", which journald writes.
const SUPPRESSED: &str = "a596d6fe7bfa4994828e72309e95d61e";
/// Retries without a limit, because no entry may be lost.
const NO_TIME_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// After this time without an entry, the position moves to the end of the journal. Otherwise journald might delete the
/// entry at the position, which would look like a loss.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Maximum bytes of a field in the metadata.
const MAX_FIELD: usize = 400;

/// Follows the journal until `stop`.
///
/// # Errors
/// [`Failure`] if the journal cannot be read, the position cannot be saved, or the daemon refuses the alerts.
pub(crate) async fn run(args: Journal, client: &Client, stop: &CancellationToken) -> Result<(), Failure> {
    let path = args.state.clone().or_else(default_state).ok_or_else(|| {
        Failure::Usage("no file to keep the position in the journal; name one with --state".to_owned())
    })?;
    let mut follower =
        Follower { matches: matches(&args), topic: args.topic, cursor: JournalCursor::open(&path)?, client };
    tokio::select! {
        done = follower.run() => done,
        // The next run sends an alert in flight again, with the same idempotency key.
        () = stop.cancelled() => Ok(()),
    }
}

fn default_state() -> Option<PathBuf> {
    let directory = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty())?;
    Some(PathBuf::from(directory).join("cursor"))
}

/// The entries to follow, as matches of journalctl: matches of the same field are alternatives, matches of different
/// fields must all hold, and `+` separates groups of which one must hold.
fn matches(args: &Journal) -> Vec<String> {
    let urgent = || (0..=args.priority).map(|priority| format!("PRIORITY={priority}"));
    let suppressed = || format!("MESSAGE_ID={SUPPRESSED}");
    let mut groups: Vec<Vec<String>> = Vec::new();
    if args.units.is_empty() {
        groups.extend([urgent().collect(), vec![suppressed()]]);
    }
    for unit in args.units.iter().filter(|unit| !unit.is_empty()) {
        let unit = if unit.contains('.') { unit.clone() } else { format!("{unit}.service") };
        groups.push(urgent().chain([format!("_SYSTEMD_UNIT={unit}")]).collect());
        groups.push(urgent().chain(["_PID=1".to_owned(), format!("UNIT={unit}")]).collect());
        groups.push(vec![suppressed(), format!("OBJECT_SYSTEMD_UNIT={unit}")]);
    }
    groups.join(&"+".to_owned())
}

struct Follower<'a> {
    matches: Vec<String>,
    topic: Topic,
    cursor: JournalCursor,
    client: &'a Client,
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        match self.cursor.cursor().map(str::to_owned) {
            None => self.begin().await?,
            Some(cursor) => self.report_gap(&cursor).await?,
        }
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let mut reader = Reader::start(&self.arguments("--follow"))?;
            loop {
                match timeout(IDLE_INTERVAL, reader.next()).await {
                    Ok(Some(entry)) => {
                        backoff.succeeded();
                        self.take(&entry).await?;
                    }
                    Ok(None) => break,
                    Err(_) => self.advance_to_end().await?,
                }
            }
            let ended = reader.end().await;
            note(&ended.err().map_or_else(|| "journalctl ended; starting it again".to_owned(), |e| e.to_string()));
            sleep(backoff.next(None, random::fraction())).await;
        }
    }

    /// Arguments to read from the cursor on, including its entry. With `--after-cursor`, journalctl would skip the first
    /// match if the entry at the cursor is not a match itself.
    fn arguments(&self, mode: &str) -> Vec<String> {
        let from = self.cursor.cursor().map(|cursor| format!("--cursor={cursor}"));
        [mode.to_owned(), "--no-tail".to_owned()].into_iter().chain(from).chain(self.matches.iter().cloned()).collect()
    }

    /// The first run begins at the end of the journal. An empty journal has none.
    async fn begin(&mut self) -> Result<(), Failure> {
        match newest_cursor().await? {
            Some(cursor) => self.cursor.save(cursor),
            None => Ok(()),
        }
    }

    /// Publishes a warning if the journal no longer has the entry at the cursor.
    async fn report_gap(&self, cursor: &str) -> Result<(), Failure> {
        let arguments = [format!("--cursor={cursor}"), "--lines=1".to_owned()];
        let next = reader::read(&arguments, 1).await?.into_iter().next();
        if next.as_ref().and_then(Entry::cursor).as_deref() == Some(cursor) {
            return Ok(());
        }
        let message = "journal entries may be missing: the journal dropped them before they were published";
        let mut metadata = Map::new();
        metadata.insert("host".to_owned(), host().into());
        if let Some(time) = time_of(cursor) {
            metadata.insert("after".to_owned(), time.into());
        }
        if let Some(time) = next.as_ref().and_then(Entry::time) {
            metadata.insert("before".to_owned(), time.into());
        }
        let body = body(&self.topic, Level::Warn, message, metadata)?;
        self.send(&body, &key("gap ", cursor)).await
    }

    async fn take(&mut self, entry: &Entry) -> Result<(), Failure> {
        let Some(cursor) = entry.cursor().filter(|cursor| self.cursor.cursor() != Some(cursor)) else { return Ok(()) };
        if !is_own(entry) {
            let (level, message) = (level(entry), entry.text("MESSAGE").unwrap_or_default());
            let whole = body(&self.topic, level, &message, metadata(entry))?;
            self.send(&whole, &key("", &cursor)).await?;
        }
        self.cursor.save(cursor)
    }

    async fn send(&self, body: &str, key: &str) -> Result<(), Failure> {
        match send(self.client, None, body, key, (NO_TIME_LIMIT, Await::Person)).await {
            // It would be refused again and again, and keep all later entries from being published.
            Err(Undelivered::Refused(error @ ClientError::Refused { status: 409 | 413, .. })) => {
                note(&format!("skipped a journal entry: {error}"));
                Ok(())
            }
            other => other.map(drop).map_err(Failure::from),
        }
    }

    /// Saves the end of the journal as the position, unless there are matching entries before it.
    async fn advance_to_end(&mut self) -> Result<(), Failure> {
        let Some(end) = newest_cursor().await? else { return Ok(()) };
        let pending = reader::read(&self.arguments("--lines=all"), 2).await?;
        let is_done = |entry: &Entry| entry.cursor().as_deref() == self.cursor.cursor();
        if pending.iter().all(is_done) { self.cursor.save(end) } else { Ok(()) }
    }
}

/// The cursor of the newest entry in the journal, whether it matches or not.
async fn newest_cursor() -> Result<Option<String>, Failure> {
    let last = reader::read(&["--lines=1".to_owned()], 1).await?;
    Ok(last.first().and_then(Entry::cursor))
}

fn key(prefix: &str, cursor: &str) -> String {
    format!("journal-{}", hex(&Sha256::digest(format!("{prefix}{cursor}"))))
}

/// The time of the entry at a cursor: `t=` holds microseconds in hexadecimal.
fn time_of(cursor: &str) -> Option<String> {
    let micros = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    let time = jiff::Timestamp::from_microsecond(i64::from_str_radix(micros, 16).ok()?).ok()?;
    Some(format!("{time:.3}"))
}

/// Whether alertd wrote the entry or it is about one of alertd's units. An alert about it might cause another entry, and
/// so on without end.
fn is_own(entry: &Entry) -> bool {
    let is_ours = |unit: String| {
        let suffix = unit.strip_prefix("alertd").unwrap_or("another");
        suffix.starts_with(['.', '@'])
            || ["-control", "-publish", "-journal", "-unit-failed"].iter().any(|n| suffix.starts_with(n))
    };
    let fields = ["_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT"];
    entry.text("ALERTD_TARGET").is_some() || fields.iter().flat_map(|field| entry.values(field)).any(is_ours)
}

fn level(entry: &Entry) -> Level {
    let suppressed = entry.values("MESSAGE_ID").iter().any(|id| id == SUPPRESSED);
    match entry.priority() {
        0..=3 => Level::Error,
        4 => Level::Warn,
        _ if suppressed => Level::Warn,
        _ => Level::Info,
    }
}

fn metadata(entry: &Entry) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), truncate(&value, MAX_FIELD).into());
        }
    };
    put("host", entry.text("_HOSTNAME"));
    put("unit", entry.unit());
    put("identifier", entry.text("SYSLOG_IDENTIFIER").or_else(|| entry.text("_COMM")));
    put("pid", entry.text("_PID"));
    put("time", entry.time());
    put("message_id", entry.text("MESSAGE_ID"));
    put("invocation_id", entry.text("INVOCATION_ID").or_else(|| entry.text("_SYSTEMD_INVOCATION_ID")));
    metadata.insert("priority".to_owned(), entry.priority().into());
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> Journal {
        use clap::Parser;
        let line = ["alertctl", "journal"].into_iter().chain(line.iter().copied());
        match crate::ctl::args::Ctl::try_parse_from(line).unwrap().command {
            crate::ctl::args::Command::Journal(journal) => journal,
            other => panic!("{other:?}"),
        }
    }

    fn entry(json: &str) -> Entry {
        Entry::parse(json).unwrap()
    }

    #[test]
    fn priority_and_units_become_matches() {
        let dropped = format!("MESSAGE_ID={SUPPRESSED}");
        assert_eq!(matches(&args(&["-p", "alert"])), ["PRIORITY=0", "PRIORITY=1", "+", &dropped]);
        let expected = [
            "PRIORITY=0",
            "_SYSTEMD_UNIT=a.service",
            "+",
            "PRIORITY=0",
            "_PID=1",
            "UNIT=a.service",
            "+",
            &dropped,
            "OBJECT_SYSTEMD_UNIT=a.service",
        ];
        assert_eq!(matches(&args(&["-p", "0", "-u", "a"])), expected);
        assert_eq!(matches(&args(&["-p", "0", "-u", "a.service"])), expected);
    }

    #[test]
    fn entries_by_alertd_or_about_its_units_are_its_own() {
        for own in [
            r#"{"_SYSTEMD_UNIT":"alertd.service"}"#,
            r#"{"_SYSTEMD_UNIT":"alertd@blue.service"}"#,
            r#"{"_SYSTEMD_UNIT":"init.scope","UNIT":"alertd-control@blue.socket"}"#,
            r#"{"UNIT":"alertd-unit-failed@x.service"}"#,
            r#"{"OBJECT_SYSTEMD_UNIT":"alertd-journal.service"}"#,
            r#"{"ALERTD_TARGET":"alertd::alert","_SYSTEMD_UNIT":"user@0.service"}"#,
            r#"{"UNIT":["a.service","alertd.service"]}"#,
        ] {
            assert!(is_own(&entry(own)), "{own}");
        }
        for other in [r#"{"_SYSTEMD_UNIT":"alertdash.service"}"#, r#"{"_SYSTEMD_UNIT":"a.service"}"#, "{}"] {
            assert!(!is_own(&entry(other)), "{other}");
        }
    }

    #[test]
    fn level_and_metadata_come_from_the_entry() {
        let found = entry(
            r#"{"PRIORITY":"4","_HOSTNAME":"h","UNIT":"a.service","_SYSTEMD_UNIT":"init.scope","_COMM":"systemd","_PID":"1"}"#,
        );
        assert_eq!(level(&found), Level::Warn);
        let metadata = metadata(&found);
        assert_eq!((&metadata["unit"], &metadata["identifier"]), (&"a.service".into(), &"systemd".into()));
        assert_eq!(metadata["priority"], 4);
        let suppressed = format!(r#"{{"PRIORITY":"5","MESSAGE_ID":"{SUPPRESSED}"}}"#);
        assert_eq!(level(&entry(&suppressed)), Level::Warn);
    }

    #[test]
    fn idempotency_key_and_time_come_from_the_cursor() {
        let cursor = "s=0;i=1;b=2;m=3;t=660edcbcbcd00;x=4";
        assert_eq!(key("", cursor), key("", cursor));
        assert_ne!(key("", cursor), key("gap ", cursor));
        assert!(key("", cursor).len() < 255);
        assert!(time_of(cursor).unwrap().ends_with('Z'));
        assert_eq!(time_of("s=0"), None);
    }
}
