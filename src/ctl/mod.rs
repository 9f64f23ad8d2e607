//! `alertctl`, the command line client of alertd.
//!
//! | file | owns |
//! |---|---|
//! | [`args`] | the command line, and with it help, man pages and completions |
//! | [`values`] | parsers of durations, patterns and pairs on the command line |
//! | [`moment`] | times as people say them |
//! | [`mod@client`] | requests to the daemon over a Unix socket, TCP or TLS |
//! | [`key`], [`publish`], [`tail`], [`history`], [`status`], [`config`] | the commands |
//! | [`backup`] | backups: writing, restoring and verifying them |
//! | [`doctor`] | what is wrong on this machine, and the remedies |
//! | [`expect`] | what is expected on topics |
//! | [`incident`] | incidents: listed and changed |
//! | [`retract`] | an alert is taken back |
//! | [`drain`] | streams that leave before maintenance |
//! | [`pages`] | pages of stored alerts |
//! | [`deliver`] | alerts, sent until the outcome is known |
//! | [`keys`] | operations on keys, by the daemon or in the file of keys |
//! | [`settings`] | the daemon's configuration |
//! | [`instance`] | one of several daemons on this machine |
//! | [`host`] | alerts about the host: failed units, journal entries |
//! | [`state`] | a position, kept in a file |
//! | [`alert`] | an alert and its form for people |
//! | [`output`] | standard output and notes |
//! | [`progress`] | the progress line of a long replay |
//! | [`text`] | text on a terminal: escaped, aligned, wrapped |
//! | [`terminal`] | size and colours of the terminal |
//! | [`man`] | man pages |
//! | [`completions`] | shell completion, with data from the daemon |
//! | [`exit`] | failures and exit codes |

pub(crate) mod alert;
pub(crate) mod args;
pub(crate) mod backup;
pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deliver;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod exit;
pub(crate) mod expect;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod incident;
pub(crate) mod instance;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod man;
pub(crate) mod moment;
pub(crate) mod output;
pub(crate) mod pages;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod retract;
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

use crate::text::only_line;

/// Bytes to read of a key file, far more than a key has.
const MAX_KEY_FILE: u64 = 4096;

/// Runs `alertctl` with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let command = Ctl::command().color(Colour::from_command_line(std::env::args_os()).into());
    let ctl = match command.try_get_matches().and_then(|matches| Ctl::from_arg_matches(&matches)) {
        Ok(ctl) => ctl,
        Err(help) => {
            // If this cannot be written, no error message can be written either.
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
    // Does not wait for a write to a reader that has stopped reading, or for a read from an idle terminal.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone | Failure::Unresolved) {
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
            let daemon = completions::daemon_options(ctl.daemon, &line);
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
            let (client, is_local) = client(&ctl.daemon)?;
            // A user without access to the control socket may have access to the publish socket.
            let fallback = is_local.then(|| publish_socket(&ctl.daemon));
            publish::run(args, client, fallback, tokio::io::stdin(), &mut output).await?;
        }
        Command::UnitStopping { unit } => {
            host::stopping::run(&unit, &settings::usual_control_socket(&ctl.daemon)).await?;
        }
        Command::UnitStopped => host::stopping::stopped()?,
        Command::UnitFailed(args) => host::unit::run(args, &publisher(&ctl.daemon)?).await?,
        Command::Journal(args) => host::journal::run(args, &publisher(&ctl.daemon)?, &stop(false)?).await?,
        Command::Tail(args) => {
            let (client, _) = client(&ctl.daemon)?;
            let stop = stop(args.exec.is_none())?;
            tail::run(args, &client, &mut output, &stop, tail::follow::Timing::default()).await?;
            // `tail` flushes what counts as handled. Flushing the rest could block if nobody reads any more.
            return Ok(());
        }
        Command::History(args) => history::run(args, &client(&ctl.daemon)?.0, &mut output).await?,
        Command::Status(args) => status::run(&args, &client(&ctl.daemon)?.0, &mut output, &stop(true)?).await?,
        Command::Backup(args) => {
            let (client, is_local) = client(&ctl.daemon)?;
            backup::write::run(&args, &client, is_local.then_some(&ctl.daemon)).await?;
        }
        Command::Restore(args) => backup::restore::run(args, ctl.daemon).await?,
        Command::Check(args) => backup::check::run(&args, &ctl.daemon, &mut output).await?,
        Command::Doctor(args) => {
            let done = doctor::run(&args, &ctl.daemon, &client(&ctl.daemon)?.0, &mut output).await;
            output.flush().await?;
            return done;
        }
        Command::Incidents(args) => incident::list(args, &client(&ctl.daemon)?.0, &mut output).await?,
        Command::Change(change) => incident::act(change, &client(&ctl.daemon)?.0, &mut output).await?,
        Command::Retract(args) => retract::run(args, &client(&ctl.daemon)?.0).await?,
        Command::Expect(args) => expect::run(args, &client(&ctl.daemon)?.0, &mut output).await?,
        Command::Drain(args) => drain::drain(&args, &client(&ctl.daemon)?.0).await?,
        Command::Undrain => drain::undrain(&client(&ctl.daemon)?.0).await?,
        Command::Reload => config::reload(&client(&ctl.daemon)?.0).await?,
    }
    output.flush().await
}

