//! One line of state in a file, kept between runs. The file is replaced atomically, so it is never half written.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::exit::Failure;

/// Bytes to read of the file, more than a state has: the longest names 256 entries of the journal, or 128 failed units.
const MAX_STATE_FILE: u64 = 128 << 10;

/// Reads the line; `None` if the file is missing or empty.
///
/// # Errors
/// [`Failure::Failed`] if the file cannot be read, or is not text.
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

/// The failure for a file that holds anything but a state.
#[must_use]
pub(crate) fn foreign(path: &Path) -> Failure {
    let path = path.display();
    Failure::Failed(format!(
        "{path} is not a state file of this command; name another file, or delete it to start over"
    ))
}

/// Replaces the line. It is on disk when this returns.
///
/// # Errors
/// [`Failure::Failed`] if the file cannot be written.
pub(crate) fn write(path: &Path, line: &str) -> Result<(), Failure> {
    let mut name = path.to_owned().into_os_string();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{line}")?;
        // Without this, the renamed file may be empty after a power failure.
        file.sync_data()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let path = path.display();
        Failure::Failed(format!("cannot write the state {path}: {e}; check the directory's owner and space"))
    })
}
