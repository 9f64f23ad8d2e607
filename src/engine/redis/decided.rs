//! Calls in which incidents are involved: read, decided here, and stored if nothing of what was read has changed.
//!
//! Used by the writer. Another node that was faster makes what was read stale; then it is read and decided again, until the
//! deadline. Always: the time of what is decided is the server's, so it does not matter which node decides.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::codec::{self, Unreadable};
use super::look::{Look, Wishes};
use super::plan::{ActPlan, GroupPlan, Plan, read};
use super::script::{INCIDENTS_SCHEMA, MAX_DUE};
use super::seen::Seen;
use super::step::{Does, Ids, Told};
use super::store_script::{self as script, Read, Undo, UndoKind, Unsettled};
use super::writer::{Settlement, Writer};
use super::{Durability, TAKE_WITHIN, incident_row};
use crate::alert::{Id, Record};
use crate::engine::intake::{ActRequest, Group, Outcome};
use crate::engine::{AppendError, Cause, Changed, Idempotency, Publish, Unavailable};
use crate::incident::{Act, ActError, Key, Settings};

/// Unresolved incidents that one step makes due.
const RESCORED: usize = 500;

type ActOutcome = Result<Result<Changed, ActError>, AppendError>;

/// What a call is to do.
struct Call<'a> {
    groups: &'a [Group],
    acts: &'a [ActRequest],
    due: &'a [Key],
    /// When it is too late for what is due.
    due_until: Instant,
    settings: Settings,
}

struct Outcomes {
    groups: Vec<Outcome>,
    acts: Vec<ActOutcome>,
}

/// What the script answered about a commit.
pub(super) enum Committed {
    /// It was stored: the newest id, and of each step the texts of both ids.
    Done(Id, Vec<[Vec<u8>; 2]>),
    /// Something has changed since it was read.
    Stale,
    /// The log is another one.
    OtherEpoch,
}

/// What waits for the replicas.
#[derive(Default)]
struct Waiting {
    entries: Vec<Unsettled>,
    /// The entries that each group and each act depends on.
    groups: Vec<Vec<usize>>,
    acts: Vec<Option<usize>>,
}

impl Writer {
    pub(super) async fn store_decided(&mut self, groups: Vec<Group>, acts: Vec<ActRequest>, due: &[Key]) {
        let began = Instant::now();
        let settings = *self.shared.incidents.lock();
        let call = Call { groups: &groups, acts: &acts, due, due_until: began + TAKE_WITHIN, settings };
        match self.decide(&call).await {
            Ok(Some(outcomes)) => {
                self.shared.commits.observe(began.elapsed(), 1);
                for (group, outcome) in groups.into_iter().zip(outcomes.groups) {
                    group.answer(outcome);
                }
                for (act, outcome) in acts.into_iter().zip(outcomes.acts) {
                    act.answer(outcome);
                }
            }
            Ok(None) => {
                for act in acts {
                    act.answer(Err(AppendError::NotStored(self.older_nodes())));
                }
                if !groups.is_empty() {
                    self.store(groups).await;
                }
            }
            Err(reason) => {
                self.disconnect();
                for group in groups {
                    group.answer(Err(AppendError::Unknown(reason.clone())));
                }
                for act in acts {
                    act.answer(Err(AppendError::Unknown(reason.clone())));
                }
            }
        }
        if due.len() == MAX_DUE {
            // There may be more.
            self.shared.compare_now.notify_one();
        }
    }

    pub(super) fn older_nodes(&self) -> Unavailable {
        let detail = format!(
            "{} is shared with a node of an earlier version, which could not read what this would store: upgrade every node; one that was stopped counts for an hour",
            self.shared.link.topology()
        );
        Unavailable::new(Cause::OlderNodes, detail)
    }

