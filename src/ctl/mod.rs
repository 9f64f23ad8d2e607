//! `alertctl`: everything that a person or a script does with alertd from a shell.
//!
//! | file | owns |
//! |---|---|
//! | [`args`] | the command line; help, man pages and completions come from it |
//! | [`values`] | durations, patterns and pairs on it |
//! | [`mod@client`] | requests to the daemon, over socket, TCP or TLS |
//! | [`key`], [`publish`], [`tail`], [`history`], [`status`], [`config`] | the commands |
//! | [`keys`] | the keys, at the daemon or in their file |
//! | [`settings`] | the daemon's configuration |
//! | [`instance`] | one of several daemons on this machine |
//! | [`host`] | what the host has to say: failed units, the journal |
//! | [`state`] | a line in a file that outlives the program |
//! | [`alert`] | an alert and its row for people |
//! | [`output`] | standard output and notes |
//! | [`progress`] | how far a long replay is |
//! | [`text`] | text as a terminal shows it: harmless, aligned, wrapped |
//! | [`terminal`] | the terminal: its size, its colours |
//! | [`man`] | man pages |
//! | [`completions`] | completions of shells, with what the daemon knows |
//! | [`exit`] | failures and exit codes |

pub(crate) mod alert;
pub(crate) mod args;
pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod exit;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod terminal;
#[cfg(test)]
mod testing;
pub(crate) mod text;
pub(crate) mod values;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use args::{Command, Ctl, DaemonOptions};
use client::address::{Address, Environment};
use client::{Client, Credential, KeySource};
use exit::Failure;
use output::{Output, note};
use terminal::Colour;

/// A key's file holds one line; anything longer is another file.
const MAX_KEY_FILE: u64 = 4096;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let command = Ctl::command().color(Colour::asked(std::env::args_os()).into());
    let ctl = match command.try_get_matches().and_then(|matches| Ctl::from_arg_matches(&matches)) {
        Ok(ctl) => ctl,
        Err(help) => {
            // Nobody is left to tell where even this cannot be written.
            let _ = help.print();
            return ExitCode::from(u8::try_from(help.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            note(&format!("cannot start: {e}; check the limits on open files and threads"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(ctl));
    // A write to a reader that stands still, or a read from an idle terminal, must not keep the process.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure != Failure::ReaderGone {
                note(&failure.to_string());
            }
            failure.into()
        }
    }
}

async fn run(ctl: Ctl) -> Result<(), Failure> {
    let mut output = Output::stdout(ctl.color);
    match ctl.command {
        Command::Completions { shell } => output.text(&completions::script(shell)).await?,
        Command::Complete { what, line } => {
            let daemon = completions::meant(ctl.daemon, &line);
            completions::run(what, &line, &client(&daemon)?.0, &mut output).await?;
        }
        Command::Man { dir } => man::write(&dir)?,
        Command::Config(command) => config::run(&command, &ctl.daemon, &mut output).await?,
        Command::Key(command) => {
            let (client, is_local) = client(&ctl.daemon)?;
            let settings = move || settings::key_store(&ctl.daemon);
            let store = keys::Store::new(client, is_local.then(|| Box::new(settings) as keys::FindSettings));
            key::run(command, &store, tokio::io::stdin(), &mut output).await?;
        }
        Command::Publish(args) => {
            let (client, usual) = client(&ctl.daemon)?;
            // Who may not use the control socket may still publish.
            let second = usual.then(|| publish_socket(&ctl.daemon));
            publish::run(args, client, second, tokio::io::stdin(), &mut output).await?;
        }
        Command::UnitFailed(args) => host::unit::run(args, &publisher(&ctl.daemon)?).await?,
        Command::Journal(args) => {
            let stop = stop(false)?;
            host::journal::run(args, &publisher(&ctl.daemon)?, &stop).await?;
        }
        Command::Tail(args) => {
            let (client, _) = client(&ctl.daemon)?;
            let stop = stop(args.exec.is_none())?;
            tail::run(args, &client, &mut output, &stop, tail::follow::Timing::default()).await?;
            // It has written what counts as seen; for the rest nobody may be reading.
            return Ok(());
        }
        Command::History(args) => history::run(args, &client(&ctl.daemon)?.0, &mut output).await?,
        Command::Status(args) => status::run(&args, &client(&ctl.daemon)?.0, &mut output, &stop(true)?).await?,
        Command::Reload => config::reload(&client(&ctl.daemon)?.0).await?,
    }
    output.flush().await
}

/// The client of the daemon that is meant, and whether it is one of this machine at its usual place.
fn client(daemon: &DaemonOptions) -> Result<(Client, bool), Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| {
        let not_text = |_| Failure::Usage(format!("{name} is not UTF-8; set it anew"));
        variable(name).map(|value| value.into_string().map_err(not_text)).transpose()
    };
    let environment =
        Environment { url: text("ALERTCTL_URL")?, socket: variable("ALERTCTL_SOCKET").map(PathBuf::from) };
    let chosen =
        Address::chosen(daemon.url.as_deref(), daemon.socket.as_deref(), daemon.instance.as_ref(), &environment)?;
    let usual = chosen.is_none() || daemon.instance.is_some();
    let address = chosen
        .unwrap_or_else(|| Address::local("control.sock", settings::control_socket(daemon), runtime_dir().as_deref()));
    let key = match (&address, &daemon.key_file) {
        // A socket asks for no key, and none is shown to it.
        (Address::Socket(_), _) => None,
        (Address::Remote(_), Some(file)) => {
            Some(Credential { key: key_file(file)?, source: KeySource::File(file.clone()) })
        }
        (Address::Remote(_), None) => text("ALERTCTL_KEY")?
            .map(|key| Credential { key: Zeroizing::new(key.trim().to_owned()), source: KeySource::Variable }),
    };
    Ok((Client::new(address, key), usual))
}

/// The client of commands that do nothing but publish, and may be kept out of all else.
fn publisher(daemon: &DaemonOptions) -> Result<Client, Failure> {
    let (client, usual) = client(daemon)?;
    Ok(if usual { Client::new(publish_socket(daemon), None) } else { client })
}

/// The socket that only publishes, of the daemon at its usual place or of an instance.
fn publish_socket(daemon: &DaemonOptions) -> Address {
    match &daemon.instance {
        Some(instance) => Address::Socket(instance.socket("publish.sock")),
        None => Address::local("publish.sock", settings::publish_socket(daemon), runtime_dir().as_deref()),
    }
}

fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn key_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text));
    read.map_err(|e| {
        Failure::Failed(format!("cannot read the key file {}: {e}; check its owner and mode", path.display()))
    })?;
    let key = text.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(Failure::Failed(format!("the key file {} must hold the key alone, on one line", path.display())));
    }
    Ok(Zeroizing::new(key.to_owned()))
}

/// Fires at SIGINT and SIGTERM, and where asked once nobody reads standard output.
fn stop(watch_output: bool) -> Result<CancellationToken, Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let fires = stop.clone();
    tokio::spawn(async move {
        let closed =
            async { if watch_output { output::closed(std::io::stdout()).await } else { std::future::pending().await } };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = closed => {}
        }
        fires.cancel();
    });
    Ok(stop)
}
