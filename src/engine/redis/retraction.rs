//! Taking an alert back: read, decided here, and stored if nothing of what was read has changed.
//!
//! Used by the writer. The retraction is stored first. The alert is removed in the step that makes the retraction visible, so
//! a retraction that the replicas do not confirm is undone with nothing lost. Reminders have the text of an alert, and are taken
//! back with it.

use std::sync::Arc;

use tokio::time::Instant;

use super::codec::{self, Unreadable};
use super::decided::{Committed, ids};
use super::script::RETRACTIONS_SCHEMA;
use super::seen::Seen;
use super::store_script::{self as script, LastAlert as Last, Read, Undo, UndoKind, Unsettled};
use super::writer::{Settlement, Writer};
use super::{Durability, incident_row};
use crate::alert::{Id, Level, Record, Retraction};
use crate::engine::intake::RetractRequest;
use crate::engine::{AppendError, Retract, RetractFailure, Retracted, Unavailable};
use crate::incident::row::LastAlert;
use crate::incident::{PlacedAlert, Row, Settings};

/// What is stored about an alert that is to be taken back.
enum Fate {
    Unknown,
    /// It is in the log.
    There {
        topic: String,
        user: String,
    },
    /// This record has taken it back, or is about to.
    Retracted {
        by: Id,
        topic: String,
    },
}

/// The incident whose last alert it is.
struct Incident {
    field: String,
    stored: Vec<u8>,
    row: Row,
    before: Option<LastAlert>,
}

/// The answer of `retractable.lua`.
struct Look {
    schema: u64,
    now_ms: u64,
    clock_ms: u64,
    /// As it was read.
    stored: Vec<u8>,
    fate: Fate,
    /// Where the search for reminders goes on.
    next: Option<Id>,
    reminders: Vec<Id>,
    incident: Option<Incident>,
}

/// What is stored in one call.
struct Plan<'a> {
    /// The alerts that are taken back; none if this one was before.
    retractions: Vec<(Id, Retraction)>,
    incident: Option<&'a Incident>,
    /// The row of the incident, without its ids.
    row: Vec<u8>,
    /// The record that took it back before.
    by: Id,
}

/// Calls that search for reminders; those behind so many entries of the topic stay.
const MAX_SEARCHES: usize = 20;

impl Writer {
    pub(super) async fn take_back(&mut self, request: RetractRequest) {
        let began = Instant::now();
        match self.retract(&request.wanted, request.deadline).await {
            Ok(outcome) => {
                self.shared.commits.observe(began.elapsed(), 1);
                request.answer(Ok(outcome));
            }
            Err(reason) => {
                self.disconnect();
                request.answer(Err(AppendError::Unknown(reason)));
            }
        }
    }

