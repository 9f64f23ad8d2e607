//! The source of a value, and remarks about it.

use std::fmt;
use std::path::PathBuf;

/// The source of a value. The order is that of errors: by the lines of the file, then the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Line and column of the value in the file, both counted from 1; 0 and 0 stand for the whole file.
    File(PathBuf, usize, usize),
    /// A variable of the environment.
    Environment(String),
    /// A variable with which systemd passes a directory.
    Systemd(&'static str),
    /// The value is not set.
    Default,
}

impl Source {
    /// The source with the column, so that an editor can jump to it.
    pub(super) fn position(&self) -> String {
        match self {
            Self::File(path, 0, _) => path.display().to_string(),
            Self::File(_, _, column) => format!("{self}:{column}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line, _) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::Systemd(name) => write!(f, "systemd ${name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All errors of a configuration, one per line: `file:line:col: key: error; remedy`, or `env NAME: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Errors(pub Vec<String>);

/// Errors or warnings, each with its source.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<(Source, String)>);

impl Remarks {
    /// `reason` begins with the key, if the remark is about one.
    pub(super) fn add(&mut self, source: Source, reason: String) {
        self.0.push((source, reason));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The remarks as text, in the order of their sources.
    pub(super) fn lines(mut self) -> Vec<String> {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self.0.into_iter().map(|(source, reason)| format!("{}: {reason}", source.position())).collect()
    }
}
