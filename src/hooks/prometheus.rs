//! Prometheus itself, which sends its alerts as it would to Alertmanager: a list, again and again for as long as one fires,
//! and for a while after that.
//!
//! An alert is identified by the fingerprint of its labels, as Alertmanager computes it. One that goes on firing renews the
//! time to live of its incident, and is not broadcast again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::labels::{Texts, level_of, or_default, text_of, texts};
use super::{Entry, MAX_ALERTS, Sender, draft, field, parse_list, short};
use crate::alert::{DraftError, IncidentName, IncidentReport, IncidentStatus, Level, Repeats, Topic, Ttl};

/// An alert as Prometheus sends it. Other fields are ignored.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PrometheusAlert")]
pub(crate) struct Alert {
    #[serde(deserialize_with = "texts")]
    #[schemars(with = "BTreeMap<String, String>")]
    labels: Texts,
    #[serde(default, deserialize_with = "texts")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    annotations: Texts,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<String>")]
    starts_at: String,
    /// When the alert ends unless it is sent again; in the past, it has ended.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<String>")]
    ends_at: String,
    #[serde(default, deserialize_with = "or_default", rename = "generatorURL")]
    #[schemars(with = "Option<String>")]
    generator_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    source: &'static str,
    status: &'static str,
    labels: &'a Texts,
    annotations: Texts,
    fingerprint: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    starts_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<&'a str>,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
}

/// Reads the list that Prometheus posts to `/api/v2/alerts`.
pub(crate) fn read(topic: &Topic, body: &str, now_ms: u64) -> Result<Vec<Entry>, DraftError> {
    let alerts: Vec<Alert> = parse_list(body)?;
    if alerts.len() > MAX_ALERTS {
        return Err(field("body", format!("has {} alerts, {MAX_ALERTS} are allowed", alerts.len())));
    }
    alerts.iter().enumerate().map(|(at, alert)| alert.entry(topic, now_ms, at)).collect()
}

impl Alert {
    fn entry(&self, topic: &Topic, now_ms: u64, at: usize) -> Result<Entry, DraftError> {
        let ends_ms = self.ends_ms().map_err(|reason| field(format!("[{at}].endsAt"), reason))?;
        let is_resolved = ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms);
        let fingerprint = fingerprint(&self.labels);
        let text = text_of(&self.labels, &self.annotations);
        let (status, word, message, level) = if is_resolved {
            (IncidentStatus::Resolved, "resolved", format!("resolved: {text}"), Level::Info)
        } else {
            (IncidentStatus::Open, "firing", text, level_of(&self.labels))
        };
        let details = Details {
            source: Sender::Prometheus.as_str(),
            status: word,
            labels: &self.labels,
            annotations: self.annotations.iter().map(|(name, text)| (name.clone(), short(text))).collect(),
            fingerprint: &fingerprint,
            starts_at: &self.starts_at,
            ends_at: is_resolved.then_some(&self.ends_at),
            generator_url: &self.generator_url,
        };
        let draft = draft(topic, &message, level, &details)?;
        let ttl = ends_ms.filter(|_| !is_resolved).map(|ends_ms| Ttl::nearest_ms(ends_ms.saturating_sub(now_ms)));
        let report = IncidentName::nearest(&fingerprint).map(|name| IncidentReport {
            name,
            status,
            ttl,
            repeats: Repeats::Counted,
        });
        let draft = draft.reporting(report).cut_to_frame();
        // Its end is sent for a quarter of an hour; only the incident tells a new end from a repeated one while it fires.
        Ok(if is_resolved {
            Entry::new(Sender::Prometheus, &fingerprint, format!("resolved {}", self.starts_at), draft)
        } else {
            Entry { draft, identity: None }
        })
    }

    /// None if it says nothing, which means that the alert fires until it is sent no more.
    fn ends_ms(&self) -> Result<Option<u64>, String> {
        if self.ends_at.is_empty() {
            return Ok(None);
        }
        let time: jiff::Timestamp =
            self.ends_at.parse().map_err(|_| "must be a time such as 2026-11-23T17:33:10Z".to_owned())?;
        // Go writes the year 1 for no time.
        Ok(u64::try_from(time.as_millisecond()).ok())
    }
}

/// FNV-1a with 64 bits over the sorted names and values, each ended by 0xff, as 16 hexadecimal digits.
fn fingerprint(labels: &Texts) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (name, value) in labels {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_795_455_190_000; // 2026-11-23T17:33:10Z

    fn read_one(change: &Value) -> Entry {
        let mut alert = json!({
            "labels": {"alertname": "DiskFull", "instance": "db1", "severity": "critical"},
            "annotations": {"summary": "disk of db1 is full"},
            "startsAt": "2026-11-23T17:30:00.123Z",
            "endsAt": "2026-11-23T17:37:10.000Z",
            "generatorURL": "http://prometheus.example/graph",
        });
        for (name, value) in change.as_object().unwrap() {
            alert[name] = value.clone();
        }
        read(&"ops".parse().unwrap(), &json!([alert]).to_string(), NOW).unwrap().remove(0)
    }

    #[test]
    fn the_fingerprint_is_that_of_alertmanager() {
        // As `amtool alert query -o json` shows it.
        assert_eq!(fingerprint(&Texts::new()), "cbf29ce484222325");
        let labels: Texts = [("alertname", "a")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = b"alertname\xffa\xff".iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        assert_eq!(fingerprint(&labels), format!("{expected:016x}"));
    }

    #[test]
    fn an_alert_fires_until_its_end_and_its_end_is_a_state() {
        let firing = read_one(&json!({}));
        let report = firing.draft.incident().unwrap();
        assert_eq!((firing.draft.level(), firing.draft.message()), (Level::Error, "disk of db1 is full"));
        assert_eq!((report.status, report.ttl.unwrap().ms()), (IncidentStatus::Open, 240_000));
        assert!(firing.identity.is_none() && report.repeats == Repeats::Counted);
        let over = read_one(&json!({"endsAt": "2026-11-23T17:33:09.000Z"}));
        let end = over.draft.incident().unwrap();
        assert_eq!((end.status, end.ttl, &end.name), (IncidentStatus::Resolved, None, &report.name));
        assert_eq!((over.draft.level(), over.draft.message()), (Level::Info, "resolved: disk of db1 is full"));
        assert_eq!(over.identity.unwrap().state, "resolved 2026-11-23T17:30:00.123Z");
        for endless in [json!({"endsAt": null}), json!({"endsAt": "0001-01-01T00:00:00Z"})] {
            assert_eq!(read_one(&endless).draft.incident().unwrap().ttl, None);
        }
        let other = read_one(&json!({"labels": {"alertname": "DiskFull", "instance": "db2"}}));
        assert_ne!(other.draft.incident().unwrap().name, report.name);
        assert_eq!(other.draft.level(), Level::Warn);
    }

    #[test]
    fn what_is_no_list_of_alerts_is_refused_by_name() {
        let refused = |body: &str| read(&"ops".parse().unwrap(), body, NOW).unwrap_err().to_string();
        assert!(refused("{}").contains("list"), "{}", refused("{}"));
        assert!(refused("[{}]").starts_with("[0].labels: "), "{}", refused("[{}]"));
        let said = refused(r#"[{"labels":{},"endsAt":"soon"}]"#);
        assert!(said.starts_with("[0].endsAt: must be a time"), "{said}");
        assert!(read(&"ops".parse().unwrap(), "[]", NOW).unwrap().is_empty());
    }
}
