//! `alertctl journal`: entries of the journal become alerts, each once.
//!
//! What always holds: the place is saved behind an entry only when its alert is stored, and an entry that is read again
//! carries the same idempotency key. So a restart of either side loses nothing and repeats nothing.

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
use crate::ctl::publish::{Undelivered, send};
use crate::ctl::tail::backoff::Backoff;
use crate::random;
use crate::text::{hex, truncate};

/// "Suppressed … messages from …", from the journal itself.
const SUPPRESSED: &str = "a596d6fe7bfa4994828e72309e95d61e";
/// The daemon is waited for as long as it takes.
const NO_TIME_LIMIT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// After so long without an entry the place moves on to the journal's end, so that it does not fall out of it.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Bytes of a field in the metadata.
const MAX_FIELD: usize = 400;

/// Follows the journal until it is told to stop.
///
/// # Errors
/// [`Failure`] where the journal cannot be read, the place cannot be kept, or the daemon refuses the alerts.
pub(crate) async fn run(args: Journal, client: &Client, stop: &CancellationToken) -> Result<(), Failure> {
    let path = args.state.clone().or_else(usual_state).ok_or_else(|| {
        Failure::Usage("where the place in the journal is to be kept is not known; name a file with --state".to_owned())
    })?;
    let mut follower =
        Follower { matches: matches(&args), topic: args.topic, cursor: JournalCursor::open(&path)?, client };
    tokio::select! {
        done = follower.run() => done,
        // The alert under way is sent again under its key by the next run.
        () = stop.cancelled() => Ok(()),
    }
}

fn usual_state() -> Option<PathBuf> {
    let directory = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty())?;
    Some(PathBuf::from(directory).join("cursor"))
}

/// Which entries are wanted, in the words of journalctl: fields of one name are alternatives, fields of several names must
/// all hold, and a plus stands between alternatives of all that.
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
            Some(cursor) => self.tell_gap(&cursor).await?,
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
                    Err(_) => self.move_on().await?,
                }
            }
            let ended = reader.end().await;
            note(&ended.err().map_or_else(|| "journalctl has ended; reading on".to_owned(), |e| e.to_string()));
            sleep(backoff.next(None, random::fraction())).await;
        }
    }

    /// From the place on, that entry included: behind a cursor journalctl would pass over the first match where the entry
    /// at the cursor is none itself.
    fn arguments(&self, how: &str) -> Vec<String> {
        let from = self.cursor.cursor().map(|cursor| format!("--cursor={cursor}"));
        [how.to_owned(), "--no-tail".to_owned()].into_iter().chain(from).chain(self.matches.iter().cloned()).collect()
    }

    /// The first time: at the journal's end, which an empty journal does not have.
    async fn begin(&mut self) -> Result<(), Failure> {
        match end().await? {
            Some(cursor) => self.cursor.save(cursor),
            None => Ok(()),
        }
    }

    /// Says so where the journal no longer has the place.
    async fn tell_gap(&self, cursor: &str) -> Result<(), Failure> {
        let arguments = [format!("--cursor={cursor}"), "--lines=1".to_owned()];
        let next = reader::read(&arguments, 1).await?.into_iter().next();
        if next.as_ref().and_then(Entry::cursor).as_deref() == Some(cursor) {
            return Ok(());
        }
        let message = "journal entries may be missing: the journal has dropped them before they became alerts";
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
        match send(self.client, None, body, key, NO_TIME_LIMIT).await {
            // It would be refused for ever, and all that follows with it.
            Err(Undelivered::Refused(error @ ClientError::Refused { status: 409 | 413, .. })) => {
                note(&format!("an entry is passed over: {error}"));
                Ok(())
            }
            other => other.map(drop).map_err(Failure::from),
        }
    }

    /// Nothing came for long. Once it is known that nothing of interest lies before the end, the place may be there.
    async fn move_on(&mut self) -> Result<(), Failure> {
        let Some(end) = end().await? else { return Ok(()) };
        let waiting = reader::read(&self.arguments("--lines=all"), 2).await?;
        let is_done = |entry: &Entry| entry.cursor().as_deref() == self.cursor.cursor();
        if waiting.iter().all(is_done) { self.cursor.save(end) } else { Ok(()) }
    }
}

/// The cursor of the journal's last entry, whatever it is.
async fn end() -> Result<Option<String>, Failure> {
    let last = reader::read(&["--lines=1".to_owned()], 1).await?;
    Ok(last.first().and_then(Entry::cursor))
}

fn key(prefix: &str, cursor: &str) -> String {
    format!("journal-{}", hex(&Sha256::digest(format!("{prefix}{cursor}"))))
}

/// When the entry at a cursor was written: `t=` holds microseconds in hexadecimal.
fn time_of(cursor: &str) -> Option<String> {
    let micros = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    let time = jiff::Timestamp::from_microsecond(i64::from_str_radix(micros, 16).ok()?).ok()?;
    Some(format!("{time:.3}"))
}

/// Whether alertd itself wrote it or it is about alertd's units: its alert might cause the next one, without end.
fn is_own(entry: &Entry) -> bool {
    let is_ours = |unit: String| {
        let name = unit.strip_prefix("alertd").unwrap_or("another");
        name.starts_with(['.', '@'])
            || ["-control", "-publish", "-journal", "-unit-failed"].iter().any(|n| name.starts_with(n))
    };
    let about = ["_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT"];
    entry.text("ALERTD_TARGET").is_some() || about.iter().filter_map(|field| entry.text(field)).any(is_ours)
}

fn level(entry: &Entry) -> Level {
    let suppressed = entry.text("MESSAGE_ID").as_deref() == Some(SUPPRESSED);
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
    fn what_alertd_wrote_or_caused_is_its_own() {
        for own in [
            r#"{"_SYSTEMD_UNIT":"alertd.service"}"#,
            r#"{"_SYSTEMD_UNIT":"alertd@blue.service"}"#,
            r#"{"_SYSTEMD_UNIT":"init.scope","UNIT":"alertd-control@blue.socket"}"#,
            r#"{"UNIT":"alertd-unit-failed@x.service"}"#,
            r#"{"OBJECT_SYSTEMD_UNIT":"alertd-journal.service"}"#,
            r#"{"ALERTD_TARGET":"alertd::alert","_SYSTEMD_UNIT":"user@0.service"}"#,
        ] {
            assert!(is_own(&entry(own)), "{own}");
        }
        for other in [r#"{"_SYSTEMD_UNIT":"alertdash.service"}"#, r#"{"_SYSTEMD_UNIT":"a.service"}"#, "{}"] {
            assert!(!is_own(&entry(other)), "{other}");
        }
    }

    #[test]
    fn an_entry_becomes_level_and_metadata() {
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
    fn a_cursor_gives_its_key_and_its_time() {
        let cursor = "s=0;i=1;b=2;m=3;t=660edcbcbcd00;x=4";
        assert_eq!(key("", cursor), key("", cursor));
        assert_ne!(key("", cursor), key("gap ", cursor));
        assert!(key("", cursor).len() < 255);
        assert!(time_of(cursor).unwrap().ends_with('Z'));
        assert_eq!(time_of("s=0"), None);
    }
}