    /// An error means that the outcome is unknown.
    async fn retract(
        &mut self,
        retract: &Retract,
        until: Instant,
    ) -> Result<Result<Retracted, RetractFailure>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let not_stored = |reason| Ok(Err(RetractFailure::Failed(AppendError::NotStored(reason))));
        let (mut from, mut searches) = (retract.id, 0);
        loop {
            let epoch = self.epoch(&mut shared.epoch.subscribe(), until).await?;
            let look = script::retractable(&shared.link, shared.time_argument(), retract.id, from);
            let look = Look::parse(&self.call(&look, until).await?);
            let look = look.ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))?;
            shared.heard_time(look.clock_ms);
            if look.schema < RETRACTIONS_SCHEMA {
                return not_stored(self.older_nodes());
            }
            if shared.server_ms(until) < look.clock_ms {
                return not_stored(shared.link.timed_out());
            }
            let settings = *shared.incidents.lock();
            let next = look.next.filter(|_| searches < MAX_SEARCHES);
            let plan = match look.decide(retract, next.is_none(), &settings) {
                Ok(plan) => plan,
                Err(failure) => return Ok(Err(failure)),
            };
            let is_stored = !plan.retractions.is_empty();
            let waits = next.is_none() && matches!(shared.durability, Durability::Replicas(_));
            let mut records = Vec::new();
            if is_stored || waits {
                match self.store_retractions(retract, &look, &plan, &epoch, until).await? {
                    None => continue,
                    Some(Ok(stored)) => records = stored,
                    Some(Err(error)) => return Ok(Err(RetractFailure::Failed(error))),
                }
            }
            self.promise(records.last().map(Seen::record))?;
            match next {
                Some(next) => (from, searches) = (next, searches + 1),
                None => return Ok(Ok(records.pop().map_or(Retracted::Before, Retracted::Now))),
            }
        }
    }

    /// Stores the records of a plan, or waits until the one that took the alert back before is safe. None if something has
    /// changed since it was read.
    async fn store_retractions(
        &mut self,
        retract: &Retract,
        look: &Look,
        plan: &Plan<'_>,
        epoch: &str,
        until: Instant,
    ) -> Result<Option<Result<Vec<Record>, AppendError>>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let times = (look.now_ms, shared.server_ms(until));
        let steps = plan.steps(retract);
        let (head, texts) = match self.commit(epoch, &look.read(retract.id), steps, times, until).await? {
            Committed::Done(head, texts) => (head, texts),
            Committed::Stale => return Ok(None),
            Committed::OtherEpoch => {
                let mut known = shared.epoch.subscribe();
                if known.borrow_and_update().as_deref() == Some(epoch) {
                    self.other_epoch(&mut known, until).await?;
                }
                return Ok(None);
            }
        };
        let stored = plan.retractions.iter().zip(&texts);
        let records = stored.map(|((_, retraction), texts)| Some(retraction.record(ids(texts)?.0, look.now_ms)));
        let records: Option<Vec<_>> = records.collect();
        let records = records.ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))?;
        if let Durability::Replicas(replicas) = shared.durability {
            let waiting = plan.waiting(&records, &texts);
            let settled = self.settle(&Settlement { epoch, replicas, until, head }, &waiting).await?;
            let entries: Vec<_> = (0..waiting.len()).collect();
            if let Some(error) = settled.error(&entries) {
                return Ok(Some(Err(error)));
            }
        }
        Ok(Some(Ok(records)))
    }
}

impl Look {
    fn parse(answer: &[Vec<u8>]) -> Option<Self> {
        let [schema, now_ms, clock_ms, stored, rest @ ..] = answer else { return None };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let fate = match (stored.strip_prefix(b"there "), rest.first()) {
            (Some(user), Some(topic)) => Fate::There { topic: text(topic)?, user: text(user)? },
            (Some(_), None) => return None,
            (None, _) if stored.is_empty() => Fate::Unknown,
            (None, _) => {
                let stored = text(stored)?;
                let (by, topic) = stored.split_once(' ')?;
                Fate::Retracted { by: by.parse().ok()?, topic: topic.to_owned() }
            }
        };
        let (mut next, mut reminders, mut of_incident): (_, _, &[Vec<u8>]) = (None, Vec::new(), &[]);
        if let [_, next_from, number, rest @ ..] = rest {
            next = codec::optional_id(next_from)?;
            let (ids, others) = rest.split_at_checked(usize::try_from(codec::number(number)?).ok()?)?;
            reminders = ids.iter().map(|id| codec::id(id)).collect::<Option<_>>()?;
            of_incident = others;
        }
        let incident = match of_incident {
            // One that cannot be decoded the next change replaces.
            [field, stored, before @ ..] => match incident_row::read(stored) {
                Some(row) => {
                    let before = match before {
                        [id, ms, level, topic, json] => {
                            codec::record([id, ms, level, topic, json].map(Vec::as_slice)).ok()
                        }
                        _ => None,
                    };
                    let before = before.and_then(|record| PlacedAlert::of(&record)).map(|placed| placed.alert);
                    Some(Incident { field: text(field)?, stored: stored.clone(), row, before })
                }
                None => None,
            },
            _ => None,
        };
        Some(Self {
            schema: codec::number(schema)?,
            now_ms: codec::number(now_ms)?,
            clock_ms: codec::number(clock_ms)?,
            stored: stored.clone(),
            fate,
            next,
            reminders,
            incident,
        })
    }

