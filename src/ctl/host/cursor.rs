//! How far the journal was read, kept in a file.

use std::path::{Path, PathBuf};

use crate::ctl::exit::Failure;
use crate::ctl::state;

/// A journal cursor in a file.
#[derive(Debug)]
pub(crate) struct JournalCursor {
    path: PathBuf,
    cursor: Option<String>,
}

impl JournalCursor {
    /// Reads the file; one that is missing or empty holds no cursor yet.
    ///
    /// # Errors
    /// [`Failure::Failed`] where it cannot be read, or holds something else.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let cursor = state::read(path)?;
        let is_cursor = |text: &String| text.starts_with("s=") && text.bytes().all(|b| b.is_ascii_graphic());
        if !cursor.as_ref().is_none_or(is_cursor) {
            return Err(state::foreign(path));
        }
        Ok(Self { path: path.to_owned(), cursor })
    }

    /// The last entry that is done with.
    #[must_use]
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Everything up to this entry is done with. On disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Failed`] with the file.
    pub(crate) fn save(&mut self, cursor: String) -> Result<(), Failure> {
        state::write(&self.path, &cursor)?;
        self.cursor = Some(cursor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_survives_and_a_file_that_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        let mut cursor = JournalCursor::open(&path).unwrap();
        assert_eq!(cursor.cursor(), None);
        cursor.save("s=1;i=2;b=3".to_owned()).unwrap();
        assert_eq!(JournalCursor::open(&path).unwrap().cursor(), Some("s=1;i=2;b=3"));
        for content in [&b"important"[..], b"\xff\xfe", b"s=1 2"] {
            std::fs::write(&path, content).unwrap();
            assert!(JournalCursor::open(&path).is_err(), "{content:?}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert!(JournalCursor::open(dir.path()).is_err());
    }
}
