//! Where a value comes from, and what was wrong there.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from. Ordered as errors are told: by the lines of the file, then the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Line and column of the value in the file, both from 1; 0 and 0 is the file as a whole.
    File(PathBuf, usize, usize),
    /// A variable of the environment.
    Environment(String),
    /// A directory that the service manager made, by the name of its variable.
    Systemd(&'static str),
    /// Nobody set it.
    Default,
}

impl Source {
    /// With the column, for an editor to jump to.
    pub(super) fn place(&self) -> String {
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

/// All that is wrong, one a line: `file:line:col: key: what is wrong; remedy`, or `env NAME: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Errors(pub Vec<String>);

/// Remarks, each at its place, until all are known.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<(Source, String)>);

impl Remarks {
    /// `reason` begins with the key, where there is one.
    pub(super) fn add(&mut self, source: Source, reason: String) {
        self.0.push((source, reason));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of their places.
    pub(super) fn lines(mut self) -> Vec<String> {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self.0.into_iter().map(|(source, reason)| format!("{}: {reason}", source.place())).collect()
    }
}
