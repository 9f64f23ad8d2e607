//! `alertctl journal`: publishes each journal entry as one alert.
//!
//! Entries are published in the order of the journal, many in one request. The position is saved only after the alerts up to
//! it are stored, and an entry that is read again has the same idempotency key. So a restart of alertctl or of the daemon
//! neither loses nor repeats an entry. [`overtaking`](super::overtaking) has the one exception from the order.
//! [`failed_units`](super::failed_units) works beside that.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cursor::JournalCursor;
use super::entry::Entry;
use super::failed_units::FailedUnits;
use super::journal_alert as alert;
use super::overtaking::Overtaking;
use super::reader::{self, Reader};
use super::selection;
use crate::alert::Topic;
use crate::ctl::args::Journal;
use crate::ctl::client::{Client, ClientError};
use crate::ctl::deliver::{Await, FOR_EVER, Undelivered, send_lines};
use crate::ctl::exit::Failure;
use crate::ctl::output::note;
use crate::ctl::tail::backoff::Backoff;
use crate::random;

/// After this time without an entry, the position moves to the end of the journal. Otherwise journald might delete the
/// entry at the position, which would look like a loss.
const IDLE_INTERVAL: Duration = Duration::from_secs(300);
/// Entries that are taken together, and alerts in one request.
const MAX_BATCH: usize = 512;
/// Bytes of one request, unless a single alert has more. Smaller than `hooks.max_body` is by default.
const MAX_REQUEST: usize = 512 << 10;

/// Follows the journal until `stop`.
///
/// # Errors
/// [`Failure`] if the journal cannot be read, the position cannot be saved, or the daemon refuses the alerts.
pub(crate) async fn run(args: Journal, client: &Client, stop: &CancellationToken) -> Result<(), Failure> {
    let path = args.state.clone().or_else(default_state).ok_or_else(|| {
        Failure::Usage("no file to keep the position in the journal; name one with --state".to_owned())
    })?;
    let mut follower = Follower {
        matches: selection::all(&args),
        overtaking: Overtaking::open(selection::urgent(&args), &path)?,
        topic: args.topic,
        cursor: JournalCursor::open(&path)?,
        client,
    };
    let mut units = args.failed_units.map(|topic| FailedUnits::open(topic, client, &path)).transpose()?;
    let watch = Box::pin(async {
        match &mut units {
            Some(units) => units.run().await,
            None => std::future::pending().await,
        }
    });
    tokio::select! {
        done = follower.run() => done,
        done = watch => done,
        // The next run sends the alerts in flight again, with the same idempotency keys.
        () = stop.cancelled() => Ok(()),
    }
}

fn default_state() -> Option<PathBuf> {
    let directory = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty())?;
    Some(PathBuf::from(directory).join("cursor"))
}

struct Follower<'a> {
    matches: Vec<String>,
    overtaking: Overtaking,
    topic: Topic,
    cursor: JournalCursor,
    client: &'a Client,
}

/// Entries up to this cursor, and the lines that publish them.
#[derive(Default)]
struct Batch {
    lines: Vec<String>,
    bytes: usize,
    cursor: Option<String>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.lines.len() >= MAX_BATCH || self.bytes >= MAX_REQUEST
    }

    fn add(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push(line);
    }
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
                let quiet = self.overtaking.patience().unwrap_or(IDLE_INTERVAL);
                match timeout(quiet, reader.some(MAX_BATCH)).await {
                    Ok(entries) if entries.is_empty() => break,
                    Ok(entries) => {
                        backoff.succeeded();
                        self.take(&entries).await?;
                    }
                    Err(_) if self.overtaking.patience().is_some() => {
                        self.publish_urgent().await?;
                        self.overtaking.wait_once_more();
                    }
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
        reader::from(mode, self.cursor.cursor(), &self.matches)
    }

    /// The first run begins at the end of the journal. An empty journal has none.
    async fn begin(&mut self) -> Result<(), Failure> {
        match reader::newest_cursor().await? {
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
        self.publish(&[alert::gap(&self.topic, cursor, next.as_ref())?]).await
    }

    /// Publishes entries and saves the position behind them.
    async fn take(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        self.overtaking.look(entries, self.cursor.cursor())?;
        self.publish_urgent().await?;
        let mut batch = Batch::default();
        for entry in entries {
            let Some(cursor) = entry.cursor().filter(|cursor| self.cursor.cursor() != Some(cursor)) else { continue };
            if !self.overtaking.passes(entry, &cursor) && !alert::is_own(entry) {
                batch.add(alert::line(&self.topic, entry, &cursor)?);
            }
            batch.cursor = Some(cursor);
            if batch.is_full() {
                self.finish(std::mem::take(&mut batch)).await?;
            }
        }
        self.finish(batch).await
    }

    async fn finish(&mut self, batch: Batch) -> Result<(), Failure> {
        self.publish(&batch.lines).await?;
        batch.cursor.map_or(Ok(()), |cursor| self.cursor.save(cursor))?;
        // After the position, so that a kill in between leaves a name too many, never one too few.
        self.overtaking.save()
    }

    /// Publishes urgent entries that would otherwise wait behind older ones.
    async fn publish_urgent(&mut self) -> Result<(), Failure> {
        let mut batch = Batch::default();
        while !batch.is_full()
            && let Some((entry, cursor)) = self.overtaking.next()
        {
            batch.add(alert::line(&self.topic, &entry, &cursor)?);
        }
        self.publish(&batch.lines).await?;
        self.overtaking.save()
    }

    /// Publishes these lines together. What the daemon refuses is found by halves and left out: it would be refused again and
    /// again, and keep all later entries from being published.
    async fn publish(&self, lines: &[String]) -> Result<(), Failure> {
        let mut parts = vec![lines];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match send_lines(self.client, part.join("\n"), (FOR_EVER, Await::Person)).await {
                Err(Undelivered::Refused(error @ ClientError::Refused { status: 409 | 413, .. })) => {
                    if let [_] = part {
                        note(&format!("skipped a journal entry: {error}"));
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
                other => drop(other.map_err(Failure::from)?),
            }
        }
        Ok(())
    }

    /// Saves the end of the journal as the position, unless there are matching entries before it.
    async fn advance_to_end(&mut self) -> Result<(), Failure> {
        let Some(end) = reader::newest_cursor().await? else { return Ok(()) };
        let pending = reader::read(&self.arguments("--lines=all"), 2).await?;
        let is_done = |entry: &Entry| entry.cursor().as_deref() == self.cursor.cursor();
        if pending.iter().all(is_done) { self.cursor.save(end) } else { Ok(()) }
    }
}
