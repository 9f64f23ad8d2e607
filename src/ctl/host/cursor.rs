//! The position in the journal up to which entries were published, kept in a file.

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
    /// Reads the file. If it is missing or empty, there is no cursor yet.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, or holds anything but a cursor.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let cursor = state::read(path)?;
        let is_cursor = |text: &String| text.starts_with("s=") && text.bytes().all(|b| b.is_ascii_graphic());
        if !cursor.as_ref().is_none_or(is_cursor) {
            return Err(state::foreign(path));
        }
        Ok(Self { path: path.to_owned(), cursor })
    }

    /// The last entry that was published or skipped.
    #[must_use]
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Records that everything up to this entry was published or skipped. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be written.
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
    fn the_cursor_is_kept_and_a_foreign_file_is_not_changed() {
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
