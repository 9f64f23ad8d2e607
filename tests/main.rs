//! The real programs, end to end. One binary, so that the harness is built once.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

#[expect(unreachable_pub, reason = "a test binary has no outside")]
mod harness;

mod access;
mod audit;
mod backup;
mod certificates;
mod clients;
mod command_line;
mod completions;
mod compress;
mod conformance;
mod crash;
mod ctl;
mod damage;
mod detach;
mod details;
mod drain;
mod expectations;
#[expect(clippy::print_stdout, reason = "what became of a fault is worth a line")]
mod fleet;
mod floods;
mod forward;
mod frames;
mod guesses;
mod half_closed;
mod hooks;
mod incidents;
mod keys;
mod lifecycle;
mod limits;
mod malformed;
mod metrics;
mod notify;
mod ntfy;
mod openapi;
mod overload;
mod page;
mod proxies;
mod publish;
mod readme;
mod recipes;
mod replay;
mod retraction;
mod seam;
mod senders;
mod stream;
#[expect(
    unreachable_pub,
    clippy::print_stderr,
    reason = "a test binary has no outside, and tells people what it could not test"
)]
mod systemd;
mod takeover;
mod terminal;
mod tickets;
mod tls;
mod workers;
