//! Overwriting what was retracted in place, at once and again at a start: the texts of alerts and incidents, and the
//! fingerprints of texts.
//!
//! What says where a record belongs stays: topic, user, time, the hash of an idempotency key, and the name of an incident. So
//! an overwrite that a power cut tears leaves these as they were, and can be done again.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::codec::{Damaged, Reader, StoredAlert};
use super::disk;
use super::frame::{ERASED, HEAD, Head, KEYED, Kind, STATED};
use super::segment::Segment;
use super::snapshot::State;

/// Bytes of the hash of an idempotency key, and of a fingerprint.
const HASH: usize = 32;

/// Overwrites what may not stay of the record at `offset`, and syncs.
pub(super) fn overwrite(segment: &Segment, offset: u64) -> io::Result<()> {
    write(segment, offset)?;
    segment.file.sync()
}

/// The same without a sync.
pub(super) fn write(segment: &Segment, offset: u64) -> io::Result<()> {
    let salt = segment.header.salt;
    let Some(head) = segment.head(offset)? else { return Ok(()) };
    let mut bytes = disk::read(&*segment.file, offset, head.size())?;
    if Head::read(&bytes, offset, salt) != Some(head) || bytes.len() < head.size() {
        return Ok(());
    }
    let Some(secret) = secret(&head, &bytes) else { return Ok(()) };
    bytes[secret].fill(0);
    let flags = head.flags | ERASED;
    bytes[13] = flags;
    let crc = salt.seed(offset).content_crc(flags, &bytes[HEAD..HEAD + head.length as usize]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    segment.file.write_at(&bytes, offset)
}

/// Where in a record is what may not stay; none if there is nothing.
fn secret(head: &Head, bytes: &[u8]) -> Option<Range<usize>> {
    let (user, end) = (HEAD + usize::from(head.user), HEAD + head.length as usize);
    let content = bytes.get(user..end)?;
    let from = match head.kind {
        Kind::Alert => StoredAlert::read(content, head.flags).map(|stored| {
            let has_fingerprint = head.flags & (KEYED | STATED) == KEYED;
            content.len() - stored.json.len() - if has_fingerprint { HASH } else { 0 }
        }),
        Kind::Incident => before_row(content),
        Kind::Key if head.flags & STATED == 0 => {
            let fingerprint = user + HASH..user + 2 * HASH;
            return (fingerprint.end <= end).then_some(fingerprint);
        }
        _ => return None,
    };
    // What cannot be read goes as a whole.
    Some(from.map_or(HEAD, |from| user + from)..end)
}

/// Where the row of a stored incident begins.
fn before_row(content: &[u8]) -> Result<usize, Damaged> {
    let mut reader = Reader(content);
    reader.topic()?;
    reader.sized()?;
    reader.u8()?;
    Ok(content.len() - reader.sized()?.len())
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
            let Some(head) = segment.head(*offset)?.filter(|head| head.kind == Kind::Alert) else { continue };
            let ordinal = segment.behind(head.id.predecessor());
            segment.index.write().erase(ordinal, head.size() as u64);
        }
        if is_dirty {
            segment.file.sync()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::codec::{Keyed, alert_prefix};
    use super::super::frame::{Draft, Salt};
    use super::*;
    use crate::alert::{self, Id, Level, Metadata};

    fn erased(draft: &Draft<'_>) -> (Head, Vec<u8>) {
        let mut bytes = Vec::new();
        draft.encode(&mut bytes, 4096, Salt(7));
        let head = Head::read(&bytes, 4096, Salt(7)).unwrap();
        if let Some(secret) = secret(&head, &bytes) {
            bytes[secret].fill(0);
        }
        (head, bytes[HEAD..].to_vec())
    }

    #[test]
    fn of_an_alert_and_a_key_only_the_text_and_its_fingerprint_go() {
        let draft =
            alert::Draft::new("ops".parse().unwrap(), "secret".into(), Level::Warn, Metadata::default()).unwrap();
        let record = draft.record(Id::at(5), 7);
        let (id, before, topic_before) = (Id::at(5), Id::at(4), Id::ZERO);
        for is_state in [false, true] {
            let key = Keyed { hash: [1; 32], fingerprint: [2; 32], is_state };
            let prefix = alert_prefix(&record, Some(&key));
            let content: &[&[u8]] = &[&prefix, &record.json];
            let flags = key.flags();
            let (head, bytes) =
                erased(&Draft { kind: Kind::Alert, flags, user: "al", id, before, topic_before, content });
            let stored = StoredAlert::read(&bytes[2..head.length as usize], flags).unwrap();
            assert!(bytes.starts_with(b"al") && stored.json.iter().all(|byte| *byte == 0));
            let left = stored.key.unwrap();
            assert_eq!((stored.topic, left.hash, left.fingerprint == [2; 32]), ("ops", [1; 32], is_state));
            let content: &[&[u8]] = &[&key.hash, &key.fingerprint, &[9; 8]];
            let flags = flags & STATED;
            let (_, bytes) = erased(&Draft { kind: Kind::Key, flags, user: "al", id, before, topic_before, content });
            let fingerprint = if is_state { [2; 32] } else { [0; 32] };
            assert!(bytes.starts_with(&[&b"al"[..], &[1; 32], &fingerprint, &[9; 8]].concat()));
        }
        let content: &[&[u8]] = &[b"cannot be read"];
        let (_, bytes) =
            erased(&Draft { kind: Kind::Alert, flags: KEYED, user: "al", id, before, topic_before, content });
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}
