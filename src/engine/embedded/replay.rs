//! Rebuilds the state besides alerts from records: idempotency keys, incidents, limits of topics, erasures.
//!
//! A start applies the records after the snapshot to it; the keeper makes the next snapshot the same way.

use std::io;
use std::sync::Arc;

use super::codec::{Keyed, Reader, StoredAlert, take_incident};
use super::disk;
use super::dropped::DroppedRange;
use super::frame::{Head, KEYED, Kind, STATED};
use super::header::RECORDS;
use super::keys::KeyRow;
use super::scan::{Item, walk};
use super::segment::Segment;
use super::snapshot::{Place, State};
use crate::engine::publish::owner;

/// Applies all records of these segments after `place`, as [`replay_until`].
pub(super) fn replay(segments: &[Arc<Segment>], place: Option<Place>, state: &mut State) -> io::Result<bool> {
    let ends = segments.iter().map(|segment| (segment, segment.index.read().end));
    replay_until(ends, place, state)
}

/// Applies the records of these segments after `place`, up to the end that is given for each. Returns false if some may have
/// been lost to damage.
pub(super) fn replay_until<'a>(
    segments: impl Iterator<Item = (&'a Arc<Segment>, u64)>,
    place: Option<Place>,
    state: &mut State,
) -> io::Result<bool> {
    let mut is_whole = true;
    for (segment, end) in segments {
        let from = match place {
            Some(place) if place.segment > segment.number() => continue,
            Some(place) if place.segment == segment.number() => place.offset.max(RECORDS),
            _ => RECORDS,
        };
        if from >= end {
            continue;
        }
        let bytes = disk::read(&*segment.file, from, usize::try_from(end - from).unwrap_or(0))?;
        walk(&bytes, from, segment.header.salt, |item| {
            match item {
                Item::Record { head, content: Some((user, content)), .. } => apply(state, &head, user, content),
                // Damage to these does not matter, because they remove nothing.
                Item::Record { head, content: None, .. } => {
                    is_whole &= head.kind.is_read() || matches!(head.kind, Kind::Incident | Kind::Key);
                }
                Item::Bad { .. } => is_whole = false,
            }
        });
        is_whole &= bytes.len() as u64 == end - from;
    }
    Ok(is_whole)
}

fn apply(state: &mut State, head: &Head, user: &[u8], content: &[u8]) {
    let mut reader = Reader(content);
    match head.kind {
        Kind::Alert if head.flags & KEYED != 0 => {
            if let Ok(StoredAlert { key: Some(key), received_ms, topic, .. }) = StoredAlert::read(content, head.flags)
                // One that was erased as a whole has none.
                && !topic.is_empty()
            {
                state.keys.insert(key.hash, KeyRow::of(&key, head.id, received_ms, owner(user)));
            }
        }
        Kind::TopicTrim => {
            if let Ok(topic) = reader.topic() {
                let trim = state.topic_trims.entry(topic).or_default();
                *trim = head.id.max(*trim);
            }
        }
        Kind::Erase => {
            if let (Ok(segment), Ok(offset)) = (reader.u32(), reader.u64()) {
                state.keys.erase(head.id);
                state.retracted.insert(head.id, reader.u8().is_ok_and(|has_copies| has_copies != 0));
                if !state.erasures.contains(&(segment, offset)) {
                    state.erasures.push((segment, offset));
                }
            }
        }
        Kind::Dropped => {
            if let Ok(dropped) = DroppedRange::take(&mut reader) {
                state.dropped = dropped;
            }
        }
        Kind::Key => {
            if let (Ok(hash), Ok(fingerprint), Ok(received_ms)) = (reader.array(), reader.array(), reader.u64()) {
                let key = Keyed { hash, fingerprint, is_state: head.flags & STATED != 0 };
                state.keys.insert(hash, KeyRow::of(&key, head.id, received_ms, owner(user)));
            }
        }
        // The record of its retraction came with a newer one.
        Kind::Incident if head.is_erased() => {}
        Kind::Incident => {
            if let Ok((key, row)) = take_incident(&mut reader) {
                state.incidents.set(key, row);
            }
        }
        Kind::Alert | Kind::Transition | Kind::Retraction | Kind::Mark | Kind::Retired => {}
    }
}
