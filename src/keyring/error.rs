//! Why keys cannot be read, changed or verified.

use std::path::PathBuf;

use crate::disk::{self, Cause};

/// Why the keyring cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store belongs to another process.
    #[error("{} is locked: a running alertd holds the keys; go through its control socket, or stop it first", .0.display())]
    Locked(PathBuf),
    /// The file is not a key file, and stays as it is.
    #[error("{} is not alertd's key file ({reason}) and is left untouched: restore it from a backup, move it away, or set auth.store_dir; `alertctl key import FILE` takes over the keys of the former alert server", path.display())]
    Foreign { path: PathBuf, reason: String },
    /// The file is a key file of an unknown version.
    #[error("{} has version {found} of the key file, and this alertd reads version {known}: it is left untouched; install the alertd that wrote it, or restore the file from a backup", path.display())]
    Version { path: PathBuf, found: u32, known: u32 },
    /// The file is a key file with invalid content.
    #[error("{}: {reason}: correct it, or restore it from a backup", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// The file was replaced since it was read.
    #[error("{} was changed by something other than alertd and is not overwritten: run `alertctl reload` to use the changed file, then try again", .0.display())]
    Changed(PathBuf),
    /// A link where a file should be.
    #[error("{} is not a plain file: links are not followed there; put the file itself in its place", .0.display())]
    Link(PathBuf),
    /// The shared store of a fleet cannot be reached, or is busy.
    #[error("{0}")]
    Away(String),
    #[error("cannot use {}: {}", path.display(), disk::explained(path, source))]
    Io { path: PathBuf, source: std::io::Error },
    #[error("no key and no user is named {0}: `alertctl key list` shows them")]
    NotFound(String),
    /// A field of a key is invalid.
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    /// The key has a successor already.
    #[error("{id} was rotated already: rotate {successor}, which took its place, or make a new key")]
    Rotated { id: String, successor: String },
    #[error("cannot get random numbers from the system: {0}")]
    Random(getrandom::Error),
}

impl KeyringError {
    /// The kind of cause, from which the exit code follows.
    #[must_use]
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Foreign { .. } | Self::Version { .. } | Self::Damaged { .. } => Cause::Contents,
            Self::Link(_) => Cause::Access,
            Self::Io { source, .. } => Cause::of(source),
            _ => Cause::Temporary,
        }
    }
}

/// Why a secret was refused; only the log tells these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum VerifyError {
    #[error("too many verifications wait")]
    Busy,
    #[error("the keys are out of reach")]
    Away,
    /// It does not have the form of a secret.
    #[error("malformed or mistyped")]
    Malformed,
    #[error("unknown or revoked key")]
    Unknown,
    #[error("expired key")]
    Expired,
    #[error("wrong secret")]
    Wrong,
}
