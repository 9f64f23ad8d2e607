//! The position in the log up to which alerts were handled, kept in a file.
//!
//! A file with any other content belongs to another program and is not changed.

use std::path::PathBuf;

use crate::alert::Id;
use crate::ctl::exit::Failure;
use crate::ctl::state;

/// A position in the log and the file that keeps it.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    id: Option<Id>,
    saved: Option<Id>,
}

impl Cursor {
    /// Reads the file. If it is missing or empty, there is no position yet.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, or holds anything but a position.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let line = state::read(&path)?;
        let id = line.map(|line| line.parse().map_err(|_| state::foreign(&path))).transpose()?;
        Ok(Self { path, id, saved: id })
    }

    /// The id after which to continue.
    #[must_use]
    pub(crate) const fn id(&self) -> Option<Id> {
        self.id
    }

    /// Records that everything up to this id is handled.
    pub(crate) const fn advance(&mut self, id: Id) {
        self.id = Some(id);
    }

    /// Writes the position to the file, if it has changed.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be written.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        let Some(id) = self.id.filter(|id| Some(*id) != self.saved) else { return Ok(()) };
        state::write(&self.path, &id.to_string())?;
        self.saved = Some(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_kept_and_written_only_if_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut cursor = Cursor::open(path.clone()).unwrap();
        assert_eq!(cursor.id(), None);
        cursor.save().unwrap();
        assert!(!path.exists());
        cursor.advance(Id { ms: 7, seq: 3 });
        cursor.save().unwrap();
        assert_eq!(Cursor::open(path.clone()).unwrap().id(), Some(Id { ms: 7, seq: 3 }));
        std::fs::remove_file(&path).unwrap();
        cursor.save().unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left over");
    }

    #[test]
    fn a_foreign_file_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        for content in [&b"important"[..], b"\xff\xfe", b"1-0 2-0"] {
            let path = dir.path().join("file");
            std::fs::write(&path, content).unwrap();
            assert!(matches!(Cursor::open(path.clone()), Err(Failure::Failed(_))), "{content:?}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(Cursor::open(dir.path().join("none")).unwrap().id(), None);
        assert!(Cursor::open(dir.path().to_owned()).is_err());
    }
}
