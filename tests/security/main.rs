//! What the project says of its own security, held against what is there: the tests that the threat model names, and the
//! crates that are compiled into the programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod supply_chain;
mod threats;
