//! An expectation as it is stored, and the changes of stored expectations.
//!
//! The newest sign of life is in the log and need not be stored; what only a repeat has shown is, because a repeat is not
//! in the log. Fields that this version does not know are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Subject;
use crate::alert::{Every, Level};

/// What is expected of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub every: Every,
    /// Of the alert that says that it was missed.
    pub level: Level,
    /// Who made it, for the limit of each user.
    pub user: String,
    /// When it was made or changed: the first term begins here.
    pub since_ms: u64,
    /// A sign of life that may not be in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
    /// While the topic is silent: when the sign of life was due whose absence was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_ms: Option<u64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A change of a stored expectation. One that was made already changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody expects something, from now on.
    Expect {
        subject: Subject,
        every: Every,
        level: Level,
        user: String,
        now_ms: u64,
    },
    /// An alert says when the next one is to be expected. An expectation keeps its level, and is as it was if it says the
    /// same: the alert is in the log.
    Within {
        subject: Subject,
        every: Every,
        user: String,
        now_ms: u64,
    },
    /// A sign of life that is not in the log.
    Sign {
        subject: Subject,
        at_ms: u64,
    },
    /// The alert that says so is in the log.
    Missed {
        subject: Subject,
        due_ms: u64,
    },
    /// The same.
    Met {
        subject: Subject,
        due_ms: u64,
    },
    Remove {
        subject: Subject,
    },
}

impl Change {
    pub(crate) const fn subject(&self) -> &Subject {
        match self {
            Self::Expect { subject, .. }
            | Self::Within { subject, .. }
            | Self::Sign { subject, .. }
            | Self::Missed { subject, .. }
            | Self::Met { subject, .. }
            | Self::Remove { subject } => subject,
        }
    }

    /// What is stored after this change of what was stored before.
    pub(super) fn apply(&self, before: Option<Stored>) -> Option<Stored> {
        let made = |every: Every, level: Level, user: &String, now_ms: u64, before: Option<Stored>| {
            let (level, user, now) = (level, user.clone(), now_ms);
            let new = Stored { every, level, user, since_ms: now, last_ms: None, missed_ms: None, others: Map::new() };
            let kept = |before: Stored| Stored { every, level, since_ms: now, ..before };
            Some(before.map_or(new, kept))
        };
        match self {
            Self::Expect { every, level, user, now_ms, .. } => made(*every, *level, user, *now_ms, before),
            Self::Within { every, .. } if before.as_ref().is_some_and(|before| before.every == *every) => before,
            Self::Within { every, user, now_ms, .. } => {
                let level = before.as_ref().map_or(Level::Error, |before| before.level);
                made(*every, level, user, *now_ms, before)
            }
            Self::Remove { .. } => None,
            Self::Sign { at_ms, .. } => before.map(|b| Stored { last_ms: b.last_ms.max(Some(*at_ms)), ..b }),
            // A silence that was announced ends before another one begins.
            Self::Missed { due_ms, .. } => before.map(|b| Stored { missed_ms: b.missed_ms.or(Some(*due_ms)), ..b }),
            Self::Met { due_ms, .. } => {
                before.map(|b| Stored { missed_ms: b.missed_ms.filter(|missed| missed != due_ms), ..b })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject::topic("ops.backup".parse().unwrap())
    }

    fn every(text: &str) -> Every {
        text.parse().unwrap()
    }

    fn within(text: &str, now_ms: u64) -> Change {
        Change::Within { subject: subject(), every: every(text), user: "bob".into(), now_ms }
    }

    #[test]
    fn what_is_stored_reads_back_and_keeps_what_a_later_version_added() {
        let text = r#"{"every":"25h","level":"warn","user":"alice","since_ms":5,"zone":"db"}"#;
        let stored: Stored = serde_json::from_str(text).unwrap();
        let changed = Change::Sign { subject: subject(), at_ms: 7 }.apply(Some(stored)).unwrap();
        let written = serde_json::to_string(&changed).unwrap();
        assert_eq!(written, r#"{"every":"25h","level":"warn","user":"alice","since_ms":5,"last_ms":7,"zone":"db"}"#);
        assert!(serde_json::from_str::<Stored>(&text.replace("25h", "5s")).is_err());
    }

    #[test]
    fn an_alert_that_expects_the_same_changes_nothing_and_any_other_keeps_level_and_user() {
        let expect =
            Change::Expect { subject: subject(), every: every("1h"), level: Level::Warn, user: "al".into(), now_ms: 5 };
        let made = expect.apply(None).unwrap();
        assert_eq!(within("1h", 9).apply(Some(made.clone())), Some(made.clone()));
        let other = within("2h", 9).apply(Some(made.clone())).unwrap();
        assert_eq!(
            (other.every, other.level, other.user.as_str(), other.since_ms),
            (every("2h"), Level::Warn, "al", 9)
        );
        let new = within("2h", 9).apply(None).unwrap();
        assert_eq!((new.level, new.user.as_str()), (Level::Error, "bob"));
        assert_eq!(expect.apply(Some(other)).unwrap().every, every("1h"));
    }

    #[test]
    fn a_silence_ends_before_another_begins() {
        let made = within("1h", 5).apply(None);
        let missed = |due_ms| Change::Missed { subject: subject(), due_ms };
        let met = |due_ms| Change::Met { subject: subject(), due_ms };
        let silent = missed(10).apply(made);
        assert_eq!(missed(20).apply(silent.clone()), silent);
        assert_eq!(met(20).apply(silent.clone()), silent);
        assert_eq!(met(10).apply(silent).unwrap().missed_ms, None);
        assert_eq!(Change::Remove { subject: subject() }.apply(within("1h", 5).apply(None)), None);
        assert_eq!((missed(1).apply(None), met(1).apply(None)), (None, None));
    }
}
