//! What an alert makes of its incident.

use std::fmt;

use super::row::{Deed, Key, LastAlert, Row, State};
use super::settings::Settings;
use crate::alert::{Draft, IncidentPlace, IncidentReport, IncidentStatus, Level, Repeats, Topic};

/// Whether one more incident may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Some,
    None(Untracked),
}

/// Why an alert that reports an incident opens none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untracked {
    /// `incidents.max_open` is reached, which is this.
    MaxOpen(usize),
    /// `incidents.max_open_per_user` is reached, which is this.
    MaxOpenPerUser(usize),
    /// A node that does not know incidents shares the log.
    OlderNode,
}

impl Untracked {
    /// The words for each, in the order of [`number`](Self::number).
    pub(crate) const NAMES: [&'static str; 3] = ["max_open", "max_open_per_user", "older_node"];

    pub(crate) const fn number(self) -> usize {
        match self {
            Self::MaxOpen(_) => 0,
            Self::MaxOpenPerUser(_) => 1,
            Self::OlderNode => 2,
        }
    }
}

impl fmt::Display for Untracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REMEDY: &str = "resolve incidents (alertctl incidents), give alerts a ttl, or raise it";
        match self {
            Self::MaxOpen(limit) => {
                write!(f, "no more than {limit} incidents may be unresolved (incidents.max_open): {REMEDY}")
            }
            Self::MaxOpenPerUser(limit) => write!(
                f,
                "no more than {limit} incidents of one user may be unresolved (incidents.max_open_per_user): {REMEDY}"
            ),
            Self::OlderNode => f.write_str(
                "a node of an earlier version, which does not know incidents, shares the log: upgrade every node; one that was stopped counts for an hour",
            ),
        }
    }
}

impl Settings {
    /// Whether one more may be open while so many are, and so many of the user whose alert would open it.
    pub(crate) const fn room(&self, open: usize, of_user: usize) -> Room {
        let Self { max_open, max_open_per_user, .. } = *self;
        if open >= max_open {
            Room::None(Untracked::MaxOpen(max_open))
        } else if of_user >= max_open_per_user {
            Room::None(Untracked::MaxOpenPerUser(max_open_per_user))
        } else {
            Room::Some
        }
    }
}

/// What follows from an alert that reports an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// It changes no incident, and is stored as any other alert.
    Unchanged,
    /// The same, although it would open an incident.
    Untracked(Untracked),
    /// It is counted and neither stored nor broadcast.
    Counted(Box<Row>),
    /// It is stored with this place, and its incident becomes this.
    Stored(Box<Row>, IncidentPlace),
}

impl Key {
    /// The incident of an alert.
    pub(crate) fn of(draft: &Draft) -> Option<Self> {
        let name = draft.incident()?.name.clone();
        Some(Self { topic: Topic::clone(draft.topic()), name })
    }
}

/// Decides for an alert with its report. `row` is the incident before it. `room` is asked only if the alert would open an
/// incident.
pub(crate) fn report(
    row: Option<&Row>,
    draft: &Draft,
    report: &IncidentReport,
    user: &str,
    now_ms: u64,
    settings: &Settings,
    room: impl FnOnce() -> Room,
) -> Reported {
    let row = row.filter(|row| !row.is_resolved() || report.status == IncidentStatus::Open);
    match (row, report.status, draft.level()) {
        (Some(row), IncidentStatus::Resolved, _) => resolved(row, draft, user, now_ms),
        (Some(row), IncidentStatus::Open, _) if !row.is_resolved() => {
            if row.is_repeat(draft, report, now_ms, settings) {
                Reported::Counted(Box::new(row.counted(report, now_ms)))
            } else {
                row.continued(draft, report, now_ms)
            }
        }
        (_, IncidentStatus::Resolved, _) | (_, _, Level::Info) => Reported::Unchanged,
        (before, IncidentStatus::Open, Level::Warn | Level::Error) => match room() {
            Room::None(why) => Reported::Untracked(why),
            Room::Some => opened(before.map_or(0, |row| row.occurrence), draft, report, user, now_ms),
        },
    }
}

