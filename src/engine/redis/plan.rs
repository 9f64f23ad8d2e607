//! What one call does where incidents are involved, decided from what was read ([`look`](super::look)).
//!
//! Pure; used by the writer. Always: the steps follow from each other in order, as if each had been read after the one
//! before it, and the call stores all of them or none.

use std::collections::HashMap;

use super::incident_row;
use super::look::{Known, Look, LookedRow, Wishes};
use super::step::{Does, Ids, Step, Told};
use super::store_script::Read;
use crate::alert::Id;
use crate::engine::intake::Outcome;
use crate::engine::publish::{Owner, owner};
use crate::engine::{AppendError, Changed, Publish, Stored, Tracking, Unavailable};
use crate::incident::report::report;
use crate::incident::{Act, ActError, Happened, Key, Reported, Room, Row, Settings};

pub(super) enum GroupPlan {
    Late,
    Refused(AppendError),
    Taken(Vec<Told>),
}

pub(super) enum ActPlan {
    Late,
    Refused(ActError),
    /// The incident was as wanted already when it was read.
    Unchanged(Box<Row>),
    /// It was so after this step, which another wish made necessary.
    After(usize),
    Done(usize),
}

pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) groups: Vec<GroupPlan>,
    pub(super) acts: Vec<ActPlan>,
    /// What it amounts to, once it is stored.
    pub(super) happened: Happened,
}

/// An idempotency key, as the steps so far leave it.
struct Taken {
    fingerprint: [u8; 32],
    by: TakenBy,
}

enum TakenBy {
    Step(usize),
    Earlier { id: Id, received_ms: u64, is_retracted: bool },
}

struct Planner<'a, 'l> {
    look: &'l Look,
    settings: &'l Settings,
    /// What the steps so far have made of the rows that were read.
    rows: HashMap<String, Box<Row>>,
    /// The newest step that has changed a row.
    changed: HashMap<String, usize>,
    open: u64,
    users: HashMap<Owner, u64>,
    keys: HashMap<[u8; 32], Taken>,
    steps: Vec<Step<'a>>,
    happened: Happened,
}

impl<'a> Plan<'a> {
    pub(super) fn decide(wishes: &Wishes<'a>, look: &Look, settings: &Settings) -> Self {
        let known = |key: &[u8; 32]| {
            let Known { fingerprint, id, received_ms, is_retracted } = look.known(key)?;
            Some((*key, Taken { fingerprint, by: TakenBy::Earlier { id, received_ms, is_retracted } }))
        };
        let row = |(field, looked): (&String, &LookedRow)| Some((field.clone(), Box::new(looked.row.clone()?)));
        let mut planner = Planner {
            look,
            settings,
            rows: look.rows.iter().filter_map(row).collect(),
            changed: HashMap::new(),
            open: look.open,
            users: look.users.clone(),
            keys: look.keys.keys().filter_map(known).collect(),
            steps: Vec::new(),
            happened: Happened::default(),
        };
        let groups = wishes.groups.iter().map(|(deadline_ms, alerts)| planner.group(*deadline_ms, alerts)).collect();
        let acts = wishes.acts.iter().map(|(deadline_ms, act)| planner.act(*deadline_ms, act)).collect();
        wishes.due.iter().for_each(|key| planner.due(key));
        Self { steps: planner.steps, groups, acts, happened: planner.happened }
    }

    /// The earliest deadline of what is stored, on the server's clock.
    pub(super) fn deadline_ms(&self, wishes: &Wishes<'_>, due_until_ms: u64) -> u64 {
        let groups = wishes.groups.iter().zip(&self.groups);
        let groups =
            groups.filter(|(_, plan)| matches!(plan, GroupPlan::Taken(_))).map(|((deadline_ms, _), _)| *deadline_ms);
        let acts = wishes.acts.iter().zip(&self.acts);
        let acts = acts
            .filter(|(_, plan)| matches!(plan, ActPlan::Done(_) | ActPlan::After(_)))
            .map(|((deadline_ms, _), _)| *deadline_ms);
        groups.chain(acts).min().unwrap_or(due_until_ms)
    }

    /// Whether the outcome depends on what was stored by an earlier call.
    pub(super) fn has_known(&self) -> bool {
        let is_known = |told: &Told| matches!(told, Told::Known { .. });
        let has_known = |group: &GroupPlan| matches!(group, GroupPlan::Taken(told) if told.iter().any(is_known));
        self.groups.iter().any(has_known) || self.acts.iter().any(|act| matches!(act, ActPlan::Unchanged(_)))
    }
}

