//! `alertctl tail`: prints each alert as it arrives, or runs a command for it.
//!
//! | file | owns |
//! |---|---|
//! | [`follow`] | a stream that reconnects |
//! | [`backoff`] | pauses between attempts |
//! | [`cursor`] | the position in the log, kept in a file |
//! | [`exec`] | the command for each alert |

pub(crate) mod backoff;
pub(crate) mod cursor;
pub(crate) mod exec;
pub(crate) mod follow;

use std::ops::ControlFlow;

use tokio_util::sync::CancellationToken;

use super::alert::{Alert, Rows};
use super::args::Tail;
use super::client::{Client, ClientError};
use super::exit::Failure;
use super::incident::Transition;
use super::output::{Output, note};
use super::pages::gap_message;
use super::progress::Progress;
use super::retract::Retraction;
use crate::random;
use backoff::Backoff;
use cursor::Cursor;
use exec::Outcome;
use follow::{Change, Follower, Item, Start, Timing};

/// Runs until `stop`, until `--count` alerts were handled, or until the reader closes the output.
///
/// # Errors
/// Failures that a retry cannot cure, of the key, the topics or the state file.
pub(crate) async fn run(
    args: Tail,
    client: &Client,
    output: &mut Output,
    stop: &CancellationToken,
    timing: Timing,
) -> Result<(), Failure> {
    let mut cursor = args.state.map(Cursor::open).transpose()?;
    let start = match (cursor.as_ref().and_then(Cursor::id), args.last) {
        (Some(id), _) => Start::After(id),
        (None, Some(count)) => Start::Newest(count),
        (None, None) => Start::Since(args.since),
    };
    let rows = Rows::default();
    let mut handler = Handler { exec: args.exec, is_json: args.json, rows, retries: timing.backoff.clone(), stop };
    let mut stream = Follower::new(client, args.select.query(), start, timing);
    let mut left = args.count;
    // Shown until the seam.
    let mut progress = Progress::begin(args.count, output.is_visible());
    while left != Some(0) {
        let item = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            item = stream.next() => item?,
        };
        let id = match item {
            Item::Alert(id, json) => {
                let alert = read(client, &json)?;
                if handler.handle(&alert, json, output).await?.is_break() {
                    break;
                }
                left = left.map(|left| left - 1);
                progress.add(1, id);
                id
            }
            Item::Change(change, id, json) => {
                if handler.show(change, &json, output).await?.is_break() {
                    break;
                }
                id
            }
            Item::Cursor(id) => {
                progress.end();
                id
            }
            Item::Gap(gap) => {
                note(&gap_message(&gap));
                continue;
            }
        };
        if let Some(cursor) = &mut cursor {
            cursor.advance(id);
        }
        let is_due = handler.exec.is_some() || stream.is_drained() || left == Some(0);
        if is_due && save(&mut cursor, output, stop).await?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Saves the position, after the output before it was written.
async fn save(
    cursor: &mut Option<Cursor>,
    output: &mut Output,
    stop: &CancellationToken,
) -> Result<ControlFlow<()>, Failure> {
    tokio::select! {
        biased;
        written = output.flush() => written?,
        () = stop.cancelled() => return Ok(ControlFlow::Break(())),
    }
    cursor.as_mut().map_or(Ok(()), Cursor::save)?;
    Ok(ControlFlow::Continue(()))
}

/// Prints each alert, or runs the command for it.
struct Handler<'a> {
    exec: Option<String>,
    is_json: bool,
    rows: Rows,
    retries: Backoff,
    stop: &'a CancellationToken,
}

impl Handler<'_> {
    /// Returns `Break` if `stop` came before the alert was handled.
    async fn handle(&mut self, alert: &Alert, json: String, output: &mut Output) -> Result<ControlFlow<()>, Failure> {
        if let Some(command) = &self.exec {
            let is_done = execute(command, alert, &json, self.stop, self.retries.clone()).await;
            return Ok(if is_done { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        }
        let line = if self.is_json { json } else { self.rows.row(alert, output) };
        self.print(&line, output).await
    }

    /// Prints a change of an incident, or a retraction. It is no alert, so that no command runs for it.
    async fn show(&self, change: Change, json: &str, output: &mut Output) -> Result<ControlFlow<()>, Failure> {
        let line = match change {
            _ if self.exec.is_some() => None,
            // As in a stream of lines, so that programs can tell it from an alert.
            _ if self.is_json => Some(json.replacen('{', &format!(r#"{{"event":"{}","#, change.event()), 1)),
            Change::Incident => serde_json::from_str(json).ok().map(|change: Transition| change.row(output)),
            Change::Retraction => serde_json::from_str(json).ok().map(|taken: Retraction| taken.row(output)),
        };
        match line {
            Some(line) => self.print(&line, output).await,
            // Nothing to show, or of a newer daemon.
            None => Ok(ControlFlow::Continue(())),
        }
    }

    async fn print(&self, line: &str, output: &mut Output) -> Result<ControlFlow<()>, Failure> {
        tokio::select! {
            biased;
            taken = output.line(line) => taken?,
            () = self.stop.cancelled() => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn read(client: &Client, json: &str) -> Result<Alert, Failure> {
    serde_json::from_str(json).map_err(|e| {
        let reason = format!("it sent an alert that cannot be parsed ({e})");
        ClientError::Foreign { address: client.address().to_string(), reason }.into()
    })
}

/// Runs the command until it succeeds. Returns false if `stop` came first.
async fn execute(command: &str, alert: &Alert, json: &str, stop: &CancellationToken, mut retries: Backoff) -> bool {
    loop {
        let reason = match exec::run(command, alert, json, stop, exec::STOP_GRACE).await {
            Outcome::Success => return true,
            Outcome::Interrupted => {
                note(&format!("the command for {} was interrupted; the next run handles this alert again", alert.id));
                return false;
            }
            Outcome::Failed(reason) => reason,
        };
        let pause = retries.next(None, random::fraction());
        note(&format!("the command for {} {reason}; retrying in {:.1} s", alert.id, pause.as_secs_f64()));
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
