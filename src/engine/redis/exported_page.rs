//! A page of the log for a backup, as `export.lua` answers. Used by [`export`](super::export).

use super::codec::{self, Unreadable};
use crate::alert::Id;
use crate::backup::Part;

/// The answer of `export.lua`.
pub(super) struct ExportedPage {
    pub(super) epoch: String,
    pub(super) trim: Id,
    pub(super) oldest: Option<Id>,
    pub(super) clock_ms: u64,
    pub(super) alerts: u64,
    /// None if the page reads to the end.
    pub(super) next: Option<Id>,
    /// Alerts and ids whose alert is gone, by id.
    pub(super) parts: Vec<(Id, Part)>,
}

impl ExportedPage {
    pub(super) fn read(answer: &[Vec<u8>]) -> Result<Self, Unreadable> {
        let [epoch, trim, oldest, clock, alerts, next, rest @ ..] = answer else {
            return Err(Unreadable::Malformed);
        };
        let end = rest.iter().position(Vec::is_empty).ok_or(Unreadable::Malformed)?;
        let (removed, read) = rest.split_at(end);
        let removed = removed.iter().map(|removed| {
            let id = codec::id(removed).ok_or(Unreadable::Malformed)?;
            Ok((id, Part::Retired(id)))
        });
        let (read, odd) = read[1..].as_chunks::<6>();
        if !odd.is_empty() {
            return Err(Unreadable::Malformed);
        }
        let read = read.iter().map(|[id, ms, level, topic, json, user]| {
            match codec::record([id, ms, level, topic, json].map(Vec::as_slice)) {
                Ok(record) => Ok((record.id, Part::Alert { record, user: String::from_utf8_lossy(user).into_owned() })),
                Err(Unreadable::Malformed) => {
                    let upto = codec::id(id).ok_or(Unreadable::Malformed)?;
                    Ok((upto, Part::Lost { after: upto.predecessor(), upto }))
                }
                Err(unknown) => Err(unknown),
            }
        });
        let mut parts = removed.chain(read).collect::<Result<Vec<_>, Unreadable>>()?;
        parts.sort_by_key(|(id, _)| *id);
        let head = || {
            let (trim, oldest) = (codec::id(trim)?, codec::optional_id(oldest)?);
            Some((trim, oldest, codec::number(clock)?, codec::number(alerts)?, codec::optional_id(next)?))
        };
        let (trim, oldest, clock_ms, alerts, next) = head().ok_or(Unreadable::Malformed)?;
        let epoch = String::from_utf8_lossy(epoch).into_owned();
        Ok(Self { epoch, trim, oldest, clock_ms, alerts, next, parts })
    }
}
