//! `alertctl tail`: follows alerts over any break.
//!
//! The cursor moves only behind what was printed or handled, so after a break, or the program's own restart with
//! `--state`, it goes on exactly there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::args::TailArgs;
use super::client::{Client, Trouble, escape};
use super::exit::{Code, Failure, file};
use super::output::{self, Alert, note};
use super::read::{query, show};
use crate::alert::Id;
use crate::sse::{Event, Gap, Parser};

/// A stream is never silent for so long: the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two attempts, at the least and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longer values do not fit into the environment of a process.
const LONGEST_VARIABLE: usize = 100 << 10;

struct Tail<'a> {
    args: &'a TailArgs,
    cursor: Option<Id>,
    left: u64,
    colours: bool,
    pause: Duration,
}

/// Why a stream ended.
enum Break {
    /// As many as were asked for.
    Enough,
    /// Come back.
    Again,
}

pub(super) async fn run(args: &TailArgs, client: &Client) -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|e| Failure::new(Code::Failed, e.to_string()))?;
    tokio::select! {
        done = follow(args, client) => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn follow(args: &TailArgs, client: &Client) -> Result<(), Failure> {
    let cursor = args.state.as_deref().map(load).transpose()?.flatten();
    let left = args.count.unwrap_or(u64::MAX);
    let mut tail = Tail { args, cursor, left, colours: output::colours(), pause: PAUSE.0 };
    let mut told = false;
    while tail.left > 0 {
        let wait = match tail.open(client).await {
            Ok(stream) => {
                if std::mem::take(&mut told) {
                    note("connected again");
                }
                match tail.read(stream).await? {
                    Break::Enough => break,
                    Break::Again => tail.pause,
                }
            }
            Err(trouble) if trouble.is_passing() => {
                let wait = trouble.retry_after().unwrap_or_default().max(tail.pause);
                if !std::mem::replace(&mut told, true) {
                    note(&format!("{}; trying again", Failure::from(trouble)));
                }
                tail.pause = (tail.pause * 2).min(PAUSE.1);
                wait
            }
            Err(trouble) => return Err(trouble.into()),
        };
        sleep(jittered(wait)).await;
    }
    Ok(())
}

impl Tail<'_> {
    async fn open(&self, client: &Client) -> Result<Incoming, Trouble> {
        let mut path = format!("/alerts{}", query(&self.args.topics, self.args.level));
        if let (None, Some(since)) = (self.cursor, &self.args.since) {
            path += &format!("&since={}", escape(since));
        }
        let mut request = Request::builder().uri(path).header("accept", "text/event-stream");
        if let Some(cursor) = self.cursor {
            request = request.header("last-event-id", cursor.to_string());
        }
        let request = request.body(Full::<Bytes>::default()).map_err(|e| Trouble::Broken(e.to_string()))?;
        Ok(client.send(request).await?.into_body())
    }

    async fn read(&mut self, mut stream: Incoming) -> Result<Break, Failure> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        // Silence, an end and an error are all the same: the cursor says where to go on.
        while let Ok(Some(Ok(frame))) = timeout(SILENCE, stream.frame()).await {
            let Ok(piece) = frame.into_data() else { continue };
            self.pause = PAUSE.0;
            let fed = parser.feed(&piece, |event| events.push(event));
            fed.map_err(|_| Failure::new(Code::Failed, "the daemon sent a line that no alert has"))?;
            for event in events.drain(..) {
                self.take(event).await?;
                if self.left == 0 {
                    return Ok(Break::Enough);
                }
            }
        }
        Ok(Break::Again)
    }

    async fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event.event.as_str() {
            "" if !event.data.is_empty() => {
                match &self.args.exec {
                    Some(command) => handle(command, &event.data).await?,
                    None => show(&event.data, self.args.json, self.colours)?,
                }
                self.left -= 1;
            }
            "gap" => {
                if let Ok(gap) = serde_json::from_str::<Gap>(&event.data) {
                    note(&format!("some of what came after {} is no longer retained", gap.requested));
                }
            }
            _ => {}
        }
        let Some(id) = event.id.as_deref().and_then(|id| id.parse().ok()) else { return Ok(()) };
        if self.cursor != Some(id) {
            self.cursor = Some(id);
            if let Some(path) = &self.args.state {
                save(path, id).map_err(|e| file(path, &e))?;
            }
        }
        Ok(())
    }
}

/// Runs the command until it succeeds: an alert is not passed over because of a moment's trouble.
async fn handle(command: &str, json: &str) -> Result<(), Failure> {
    let alert: Alert<'_> =
        serde_json::from_str(json).map_err(|e| Failure::new(Code::Failed, format!("the daemon sent no alert: {e}")))?;
    let mut pause = Duration::from_secs(1);
    loop {
        let ended = execute(command, &alert, json).await;
        match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => {
                note(&format!("the command failed for {} ({status}): again in {} s", alert.id, pause.as_secs()))
            }
            Err(error) => {
                note(&format!("the command cannot run for {}: {error}: again in {} s", alert.id, pause.as_secs()))
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

async fn execute(command: &str, alert: &Alert<'_>, json: &str) -> std::io::Result<std::process::ExitStatus> {
    // A variable cannot hold NUL.
    let variable = |text: &str| text.replace('\0', "\u{fffd}");
    let metadata = Some(alert.metadata.get()).filter(|text| text.len() <= LONGEST_VARIABLE).unwrap_or_default();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("ALERT_ID", alert.id.to_string())
        .env("ALERT_TOPIC", &alert.topic)
        .env("ALERT_LEVEL", alert.level.as_str())
        .env("ALERT_MESSAGE", variable(&alert.message))
        .env("ALERT_RECEIVED_AT", &alert.received_at)
        .env("ALERT_METADATA", variable(metadata))
        .env_remove("ALERTCTL_KEY")
        .stdin(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read it closes the pipe, which is its right.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, format!("{json}\n").as_bytes()).await;
    }
    child.wait().await
}

fn load(path: &Path) -> Result<Option<Id>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| file(path, &e))?,
    };
    let id = text.trim();
    if id.is_empty() {
        return Ok(None);
    }
    let wrong = |e| Failure::new(Code::Failed, format!("{}: {e}; remove the file to begin anew", path.display()));
    id.parse().map(Some).map_err(wrong)
}

/// After a crash the file holds the old cursor or the new one.
fn save(path: &Path, id: Id) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let mut new = std::fs::File::create(&temporary)?;
    writeln!(new, "{id}")?;
    new.sync_data()?;
    std::fs::rename(&temporary, path)
}

/// Up to a half longer, so that many do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without randomness all wait alike.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(1.0 + f64::from(random[0]) / 512.0)
}
