//! Failures of commands and their exit codes.
//!
//! Every command returns a [`Failure`]; only `main` prints it and exits with its code. The text says what is wrong and,
//! after a semicolon, what to do about it.

use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The reader closed standard output, as `| head` does. Exits with 0, because the reader has what it wanted.
    #[error("standard output was closed")]
    ReaderGone,
    /// Any other failure: 1.
    #[error("{0}")]
    Failed(String),
    /// The command line is invalid: 2.
    #[error("{0}")]
    Usage(String),
    /// `alertctl incidents -q` found an incident: 10.
    #[error("there are incidents")]
    Unresolved,
    /// `alertctl doctor` found nothing worse than warnings: 10.
    #[error("warnings: {0}")]
    Warnings(usize),
    /// `alertctl doctor` found faults: 20.
    #[error("faults: {faults}, warnings: {warnings}")]
    Faults { faults: usize, warnings: usize },
    /// A store or a backup is damaged: 65.
    #[error("{0}")]
    Damaged(String),
    /// The daemon does not answer, or is temporarily unable to do this: 69.
    #[error("{0}")]
    Unavailable(String),
    /// The key or user does not have permission: 77.
    #[error("{0}")]
    NotPermitted(String),
    /// The configuration is invalid: 78.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Warnings(_) | Self::Unresolved => 10,
            Self::Faults { .. } => 20,
            Self::Damaged(_) => 65,
            Self::Unavailable(_) => 69,
            Self::NotPermitted(_) => 77,
            Self::Configuration(_) => 78,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code())
    }
}