/// Everything that was read, which must not have changed until the plan is stored.
pub(super) fn read(look: &Look) -> Vec<Read<'_>> {
    let keys = look.keys.iter().map(|(key, looked)| Read::Key(key, &looked.stored));
    keys.chain(look.rows.iter().map(|(field, looked)| Read::Row(field, &looked.stored))).collect()
}

impl<'a> Planner<'a, '_> {
    fn group(&mut self, deadline_ms: u64, alerts: &'a [Publish]) -> GroupPlan {
        if deadline_ms < self.look.clock_ms {
            return GroupPlan::Late;
        }
        match self.fits(alerts) {
            Err(refused) => GroupPlan::Refused(refused),
            Ok(()) => GroupPlan::Taken(alerts.iter().map(|publish| self.alert(publish)).collect()),
        }
    }

    /// Fails if one of a group's keys was used for another alert, or for one that was taken back. A different state takes
    /// over its key, and the same one is a repeat whatever became of the alert.
    fn fits(&self, alerts: &[Publish]) -> Result<(), AppendError> {
        let mut own = HashMap::new();
        for publish in alerts {
            let Some(idempotency) = &publish.idempotency else { continue };
            let (key, fingerprint) = (idempotency.hash(), publish.fingerprint());
            if idempotency.state.is_none() {
                let known = self.keys.get(&key);
                if known.is_some_and(|known| matches!(known.by, TakenBy::Earlier { is_retracted: true, .. })) {
                    return Err(AppendError::Retracted);
                }
                let mut used = known.map(|taken| taken.fingerprint).into_iter().chain(own.get(&key).copied());
                if used.any(|used| used != fingerprint) {
                    return Err(AppendError::Conflict);
                }
            }
            own.insert(key, fingerprint);
        }
        Ok(())
    }

    fn alert(&mut self, publish: &'a Publish) -> Told {
        if let Some(told) = self.known(publish) {
            return told;
        }
        if let Some(idempotency) = &publish.idempotency {
            let (fingerprint, by) = (publish.fingerprint(), TakenBy::Step(self.steps.len()));
            self.keys.insert(idempotency.hash(), Taken { fingerprint, by });
        }
        let Publish { draft, user, .. } = publish;
        let reported = match (draft.incident(), Key::of(draft)) {
            (Some(incident), Some(key)) => {
                let field = incident_row::field(&key);
                let row = self.rows.get(&field).map(Box::as_ref);
                let room = || self.room(user);
                (field, report(row, draft, incident, user, self.look.now_ms, self.settings, room))
            }
            _ => (String::new(), Reported::Unchanged),
        };
        Told::New(match reported {
            (_, Reported::Unchanged) => self.step(Does::Alert(publish, Tracking::None), String::new(), None),
            (_, Reported::Untracked(why)) => {
                self.step(Does::Alert(publish, Tracking::Untracked(why)), String::new(), None)
            }
            (field, Reported::Counted(row)) => self.step(Does::Count(publish), field, Some(row)),
            (field, Reported::Stored(row, _)) => self.step(Does::Alert(publish, Tracking::Tracked), field, Some(row)),
        })
    }

    /// The outcome of an alert that was stored before.
    fn known(&self, publish: &Publish) -> Option<Told> {
        let key = publish.idempotency.as_ref()?.hash();
        let taken = self.keys.get(&key).filter(|taken| taken.fingerprint == publish.fingerprint())?;
        Some(match taken.by {
            TakenBy::Step(step) => Told::Again(step),
            TakenBy::Earlier { id, received_ms, .. } => {
                Told::Known { id, received_ms, alert: self.look.keys.get(&key).and_then(|looked| looked.alert.clone()) }
            }
        })
    }

    fn act(&mut self, deadline_ms: u64, act: &Act) -> ActPlan {
        if deadline_ms < self.look.clock_ms {
            return ActPlan::Late;
        }
        let field = incident_row::field(&act.key);
        let row = self.rows.get(&field).map(Box::as_ref);
        let room = || self.room(row.map_or("", |row| &row.user));
        match act.apply(row, self.look.now_ms, room) {
            Err(refused) => ActPlan::Refused(refused),
            Ok(None) => match (row, self.changed.get(&field)) {
                (_, Some(step)) => ActPlan::After(*step),
                (Some(row), None) => ActPlan::Unchanged(Box::new(row.clone())),
                (None, None) => ActPlan::Refused(ActError::Unknown),
            },
            Ok(Some(acted)) => ActPlan::Done(self.step(Does::Record(acted.record), field, Some(Box::new(acted.row)))),
        }
    }

    fn due(&mut self, key: &Key) {
        let field = incident_row::field(key);
        let Some(row) = self.rows.get(&field).cloned() else {
            self.step(Does::Undue, field, None);
            return;
        };
        if let Some(acted) = row.pass_time(key, self.look.now_ms, self.settings) {
            self.step(Does::Record(acted.record), field, Some(Box::new(acted.row)));
        } else if self.is_said_to_be_due(&field) {
            self.step(Does::Keep, field, Some(row));
        }
    }

    /// Whether it is stored that something is due. If nothing is, that was written by other settings.
    fn is_said_to_be_due(&self, field: &str) -> bool {
        let looked = self.look.rows.get(field);
        looked.and_then(|looked| incident_row::due_ms(&looked.stored)).is_some_and(|due_ms| due_ms <= self.look.now_ms)
    }

    fn room(&self, user: &str) -> Room {
        let of_user = self.users.get(&owner(user.as_bytes())).copied().unwrap_or(0);
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        self.settings.room(number(self.open), number(of_user))
    }

    /// Adds a step and returns its number.
    fn step(&mut self, does: Does<'a>, field: String, row: Option<Box<Row>>) -> usize {
        let mut stored = Vec::new();
        if let Some(row) = &row {
            stored = incident_row::rest(row, self.settings);
            self.changed.insert(field.clone(), self.steps.len());
            let before = self.rows.insert(field.clone(), row.clone());
            self.happened.change(before.as_deref(), row);
            if let Some(before) = before.filter(|before| !before.is_resolved()) {
                self.count(&before.user, false);
            }
            if !row.is_resolved() {
                self.count(&row.user, true);
            }
        }
        self.steps.push(Step { does, field, row, stored });
        self.steps.len() - 1
    }

    /// Counts an incident that is opened, or no longer open.
    fn count(&mut self, user: &str, is_more: bool) {
        let of_user = self.users.entry(owner(user.as_bytes())).or_default();
        for number in [of_user, &mut self.open] {
            *number = if is_more { *number + 1 } else { number.saturating_sub(1) };
        }
    }
}

