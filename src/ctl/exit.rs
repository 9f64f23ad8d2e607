//! How a command ends when it does not succeed.

use std::fmt;

/// Exit codes, as in sysexits(3) where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It did not work.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No daemon, or not now.
    Unavailable = 69,
    /// The key or the file permissions do not reach.
    NotPermitted = 77,
    /// The configuration is wrong.
    Config = 78,
}

/// A code and what to say.
#[derive(Debug)]
pub struct Failure {
    /// For scripts.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A local file that cannot be used.
pub(super) fn file(path: &std::path::Path, error: &std::io::Error) -> Failure {
    let code = if error.kind() == std::io::ErrorKind::PermissionDenied { Code::NotPermitted } else { Code::Failed };
    Failure::new(code, format!("{}: {error}", path.display()))
}
