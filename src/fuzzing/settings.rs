//! The configuration: a file, and variables of the environment behind a line of their own.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::config::{Errors, Inputs, Resolved, load, show};

/// Behind it, each line is a variable.
const ENVIRONMENT: &[u8] = b"\n--- environment\n";

/// The text of a file, and then variables.
pub(super) fn config(input: &[u8]) {
    let at = input.windows(ENVIRONMENT.len()).position(|window| window == ENVIRONMENT);
    let (file, variables) = at.map_or((input, &[][..]), |at| (&input[..at], &input[at + ENVIRONMENT.len()..]));
    let variable = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(line[..at].to_vec()), OsString::from_vec(line[at + 1..].to_vec())))
    };
    let variables = variables.split(|byte| *byte == b'\n').filter_map(variable).collect();
    match loaded(file, variables) {
        Ok(resolved) => {
            let shown = show(&resolved);
            let again = loaded(shown.as_bytes(), Vec::new()).unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
            assert_eq!(again.config, resolved.config, "{shown}");
            check_lines(&resolved.warnings);
        }
        Err(Errors(lines)) => {
            assert!(!lines.is_empty());
            check_lines(&lines);
        }
    }
}

/// Each error is one line of bounded length, which no terminal or journal takes for anything else.
fn check_lines(lines: &[String]) {
    for line in lines {
        assert!(line.len() <= 2000 && !line.contains(char::is_control), "{line:?}");
    }
}

/// Loads a file in memory, for root.
fn loaded(text: &[u8], env: Vec<(OsString, OsString)>) -> Result<Resolved, Errors> {
    let mut file = File::from(memfd_create("alertd.toml", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.write_all(text).expect("memory");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    load(&Inputs { file: Some(path), env, is_root: true, ..Inputs::default() })
}