impl Plan<'_> {
    /// The outcome of a group of `alerts`. None if the script answered something else than was decided.
    pub(super) fn group(
        &self,
        plan: &GroupPlan,
        alerts: &[Publish],
        (ids, now_ms): (&[Ids], u64),
        late: impl FnOnce() -> Unavailable,
    ) -> Option<Outcome> {
        let told = match plan {
            GroupPlan::Late => return Some(Err(AppendError::NotStored(late()))),
            GroupPlan::Refused(refused) => return Some(Err(refused.clone())),
            GroupPlan::Taken(told) => told,
        };
        let done = |step: usize| self.steps.get(step)?.record(*ids.get(step)?, now_ms);
        let stored = told.iter().zip(alerts).map(|(told, publish)| {
            let (record, repeated, incident) = match told {
                Told::New(step) => (done(*step)?, false, self.steps.get(*step)?.tracking()),
                Told::Again(step) => (done(*step)?, true, Tracking::None),
                Told::Known { id, received_ms, alert } => {
                    let mut record = publish.draft.record(*id, *received_ms);
                    // Its place in the incident is known to the log alone.
                    if let Some((ms, json)) = alert.clone().filter(|_| publish.draft.incident().is_some()) {
                        (record.received_ms, record.json) = (ms, json.into());
                    }
                    (record, true, Tracking::None)
                }
            };
            Some(Stored { record, repeated, incident })
        });
        Some(Ok(stored.collect::<Option<_>>()?))
    }

    pub(super) fn act(
        &self,
        plan: &ActPlan,
        (ids, now_ms): (&[Ids], u64),
        late: impl FnOnce() -> Unavailable,
    ) -> Option<Result<Result<Changed, ActError>, AppendError>> {
        Some(match plan {
            ActPlan::Late => Err(AppendError::NotStored(late())),
            ActPlan::Refused(refused) => Ok(Err(*refused)),
            ActPlan::Unchanged(row) => Ok(Ok(Changed { row: (**row).clone(), record: None })),
            ActPlan::Done(number) | ActPlan::After(number) => {
                let (step, ids) = (self.steps.get(*number)?, *ids.get(*number)?);
                let record = if matches!(plan, ActPlan::Done(_)) { Some(step.record(ids, now_ms)?) } else { None };
                Ok(Ok(Changed { row: step.row_with(ids)?, record }))
            }
        })
    }
}
