//! What people and time make of an incident: transitions and reminders.

use serde::Serialize;
use serde_json::{Map, Value};

use super::report::Room;
use super::row::{Deed, Key, Row, State};
use super::settings::Settings;
use crate::alert::{Draft, EventJson, Id, IncidentReport, IncidentStatus, Level, Metadata, Record, RecordKind};

/// The longest note, in characters.
pub(crate) const MAX_NOTE: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Acknowledge,
    Resolve,
    Reopen,
}

/// What somebody wants to do about an incident.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub key: Key,
    pub action: Action,
    /// The user.
    pub by: String,
    pub note: Option<String>,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActError {
    /// There is no such incident.
    Unknown,
    /// A resolved incident cannot be acknowledged.
    Resolved,
    /// It cannot be opened again: the limit of open incidents is reached.
    Full,
}

/// A change of an incident that is not made by an alert of a sender, before its record has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acted {
    /// The incident after the change.
    pub row: Row,
    pub record: Unrecorded,
}

/// A record that has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrecorded {
    Transition(Transition),
    /// The reminder, an alert.
    Reminder(Box<Draft>),
}

/// A change of the state, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    key: Key,
    json: EventJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Api,
    Ttl,
}

impl Transition {
    fn of(key: &Key, row: &Row, by: Option<&str>, reason: Reason) -> Self {
        #[derive(Serialize)]
        struct Members<'a> {
            topic: &'a str,
            incident: &'a str,
            occurrence: u64,
            count: u64,
            state: State,
            by: Option<&'a str>,
            note: Option<&'a str>,
            reason: Reason,
        }
        let Key { topic, name } = key;
        let json = EventJson::of(&Members {
            topic: topic.as_str(),
            incident: name.as_str(),
            occurrence: row.occurrence,
            count: row.count,
            state: row.state,
            by,
            note: row.note.as_deref(),
            reason,
        });
        Self { key: key.clone(), json }
    }

    /// The part of the JSON between the id and the time, which Redis assigns on its own.
    pub(crate) fn json_between(&self) -> &[u8] {
        self.json.between()
    }

    pub(crate) fn record(&self, id: Id, now_ms: u64) -> Record {
        Record {
            id,
            kind: RecordKind::Transition,
            topic: self.key.topic.clone(),
            level: Level::Error,
            received_ms: now_ms,
            json: self.json.at(id, now_ms),
        }
    }
}

impl Unrecorded {
    pub(crate) fn kind(&self) -> RecordKind {
        match self {
            Self::Transition(_) => RecordKind::Transition,
            Self::Reminder(_) => RecordKind::Alert,
        }
    }

    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Transition(_) => Level::Error,
            Self::Reminder(draft) => draft.level(),
        }
    }

    /// The record of the change that led to `row`.
    pub(crate) fn record(&self, row: &Row, id: Id, now_ms: u64) -> Record {
        match self {
            Self::Transition(transition) => transition.record(id, now_ms),
            Self::Reminder(draft) => draft.placed_record(id, now_ms, Some(row.place())),
        }
    }

    /// The part of its JSON between the id and the time, which Redis assigns on its own.
    pub(crate) fn json_between(&self, row: &Row) -> Vec<u8> {
        match self {
            Self::Transition(transition) => transition.json_between().to_vec(),
            Self::Reminder(draft) => draft.json_between(Some(row.place())),
        }
    }
}

impl Act {
    /// What the act makes of an incident; none if it is as wanted already. `room` is asked only if it would open again.
    ///
    /// # Errors
    /// [`ActError`].
    pub(crate) fn apply(
        &self,
        row: Option<&Row>,
        now_ms: u64,
        room: impl FnOnce() -> Room,
    ) -> Result<Option<Acted>, ActError> {
        let row = row.ok_or(ActError::Unknown)?;
        let deed = || Some(Deed { by: Some(self.by.clone()), ms: now_ms });
        let (state, acknowledged, resolved, note) = match (self.action, row.state) {
            (Action::Acknowledge, State::Resolved) => return Err(ActError::Resolved),
            (Action::Acknowledge, State::Acknowledged)
            | (Action::Resolve, State::Resolved)
            | (Action::Reopen, State::Open) => return Ok(None),
            (Action::Acknowledge, State::Open) => (State::Acknowledged, deed(), None, self.note.clone()),
            (Action::Resolve, _) => {
                (State::Resolved, row.acknowledged.clone(), deed(), self.note.clone().or_else(|| row.note.clone()))
            }
            (Action::Reopen, State::Resolved) if room() != Room::Some => return Err(ActError::Full),
            (Action::Reopen, _) => (State::Open, None, None, self.note.clone()),
        };
        let ends_ms = row.ends_ms.filter(|_| self.action == Action::Acknowledge);
        // The next reminder is due as long after the reopening as after an alert.
        let announced_ms = if self.action == Action::Reopen { now_ms } else { row.announced_ms };
        let row = Row { state, acknowledged, resolved, note, ends_ms, announced_ms, updated_ms: now_ms, ..row.clone() };
        let transition = Transition::of(&self.key, &row, Some(&self.by), Reason::Api);
        Ok(Some(Acted { row, record: Unrecorded::Transition(transition) }))
    }
}

