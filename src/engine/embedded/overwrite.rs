//! Overwriting the content of an alert in place, at once and again at a start.

use std::io;
use std::sync::Arc;

use super::disk;
use super::frame::{self, Head, Kind};
use super::segment::Segment;
use super::snapshot::State;

/// Overwrites the content of the record at `offset`, and syncs.
pub(super) fn overwrite(segment: &Segment, offset: u64) -> io::Result<()> {
    write(segment, offset)?;
    segment.file.sync()
}

fn write(segment: &Segment, offset: u64) -> io::Result<()> {
    let salt = segment.header.salt;
    let Some(head) = segment.head(offset)? else { return Ok(()) };
    let mut bytes = disk::read(&*segment.file, offset, head.size())?;
    if Head::read(&bytes, offset, salt) != Some(head) || bytes.len() < head.size() || head.kind != Kind::Alert {
        return Ok(());
    }
    frame::erase(&mut bytes, &head, offset, salt);
    segment.file.write_at(&bytes, offset)
}

/// Repeats the erasures, unless the last process did all of them. An alert that reads as erased is overwritten again
/// too: after a failed sync the kernel may hold what never reached the disk.
pub(super) fn redo(segments: &[Arc<Segment>], state: &mut State, is_done: bool) -> io::Result<()> {
    state.erasures.retain(|(number, _)| segments.iter().any(|segment| segment.number() == *number));
    for segment in segments {
        let own = state.erasures.iter().filter(|(number, _)| *number == segment.number());
        let mut is_dirty = false;
        for (_, offset) in own {
            if !is_done {
                write(segment, *offset)?;
                is_dirty = true;
            }
            let Some(head) = segment.head(*offset)? else { continue };
            let ordinal = segment.behind(head.id.predecessor());
            segment.index.write().erase(ordinal, head.size() as u64);
        }
        if is_dirty {
            segment.file.sync()?;
        }
    }
    Ok(())
}
