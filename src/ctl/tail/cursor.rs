//! The place in the log up to which alerts were handled, kept in a file.
//!
//! The file holds one id and is replaced as a whole, so that it is never half written. A file with anything else in it
//! is not ours and is left alone.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use crate::alert::Id;
use crate::ctl::exit::Failure;

/// More than any id has: what is longer is another file.
const MAX: u64 = 256;

/// The place, and where it is kept.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    id: Option<Id>,
    saved: Option<Id>,
}

impl Cursor {
    /// Reads the file; one that is missing or empty holds no place yet.
    ///
    /// # Errors
    /// [`Failure::Failed`] where it cannot be read, or holds something else.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX).read_to_end(&mut bytes)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                let path = path.display();
                return Err(Failure::Failed(format!("cannot read the state {path}: {e}; check its owner and mode")));
            }
            _ => {}
        }
        let text = std::str::from_utf8(&bytes).map(str::trim);
        let id = match text.map(|text| (text.is_empty(), text.parse())) {
            Ok((true, _)) => None,
            Ok((false, Ok(id))) => Some(id),
            _ => {
                let path = path.display();
                return Err(Failure::Failed(format!(
                    "{path} holds no place in the log; name another file, or remove it to begin anew"
                )));
            }
        };
        Ok(Self { path, id, saved: id })
    }

    /// Where to go on.
    #[must_use]
    pub const fn id(&self) -> Option<Id> {
        self.id
    }

    /// Everything up to this id is handled.
    pub const fn advance(&mut self, id: Id) {
        self.id = Some(id);
    }

    /// Writes the place, if it moved.
    ///
    /// # Errors
    /// [`Failure::Failed`] with the file.
    pub fn save(&mut self) -> Result<(), Failure> {
        let Some(id) = self.id.filter(|id| Some(*id) != self.saved) else { return Ok(()) };
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let write = || {
            let mut file = File::create(&temporary)?;
            writeln!(file, "{id}")?;
            // Without it a power cut may leave the new name with nothing behind it.
            file.sync_data()?;
            std::fs::rename(&temporary, &self.path)
        };
        write().map_err(|e| {
            Failure::Failed(format!(
                "cannot write the state {}: {e}; check the directory's owner and space",
                self.path.display()
            ))
        })?;
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