fn stored(row: Row) -> Reported {
    let place = row.place();
    Reported::Stored(Box::new(row), place)
}

fn ends_ms(report: &IncidentReport, now_ms: u64) -> Option<u64> {
    report.ttl.map(|ttl| now_ms.saturating_add(ttl.ms()))
}

fn opened(before: u64, draft: &Draft, report: &IncidentReport, user: &str, now_ms: u64) -> Reported {
    stored(Row {
        occurrence: before + 1,
        state: State::Open,
        level: draft.level(),
        count: 1,
        user: user.to_owned(),
        opened_ms: now_ms,
        updated_ms: now_ms,
        changed: None,
        acknowledged: None,
        resolved: None,
        note: None,
        ends_ms: ends_ms(report, now_ms),
        announced_ms: now_ms,
        reminders: 0,
        last: Some(LastAlert::of(draft, IncidentStatus::Open, 1, now_ms)),
        others: serde_json::Map::new(),
    })
}

fn resolved(row: &Row, draft: &Draft, user: &str, now_ms: u64) -> Reported {
    stored(Row {
        state: State::Resolved,
        updated_ms: now_ms,
        resolved: Some(Deed { by: Some(user.to_owned()), ms: now_ms }),
        ends_ms: None,
        announced_ms: now_ms,
        last: Some(LastAlert::of(draft, IncidentStatus::Resolved, row.count, now_ms)),
        ..row.clone()
    })
}

impl Row {
    /// Whether an alert says what the last one that was broadcast said a short while ago.
    fn is_repeat(&self, draft: &Draft, report: &IncidentReport, now_ms: u64, settings: &Settings) -> bool {
        self.last.as_ref().is_some_and(|last| {
            let is_same = last.level == draft.level() && last.message == draft.message();
            let is_soon = now_ms.saturating_sub(last.ms) < settings.repeat_interval_ms;
            is_same && (is_soon || report.repeats == Repeats::Counted)
        })
    }

    fn counted(&self, report: &IncidentReport, now_ms: u64) -> Self {
        Self { count: self.count + 1, updated_ms: now_ms, ends_ms: ends_ms(report, now_ms), ..self.clone() }
    }

