//! Servers that do only what physics asks for: no JSON, no HTTP library, no keys. What a real server is measured against.

mod clients;
mod ring;
mod store;
mod write;

use std::net::SocketAddrV4;
use std::path::PathBuf;

use clap::Subcommand;

use crate::Result;

/// Which of them.
#[derive(Subcommand)]
pub(crate) enum Floor {
    /// One send for each subscriber and alert; a publish is answered after the last of them.
    Write(Options),
    /// A log of wire-ready bytes and a cursor for each subscriber; a publish is answered when it is in the log.
    Ring(RingOptions),
    /// The bare store alone: one commit after another, each of this number of alerts.
    Store(store::Options),
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The address; with port 0 any. It is printed as soon as connections are taken.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddrV4,
    /// Leaves out this alert for the first subscriber, to see that the load generator notices.
    #[arg(long)]
    drop: Option<u64>,
    /// Sends this alert twice to the first subscriber, to see that the load generator notices.
    #[arg(long)]
    repeat: Option<u64>,
}

#[derive(clap::Args)]
pub(crate) struct RingOptions {
    #[command(flatten)]
    common: Options,
    /// Subscribers that are served between two looks at who wants something.
    #[arg(long, default_value_t = 64)]
    slice: usize,
    /// A file that each alert is stored in before its publish is answered.
    #[arg(long)]
    store: Option<PathBuf>,
    /// Whether each commit is flushed to the disk.
    #[arg(long)]
    fsync: bool,
}

/// Serves until it is killed.
pub(crate) fn run(floor: &Floor) -> Result<()> {
    match floor {
        Floor::Write(options) => write::run(options),
        Floor::Ring(options) => ring::run(options),
        Floor::Store(options) => store::run(options),
    }
}
