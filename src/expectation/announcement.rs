//! The alerts with which alertd announces that a topic is silent, and that it is back.
//!
//! They are told from a sender's alerts by their metadata, on every node and after every restart, because they must not
//! count as signs of life.

use serde::Deserialize;
use serde_json::json;

use super::{Stored, Subject};
use crate::alert::{Draft, DraftError, IncidentName, IncidentReport, IncidentStatus, Level, Metadata, rfc3339};

/// What is announced: the value of `expectation` in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Missed,
    Met,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Met => "met",
        }
    }
}

/// An announcement, as far as it can be read from an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub kind: Kind,
    /// When the sign of life was due that did not come.
    pub due_ms: u64,
}

impl Announcement {
    /// Reads the stored JSON of an alert; none for the alert of a sender.
    #[must_use]
    pub(crate) fn of(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Alert {
            metadata: Members,
        }
        #[derive(Deserialize)]
        struct Members {
            expectation: Kind,
            due: jiff::Timestamp,
        }
        // Most alerts have no such member, and need not be parsed.
        std::str::from_utf8(json).ok()?.contains("\"expectation\":\"m").then_some(())?;
        let Alert { metadata: Members { expectation: kind, due } } = serde_json::from_slice(json).ok()?;
        Some(Self { kind, due_ms: u64::try_from(due.as_millisecond()).ok()? })
    }

    /// The incident that the stored JSON of an alert names.
    #[must_use]
    pub(crate) fn incident_of(json: &[u8]) -> Option<IncidentName> {
        #[derive(Deserialize)]
        struct Alert {
            incident: Option<IncidentName>,
        }
        std::str::from_utf8(json).ok()?.contains("\"incident\":").then_some(())?;
        serde_json::from_slice::<Alert>(json).ok()?.incident
    }

    /// The alert. `last_ms` is the newest sign of life.
    pub(crate) fn draft(self, subject: &Subject, stored: &Stored, last_ms: Option<u64>) -> Result<Draft, DraftError> {
        let Self { kind, due_ms } = self;
        let (every, last) = (stored.every, last_ms.map(rfc3339));
        let members = json!({ "expectation": kind.as_str(), "every": every, "last": last, "due": rfc3339(due_ms) });
        let (level, message) = match (kind, last) {
            (Kind::Missed, Some(last)) => (
                stored.level,
                format!(
                    "{subject} is silent: nothing was published since {last}, and something is expected every {every}"
                ),
            ),
            (Kind::Missed, None) => {
                let since = rfc3339(stored.since_ms);
                let what = format!("nothing was published, and something is expected every {every} since {since}");
                (stored.level, format!("{subject} is silent: {what}"))
            }
            (Kind::Met, last) => {
                let last = last.unwrap_or_default();
                (
                    Level::Info,
                    format!("{subject} is back: something was published at {last}, expected by {}", rfc3339(due_ms)),
                )
            }
        };
        let metadata = Metadata::from_members(&members)
            .map_err(|reason| DraftError::Field { field: "metadata".into(), reason })?;
        let status = match kind {
            Kind::Missed => IncidentStatus::Open,
            Kind::Met => IncidentStatus::Resolved,
        };
        let report = IncidentName::nearest(&subject.silence()).map(|name| IncidentReport::new(name, status));
        Ok(Draft::cut(subject.topic.clone(), &message, level, metadata)?.reporting(report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Id, Topic};
    use crate::expectation::Change;

    const DUE: u64 = 1_795_455_190_123;

    fn stored() -> Stored {
        let every = "25h".parse().unwrap();
        let subject = Subject::topic(Topic::fallback());
        Change::Expect { subject, every, level: Level::Warn, user: "alice".into(), now_ms: 0 }.apply(None).unwrap()
    }

    fn written(kind: Kind, last_ms: Option<u64>) -> (Draft, Vec<u8>) {
        let draft =
            Announcement { kind, due_ms: DUE }.draft(&Subject::topic(Topic::fallback()), &stored(), last_ms).unwrap();
        let json = draft.record(Id::at(5), 5).json.to_vec();
        (draft, json)
    }

    #[test]
    fn an_announcement_is_recognised_and_says_what_happened() {
        for (kind, level, words) in [
            (Kind::Missed, Level::Warn, "since 1970-01-01T00:00:07.000Z, and something is expected every 25h"),
            (Kind::Met, Level::Info, "at 1970-01-01T00:00:07.000Z, expected by 2026-11-23T17:33:10.123Z"),
        ] {
            let (draft, json) = written(kind, Some(7000));
            assert_eq!(draft.level(), level);
            assert!(draft.message().contains(words), "{}", draft.message());
            assert_eq!(Announcement::of(&json), Some(Announcement { kind, due_ms: DUE }));
            let report = draft.incident().unwrap();
            assert_eq!(
                (report.name.as_str(), report.status == IncidentStatus::Resolved),
                ("silence", kind == Kind::Met)
            );
        }
        assert!(written(Kind::Missed, None).0.message().contains("every 25h since 1970-01-01T00:00:00.000Z"));
    }

    #[test]
    fn the_incident_of_an_alert_is_read_whatever_its_text_looks_like() {
        for (body, incident) in [
            (r#"{"message":"\"incident\":\"x\""}"#, None),
            (r#"{"message":"x","metadata":{"incident":"y"}}"#, None),
            (r#"{"message":"x","incident":"a \"b\""}"#, Some("a \"b\"")),
        ] {
            let record = Draft::from_json(None, body.as_bytes()).unwrap().record(Id::at(5), 5);
            assert_eq!(Announcement::incident_of(&record.json).as_ref().map(IncidentName::as_str), incident, "{body}");
        }
    }

    #[test]
    fn an_alert_of_a_sender_is_none() {
        for metadata in [
            "{}",
            r#"{"expectation":"great"}"#,
            r#"{"expectation":"missed"}"#,
            r#"{"expectation":"missed","due":"soon"}"#,
            r#"{"a":{"expectation":"missed","due":"2026-11-23T17:33:10.123Z"}}"#,
        ] {
            let body = format!(r#"{{"message":"\"expectation\":\"missed\"","metadata":{metadata}}}"#);
            let record = Draft::from_json(None, body.as_bytes()).unwrap().record(Id::at(5), 5);
            assert_eq!(Announcement::of(&record.json), None, "{metadata}");
        }
    }
}
