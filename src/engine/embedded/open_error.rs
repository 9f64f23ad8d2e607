//! Why the store cannot be opened, in words for the operator.

use std::io;
use std::path::{Path, PathBuf};

use super::inventory::RecoverError;
use crate::disk::{self, Cause};

/// Why a store cannot be opened, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use the directory {}, which state_dir names: {}", path.display(), disk::explained(path, source))]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} is in use by another process: stop the other alertd, or give this one another state_dir", .0.display())]
    InUse(PathBuf),
    #[error("{} cannot be read: {reason}; `alertctl check` says what is left of it, `alertctl backup FILE` saves that, and `alertctl restore FILE` brings a backup back; or move it away to begin an empty log", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{} is damaged in {places} places ({first}), and alertd panicked while it used it; `alertctl check` names all of them, and `alertctl restore FILE` brings a backup back; to serve what is left, with gaps, remove {}", path.display(), note.display())]
    Suspect { path: PathBuf, places: usize, first: String, note: PathBuf },
    #[error("alertd panicked while it opened the stores in {}: {reason}; `alertctl check` says whether they are damaged, `alertctl backup FILE` saves what is left, and `alertctl restore FILE` brings a backup back", path.display())]
    Panicked { path: PathBuf, reason: String },
    #[error("cannot open {}: {}", path.display(), disk::explained(path, source))]
    Io { path: PathBuf, source: io::Error },
}

impl OpenError {
    /// The error of a log that was found but cannot be opened.
    pub(super) fn of_log(path: &Path, error: RecoverError) -> Self {
        match error {
            RecoverError::Io(source) => Self::Io { path: path.to_owned(), source },
            error @ RecoverError::Unreadable(..) => {
                Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
            }
        }
    }

    /// The kind of cause, from which the exit code follows.
    #[must_use]
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Unreadable { .. } | Self::Suspect { .. } | Self::Panicked { .. } => Cause::Contents,
            Self::Directory { source, .. } | Self::Io { source, .. } => Cause::of(source),
            Self::InUse(_) => Cause::Temporary,
        }
    }
}