/// What time makes of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its time to live has passed.
    Expiry,
    Reminder,
}

impl Row {
    /// When something is due; none if nothing will be.
    pub(crate) fn due_ms(&self, settings: &Settings) -> Option<u64> {
        let reminder = self.reminder_ms(settings);
        let ends = self.ends_ms.filter(|_| !self.is_resolved());
        [reminder, ends].into_iter().flatten().min()
    }

    fn reminder_ms(&self, settings: &Settings) -> Option<u64> {
        let is_waiting = self.state == State::Open && self.level >= settings.remind_level && self.last.is_some();
        (settings.remind_after_ms > 0 && is_waiting).then(|| self.announced_ms.saturating_add(settings.remind_after_ms))
    }

    /// What is due now. An incident that has ended is not announced again.
    pub(crate) fn due(&self, now_ms: u64, settings: &Settings) -> Option<Due> {
        let has_ended = !self.is_resolved() && self.ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms);
        let is_reminded = self.reminder_ms(settings).is_some_and(|due_ms| due_ms <= now_ms);
        if has_ended { Some(Due::Expiry) } else { is_reminded.then_some(Due::Reminder) }
    }

    /// The change for what is due now; none if nothing is.
    pub(crate) fn pass_time(&self, key: &Key, now_ms: u64, settings: &Settings) -> Option<Acted> {
        match self.due(now_ms, settings)? {
            Due::Expiry => {
                let row = Self {
                    state: State::Resolved,
                    resolved: Some(Deed { by: None, ms: now_ms }),
                    ends_ms: None,
                    updated_ms: now_ms,
                    ..self.clone()
                };
                let transition = Transition::of(key, &row, None, Reason::Ttl);
                Some(Acted { row, record: Unrecorded::Transition(transition) })
            }
            Due::Reminder => {
                let row = Self { reminders: self.reminders + 1, announced_ms: now_ms, ..self.clone() };
                let draft = row.reminder(key)?;
                Some(Acted { row, record: Unrecorded::Reminder(Box::new(draft)) })
            }
        }
    }

    /// The last alert again, with the level of the incident and the number of reminders.
    fn reminder(&self, key: &Key) -> Option<Draft> {
        let last = self.last.as_ref()?;
        let mut members: Map<String, Value> = serde_json::from_str(&last.metadata).ok()?;
        members.insert("reminder".to_owned(), self.reminders.into());
        let metadata = Metadata::from_members(&members).ok()?;
        let report = IncidentReport::new(key.name.clone(), IncidentStatus::Open);
        let draft = Draft::cut(key.topic.clone(), &last.message, self.level, metadata).ok()?;
        Some(draft.reporting(Some(report)).cut_to_frame())
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Reported, report};
    use super::*;

    fn key() -> Key {
        Key { topic: "ops".parse().unwrap(), name: "disk".parse().unwrap() }
    }

    fn settings(remind_after_ms: u64) -> Settings {
        Settings { remind_after_ms, ..Settings::default() }
    }

    fn open(extra: &str) -> Row {
        let body = format!(r#"{{"topic":"ops","message":"full","level":"error","incident":"disk"{extra}}}"#);
        let draft = Draft::from_json(None, body.as_bytes()).unwrap();
        let reported = report(None, &draft, draft.incident().unwrap(), "alice", 100, &settings(0), || Room::Some);
        let Reported::Stored(mut row, _) = reported else { panic!("{reported:?}") };
        row.recorded(Id::at(100), true);
        *row
    }

    fn act(row: &Row, action: Action, note: Option<&str>, now_ms: u64) -> Result<Option<Acted>, ActError> {
        let act = Act { key: key(), action, by: "bob".into(), note: note.map(str::to_owned) };
        act.apply(Some(row), now_ms, || Room::Some)
    }

    fn done(row: &Row, action: Action, now_ms: u64) -> Row {
        act(row, action, None, now_ms).unwrap().unwrap().row
    }

    #[test]
    fn repeating_an_action_changes_nothing_and_the_first_acknowledgement_wins() {
        let row = open("");
        let acknowledged = act(&row, Action::Acknowledge, Some("on it"), 200).unwrap().unwrap();
        let by = Some(Deed { by: Some("bob".into()), ms: 200 });
        assert_eq!((acknowledged.row.state, &acknowledged.row.acknowledged), (State::Acknowledged, &by));
        let Unrecorded::Transition(transition) = &acknowledged.record else { panic!("no transition") };
        let record = transition.record(Id::at(200), 200);
        assert_eq!(
            std::str::from_utf8(&record.json).unwrap(),
            r#"{"id":"200-0","topic":"ops","incident":"disk","occurrence":1,"count":1,"state":"acknowledged","by":"bob","note":"on it","reason":"api","time":"1970-01-01T00:00:00.200Z"}"#
        );
        assert_eq!(act(&acknowledged.row, Action::Acknowledge, Some("me too"), 300), Ok(None));
        let resolved = done(&acknowledged.row, Action::Resolve, 400);
        assert_eq!((resolved.note.as_deref(), &resolved.acknowledged), (Some("on it"), &by));
        assert_eq!(act(&resolved, Action::Resolve, None, 500), Ok(None));
        assert_eq!(act(&resolved, Action::Acknowledge, None, 500), Err(ActError::Resolved));
        let again = done(&resolved, Action::Reopen, 600);
        assert_eq!((again.state, again.occurrence), (State::Open, 1));
        assert_eq!((&again.acknowledged, &again.resolved, &again.note), (&None, &None, &None));
        assert_eq!(act(&again, Action::Reopen, None, 700), Ok(None));
        assert_eq!(done(&acknowledged.row, Action::Reopen, 700).state, State::Open);
        let unknown = Act { key: key(), action: Action::Resolve, by: "bob".into(), note: None };
        assert_eq!(unknown.apply(None, 1, || Room::Some), Err(ActError::Unknown));
        let full = Act { key: key(), action: Action::Reopen, by: "bob".into(), note: None };
        assert_eq!(full.apply(Some(&resolved), 1, || settings(0).room(usize::MAX, 0)), Err(ActError::Full));
    }

    #[test]
    fn time_resolves_once() {
        let row = open(r#","ttl":"5s""#);
        assert_eq!((row.due_ms(&settings(0)), row.pass_time(&key(), 5099, &settings(0))), (Some(5100), None));
        let Acted { row, record } = row.pass_time(&key(), 5100, &settings(0)).unwrap();
        assert_eq!((row.state, &row.resolved), (State::Resolved, &Some(Deed { by: None, ms: 5100 })));
        let json = record.record(&row, Id::at(5100), 5100).json;
        assert!(std::str::from_utf8(&json).unwrap().contains(r#""by":null,"note":null,"reason":"ttl""#));
        assert_eq!((row.due_ms(&settings(10)), row.pass_time(&key(), 9000, &settings(10))), (None, None));
    }

    #[test]
    fn an_incident_that_nobody_acknowledges_is_announced_again_and_again() {
        let (mut row, settings) = (open(""), settings(1000));
        for number in 1..4 {
            let due_ms = 100 + 1000 * number;
            assert_eq!((row.due_ms(&settings), row.pass_time(&key(), due_ms - 1, &settings)), (Some(due_ms), None));
            let acted = row.pass_time(&key(), due_ms, &settings).unwrap();
            let record = acted.record.record(&acted.row, Id::at(due_ms), due_ms);
            let json = String::from_utf8(record.json.to_vec()).unwrap();
            assert!(json.contains(&format!(r#""metadata":{{"reminder":{number}}},"incident":"disk","status":"open""#)));
            assert!(json.contains(r#""occurrence":1,"count":1"#), "{json}");
            row = acted.row;
        }
        assert_eq!(row.last.as_ref().unwrap().id, Some(Id::at(100)));
        let acknowledged = done(&row, Action::Acknowledge, 3500);
        assert_eq!(acknowledged.due_ms(&settings), None);
        let low = Row { level: Level::Warn, ..row };
        assert_eq!(low.due_ms(&settings), None);
    }

    #[test]
    fn an_acknowledgement_leaves_the_ttl_and_a_reopening_ends_it() {
        let row = open(r#","ttl":"5s""#);
        let acknowledged = done(&row, Action::Acknowledge, 200);
        assert_eq!(acknowledged.ends_ms, Some(5100));
        let resolved = done(&acknowledged, Action::Resolve, 300);
        assert_eq!((resolved.ends_ms, done(&resolved, Action::Reopen, 400).ends_ms), (None, None));
    }
}
