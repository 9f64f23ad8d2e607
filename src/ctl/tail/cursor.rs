//! The place in the log up to which alerts were handled, kept in a file.
//!
//! A file with anything else in it is not ours and is left alone.

use std::path::PathBuf;

use crate::alert::Id;
use crate::ctl::exit::Failure;
use crate::ctl::state;

/// The place, and where it is captured.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    id: Option<Id>,
    saved: Option<Id>,
}

impl Cursor {
    /// Reads the file; one that is missing or empty holds no place yet.
    ///
    /// # Errors
    /// [`Failure::Failed`] where it cannot be read, or holds something else.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let line = state::read(&path)?;
        let id = line.map(|line| line.parse().map_err(|_| state::foreign(&path))).transpose()?;
        Ok(Self { path, id, saved: id })
    }

    /// Where to go on.
    #[must_use]
    pub(crate) const fn id(&self) -> Option<Id> {
        self.id
    }

    /// Everything up to this id is handled.
    pub(crate) const fn advance(&mut self, id: Id) {
        self.id = Some(id);
    }

    /// Writes the place, if it moved.
    ///
    /// # Errors
    /// [`Failure::Failed`] with the file.
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
    fn the_place_survives_and_an_unmoved_one_is_not_written_again() {
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
    fn a_file_that_is_not_ours_is_refused_and_left_alone() {
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
