//! The load generator: tens of thousands of streams on one thread, publishers on another.

mod fanout;
mod h2;
mod hold;
mod idle;
mod order;
mod pool;
mod publisher;
mod rate;
mod reconnect;
mod resume;
mod sse;
mod storm;
mod stream;
mod tally;

pub(crate) use order::{Order, Seen};
pub(crate) use sse::{Decoder, Event};

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::Result;

/// One workload; its options say how much of it.
#[derive(Subcommand)]
pub(crate) enum Workload {
    /// Subscribers take what publishers send (W1, W2, W3).
    Fanout(fanout::Options),
    /// Memory of subscribers that get nothing (W4).
    Idle(idle::Options),
    /// Publishes per second over keep-alive connections (W5).
    Rate(rate::Options),
    /// Connect, authenticate, get the head (W6).
    Storm(storm::Options),
    /// All clients come back at once, with their last id.
    Reconnect(reconnect::Options),
    /// Hold a part of very many streams.
    Hold(hold::Options),
    /// Resume this number of alerts before the end.
    Resume(resume::Options),
}

/// Runs it and prints what it measured.
pub(crate) fn run(workload: &Workload) -> Result<()> {
    let report: Map<String, Value> = match workload {
        Workload::Fanout(options) => fanout::run(options)?,
        Workload::Idle(options) => idle::run(options)?,
        Workload::Rate(options) => rate::run(options)?,
        Workload::Storm(options) => storm::run(options)?,
        Workload::Reconnect(options) => reconnect::run(options)?,
        Workload::Hold(options) => hold::run(options)?,
        Workload::Resume(options) => resume::run(options)?,
    };
    println!("{}", Value::Object(report));
    Ok(())
}
