//! A short line in a file that outlives the program: replaced as a whole, so never half written.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::exit::Failure;

/// More than any state of ours has: what is longer is another file.
const MAX_STATE_FILE: u64 = 1024;

/// Reads the line; none where the file is missing or empty.
///
/// # Errors
/// [`Failure::Failed`] where it cannot be read, or is no text.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_STATE_FILE).read_to_string(&mut text)) {
        Err(e) if e.kind() == ErrorKind::InvalidData => return Err(foreign(path)),
        Err(e) if e.kind() != ErrorKind::NotFound => {
            let path = path.display();
            return Err(Failure::Failed(format!("cannot read the state {path}: {e}; check its owner and mode")));
        }
        _ => {}
    }
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// What to say of a file that holds something else.
#[must_use]
pub(crate) fn foreign(path: &Path) -> Failure {
    let path = path.display();
    Failure::Failed(format!("{path} holds no state of this command; name another file, or remove it to begin anew"))
}

/// Replaces the line. It is on disk when this returns.
///
/// # Errors
/// [`Failure::Failed`] with the file.
pub(crate) fn write(path: &Path, line: &str) -> Result<(), Failure> {
    let mut name = path.to_owned().into_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{line}")?;
        // Without it a power cut may leave the new name with nothing behind it.
        file.sync_data()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let path = path.display();
        Failure::Failed(format!("cannot write the state {path}: {e}; check the directory's owner and space"))
    })
}