    /// None if a node that does not know incidents may be running. An error means that the outcome of everything is unknown.
    async fn decide(&mut self, call: &Call<'_>) -> Result<Option<Outcomes>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let malformed = || shared.link.unreadable(&Unreadable::Malformed);
        let until = call.until();
        let mut known = shared.epoch.subscribe();
        loop {
            let epoch = self.epoch(&mut known, until).await?;
            let at = |deadline| shared.server_ms(deadline);
            let groups: Vec<(u64, &[Publish])> =
                call.groups.iter().map(|group| (at(group.deadline), group.alerts.as_slice())).collect();
            let acts: Vec<(u64, &Act)> = call.acts.iter().map(|act| (at(act.deadline), &act.wanted)).collect();
            let due = if Instant::now() < call.due_until { call.due } else { &[] };
            let wishes = Wishes { groups: &groups, acts: &acts, due };
            let questions = wishes.questions();
            let look = script::look(&shared.link, shared.time_argument(), &questions);
            let look = Look::parse(&self.call(&look, until).await?, &questions).ok_or_else(malformed)?;
            shared.heard_time(look.clock_ms);
            if look.schema < INCIDENTS_SCHEMA {
                return Ok(None);
            }
            let plan = Plan::decide(&wishes, &look, &call.settings);
            let waits = matches!(shared.durability, Durability::Replicas(_)) && plan.has_known();
            if plan.steps.is_empty() && !waits {
                self.promise(None)?;
                return Ok(Some(
                    call.outcomes(&plan, &[], look.now_ms, || shared.link.timed_out()).ok_or_else(malformed)?,
                ));
            }
            let deadline_ms = plan.deadline_ms(&wishes, at(call.due_until));
            let steps = plan.steps.iter().map(|step| step.arguments());
            let times = (look.now_ms, deadline_ms);
            let (head, texts) = match self.commit(&epoch, &read(&look), steps, times, until).await? {
                Committed::Done(head, texts) => (head, texts),
                Committed::Stale => continue,
                Committed::OtherEpoch => {
                    self.other_epoch(&mut known, until).await?;
                    continue;
                }
            };
            let ids: Vec<Ids> = texts.iter().map(ids).collect::<Option<_>>().ok_or_else(malformed)?;
            let outcomes = call.outcomes(&plan, &ids, look.now_ms, || shared.link.timed_out());
            let mut outcomes = outcomes.ok_or_else(malformed)?;
            let mut are_all_stored = true;
            if let Durability::Replicas(replicas) = shared.durability {
                let settlement = Settlement { epoch: &epoch, replicas, until, head };
                let waiting = Waiting::of(&plan, call, &look, &texts, &ids);
                are_all_stored = self.settle_decided(&settlement, &waiting, &mut outcomes).await?;
            }
            self.promise(outcomes.newest())?;
            if are_all_stored {
                shared.incident_meter.note(&plan.happened);
            }
            return Ok(Some(outcomes));
        }
    }

    /// Stores steps that were decided at `now_ms` from what was read.
    pub(super) async fn commit<'a>(
        &mut self,
        epoch: &str,
        read: &[Read<'_>],
        steps: impl Iterator<Item = script::Step<'a>>,
        (now_ms, deadline_ms): (u64, u64),
        until: Instant,
    ) -> Result<Committed, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let commit = script::Commit {
            epoch,
            seen: &shared.state(|state| state.seen.clone()),
            announce: shared.durability == Durability::Primary,
            retention: &shared.retention(),
            deadline_ms,
        };
        let answer = self.call(&script::commit(&shared.link, now_ms, &commit, read, steps), until).await?;
        let malformed = || shared.link.unreadable(&Unreadable::Malformed);
        match answer.split_first().ok_or_else(malformed)? {
            (word, _) if word == b"stale" => Ok(Committed::Stale),
            (word, _) if word == b"epoch" => Ok(Committed::OtherEpoch),
            (_, [clock, head, texts @ ..]) => {
                shared.heard_time(codec::number(clock).ok_or_else(malformed)?);
                let head = codec::id(head).ok_or_else(malformed)?;
                Ok(Committed::Done(head, texts.as_chunks::<2>().0.to_vec()))
            }
            _ => Err(malformed()),
        }
    }

    /// Whether all of it is stored.
    async fn settle_decided(
        &mut self,
        settlement: &Settlement<'_>,
        waiting: &Waiting,
        outcomes: &mut Outcomes,
    ) -> Result<bool, Unavailable> {
        if waiting.entries.is_empty() {
            return Ok(true);
        }
        let settled = self.settle(settlement, &waiting.entries).await?;
        for (outcome, entries) in outcomes.groups.iter_mut().zip(&waiting.groups) {
            if let Some(error) = settled.error(entries).filter(|_| outcome.is_ok()) {
                *outcome = Err(error);
            }
        }
        for (outcome, entry) in outcomes.acts.iter_mut().zip(&waiting.acts) {
            if let Some(error) = entry.and_then(|entry| settled.error(&[entry])) {
                *outcome = Err(error);
            }
        }
        Ok(settled.error(&(0..waiting.entries.len()).collect::<Vec<_>>()).is_none())
    }

    /// Does what is due. If the times of reminders were changed, everything is looked at first.
    pub(super) async fn do_what_is_due(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Settings { remind_after_ms, remind_level, .. } = *shared.incidents.lock();
        let times = (remind_after_ms, remind_level);
        if self.times != Some(times) {
            let text = if remind_after_ms == 0 { "0".to_owned() } else { format!("{remind_after_ms} {remind_level}") };
            if shared.epoch.borrow().is_none() || self.rescore(&text).await.is_err() {
                // What is due is decided by the times that are set, and later.
                self.disconnect();
                return;
            }
            self.times = Some(times);
            shared.compare_now.notify_one();
        }
        let due = std::mem::take(&mut *shared.due.lock());
        if !due.is_empty() {
            self.store_decided(Vec::new(), Vec::new(), &due).await;
        }
    }

    async fn rescore(&mut self, times: &str) -> Result<(), Unavailable> {
        let (shared, mut at) = (Arc::clone(&self.shared), b"-".to_vec());
        loop {
            let call = script::rescore(&shared.link, shared.time_argument(), times, &at, RESCORED);
            match self.call(&call, Instant::now() + TAKE_WITHIN).await?.into_iter().next() {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }
}

pub(super) fn ids([changed, alert]: &[Vec<u8>; 2]) -> Option<Ids> {
    let optional = |text: &[u8]| if text == b"-" { Some(None) } else { codec::id(text).map(Some) };
    Some((optional(changed)?.unwrap_or_default(), optional(alert)?))
}

impl Call<'_> {
    fn until(&self) -> Instant {
        let deadlines = self.groups.iter().map(|group| group.deadline).chain(self.acts.iter().map(|act| act.deadline));
        deadlines.max().unwrap_or(self.due_until)
    }

    /// None if the script answered something else than was decided.
    fn outcomes(&self, plan: &Plan<'_>, ids: &[Ids], now_ms: u64, late: impl Fn() -> Unavailable) -> Option<Outcomes> {
        let groups = plan.groups.iter().zip(self.groups);
        let groups = groups.map(|(planned, group)| plan.group(planned, &group.alerts, (ids, now_ms), &late));
        let acts = plan.acts.iter().map(|act| plan.act(act, (ids, now_ms), &late));
        Some(Outcomes { groups: groups.collect::<Option<_>>()?, acts: acts.collect::<Option<_>>()? })
    }
}

