//! Reads the log from its trim up to an id, for a backup, while writing, retention and erasing go on.
//!
//! An export contains everything that is on the disk when it begins. Alerts that retention removes afterwards are still
//! in it, because the segments keep their content until they are read; alerts that are erased before they are read are
//! not. Only on a full disk are the segments freed early, and the export then fails. It holds one piece of a segment in
//! memory, the keys, and the limits of topics.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::catalog::Catalog;
use super::codec::StoredAlert;
use super::disk;
use super::frame::Head;
use super::incident_table::Incident;
use super::index::Hole;
use super::keeper::Keeper;
use super::keys::KeyRow;
use super::pins::Pin;
use super::replay::replay_until;
use super::segment::{Position, Segment};
use super::{DEADLINE, Embedded};
use crate::alert::{Id, Topic};
use crate::backup::{Extent, Part};
use crate::engine::{Cause, Unavailable};

/// Bytes that are read at once, unless a single record is longer. Small, because publishers wait for the processor while
/// a piece is encoded.
const PIECE: u64 = 32 << 10;
/// Keys and limits of topics that are handed out at once.
const GROUP: usize = 1024;
/// Damaged records that are named in the report.
const NAMED: usize = 1000;
/// How often an export checks whether everything is on the disk before it begins.
const SYNC_POLL: Duration = Duration::from_millis(10);

/// A segment and how many of its records are exported.
struct Source {
    segment: Arc<Segment>,
    count: u32,
    pin: Pin,
}

/// Hands out the parts of a log in order.
pub(crate) struct Export {
    pub(crate) extent: Extent,
    sources: VecDeque<Source>,
    /// The next record of the first source.
    at: u32,
    /// The newest id that was handed out or reported as lost.
    last: Id,
    /// A record after `last` cannot be read, and its id is not known yet.
    is_broken: bool,
    holes: VecDeque<Hole>,
    topic_trims: HashMap<Topic, Id>,
    /// The parts that follow the records.
    rest: VecDeque<Part>,
    /// About how many alerts there are.
    pub(crate) alerts: u64,
    /// Records that cannot be read, each with its file and offset; the first of them.
    pub(crate) damage: Vec<String>,
}

impl Embedded {
    /// All of the log that is stored now, in parts that are read while it goes on.
    pub(crate) async fn export(&self) -> Result<Export, Unavailable> {
        let inner = &self.0;
        let end = inner.export.catalog.read().end();
        let deadline = Instant::now() + DEADLINE;
        // Records that are not synced may still move to another segment.
        while !is_synced(&inner.export.catalog.read(), end) {
            if Instant::now() > deadline {
                let late =
                    || Unavailable::new(Cause::TimedOut, format!("{} does not reach its disk", inner.intake.store));
                return Err(inner.shared.trouble().unwrap_or_else(late));
            }
            sleep(SYNC_POLL).await;
        }
        let inner = Arc::clone(inner);
        self.view(move |_| Export::begin(&inner.export)).await
    }
}

/// Whether everything before a place is on the disk.
fn is_synced(catalog: &Catalog, end: Position) -> bool {
    let last = catalog.segments.last();
    last.is_none_or(|last| last.number() > end.segment || last.synced_count() >= end.ordinal)
}

impl Export {
    /// Begins an export of everything that is on the disk.
    pub(super) fn begin(keeper: &Keeper) -> io::Result<Self> {
        let _snapshot = keeper.pins.snapshot.lock();
        let identity = keeper.catalog.read().segments.first().map(|segment| segment.header.identity);
        let (place, state) = identity.and_then(|identity| keeper.snapshot(identity)).unzip();
        let mut state = state.unwrap_or_default();
        let (sources, mut extent, holes, topic_trims, alerts) = {
            let catalog = keeper.catalog.read();
            let sources: VecDeque<_> = catalog
                .segments
                .iter()
                .map(|segment| Source {
                    segment: Arc::clone(segment),
                    count: segment.synced_count(),
                    pin: keeper.pins.pin(&segment.name),
                })
                .collect();
            let extent = Extent { trim: catalog.trim, until: catalog.head, clock_ms: catalog.clock_ms };
            let holes = VecDeque::from(catalog.holes.clone());
            (sources, extent, holes, catalog.topic_trims(), catalog.count)
        };
        if let Some(Source { segment, count, .. }) = sources.back()
            && *count < segment.index.read().count
        {
            let before = segment.header.previous.last;
            extent.until = count.checked_sub(1).and_then(|ordinal| segment.id(ordinal)).unwrap_or(before).max(before);
        }
        // Incidents as they were when the last record that is exported was written, whatever has changed them since.
        let end = |Source { segment, count, .. }: &Source| {
            let index = segment.index.read();
            index.offset(*count).unwrap_or(index.end)
        };
        replay_until(sources.iter().map(|source| (&source.segment, end(source))), place, &mut state)?;
        state.keys.expire(extent.clock_ms, usize::MAX);
        let trims = topic_trims.iter().map(|(topic, trim)| Part::TopicTrim(topic.clone(), *trim));
        let keys = state.keys.iter().filter(|(_, row)| row.id <= extent.until).map(|(hash, row)| {
            let KeyRow { fingerprint, id, received_ms, .. } = *row;
            Part::Key { hash: *hash, fingerprint, id, received_ms }
        });
        let incidents = state.incidents.iter().map(|incident| {
            let Incident { key, row } = incident;
            Part::Incident(key.clone(), Box::new(row.clone()))
        });
        let rest = trims.chain(incidents).chain(keys).collect();
        let at = sources.front().map_or(0, |source| source.segment.behind(extent.trim));
        let last = extent.trim;
        let (is_broken, damage) = Default::default();
        Ok(Self { extent, sources, at, last, is_broken, holes, topic_trims, rest, alerts, damage })
    }