    /// `is_last` if everything before this alert was taken back: it comes after its reminders.
    fn decide(&self, retract: &Retract, is_last: bool, settings: &Settings) -> Result<Plan<'_>, RetractFailure> {
        let Retract { topic, id, by, allowed } = retract;
        match &self.fate {
            Fate::There { topic: its, user } if its.as_str() == topic.as_str() => {
                if !allowed.permits(user) {
                    return Err(RetractFailure::OfOthers);
                }
                let incident = self.incident.as_ref().filter(|_| is_last);
                let row = incident.map(|incident| {
                    let mut row = incident.row.clone();
                    row.last.clone_from(&incident.before);
                    incident_row::rest(&row, settings)
                });
                let row = row.unwrap_or_default();
                let ids = self.reminders.iter().chain(is_last.then_some(id));
                let retractions = ids.map(|id| (*id, Retraction::new(topic.clone(), *id, by))).collect();
                Ok(Plan { retractions, incident, row, by: Id::ZERO })
            }
            Fate::Retracted { by, topic: its } if its.as_str() == topic.as_str() => {
                Ok(Plan { retractions: Vec::new(), incident: None, row: Vec::new(), by: *by })
            }
            _ => Err(RetractFailure::Unknown),
        }
    }

    /// Everything that was read, which must not have changed.
    fn read(&self, id: Id) -> Vec<Read<'_>> {
        let row = self.incident.as_ref().map(|incident| Read::Row(&incident.field, &incident.stored));
        // A reminder has no user.
        let reminders = self.reminders.iter().map(|id| Read::Fate(*id, b"there "));
        reminders.chain([Read::Fate(id, &self.stored)]).chain(row).collect()
    }
}

impl Plan<'_> {
    fn steps(&self, retract: &Retract) -> impl Iterator<Item = script::Step<'_>> {
        let topic = retract.topic.clone();
        self.retractions.iter().map(move |(id, retraction)| {
            let incident = self.incident.filter(|_| *id == retract.id);
            let before = incident.map(|incident| incident.before.as_ref().and_then(|before| before.id));
            script::Step {
                kind: "retraction",
                record: Some((topic.clone(), Level::Error, retraction.json_between().to_vec())),
                of: Some(*id),
                publish: None,
                field: incident.map_or("", |incident| &incident.field),
                last: before.map_or(Last::Same, Last::Other),
                row: if incident.is_some() { &self.row } else { &[] },
            }
        })
    }

    /// What waits for the replicas; `texts` are the ids that the steps got.
    fn waiting(&self, records: &[Record], texts: &[[Vec<u8>; 2]]) -> Vec<Unsettled> {
        let undo = |kind| Undo { kind, field: String::new(), written: Vec::new(), before: Vec::new() };
        let unsettled = |id, kind| Unsettled { id, key: None, undo: Some(undo(kind)) };
        if records.is_empty() {
            return vec![unsettled(self.by, UndoKind::Check)];
        }
        let mut waiting: Vec<_> = records.iter().map(|record| unsettled(record.id, UndoKind::Record)).collect();
        // The alert itself is the last one.
        if let (Some(Unsettled { undo: Some(undo), .. }), Some(incident), Some([_, alert])) =
            (waiting.last_mut(), self.incident, texts.last())
        {
            let changed = incident.stored.split(|byte| *byte == b' ').next().unwrap_or_default();
            undo.written = incident_row::whole(changed, alert, &self.row);
            undo.before.clone_from(&incident.stored);
            undo.field.clone_from(&incident.field);
        }
        waiting
    }
}
