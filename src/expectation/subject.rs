//! What an expectation is about: a whole topic, or one incident on it.

use std::fmt;
use std::str::FromStr;

use crate::alert::{IncidentName, Topic};

/// The incident of a silent topic; that of a silent incident has its name behind it.
const SILENCE: &str = "silence";

/// Alerts that are signs of life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub topic: Topic,
    /// Only the alerts of this incident count; with none, all of the topic do.
    pub incident: Option<IncidentName>,
}

/// Why an incident cannot be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotExpectable {
    /// It leaves no room for the incident of its silence.
    #[error("has more than {} characters: what is expected must have a shorter name", Subject::MAX_NAME)]
    TooLong,
    /// alertd itself reports it.
    #[error("is what alertd calls a silence: what is expected must have another name")]
    Silence,
}

impl Subject {
    /// The longest name of an incident that may be expected, in characters.
    const MAX_NAME: usize = IncidentName::MAX - SILENCE.len() - 2;

    pub(crate) const fn topic(topic: Topic) -> Self {
        Self { topic, incident: None }
    }

    /// # Errors
    /// [`NotExpectable`].
    pub(crate) fn new(topic: Topic, incident: Option<IncidentName>) -> Result<Self, NotExpectable> {
        let name = incident.as_ref().map_or("", IncidentName::as_str);
        let after = name.strip_prefix(SILENCE);
        match after.is_some_and(|after| after.is_empty() || after.starts_with(": ")) {
            true => Err(NotExpectable::Silence),
            false if name.chars().count() > Self::MAX_NAME => Err(NotExpectable::TooLong),
            false => Ok(Self { topic, incident }),
        }
    }

    /// The name of the incident that its silence is.
    pub(super) fn silence(&self) -> String {
        match &self.incident {
            None => SILENCE.to_owned(),
            Some(name) => format!("{SILENCE}: {name}"),
        }
    }

    /// Whether an alert of the topic that reports this incident, or none, is a sign of life.
    pub(super) fn includes(&self, incident: Option<&IncidentName>) -> bool {
        self.incident.is_none() || self.incident.as_ref() == incident
    }

    /// Whether an announcement with this incident is about it. Early announcements had none.
    pub(super) fn is_announced_as(&self, incident: Option<&IncidentName>) -> bool {
        incident.map_or(SILENCE, IncidentName::as_str) == self.silence()
    }

    /// The text under which it is stored. A topic has no spaces.
    pub(crate) fn key(&self) -> String {
        match &self.incident {
            None => self.topic.to_string(),
            Some(name) => format!("{} {name}", self.topic),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    /// Reads a [`key`](Subject::key).
    fn from_str(key: &str) -> Result<Self, String> {
        let (topic, name) = key.split_once(' ').map_or((key, None), |(topic, name)| (topic, Some(name)));
        let topic = topic.parse().map_err(|error| format!("its topic {error}"))?;
        let name = name.map(str::parse).transpose().map_err(|error| format!("its incident {error}"))?;
        Self::new(topic, name).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Subject {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.incident {
            None => self.topic.fmt(f),
            Some(name) => write!(f, "{} (incident {name})", self.topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_from_its_key() {
        for (topic, name, key, shown, silence) in [
            ("ops.db", None, "ops.db", "ops.db", "silence"),
            (
                "ops.db",
                Some("disk a/b  c"),
                "ops.db disk a/b  c",
                "ops.db (incident disk a/b  c)",
                "silence: disk a/b  c",
            ),
        ] {
            let name = name.map(|name| name.parse().unwrap());
            let subject = Subject::new(topic.parse().unwrap(), name).unwrap();
            assert_eq!((subject.key().as_str(), subject.to_string().as_str()), (key, shown));
            assert_eq!((subject.silence().as_str(), key.parse()), (silence, Ok(subject.clone())));
            let own: IncidentName = silence.parse().unwrap();
            assert!(subject.is_announced_as(Some(&own)) && subject.is_announced_as(None) == subject.incident.is_none());
        }
        for key in ["", " x", "ops ", "a b\u{7}", "ops silence", "ops silence: x", &format!("ops {}", "x".repeat(120))]
        {
            assert!(key.parse::<Subject>().is_err(), "{key:?}");
        }
        let longest = format!("ops {}", "ä".repeat(119)).parse::<Subject>().unwrap();
        assert!(longest.silence().parse::<IncidentName>().is_ok());
    }

    #[test]
    fn alerts_of_an_incident_are_signs_of_life_of_it_and_of_its_topic() {
        let topic = || "ops".parse::<Topic>().unwrap();
        let [one, other]: [IncidentName; 2] = ["one", "other"].map(|name| name.parse().unwrap());
        let (whole, part) = (Subject::topic(topic()), Subject::new(topic(), Some(one.clone())).unwrap());
        let of = |subject: &Subject| [None, Some(&one), Some(&other)].map(|incident| subject.includes(incident));
        assert_eq!((of(&whole), of(&part)), ([true; 3], [false, true, false]));
    }
}
