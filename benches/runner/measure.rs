//! One run: a fresh server on its core, the load generator on the other, one line of figures.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::rows::Entry;
use crate::Result;
use crate::dialect::Target;
use crate::server::{Kind, Place, Server, directory, pinned};

/// What the generator prints when the server is to be restarted; it is told the new process then.
pub(crate) const RESTART: &str = "restart";

/// Starts the server, puts the load on it, and returns what the generator reports.
pub(super) fn once(entry: &Entry, place: &Place, load_core: &str) -> Result<Value> {
    if entry.kind == Kind::StoreFsync {
        let directory = directory()?;
        let mut command = pinned(&place.core, &place.own);
        command.args(["floor", "store"]).args(&entry.arguments);
        command.arg("--file").arg(directory.path().join("store.redb"));
        return converse(command, entry.limit, || Err("a store has nothing to restart".into()));
    }
    let mut server = Server::start(entry.kind, place)?;
    let mut command = pinned(load_core, &place.own);
    command.arg("load").args(&entry.arguments);
    address(&mut command, &server.target);
    converse(command, entry.limit, || server.restart())
}

/// Tells a load generator where its server is.
pub(super) fn address(command: &mut Command, target: &Target) {
    use clap::ValueEnum;
    let dialect = target.dialect.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    command.args(["--dialect", &dialect, "--address", &target.address.to_string()]);
    if let Some(publish) = target.publish_address {
        command.args(["--publish-address", &publish.to_string()]);
    }
    if !target.key.is_empty() {
        command.args(["--key", &target.key]);
    }
    let pids: Vec<String> = target.pids.iter().map(u32::to_string).collect();
    command.args(["--pids", &pids.join(",")]);
}

/// Runs a generator for at most this number of seconds, and serves its requests.
fn converse(command: Command, limit: u32, mut restart: impl FnMut() -> Result<u32>) -> Result<Value> {
    let mut command = bounded(command, limit);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut last = String::new();
    for line in stdout.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        last = line?;
        if last == RESTART {
            let process = restart()?;
            if let Some(mut stdin) = stdin.as_ref() {
                writeln!(stdin, "{process}")?;
            }
        }
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, text.trim()).into());
    }
    Ok(serde_json::from_str(&last)?)
}

/// The same command, killed after this number of seconds.
fn bounded(command: Command, seconds: u32) -> Command {
    let mut outer = Command::new("setpriv");
    outer
        .args(["--pdeathsig", "TERM", "timeout", "--signal", "KILL", &seconds.to_string()])
        .arg(Path::new(command.get_program()));
    outer.args(command.get_args());
    outer
}
