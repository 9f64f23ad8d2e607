//! Why stored files cannot be opened or written, and the remedies.
//!
//! Called by all layers that open what alertd stores, so that the same error has the same words everywhere.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// The kinds of cause for which a store cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What is stored is damaged, or is not alertd's. A person has to restore it.
    Contents,
    /// An owner, a mode, or a file system that cannot be written. A person has to change it.
    Access,
    /// Anything that may pass by itself.
    Temporary,
}

impl Cause {
    /// The cause of an error of the system.
    #[must_use]
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Access,
            _ => Self::Temporary,
        }
    }
}

/// The error with its remedy.
#[must_use]
pub(crate) fn explained(path: &Path, error: &Error) -> String {
    // The remedies are for the directory: a file that alertd cannot make has no owner.
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) }.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("{error}; make it writable for the user of the service: chown -R alertd: {directory}")
        }
        ErrorKind::ReadOnlyFilesystem => format!(
            "{error}; mount it writable, or, if it is only the service that may not write there, add \
             ReadWritePaths={directory} to [Service] with `systemctl edit alertd.service` (for an instance \
             alertd@NAME.service)"
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("{error}; free space on its disk"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_do_is_in_the_message() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("absent");
        for (kind, cause, words) in [
            (ErrorKind::PermissionDenied, Cause::Access, "chown -R alertd: "),
            (ErrorKind::ReadOnlyFilesystem, Cause::Access, "ReadWritePaths="),
            (ErrorKind::StorageFull, Cause::Temporary, "free space"),
            (ErrorKind::NotFound, Cause::Temporary, ""),
        ] {
            let error = Error::from(kind);
            assert_eq!(Cause::of(&error), cause, "{kind}");
            for path in [directory.path(), &file] {
                let text = explained(path, &error);
                assert!(text.starts_with(&error.to_string()) && text.contains(words), "{text}");
                let named = text.contains(&directory.path().display().to_string());
                assert_eq!(named, cause == Cause::Access, "the directory is named: {text}");
            }
        }
    }
}