impl Outcomes {
    /// What was promised to be stored, the newest of it.
    fn newest(&self) -> Option<Seen> {
        let stored = self.groups.iter().filter_map(|group| group.as_ref().ok()).flatten();
        let stored = stored.map(|stored| (stored.repeated, &stored.record));
        let acted = self.acts.iter().filter_map(|act| act.as_ref().ok()?.as_ref().ok()?.record.as_ref());
        let newest = stored.chain(acted.map(|record| (false, record))).max_by_key(|(_, record)| record.id);
        newest.map(
            |(repeated, record): (bool, &Record)| {
                if repeated { Seen::id(record.id) } else { Seen::record(record) }
            },
        )
    }
}

impl Waiting {
    fn of(plan: &Plan<'_>, call: &Call<'_>, look: &Look, texts: &[[Vec<u8>; 2]], ids: &[Ids]) -> Self {
        let mut waiting = Self::default();
        let mut rows: HashMap<&str, Vec<u8>> =
            look.rows.iter().map(|(field, row)| (field.as_str(), row.stored.clone())).collect();
        for (step, ([changed, alert], (id, last))) in plan.steps.iter().zip(texts.iter().zip(ids)) {
            let (kind, publish) = match &step.does {
                Does::Alert(publish, _) => (UndoKind::Record, Some(*publish)),
                Does::Count(publish) => (UndoKind::Count, Some(*publish)),
                Does::Record(_) => (UndoKind::Record, None),
                Does::Keep | Does::Undue => (UndoKind::Check, None),
            };
            let key = publish.and_then(|publish| publish.idempotency.as_ref()).map(Idempotency::hash);
            let id = if matches!(kind, UndoKind::Count) { last.unwrap_or(*id) } else { *id };
            let mut undo = Undo { kind, field: String::new(), written: Vec::new(), before: Vec::new() };
            if step.row.is_some() {
                undo.written = incident_row::whole(changed, alert, &step.stored);
                undo.before = rows.insert(&step.field, undo.written.clone()).unwrap_or_default();
                undo.field.clone_from(&step.field);
            }
            waiting.entries.push(Unsettled { id, key, undo: Some(undo) });
        }
        for (group, planned) in call.groups.iter().zip(&plan.groups) {
            let told: &[Told] = if let GroupPlan::Taken(told) = planned { told } else { &[] };
            let entries = told.iter().zip(&group.alerts).map(|(told, publish)| match told {
                Told::New(step) | Told::Again(step) => *step,
                Told::Known { id, .. } => waiting.check(*id, publish.idempotency.as_ref().map(Idempotency::hash)),
            });
            let entries = entries.collect();
            waiting.groups.push(entries);
        }
        for act in &plan.acts {
            let entry = match act {
                ActPlan::Done(step) | ActPlan::After(step) => Some(*step),
                ActPlan::Unchanged(row) => row.changed.map(|id| waiting.check(id, None)),
                ActPlan::Late | ActPlan::Refused(_) => None,
            };
            waiting.acts.push(entry);
        }
        waiting
    }

    /// Adds a record of an earlier call.
    fn check(&mut self, id: Id, key: Option<[u8; 32]>) -> usize {
        let undo = Undo { kind: UndoKind::Check, field: String::new(), written: Vec::new(), before: Vec::new() };
        self.entries.push(Unsettled { id, key, undo: Some(undo) });
        self.entries.len() - 1
    }
}
