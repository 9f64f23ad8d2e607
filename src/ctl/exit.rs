//! Why a command ends without having done its work, and with which exit code.
//!
//! Every command returns a [`Failure`]; `main` alone prints it and turns it into the code. The text says what is wrong
//! and, behind a semicolon, what to do.

use std::process::ExitCode;

/// The end of a command that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody reads standard output any more, such as behind `| head`: no failure, there is just nothing left to do.
    #[error("standard output was closed")]
    ReaderGone,
    /// Anything else: 1.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong: 2.
    #[error("{0}")]
    Usage(String),
    /// The daemon does not answer, or cannot do it now: 69.
    #[error("{0}")]
    Unavailable(String),
    /// The key or the user may not do this: 77.
    #[error("{0}")]
    NotPermitted(String),
    /// The configuration is wrong: 78.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    /// The exit code of the process.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
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