/// A client of the selected daemon, and whether that is the daemon of this machine or one of its instances.
fn client(daemon: &DaemonOptions) -> Result<(Client, bool), Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let text = |name: &str| {
        let not_text = |_| Failure::Usage(format!("{name} is not UTF-8; correct it"));
        variable(name).map(|value| value.into_string().map_err(not_text)).transpose()
    };
    let environment =
        Environment { url: text("ALERTCTL_URL")?, socket: variable("ALERTCTL_SOCKET").map(PathBuf::from) };
    let chosen =
        Address::chosen(daemon.url.as_deref(), daemon.socket.as_deref(), daemon.instance.as_ref(), &environment)?;
    let is_local = chosen.is_none() || daemon.instance.is_some();
    let address = chosen
        .unwrap_or_else(|| Address::local("control.sock", settings::control_socket(daemon), runtime_dir().as_deref()));
    let key = match (&address, &daemon.key_file) {
        // A socket requires no key, so none is sent.
        (Address::Socket(_), _) => None,
        (Address::Remote(_), Some(file)) => {
            Some(Credential { key: key_file(file)?, source: KeySource::File(file.clone()) })
        }
        (Address::Remote(_), None) => text("ALERTCTL_KEY")?.map(|key| Credential {
            key: Zeroizing::new(key.trim_start_matches('\u{feff}').trim().to_owned()),
            source: KeySource::Variable,
        }),
    };
    Ok((Client::new(address, key), is_local))
}

/// The client for commands that only publish. Locally it uses the publish socket, because the user who runs such a command
/// may have access to no other.
fn publisher(daemon: &DaemonOptions) -> Result<Client, Failure> {
    let (client, is_local) = client(daemon)?;
    Ok(if is_local { Client::new(publish_socket(daemon), None) } else { client })
}

/// The publish socket of the daemon of this machine or of an instance.
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
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_KEY_FILE).read_to_end(&mut bytes));
    read.map_err(|e| {
        Failure::Failed(format!("cannot read the key file {}: {e}; check its owner and mode", path.display()))
    })?;
    let key = only_line(&bytes)
        .map(str::trim_start)
        .and_then(|key| if key.contains(char::is_whitespace) { Err("text with spaces") } else { Ok(key) });
    key.map(|key| Zeroizing::new(key.to_owned())).map_err(|contents| {
        let path = path.display();
        Failure::Failed(format!("the key file {path} contains {contents}; it must contain only the key, on one line"))
    })
}

/// A token that is cancelled by SIGINT and SIGTERM and, with `watch_output`, when standard output is closed.
fn stop(watch_output: bool) -> Result<CancellationToken, Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::Failed(format!("cannot listen for signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let closed =
            async { if watch_output { output::closed(std::io::stdout()).await } else { std::future::pending().await } };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = closed => {}
        }
        token.cancel();
    });
    Ok(stop)
}
