//! Taking alerts back: which may be, what becomes of their incidents, and their reminders, which have their text.
//!
//! The writer decides with the log and the incidents as they are in its batch. A retracted alert keeps its topic and its user
//! in the log, so that a repeat is told from an alert that never was.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::Embedded;
use super::catalog::Catalog;
use super::codec::StoredAlert;
use super::disk;
use super::erase::{Erasure, Located, Outcome};
use super::frame::{HEAD, Head, Kind};
use super::read::View;
use super::segment::{Position, Segment};
use super::stage::{Stage, Staged};
use crate::alert::{Filter, Id, Level, Pattern, Record, Retraction, Topic};
use crate::engine::{AppendError, Range, Retract, RetractFailure, Retracted, Unavailable};
use crate::incident::row::LastAlert;
use crate::incident::{Key, PlacedAlert, Row};

/// How many records of its topic before a retracted alert are looked at for the alert before it in its incident; if none of
/// them is, the incident has no last alert.
const LOOKED_BACK: usize = 1000;
/// Alerts and bytes that are read at once in the search for reminders.
const PAGE: (usize, usize) = (500, 1 << 20);

/// The record of an alert, retracted or not.
pub(super) struct Found {
    at: Located,
    id: Id,
    topic: Topic,
    /// Who published it; empty if it is not known.
    user: String,
    /// None if it was retracted.
    record: Option<Record>,
}

impl Found {
    /// The alert with an id, if the log has it; whether it is retained does not matter.
    pub(super) fn of(catalog: &RwLock<Catalog>, id: Id) -> io::Result<Option<Self>> {
        let Some(segment) = catalog.read().segment_behind(id.predecessor()) else { return Ok(None) };
        let ordinal = segment.behind(id.predecessor());
        Ok(Self::at(&segment, ordinal)?.filter(|found| found.id == id))
    }

    fn at(segment: &Arc<Segment>, ordinal: u32) -> io::Result<Option<Self>> {
        let (span, level) = {
            let index = segment.index.read();
            (index.span(ordinal), index.level(ordinal))
        };
        let Some((offset, to)) = span else { return Ok(None) };
        let bytes = disk::read(&*segment.file, offset, usize::try_from(to - offset).unwrap_or(0))?;
        let (salt, segment) = (segment.header.salt, Arc::clone(segment));
        let read = || {
            let head = Head::read(&bytes, offset, salt).filter(|head| head.kind == Kind::Alert)?;
            let is_left = !head.is_erased() && level.is_some();
            let (user, content) = if is_left {
                head.content(&bytes, offset, salt)?
            } else {
                // What is read of it stays as it was, however far it is overwritten.
                bytes.get(HEAD..HEAD + head.length as usize)?.split_at_checked(head.user.into())?
            };
            let stored = StoredAlert::read(content, head.flags).ok()?;
            let size = u32::try_from(head.size()).unwrap_or(u32::MAX);
            Some(Self {
                at: Located { segment, ordinal, offset, size },
                id: head.id,
                topic: stored.topic.parse().ok()?,
                user: String::from_utf8_lossy(user).into_owned(),
                record: if is_left { Some(stored.of(&head).ok()?) } else { None },
            })
        };
        Ok(read())
    }

    fn placed(&self) -> Option<PlacedAlert> {
        PlacedAlert::of(self.record.as_ref()?)
    }

    /// Whether alertd announced an incident again with it.
    fn is_reminder(&self, placed: &PlacedAlert) -> bool {
        placed.is_called_reminder && self.user.is_empty()
    }
}

fn has_last(row: &Row, id: Id) -> bool {
    row.last.as_ref().is_some_and(|last| last.id == Some(id))
}

impl Stage<'_> {
    /// Adds a retraction, if it may be.
    pub(super) fn retract(&mut self, request: &Retract) -> Outcome {
        let Retract { topic, id, by, allowed } = request;
        let found = Found::of(self.catalog, *id)?.filter(|found| found.topic == *topic);
        let key = match &found {
            Some(found) => found.placed().map(|placed| placed.key),
            None => self.incidents.of_alert(topic, *id).cloned(),
        };
        let row = key.as_ref().and_then(|key| self.incidents.get(key)).filter(|row| has_last(row, *id)).cloned();
        let is_retained = found.is_some() && self.catalog.read().is_retained(topic.as_str(), *id);
        // Retention leaves the last alert to an unresolved incident.
        if !is_retained && row.as_ref().is_none_or(Row::is_resolved) {
            return Ok(Err(RetractFailure::Unknown));
        }
        if !allowed.permits(found.as_ref().map_or("", |found| &found.user)) {
            return Ok(Err(RetractFailure::OfOthers));
        }
        let is_staged = self.erasures.iter().any(|erasure| erasure.id == *id);
        if is_staged || found.as_ref().is_some_and(|found| found.record.is_none()) {
            return Ok(Ok(Retracted::Before));
        }
        let has_copies = key.is_some();
        if let (Some(key), Some(mut row)) = (key, row) {
            row.last = self.alert_before(&key, row.occurrence, *id)?;
            self.incidents.set(key, Some(row));
        }
        let record = Retraction::new(topic.clone(), *id, by).record(self.next_id(), self.now_ms);
        self.staged.push(Staged { record: record.clone(), user: by.as_str().into(), key: None });
        self.erasures.push(Erasure { id: *id, topic: topic.clone(), at: found.map(|found| found.at), has_copies });
        Ok(Ok(Retracted::Now(record)))
    }

    /// The newest alert of an occurrence before an id that is retained, as far as it is looked for.
    fn alert_before(&self, key: &Key, occurrence: u64, id: Id) -> io::Result<Option<LastAlert>> {
        let mut left = LOOKED_BACK;
        let (mut at, topic) = {
            let catalog = self.catalog.read();
            let Some(topic) = catalog.topics.number(key.topic.as_str()) else { return Ok(None) };
            let Some(segment) = catalog.segment_behind(id.predecessor()) else { return Ok(None) };
            drop(catalog);
            (Position { segment: segment.number(), ordinal: segment.behind(id.predecessor()) }, topic)
        };
        while left > 0
            && let Some(segment) = self.catalog.read().segment_until(at.segment).cloned()
        {
            let end = if segment.number() == at.segment { at.ordinal } else { u32::MAX };
            let ordinals = segment.index.read().posting(topic).map_or_else(Vec::new, |all| all.before(end, left));
            left = left.saturating_sub(ordinals.len() + 1);
            for ordinal in ordinals {
                let Some(found) = Found::at(&segment, ordinal)?.filter(|found| found.id < id) else { continue };
                if !self.catalog.read().is_retained(key.topic.as_str(), found.id) {
                    return Ok(None);
                }
                let is_erased = self.erasures.iter().any(|erasure| erasure.id == found.id);
                match found.placed().filter(|placed| placed.key == *key && !is_erased) {
                    Some(placed) if placed.occurrence != occurrence => return Ok(None),
                    Some(placed) if !found.is_reminder(&placed) => return Ok(Some(placed.alert)),
                    _ => {}
                }
            }
            let Some(before) = segment.number().checked_sub(1) else { break };
            at = Position { segment: before, ordinal: u32::MAX };
        }
        Ok(None)
    }
}