    fn continued(&self, draft: &Draft, report: &IncidentReport, now_ms: u64) -> Reported {
        let mut row = self.counted(report, now_ms);
        row.announced_ms = now_ms;
        row.last = Some(LastAlert::of(draft, IncidentStatus::Open, row.count, now_ms));
        if draft.level() > Level::Info {
            if draft.level() > row.level {
                (row.state, row.acknowledged) = (State::Open, None);
            }
            row.level = draft.level();
        }
        stored(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        repeat_interval_ms: 1000,
        remind_after_ms: 0,
        remind_level: Level::Error,
        max_open: 1,
        max_open_per_user: 1,
    };

    fn draft(body: &str) -> Draft {
        Draft::from_json(None, body.as_bytes()).unwrap()
    }

    fn sent(row: Option<&Row>, body: &str, now_ms: u64) -> Reported {
        let draft = draft(body);
        report(row, &draft, draft.incident().unwrap(), "alice", now_ms, &SETTINGS, || Room::Some)
    }

    fn row(reported: Reported) -> Row {
        match reported {
            Reported::Stored(row, place) => {
                assert_eq!(place, row.place());
                *row
            }
            other => panic!("{other:?}"),
        }
    }

    const ERROR: &str = r#"{"message":"m","level":"error","incident":"i","ttl":"5s"}"#;
    const WARN: &str = r#"{"message":"m","level":"warn","incident":"i"}"#;
    const INFO: &str = r#"{"message":"n","incident":"i"}"#;
    const END: &str = r#"{"message":"over","incident":"i","status":"resolved"}"#;

    #[test]
    fn a_warning_opens_and_information_only_updates() {
        for body in [INFO, END] {
            assert_eq!(sent(None, body, 5), Reported::Unchanged);
        }
        let open = row(sent(None, WARN, 5));
        assert_eq!((open.occurrence, open.count, open.opened_ms, open.state), (1, 1, 5, State::Open));
        let informed = row(sent(Some(&open), INFO, 7));
        assert_eq!((informed.count, informed.level, informed.updated_ms), (2, Level::Warn, 7));
        assert_eq!(informed.last.unwrap().message, "n");
        let full = draft(WARN);
        for (open, of_user, why) in [(1, 0, Untracked::MaxOpen(1)), (0, 1, Untracked::MaxOpenPerUser(1))] {
            let room = || SETTINGS.room(open, of_user);
            let refused = report(None, &full, full.incident().unwrap(), "alice", 5, &SETTINGS, room);
            assert_eq!(refused, Reported::Untracked(why));
        }
        assert_eq!(SETTINGS.room(0, 0), Room::Some);
    }

    #[test]
    fn a_higher_level_takes_the_acknowledgement_back_and_a_lower_one_does_not() {
        let mut acknowledged = row(sent(None, WARN, 5));
        acknowledged.state = State::Acknowledged;
        acknowledged.acknowledged = Some(Deed { by: Some("bob".into()), ms: 6 });
        let worse = row(sent(Some(&acknowledged), ERROR, 7));
        assert_eq!((worse.state, worse.acknowledged, worse.level), (State::Open, None, Level::Error));
        acknowledged.level = Level::Error;
        let better = row(sent(Some(&acknowledged), WARN, 2000));
        assert_eq!((better.state, better.level), (State::Acknowledged, Level::Warn));
        let informed = row(sent(Some(&acknowledged), INFO, 7));
        assert_eq!((informed.state, informed.level), (State::Acknowledged, Level::Error));
    }

    #[test]
    fn after_its_end_a_warning_begins_a_new_occurrence() {
        let over = row(sent(Some(&row(sent(None, ERROR, 5))), END, 9));
        assert_eq!((over.state, over.count, over.ends_ms), (State::Resolved, 1, None));
        assert_eq!(over.resolved, Some(Deed { by: Some("alice".into()), ms: 9 }));
        for body in [INFO, END] {
            assert_eq!(sent(Some(&over), body, 10), Reported::Unchanged);
        }
        let again = row(sent(Some(&over), WARN, 11));
        assert_eq!((again.occurrence, again.count, again.opened_ms, again.resolved), (2, 1, 11, None));
    }

    #[test]
    fn an_equal_alert_is_counted_until_the_interval_has_passed() {
        let open = row(sent(None, ERROR, 0));
        let Reported::Counted(counted) = sent(Some(&open), ERROR, 999) else { panic!("not counted") };
        assert_eq!((counted.count, counted.ends_ms, counted.announced_ms), (2, Some(5999), 0));
        let broadcast = row(sent(Some(&counted), ERROR, 1000));
        assert_eq!((broadcast.count, broadcast.last.unwrap().ms), (3, 1000));
        // Another message or level is news.
        assert_eq!(row(sent(Some(&counted), WARN, 999)).count, 3);
        assert_eq!(row(sent(Some(&counted), INFO, 999)).count, 3);
    }

    #[test]
    fn each_alert_sets_the_ttl_anew_or_ends_it() {
        let open = row(sent(None, ERROR, 0));
        assert_eq!(open.ends_ms, Some(5000));
        assert_eq!(row(sent(Some(&open), WARN, 3000)).ends_ms, None);
        assert_eq!(row(sent(Some(&open), ERROR, 3000)).ends_ms, Some(8000));
    }

    #[test]
    fn a_row_reads_back_with_fields_of_later_versions() {
        let open = row(sent(None, ERROR, 0));
        let text = serde_json::to_string(&open).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), open);
        let later = text.replacen('{', r#"{"later":[1],"#, 1);
        let back: Row = serde_json::from_str(&later).unwrap();
        assert!(serde_json::to_string(&back).unwrap().contains(r#""later":[1]"#));
    }
}
