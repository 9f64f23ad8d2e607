//! What fuzzers feed: one function for each kind of input from outside, which parses it and checks what must hold then.
//!
//! Compiled for fuzzers and for tests only. The targets in `tests/fuzz` call [`run`]; the unit test in `replay` feeds
//! the stored inputs to the same functions. Always: a function returns for every input, and panics only where alertd is
//! wrong. Parsers that are private to a module are reached through a file `fuzzing.rs` in that module.
//!
//! | file | owns |
//! |---|---|
//! | [`request`] | inputs that are written like an HTTP request |
//! | [`draft`] | what holds for every alert, and the inputs that are drafts |
//! | [`publish`] | bodies of a publish, forms and headers |
//! | [`hook`] | payloads of hooks |
//! | [`read`] | queries, headers, and the small grammars in them |
//! | [`stream`] | streams, from both ends |
//! | [`host`] | what alertctl reads on its machine: the journal, secrets |
//! | [`settings`] | the configuration |
//! | [`carried`] | backups, and streams of a predecessor |

mod carried;
mod draft;
mod hook;
mod host;
mod publish;
mod read;
#[cfg(test)]
mod replay;
mod request;
mod settings;
mod stream;

use crate::engine::{embedded, redis};
use crate::keyring;

/// A name, and what is done with an input.
type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a program in `tests/fuzz/targets` and inputs in `tests/fuzz/corpus`.
const TARGETS: [Target; 20] = [
    ("publish", publish::body),
    ("lines", publish::lines),
    ("form", publish::form),
    ("ntfy", publish::ntfy),
    ("notification", hook::notification),
    ("github", hook::github),
    ("query", read::query),
    ("headers", read::headers),
    ("grammar", read::grammar),
    ("events", stream::events),
    ("frame", stream::frame),
    ("journal", host::journal),
    ("secret", host::secret),
    ("key_file", keyring::fuzzing::key_file),
    ("config", settings::config),
    ("segment", embedded::fuzzing::segment),
    ("state", embedded::fuzzing::state),
    ("backup", carried::backup),
    ("takeover", carried::takeover),
    ("replies", redis::fuzzing::replies),
];

/// Feeds an input to the target of that name.
///
/// # Panics
/// If alertd does something wrong with the input, or there is no such target.
pub fn run(target: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no target {target}"));
    check(input);
}

/// The input before and behind the first line break.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    end.map_or((input, &[]), |end| (&input[..end], &input[end + 1..]))
}