/// An alert of an incident whose reminders have its text.
#[derive(Clone)]
struct Reminded {
    key: Key,
    occurrence: u64,
}

impl View {
    /// The alert with this id, if it has a place in an incident and somebody may take it back.
    fn reminded(&self, request: &Retract) -> io::Result<Option<Reminded>> {
        let found = Found::of(&self.catalog, request.id)?;
        let found = found.filter(|found| found.topic == request.topic && request.allowed.permits(&found.user));
        let placed = found.and_then(|found| found.placed().filter(|placed| !found.is_reminder(placed)));
        Ok(placed.map(|PlacedAlert { key, occurrence, .. }| Reminded { key, occurrence }))
    }

    /// The reminders of an incident after an id, up to the next alert of a sender.
    fn reminders(&self, reminded: &Reminded, mut after: Id) -> io::Result<Vec<Id>> {
        let filter = Filter::new([Pattern::Exact(reminded.key.topic.clone())], Level::Info);
        let mut reminders = Vec::new();
        loop {
            let range = Range { filter: filter.clone(), after, until: Id::MAX, limit: PAGE.0, bytes: PAGE.1 };
            let page = self.read(&range, false)?;
            for placed in page.records.iter().filter_map(PlacedAlert::of) {
                if placed.key != reminded.key || placed.occurrence != reminded.occurrence {
                    continue;
                }
                let id = placed.alert.id.unwrap_or_default();
                match Found::of(&self.catalog, id)? {
                    Some(found) if found.is_reminder(&placed) => reminders.push(id),
                    _ => return Ok(reminders),
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(reminders),
            }
        }
    }
}

impl Embedded {
    pub(in crate::engine) async fn retract(&self, request: Retract) -> Result<Retracted, RetractFailure> {
        let engine = self.clone();
        // It is done whole, also if nobody waits for it any more.
        let task = tokio::spawn(async move { engine.retract_all(request).await });
        task.await.unwrap_or_else(|_| Err(RetractFailure::Failed(AppendError::Unknown(Unavailable::stopping()))))
    }

    /// Takes an alert back with its reminders: those there are, the alert, and those that were made meanwhile.
    async fn retract_all(&self, request: Retract) -> Result<Retracted, RetractFailure> {
        let unread = |unavailable| RetractFailure::Failed(AppendError::NotStored(unavailable));
        let (asked, head) = (request.clone(), self.head());
        let reminded = self.view(move |view| view.reminded(&asked)).await.map_err(unread)?;
        let Some(reminded) = reminded else { return self.retract_one(request).await };
        self.retract_reminders(&request, &reminded, request.id).await?;
        let retracted = self.retract_one(request.clone()).await?;
        self.retract_reminders(&request, &reminded, head.max(request.id)).await?;
        Ok(retracted)
    }

    async fn retract_reminders(&self, request: &Retract, reminded: &Reminded, after: Id) -> Result<(), RetractFailure> {
        let searched = reminded.clone();
        let reminders = self.view(move |view| view.reminders(&searched, after)).await;
        let unread = |unavailable| RetractFailure::Failed(AppendError::NotStored(unavailable));
        for id in reminders.map_err(unread)? {
            let allowed = crate::engine::Retractable::All;
            match self.retract_one(Retract { id, allowed, ..request.clone() }).await {
                // Retention was faster.
                Ok(_) | Err(RetractFailure::Unknown) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    async fn retract_one(&self, request: Retract) -> Result<Retracted, RetractFailure> {
        let outcome = self.0.intake.submit_retract(request, async |job| self.0.jobs.send(job).await).await;
        if let Err(RetractFailure::Failed(error)) = &outcome {
            self.0.shared.note_deadline(error);
        }
        outcome
    }
}
