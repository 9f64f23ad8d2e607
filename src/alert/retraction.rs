//! A retraction: the record that says that an alert was taken back.

use super::{EventJson, Id, Level, Record, RecordKind, Topic};

/// The retraction of an alert, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retraction {
    topic: Topic,
    alert: Id,
    json: EventJson,
}

impl Retraction {
    /// `by` is the user who took it back.
    #[must_use]
    pub fn new(topic: Topic, alert: Id, by: &str) -> Self {
        #[derive(serde::Serialize)]
        struct Members<'a> {
            topic: &'a str,
            alert: String,
            by: &'a str,
        }
        let json = EventJson::of(&Members { topic: topic.as_str(), alert: alert.to_string(), by });
        Self { topic, alert, json }
    }

    /// The part of the JSON between the id and the time, which Redis assigns on its own.
    #[must_use]
    pub fn json_between(&self) -> &[u8] {
        self.json.between()
    }

    #[must_use]
    pub fn record(&self, id: Id, now_ms: u64) -> Record {
        Record {
            id,
            kind: RecordKind::Retraction(self.alert),
            topic: self.topic.clone(),
            level: Level::Error,
            received_ms: now_ms,
            json: self.json.at(id, now_ms),
        }
    }

    /// The alert that stored JSON of a retraction names.
    #[must_use]
    pub fn alert_of(json: &[u8]) -> Option<Id> {
        #[derive(serde::Deserialize)]
        struct Stored {
            alert: Id,
        }
        serde_json::from_slice(json).ok().map(|Stored { alert }| alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alert_is_read_back_from_a_record_in_one_line() {
        let record = Retraction::new("ops".parse().unwrap(), Id::at(7), "al\u{2028}ice").record(Id::at(9), 9);
        assert_eq!(
            (record.kind, Retraction::alert_of(&record.json)),
            (RecordKind::Retraction(Id::at(7)), Some(Id::at(7)))
        );
        assert_eq!(
            std::str::from_utf8(&record.json).unwrap(),
            r#"{"id":"9-0","topic":"ops","alert":"7-0","by":"al\u2028ice","time":"1970-01-01T00:00:00.009Z"}"#
        );
        assert_eq!(Retraction::alert_of(br#"{"id":"9-0"}"#), None);
    }
}
