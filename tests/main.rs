//! The real programs, end to end. One binary, so that the harness is built once.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

#[expect(unreachable_pub, reason = "a test binary has no outside")]
mod harness;

mod clients;
mod command_line;
mod crash;
mod ctl;
mod keys;
mod lifecycle;
mod limits;
mod malformed;
mod publish;
mod readme;
mod seam;
mod stream;
mod systemd;
