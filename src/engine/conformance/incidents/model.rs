//! The rules of incidents, written a second time.

use std::collections::BTreeMap;

use crate::alert::{Id, Level};
use crate::incident::{Act, ActError, Action, Happened, Key, Row, Settings, State, Untracked};

#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) key: Key,
    pub(super) user: &'static str,
    pub(super) message: &'static str,
    pub(super) level: Level,
    pub(super) is_end: bool,
    pub(super) ttl_s: Option<u64>,
}

/// What becomes of an alert.
#[derive(Debug)]
pub(super) enum Told {
    Plain,
    Tracked,
    Untracked(Untracked),
    /// Answered with this alert.
    Counted(Id),
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) occurrence: u64,
    pub(super) state: State,
    pub(super) level: Level,
    pub(super) count: u64,
    pub(super) user: String,
    pub(super) opened_ms: u64,
    pub(super) updated_ms: u64,
    pub(super) acknowledged: Option<(Option<String>, u64)>,
    pub(super) resolved: Option<(Option<String>, u64)>,
    pub(super) note: Option<String>,
    pub(super) ends_ms: Option<u64>,
    pub(super) announced_ms: u64,
    pub(super) reminders: u64,
    pub(super) changed: Id,
    /// The last alert that was broadcast and is not retracted, as far as there is one.
    pub(super) last: Option<Last>,
}

impl Shown {
    /// What a row says.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            occurrence: row.occurrence,
            state: row.state,
            level: row.level,
            count: row.count,
            user: row.user.clone(),
            opened_ms: row.opened_ms,
            updated_ms: row.updated_ms,
            acknowledged: row.acknowledged.as_ref().map(|deed| (deed.by.clone(), deed.ms)),
            resolved: row.resolved.as_ref().map(|deed| (deed.by.clone(), deed.ms)),
            note: row.note.clone(),
            ends_ms: row.ends_ms,
            announced_ms: row.announced_ms,
            reminders: row.reminders,
            changed: row.changed.unwrap(),
            last: row.last.as_ref().map(|last| (last.id.unwrap(), last.message.clone(), last.level)),
        }
    }
}

/// Id, message and level.
pub(super) type Last = (Id, String, Level);

/// An alert that changed an incident.
struct Broadcast {
    key: Key,
    occurrence: u64,
    last: Last,
    ms: u64,
    /// The alerts by which it was announced again.
    reminders: Vec<Id>,
}

pub(super) struct Model {
    pub(super) now_ms: u64,
    pub(super) settings: Settings,
    /// With the time of the last alert that was broadcast.
    incidents: BTreeMap<Key, (Shown, u64)>,
    /// In order, without those that were retracted.
    broadcast: Vec<Broadcast>,
    /// What happened since the engine started.
    pub(super) happened: Happened,
}

impl Model {
    pub(super) fn new(now_ms: u64, settings: Settings) -> Self {
        let (broadcast, happened) = (Vec::new(), Happened::default());
        Self { now_ms, settings, incidents: BTreeMap::new(), broadcast, happened }
    }

    fn full(&self, user: &str) -> Option<Untracked> {
        let Settings { max_open, max_open_per_user, .. } = self.settings;
        let open = || self.incidents.values().filter(|(shown, _)| shown.state != State::Resolved);
        let own = open().filter(|(shown, _)| shown.user == user).count();
        let of_user = (own >= max_open_per_user).then_some(Untracked::MaxOpenPerUser(max_open_per_user));
        (open().count() >= max_open).then_some(Untracked::MaxOpen(max_open)).or(of_user)
    }

    /// Takes an alert, which gets this id if it is stored.
    pub(super) fn publish(&mut self, alert: &Alert, id: Id) -> Told {
        let told = self.told(alert, id);
        if let (Told::Tracked, Some((shown, ms))) = (&told, self.incidents.get(&alert.key)) {
            let (key, occurrence, reminders) = (alert.key.clone(), shown.occurrence, Vec::new());
            let last = (id, alert.message.to_owned(), alert.level);
            self.broadcast.push(Broadcast { key, occurrence, last, ms: *ms, reminders });
        }
        told
    }

