//! The segments in the directory of a log, in order; other files are named and left where they are.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::disk::{self, Disk, DiskFile};
use super::header::{Header, RECORDS, SUFFIX, Unreadable, number_of};

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoverError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, Unreadable),
}

/// A segment's file with a valid header.
pub(super) struct File {
    pub(super) header: Header,
    pub(super) name: String,
    pub(super) file: Arc<dyn DiskFile>,
}

/// The suffix of a segment that retention dropped and whose space is being freed.
pub(super) const DROPPED: &str = ".dropped";

/// Returns the segments by number, what is wrong with others, and the highest number that a name has.
pub(super) fn take(disk: &dyn Disk) -> Result<(Vec<File>, Vec<String>, u32), RecoverError> {
    let (mut files, mut damage, mut incomplete, mut highest) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for name in disk.list()? {
        if name.ends_with(".tmp") {
            disk.unlink(&name)?;
            continue;
        }
        let Some(number) = number_of(&name) else {
            if name.ends_with(SUFFIX) {
                damage.push(format!("{name}: no segment has such a name; it is left alone"));
            }
            continue;
        };
        highest = highest.max(number);
        let file = disk.open(&name)?;
        let bytes = disk::read(&*file, 0, usize::try_from(RECORDS).unwrap_or(0))?;
        match Header::read(&bytes) {
            Ok(header) if header.name() == name => files.push(File { header, name, file }),
            Ok(header) => {
                damage.push(format!("{name}: this is a copy of {}, or was renamed; it is left alone", header.name()));
            }
            // A segment whose creation was interrupted is empty, and no other one follows it.
            Err(Unreadable::Damaged) if file.length()? <= RECORDS => incomplete.push((number, name)),
            Err(Unreadable::Damaged) => damage.push(format!("{name}: the header at offset 0 is damaged")),
            Err(version) => return Err(RecoverError::Unreadable(name, version)),
        }
    }
    of_one_log(&mut files, &mut damage);
    files.sort_by_key(|file| file.header.number);
    files.dedup_by(|second, first| {
        let is_double = second.header.number == first.header.number;
        if is_double {
            damage.push(format!("{}: there are two segments with its number; it is left alone", second.name));
        }
        is_double
    });
    for (number, name) in incomplete {
        if files.iter().any(|file| file.header.previous.number == number) {
            damage.push(format!("{name}: the header at offset 0 is damaged"));
        } else {
            disk.unlink(&name)?;
        }
    }
    abandoned(disk, &mut files)?;
    Ok((files, damage, highest))
}

/// Segments of another log are left alone; the log is the one that most segments belong to.
fn of_one_log(files: &mut Vec<File>, damage: &mut Vec<String>) {
    let mut counts = HashMap::new();
    for file in files.iter() {
        *counts.entry(file.header.identity).or_insert(0) += 1;
    }
    let Some((identity, _)) = counts.into_iter().max_by_key(|(identity, count)| (*count, *identity)) else { return };
    files.retain(|file| {
        let is_own = file.header.identity == identity;
        if !is_own {
            damage.push(format!("{}: this is a segment of another log; it is left alone", file.name));
        }
        is_own
    });
}

/// Removes segments that the writer skipped because it could not complete them: they are not part of the log.
fn abandoned(disk: &dyn Disk, files: &mut Vec<File>) -> io::Result<()> {
    let mut previous = u32::MAX;
    for at in (0..files.len()).rev() {
        // If a segment is missing, the next one names the missing one, and not the one before it.
        if previous == u32::MAX || files[at].header.number <= previous {
            previous = files[at].header.previous.number;
            continue;
        }
        let file = files.remove(at);
        if file.file.length()? <= RECORDS {
            disk.unlink(&file.name)?;
        } else {
            tracing::info!("{}: the log went on without this segment after a failure; it is left alone", file.name);
        }
    }
    Ok(())
}
