//! `alertctl`: a client of the daemon's own API, with nothing behind its back.
//!
//! | file | owns |
//! |---|---|
//! | [`args`] | the command line; man pages and completions |
//! | [`client`], `tls` | the way to the daemon |
//! | [`key`], [`publish`], [`tail`], [`read`], [`settings`], [`manual`] | the commands |
//! | [`output`] | what people see |
//! | [`exit`] | how a command ends |

pub mod args;
pub mod client;
pub mod exit;
mod key;
mod manual;
mod output;
mod publish;
mod read;
mod settings;
mod tail;
mod tls;

use clap::Parser;
use hyper::Method;
use serde_json::Value;

use crate::api::Reloaded;
use args::{Command, Ctl};
use client::{Client, Trouble};
use exit::{Code, Failure};

/// Runs the command line of this process; returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let ctl = Ctl::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(ctl)),
        Err(error) => Err(Failure::new(Code::Failed, error.to_string())),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            failure.message.lines().for_each(output::note);
            failure.code as u8
        }
    }
}

async fn run(ctl: Ctl) -> Result<(), Failure> {
    let target = &ctl.target;
    match ctl.command {
        Command::Key(command) => key::run(command, &Client::new(target)?, target).await,
        Command::Publish(args) => publish::run(args, &Client::new(target)?).await,
        Command::Tail(args) => tail::run(&args, &Client::new(target)?).await,
        Command::History(args) => read::history(args, &Client::new(target)?).await,
        Command::Status { json } => read::status(json, &Client::new(target)?).await,
        Command::Config(command) => settings::run(&command, target),
        Command::Reload => reload(&Client::new(target)?).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::write(&directory),
    }
}

async fn reload(client: &Client) -> Result<(), Failure> {
    let reloaded: Result<Reloaded, _> = client.json(Method::POST, "/reload", None::<&Value>).await;
    match reloaded {
        Ok(reloaded) => {
            reloaded.warnings.iter().for_each(|warning| output::note(warning));
            if !reloaded.needs_restart.is_empty() {
                output::note(&format!("waits for a restart: {}", reloaded.needs_restart.join(", ")));
            }
            output::say("reloaded\n")
        }
        Err(Trouble::Refused(status, message, _)) if status.as_u16() == 422 => Err(Failure::new(Code::Config, message)),
        Err(trouble) => Err(trouble.into()),
    }
}