    fn told(&mut self, alert: &Alert, id: Id) -> Told {
        let (now_ms, ends_ms) = (self.now_ms, alert.ttl_s.map(|s| self.now_ms + 1000 * s));
        let full = self.full(alert.user);
        let known = self.incidents.get_mut(&alert.key);
        let occurrence = known.as_ref().map_or(0, |(shown, _)| shown.occurrence);
        if let Some((shown, last_ms)) = known.filter(|(shown, _)| shown.state != State::Resolved) {
            if alert.is_end {
                (shown.state, shown.resolved) = (State::Resolved, Some((Some(alert.user.to_owned()), now_ms)));
                shown.ends_ms = None;
                self.happened.resolved_ms.push(now_ms - shown.opened_ms);
            } else {
                shown.count += 1;
                shown.ends_ms = ends_ms;
                let is_same = |last: &&Last| last.1 == alert.message && last.2 == alert.level;
                if let Some(last) = shown.last.as_ref().filter(is_same)
                    && now_ms < *last_ms + self.settings.repeat_interval_ms
                {
                    shown.updated_ms = now_ms;
                    return Told::Counted(last.0);
                }
                if alert.level > shown.level {
                    (shown.state, shown.acknowledged) = (State::Open, None);
                }
                if alert.level != Level::Info {
                    shown.level = alert.level;
                }
            }
            (shown.updated_ms, shown.announced_ms, *last_ms) = (now_ms, now_ms, now_ms);
            (shown.changed, shown.last) = (id, Some((id, alert.message.to_owned(), alert.level)));
            return Told::Tracked;
        }
        if alert.is_end || alert.level == Level::Info {
            return Told::Plain;
        }
        if let Some(why) = full {
            return Told::Untracked(why);
        }
        let shown = Shown {
            occurrence: occurrence + 1,
            state: State::Open,
            level: alert.level,
            count: 1,
            user: alert.user.to_owned(),
            opened_ms: now_ms,
            updated_ms: now_ms,
            acknowledged: None,
            resolved: None,
            note: None,
            ends_ms,
            announced_ms: now_ms,
            reminders: 0,
            changed: id,
            last: Some((id, alert.message.to_owned(), alert.level)),
        };
        self.incidents.insert(alert.key.clone(), (shown, now_ms));
        Told::Tracked
    }

    /// Whether something is changed.
    pub(super) fn act(&mut self, act: &Act) -> Result<bool, ActError> {
        let state = self.incidents.get(&act.key).map(|(shown, _)| (shown.state, shown.user.clone()));
        let (state, user) = state.ok_or(ActError::Unknown)?;
        let is_full = self.full(&user).is_some();
        let Some((shown, _)) = self.incidents.get_mut(&act.key) else { return Err(ActError::Unknown) };
        let now_ms = self.now_ms;
        let deed = Some((Some(act.by.clone()), now_ms));
        match (act.action, state) {
            (Action::Acknowledge, State::Resolved) => return Err(ActError::Resolved),
            (Action::Reopen, State::Resolved) if is_full => return Err(ActError::Full),
            (Action::Acknowledge, State::Acknowledged)
            | (Action::Resolve, State::Resolved)
            | (Action::Reopen, State::Open) => return Ok(false),
            (Action::Acknowledge, State::Open) => {
                (shown.state, shown.acknowledged) = (State::Acknowledged, deed);
                shown.note.clone_from(&act.note);
                self.happened.acknowledged_ms.push(now_ms - shown.opened_ms);
            }
            (Action::Resolve, _) => {
                (shown.state, shown.resolved, shown.ends_ms) = (State::Resolved, deed, None);
                shown.note = act.note.clone().or(shown.note.take());
                self.happened.resolved_ms.push(now_ms - shown.opened_ms);
            }
            (Action::Reopen, _) => {
                (shown.state, shown.acknowledged, shown.resolved, shown.ends_ms) = (State::Open, None, None, None);
                shown.announced_ms = now_ms;
                shown.note.clone_from(&act.note);
            }
        }
        shown.updated_ms = now_ms;
        Ok(true)
    }

