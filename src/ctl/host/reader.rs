//! `journalctl`, run to its end or followed without end.
//!
//! Every service may write entries of many megabytes. So only the fields in use are requested, and journalctl leaves out
//! fields larger than 4 KiB. The beginning of a message that was left out is read by a separate call.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::entry::Entry;
use crate::ctl::exit::Failure;

/// The fields from which alerts are made.
const FIELDS: &str = "MESSAGE,PRIORITY,UNIT,OBJECT_SYSTEMD_UNIT,_SYSTEMD_UNIT,_HOSTNAME,SYSLOG_IDENTIFIER,_COMM,_PID,\
    MESSAGE_ID,INVOCATION_ID,_SYSTEMD_INVOCATION_ID,UNIT_RESULT,EXIT_CODE,EXIT_STATUS,ALERTD_TARGET";
/// Bytes to read of a long message, more than an alert may have.
const MAX_MESSAGE: u64 = 8 << 10;
/// Bytes to read of journalctl's error messages.
const MAX_STDERR: u64 = 4096;

/// Entries that are read before anyone takes them.
const QUEUED: usize = 512;

/// A running journalctl and the entries that it writes. They are read and parsed while the caller works on earlier ones.
pub(crate) struct Reader {
    child: Child,
    entries: mpsc::Receiver<Entry>,
    _reading: AbortOnDropHandle<()>,
}

impl Reader {
    /// Runs `journalctl -o json` with these arguments.
    ///
    /// # Errors
    /// [`Failure::Failed`] if journalctl cannot be started.
    pub(crate) fn start(arguments: &[String]) -> Result<Self, Failure> {
        let mut child =
            journalctl().args(["--output=json", "--output-fields", FIELDS]).args(arguments).spawn().map_err(|e| {
                Failure::Failed(format!("cannot run journalctl: {e}; this command needs systemd's journal"))
            })?;
        let Some(output) = child.stdout.take() else {
            return Err(Failure::Failed("journalctl has no output".to_owned()));
        };
        let (queue, entries) = mpsc::channel(QUEUED);
        Ok(Self { child, entries, _reading: AbortOnDropHandle::new(tokio::spawn(parse(output, queue))) })
    }

    /// The next entry; `None` when journalctl has ended. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }

    /// Waits for an entry, then takes it and what else is there, at most `limit`; nothing when journalctl has ended. Safe to
    /// cancel.
    pub(crate) async fn some(&mut self, limit: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.entries.recv_many(&mut entries, limit).await;
        entries
    }

    /// The next entry, if it is there already.
    pub(crate) fn ready(&mut self) -> Option<Entry> {
        self.entries.try_recv().ok()
    }

    /// Waits for journalctl to end.
    ///
    /// # Errors
    /// [`Failure::Failed`] with journalctl's error message, if it did not succeed.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        let mut reason = String::new();
        if let Some(errors) = self.child.stderr.take() {
            // A part of the message is better than none.
            let _ = errors.take(MAX_STDERR).read_to_string(&mut reason).await;
        }
        let status = self.child.wait().await;
        if status.as_ref().is_ok_and(ExitStatus::success) {
            return Ok(());
        }
        let reason = reason.trim();
        let reason = if reason.is_empty() { "journalctl gave no reason" } else { reason };
        Err(Failure::Failed(format!("cannot read the journal: {reason}; join the group systemd-journal, or use sudo")))
    }
}

async fn parse(output: ChildStdout, queue: mpsc::Sender<Entry>) {
    let mut lines = BufReader::new(output).lines();
    // journalctl writes nothing but UTF-8 and JSON, so a line that is not an entry can be ignored.
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(mut entry) = Entry::parse(&line) else { continue };
        if let (true, Some(cursor)) = (entry.message_left_out(), entry.cursor()) {
            entry.set_message(&beginning(&cursor).await);
        }
        if queue.send(entry).await.is_err() {
            return;
        }
    }
}

/// Arguments to read the entries that match from a cursor on, with the one at the cursor.
pub(crate) fn from(mode: &str, cursor: Option<&str>, matches: &[String]) -> Vec<String> {
    let from = cursor.map(|cursor| format!("--cursor={cursor}"));
    [mode.to_owned(), "--no-tail".to_owned()].into_iter().chain(from).chain(matches.iter().cloned()).collect()
}

fn journalctl() -> Command {
    let mut command = Command::new("journalctl");
    // The service manager takes notifications from alertctl only.
    command.args(["--quiet", "--no-pager"]).env_remove("NOTIFY_SOCKET").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The beginning of the message of the entry at `cursor`.
async fn beginning(cursor: &str) -> Vec<u8> {
    let arguments = [format!("--cursor={cursor}"), "--lines=1".to_owned()];
    let child = journalctl().args(["--output=cat", "--output-fields=MESSAGE", "--all"]).args(arguments).spawn();
    let mut message = Vec::new();
    if let Ok(mut child) = child
        && let Some(output) = child.stdout.take()
    {
        // A part of the message is better than none.
        let _ = output.take(MAX_MESSAGE).read_to_end(&mut message).await;
    }
    message
}

/// The entries that journalctl finds with these arguments, at most `limit`.
///
/// # Errors
/// [`Failure::Failed`] if journalctl cannot read them.
pub(crate) async fn read(arguments: &[String], limit: usize) -> Result<Vec<Entry>, Failure> {
    let mut reader = Reader::start(arguments)?;
    let mut found = Vec::new();
    while let Some(entry) = reader.next().await {
        found.push(entry);
        if found.len() >= limit {
            return Ok(found);
        }
    }
    reader.end().await.map(|()| found)
}

/// The cursor of the newest entry in the journal, whatever it is; none in an empty journal.
///
/// # Errors
/// [`Failure::Failed`] if journalctl cannot read it.
pub(crate) async fn newest_cursor() -> Result<Option<String>, Failure> {
    let last = read(&["--lines=1".to_owned()], 1).await?;
    Ok(last.first().and_then(Entry::cursor))
}
