//! Why the store cannot be opened, in words for the operator.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use the directory {}: {source}; make it and let this user write to it, or set state_dir", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{} is in use by another process: stop the other alertd, or give this one another state_dir", .0.display())]
    InUse(PathBuf),
    #[error("{} cannot be read: {reason}; `alertctl check` says what is left of it, `alertctl backup FILE` saves that, and `alertctl restore FILE` brings a backup back; or move it away to begin an empty log", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("cannot open {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}