    /// Does what is due: a reminder with its number, or the end of a time to live.
    pub(super) fn pass_time(&mut self) -> BTreeMap<Key, Option<u64>> {
        let (now_ms, Settings { remind_after_ms, remind_level, .. }) = (self.now_ms, self.settings);
        let mut due = BTreeMap::new();
        for (key, (shown, _)) in &mut self.incidents {
            let may_wait = shown.state == State::Open && shown.level >= remind_level && shown.last.is_some();
            let is_waiting = remind_after_ms > 0 && may_wait;
            if shown.ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms) {
                (shown.state, shown.resolved, shown.ends_ms) = (State::Resolved, Some((None, now_ms)), None);
                shown.updated_ms = now_ms;
                self.happened.resolved_ms.push(now_ms - shown.opened_ms);
                due.insert(key.clone(), None);
            } else if is_waiting && shown.announced_ms + remind_after_ms <= now_ms {
                (shown.reminders, shown.announced_ms) = (shown.reminders + 1, now_ms);
                self.happened.reminders += 1;
                due.insert(key.clone(), Some(shown.reminders));
            }
        }
        due
    }

    /// Notes the id of the alert by which an incident was announced again.
    pub(super) fn reminded(&mut self, key: &Key, id: Id) {
        let last = self.incidents.get(key).and_then(|(shown, _)| shown.last.clone());
        let of_last = |one: &&mut Broadcast| last.as_ref().is_some_and(|last| one.last.0 == last.0);
        self.broadcast.iter_mut().find(of_last).expect("nothing was announced").reminders.push(id);
    }

    /// Takes an alert back. Returns what is retracted with it, and then the alert.
    pub(super) fn retract(&mut self, id: Id) -> Vec<Id> {
        self.broadcast.iter_mut().for_each(|one| one.reminders.retain(|reminder| *reminder != id));
        let Some(at) = self.broadcast.iter().position(|one| one.last.0 == id) else { return vec![id] };
        let Broadcast { key, occurrence, mut reminders, .. } = self.broadcast.remove(at);
        if let Some((shown, last_ms)) = self.incidents.get_mut(&key)
            && shown.last.as_ref().is_some_and(|last| last.0 == id)
        {
            let is_before = |one: &&Broadcast| one.key == key && one.occurrence == occurrence;
            let before = self.broadcast[..at].iter().rev().find(is_before);
            shown.last = before.map(|before| before.last.clone());
            *last_ms = before.map_or(0, |before| before.ms);
        }
        reminders.push(id);
        reminders
    }

    /// Notes the id of the record that changed an incident.
    pub(super) fn changed(&mut self, key: &Key, id: Id) {
        if let Some((shown, _)) = self.incidents.get_mut(key) {
            shown.changed = id;
        }
    }

    /// Retention has left nothing before `oldest`: resolved incidents go with their last alert.
    pub(super) fn retain(&mut self, oldest: Id) {
        self.incidents.retain(|_, (shown, _)| {
            shown.state != State::Resolved || shown.last.as_ref().is_none_or(|last| last.0 >= oldest)
        });
    }

    pub(super) fn shown(&self, key: &Key) -> Option<Shown> {
        Some(self.incidents.get(key)?.0.clone())
    }

    /// All incidents, the one that changed last first.
    pub(super) fn all(&self) -> Vec<(Key, Shown)> {
        let mut all: Vec<_> = self.incidents.iter().map(|(key, (shown, _))| (key.clone(), shown.clone())).collect();
        all.sort_by_key(|(_, shown)| std::cmp::Reverse(shown.changed));
        all
    }
}
