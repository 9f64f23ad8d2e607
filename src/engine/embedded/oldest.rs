//! The oldest alert that is retained, and how it is found.
//!
//! Retention looks at it before each batch, so it is remembered, and looked for only when it was removed.

use parking_lot::RwLock;

use super::catalog::Catalog;
use super::segment::{Found, Position};
use crate::alert::Id;

/// The oldest alert that is retained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oldest {
    pub(super) at: Position,
    pub(super) id: Id,
    pub(super) received_ms: u64,
    pub(super) topic: Option<u32>,
    /// Bytes of its record.
    pub(super) size: u32,
}

/// The first alert from `at` on that is retained and, by its topic and id, `is_left` by what is planned; and the place that
/// the search reached. Alerts that damage took are added to `passed`.
pub(super) fn find(
    catalog: &RwLock<Catalog>,
    mut at: Position,
    is_left: impl Fn(u32, Id) -> bool,
    passed: &mut Vec<Position>,
) -> (Option<Oldest>, Position) {
    loop {
        let (segment, is_last) = {
            let catalog = catalog.read();
            let Some(segment) = catalog.segment_from(at.segment).cloned() else { return (None, at) };
            let is_last = catalog.segments.last().is_some_and(|last| last.number() == segment.number());
            (segment, is_last)
        };
        if segment.number() != at.segment {
            at = Position { segment: segment.number(), ordinal: 0 };
        }
        let (count, is_alert) = {
            let index = segment.index.read();
            (index.count, index.level(at.ordinal).is_some())
        };
        if at.ordinal >= count {
            if is_last {
                return (None, at);
            }
            at = Position { segment: at.segment + 1, ordinal: 0 };
            continue;
        }
        if is_alert {
            match segment.read(at.ordinal) {
                Ok(Found::Alert(alert)) => {
                    let (record, catalog) = (&alert.record, catalog.read());
                    let topic = catalog.topics.number(record.topic.as_str());
                    if topic.is_none_or(|topic| is_left(topic, record.id))
                        && catalog.is_retained(&record.topic, record.id)
                    {
                        let (received_ms, size) = (record.received_ms, alert.size);
                        return (Some(Oldest { at, id: record.id, received_ms, topic, size }), at);
                    }
                }
                Ok(Found::Erased(_) | Found::Dropped) => {}
                Ok(Found::Damaged) | Err(_) => passed.push(at),
            }
        }
        at.ordinal += 1;
    }
}
