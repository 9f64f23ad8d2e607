//! `journalctl`, run to its end or followed for ever.
//!
//! Whoever may write to the journal may write entries of many megabytes. So only the fields that are used are asked for,
//! journalctl leaves out what is over 4 KiB, and of such a message the beginning is fetched by itself.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::entry::Entry;
use crate::ctl::exit::Failure;

/// What an alert is made of.
const FIELDS: &str = "MESSAGE,PRIORITY,UNIT,OBJECT_SYSTEMD_UNIT,_SYSTEMD_UNIT,_HOSTNAME,SYSLOG_IDENTIFIER,_COMM,_PID,\
    MESSAGE_ID,INVOCATION_ID,_SYSTEMD_INVOCATION_ID,UNIT_RESULT,EXIT_CODE,EXIT_STATUS,ALERTD_TARGET";
/// Bytes of a long message that are of use: an alert has no more.
const MAX_MESSAGE: u64 = 8 << 10;
/// What journalctl has to say about an error is at most so long.
const MAX_STDERR: u64 = 4096;

/// Entries as they come.
pub(crate) struct Reader {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    /// Runs `journalctl -o json` with these arguments.
    ///
    /// # Errors
    /// [`Failure::Failed`] where there is no journalctl.
    pub(crate) fn start(arguments: &[String]) -> Result<Self, Failure> {
        let mut child =
            journalctl().args(["--output=json", "--output-fields", FIELDS]).args(arguments).spawn().map_err(|e| {
                Failure::Failed(format!("cannot run journalctl: {e}; this command needs systemd's journal"))
            })?;
        let Some(output) = child.stdout.take() else {
            return Err(Failure::Failed("journalctl has no output".to_owned()));
        };
        Ok(Self { child, lines: BufReader::new(output).lines() })
    }

    /// The next entry; none where journalctl has ended.
    pub(crate) async fn next(&mut self) -> Option<Entry> {
        // What is no UTF-8 or no entry cannot be one of ours: journalctl writes JSON alone.
        while let Ok(Some(line)) = self.lines.next_line().await {
            if let Some(mut entry) = Entry::parse(&line) {
                if let (true, Some(cursor)) = (entry.message_left_out(), entry.cursor()) {
                    entry.set_message(&beginning(&cursor).await);
                }
                return Some(entry);
            }
        }
        None
    }

    /// How journalctl ended, and what it said about it.
    ///
    /// # Errors
    /// [`Failure::Failed`] where it did not end well.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        let mut complaint = String::new();
        if let Some(errors) = self.child.stderr.take() {
            // Whatever can be read of it helps.
            let _ = errors.take(MAX_STDERR).read_to_string(&mut complaint).await;
        }
        let status = self.child.wait().await;
        if status.as_ref().is_ok_and(ExitStatus::success) {
            return Ok(());
        }
        let complaint = complaint.trim();
        let complaint = if complaint.is_empty() { "it gave no reason" } else { complaint };
        Err(Failure::Failed(format!(
            "cannot read the journal: {complaint}; become a member of the group systemd-journal, or use sudo"
        )))
    }
}

fn journalctl() -> Command {
    let mut command = Command::new("journalctl");
    // The manager's variables are for this process alone.
    command.args(["--quiet", "--no-pager"]).env_remove("NOTIFY_SOCKET").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The beginning of a long message.
async fn beginning(cursor: &str) -> Vec<u8> {
    let arguments = [format!("--cursor={cursor}"), "--lines=1".to_owned()];
    let child = journalctl().args(["--output=cat", "--output-fields=MESSAGE", "--all"]).args(arguments).spawn();
    let mut message = Vec::new();
    if let Ok(mut child) = child
        && let Some(output) = child.stdout.take()
    {
        // What can be read of it is of use; the rest is not waited for.
        let _ = output.take(MAX_MESSAGE).read_to_end(&mut message).await;
    }
    message
}

/// All entries that journalctl finds with these arguments; `most` of them at the most.
///
/// # Errors
/// [`Failure::Failed`] where journalctl cannot read them.
pub(crate) async fn read(arguments: &[String], most: usize) -> Result<Vec<Entry>, Failure> {
    let mut reader = Reader::start(arguments)?;
    let mut found = Vec::new();
    while let Some(entry) = reader.next().await {
        found.push(entry);
        if found.len() >= most {
            return Ok(found);
        }
    }
    reader.end().await.map(|()| found)
}
