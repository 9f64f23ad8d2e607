//! Overwriting the content of an alert in place, at once and again at a start.

use std::io;
use std::sync::Arc;

use super::disk;
use super::frame::{self, Head, Kind};
use super::segment::Segment;
use super::snapshot::State;

/// Overwrites the content of the record at `offset`, and syncs.
pub(super) fn overwrite(segment: &Segment, offset: u64) -> io::Result<()> {
    let salt = segment.header.salt;
    let Some(head) = segment.head(offset)? else { return Ok(()) };
    let mut bytes = disk::read(&*segment.file, offset, head.size())?;
    if Head::read(&bytes, offset, salt) != Some(head) || bytes.len() < head.size() || head.kind != Kind::Alert {
        return Ok(());
    }
    frame::erase(&mut bytes, &head, offset, salt);
    segment.file.write_at(&bytes, offset)?;
    segment.file.sync()
}

/// Repeats the erasures that a crash may have cut off.
pub(super) fn redo(segments: &[Arc<Segment>], state: &mut State) -> io::Result<()> {
    state.erasures.retain(|(number, _)| segments.iter().any(|segment| segment.number() == *number));
    for (number, offset) in &state.erasures {
        let Some(segment) = segments.iter().find(|segment| segment.number() == *number) else { continue };
        let Some(head) = segment.head(*offset)? else { continue };
        let is_done = head.is_erased() && {
            let bytes = disk::read(&*segment.file, *offset, head.size())?;
            head.content(&bytes, *offset, segment.header.salt).is_some()
        };
        if !is_done {
            overwrite(segment, *offset)?;
        }
        let ordinal = segment.behind(head.id.predecessor());
        segment.index.write().erase(ordinal, head.size() as u64);
    }
    Ok(())
}