    /// The next parts; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Vec<Part>> {
        let mut parts = Vec::new();
        while parts.is_empty()
            && let Some(source) = self.sources.front()
        {
            if self.at < source.count {
                let (segment, count) = (Arc::clone(&source.segment), source.count);
                let piece = self.piece(&segment, count, &mut parts);
                if self.sources.front().is_some_and(|source| source.pin.is_revoked()) {
                    return Err(io::Error::other(
                        "the disk became full, and the space that the backup kept was needed for new alerts",
                    ));
                }
                piece?;
            } else {
                self.sources.pop_front();
                self.at = 0;
            }
            if self.sources.is_empty() {
                self.losses_before(self.extent.until.successor(), self.extent.until, &mut parts);
            }
        }
        if parts.is_empty() {
            parts.extend(self.rest.drain(..GROUP.min(self.rest.len())));
        }
        Ok(parts)
    }

    /// Reads some records of a segment.
    fn piece(&mut self, segment: &Segment, count: u32, parts: &mut Vec<Part>) -> io::Result<()> {
        let spans = segment.spans(self.at, count, PIECE);
        let (Some((from, _)), Some((_, to))) = (spans.first().copied(), spans.last().copied()) else {
            self.at = count;
            return Ok(());
        };
        let bytes = disk::read(&*segment.file, from, usize::try_from(to - from).unwrap_or(0))?;
        for (offset, _) in spans {
            let start = usize::try_from(offset - from).unwrap_or(usize::MAX);
            let record = bytes.get(start..).unwrap_or_default();
            self.record(segment, self.at, offset, record, parts);
            self.at += 1;
        }
        Ok(())
    }

    fn record(&mut self, segment: &Segment, ordinal: u32, offset: u64, bytes: &[u8], parts: &mut Vec<Part>) {
        let salt = segment.header.salt;
        let Some(head) = Head::read(bytes, offset, salt) else {
            self.is_broken = true;
            self.name(segment, offset);
            return;
        };
        self.losses_before(head.id, head.before, parts);
        if head.id <= self.last {
            // A hole had it.
            return;
        }
        let content = head.content(bytes, offset, salt).filter(|_| !head.is_erased());
        // Checked after the read: an alert that was erased meanwhile is not damaged.
        let is_alert = head.kind.is_read() && segment.index.read().level(ordinal).is_some();
        let alert = content.filter(|_| is_alert).and_then(|(user, content)| {
            let record = StoredAlert::read(content, head.flags).ok()?.of(&head).ok()?;
            Some((record, String::from_utf8_lossy(user).into_owned()))
        });
        parts.push(match alert {
            Some((record, _)) if self.topic_trims.get(&record.topic).is_some_and(|trim| head.id <= *trim) => {
                Part::Retired(head.id)
            }
            Some((record, user)) => Part::Alert { record, user },
            None if is_alert && !head.is_erased() => {
                self.name(segment, offset);
                Part::Lost { after: head.id.predecessor(), upto: head.id }
            }
            None => Part::Retired(head.id),
        });
        self.last = head.id;
    }

    fn name(&mut self, segment: &Segment, offset: u64) {
        if self.damage.len() < NAMED {
            self.damage.push(format!("{}: the record at offset {offset} is damaged", segment.name));
        }
    }

    /// Reports ids lost to damage before the record with this id, whose head names the id `before` it.
    fn losses_before(&mut self, id: Id, before: Id, parts: &mut Vec<Part>) {
        while self.holes.front().is_some_and(|hole| hole.after < id)
            && let Some(hole) = self.holes.pop_front()
        {
            if hole.upto > self.last {
                parts.push(Part::Lost { after: hole.after.max(self.last), upto: hole.upto });
                self.last = hole.upto;
            }
        }
        if std::mem::take(&mut self.is_broken) && before > self.last {
            parts.push(Part::Lost { after: self.last, upto: before });
            self.last = before;
        }
    }
}
