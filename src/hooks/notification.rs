//! Groups of alerts from Alertmanager and Grafana: one format, to which Grafana adds fields.
//!
//! A group is sent again whenever something in it changes and for as long as one of its alerts fires, so most alerts are
//! repeats. An alert is identified by its fingerprint, and is new if its status or start differs from the last time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::labels::{Texts, level_of, or_default, text_of, texts};
use super::{Entry, MAX_ALERTS, Sender, draft, field, parse, short};
use crate::alert::{DraftError, IncidentName, IncidentReport, IncidentStatus, Level, Topic};

/// A group of alerts as Alertmanager and Grafana send it. Other fields are ignored.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NotificationGroup")]
pub(crate) struct Group {
    #[schemars(length(max = 2048))]
    alerts: Vec<Alert>,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<String>")]
    receiver: String,
    #[serde(default, deserialize_with = "or_default", rename = "externalURL")]
    #[schemars(with = "Option<String>")]
    external_url: String,
    /// How many alerts the sender left out.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<u64>")]
    truncated_alerts: u64,
}

#[derive(Clone, Copy, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "NotificationStatus")]
enum Status {
    Firing,
    Resolved,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NotificationAlert")]
struct Alert {
    status: Status,
    #[schemars(length(min = 1))]
    fingerprint: String,
    starts_at: String,
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "Option<String>")]
    ends_at: String,
    #[serde(default, deserialize_with = "texts")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    labels: Texts,
    #[serde(default, deserialize_with = "texts")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    annotations: Texts,
    #[serde(default, deserialize_with = "or_default", rename = "generatorURL")]
    #[schemars(with = "Option<String>")]
    generator_url: String,
    #[serde(default, deserialize_with = "or_default", rename = "dashboardURL")]
    #[schemars(with = "Option<String>")]
    dashboard_url: String,
    #[serde(default, deserialize_with = "or_default", rename = "panelURL")]
    #[schemars(with = "Option<String>")]
    panel_url: String,
    #[serde(default, deserialize_with = "or_default", rename = "silenceURL")]
    #[schemars(with = "Option<String>")]
    silence_url: String,
    #[serde(default)]
    values: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    source: &'static str,
    status: Status,
    labels: &'a Texts,
    annotations: Texts,
    fingerprint: &'a str,
    starts_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<&'a str>,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    #[serde(rename = "dashboardURL", skip_serializing_if = "str::is_empty")]
    dashboard_url: &'a str,
    #[serde(rename = "panelURL", skip_serializing_if = "str::is_empty")]
    panel_url: &'a str,
    #[serde(rename = "silenceURL", skip_serializing_if = "str::is_empty")]
    silence_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: &'a Option<BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    receiver: &'a str,
    #[serde(rename = "externalURL", skip_serializing_if = "str::is_empty")]
    external_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_alerts: Option<u64>,
}

pub(crate) fn read(sender: Sender, topic: &Topic, body: &str) -> Result<Vec<Entry>, DraftError> {
    let group: Group = parse(body)?;
    if group.alerts.len() > MAX_ALERTS {
        let sent = group.alerts.len();
        return Err(field(
            "alerts",
            format!("has {sent} alerts, {MAX_ALERTS} are allowed: group by more labels, or set max_alerts"),
        ));
    }
    group.alerts.iter().enumerate().map(|(at, alert)| alert.entry(sender, topic, &group, at)).collect()
}

impl Alert {
    fn entry(&self, sender: Sender, topic: &Topic, group: &Group, at: usize) -> Result<Entry, DraftError> {
        if self.fingerprint.is_empty() {
            return Err(field(format!("alerts[{at}].fingerprint"), "must not be empty"));
        }
        let is_resolved = self.status == Status::Resolved;
        let (message, level) = match self.status {
            Status::Firing => (text_of(&self.labels, &self.annotations), level_of(&self.labels)),
            Status::Resolved => (format!("resolved: {}", text_of(&self.labels, &self.annotations)), Level::Info),
        };
        let details = Details {
            source: sender.as_str(),
            status: self.status,
            labels: &self.labels,
            annotations: self.annotations.iter().map(|(name, text)| (name.clone(), short(text))).collect(),
            fingerprint: &self.fingerprint,
            starts_at: &self.starts_at,
            ends_at: is_resolved.then_some(&self.ends_at),
            generator_url: &self.generator_url,
            dashboard_url: &self.dashboard_url,
            panel_url: &self.panel_url,
            silence_url: &self.silence_url,
            values: &self.values,
            receiver: &group.receiver,
            external_url: &group.external_url,
            truncated_alerts: (group.truncated_alerts > 0).then_some(group.truncated_alerts),
        };
        let status = if is_resolved { IncidentStatus::Resolved } else { IncidentStatus::Open };
        let report = IncidentName::nearest(&self.fingerprint).map(|name| IncidentReport::new(name, status));
        let draft = draft(topic, &message, level, &details)?.reporting(report).cut_to_frame();
        let state = format!("{} {}", if is_resolved { "resolved" } else { "firing" }, self.starts_at);
        Ok(Entry::new(sender, &self.fingerprint, state, draft))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hooks::Identity;

    fn topic() -> Topic {
        "ops.db".parse().unwrap()
    }

    fn alert(change: &Value) -> Value {
        let mut alert = json!({
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": "db1", "severity": "critical"},
            "annotations": {"summary": "disk of db1 is full", "description": "91 %"},
            "startsAt": "2026-11-23T17:33:10.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/graph",
            "fingerprint": "c6eadffa33fcdf37",
        });
        for (name, value) in change.as_object().unwrap() {
            alert[name] = value.clone();
        }
        alert
    }

    fn read_one(change: &Value) -> Entry {
        let group = json!({"version": "4", "receiver": "r", "alerts": [alert(change)]});
        read(Sender::Alertmanager, &topic(), &group.to_string()).unwrap().pop().unwrap()
    }

    fn written(entry: &Entry) -> Value {
        serde_json::from_slice(&entry.draft.record(crate::alert::Id::at(1), 0).json).unwrap()
    }

    fn refused(group: &Value) -> String {
        read(Sender::Alertmanager, &topic(), &group.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn every_field_is_kept() {
        let alert = written(&read_one(&json!({})));
        assert_eq!(
            (&alert["topic"], &alert["message"], &alert["level"]),
            (&json!("ops.db"), &json!("disk of db1 is full"), &json!("error"))
        );
        assert_eq!(
            alert["metadata"],
            json!({
                "source": "alertmanager",
                "status": "firing",
                "labels": {"alertname": "DiskFull", "instance": "db1", "severity": "critical"},
                "annotations": {"summary": "disk of db1 is full", "description": "91 %"},
                "fingerprint": "c6eadffa33fcdf37",
                "startsAt": "2026-11-23T17:33:10.123Z",
                "generatorURL": "http://prometheus.example/graph",
                "receiver": "r",
            })
        );
    }

    #[test]
    fn the_severity_decides_the_level_until_the_alert_is_resolved() {
        let level = |severity: &str, status: &str| {
            read_one(&json!({"status": status, "labels": {"severity": severity}})).draft.level()
        };
        for (severity, expected) in [
            ("critical", Level::Error),
            ("error", Level::Error),
            ("page", Level::Error),
            ("Critical", Level::Error),
            ("warning", Level::Warn),
            ("Disaster", Level::Error),
            ("info", Level::Info),
            ("none", Level::Info),
            ("high", Level::Error),
            ("P1", Level::Error),
            ("emerg", Level::Error),
            ("notice", Level::Info),
            ("tier-2", Level::Warn),
            ("", Level::Warn),
        ] {
            assert_eq!((level(severity, "firing"), level(severity, "resolved")), (expected, Level::Info), "{severity}");
        }
        assert_eq!(read_one(&json!({"labels": {}})).draft.level(), Level::Warn);
        let unknown = written(&read_one(&json!({"labels": {"severity": "tier-2"}})));
        assert_eq!(unknown["metadata"]["labels"]["severity"], "tier-2");
    }

    #[test]
    fn null_is_nothing_and_what_is_no_text_is_shown_as_one() {
        let nulls = json!({"labels": null, "annotations": {"summary": null, "description": 91}, "endsAt": null,
            "generatorURL": null, "values": null});
        let entry = read_one(&nulls);
        assert_eq!((written(&entry)["message"].as_str(), entry.draft.level()), (Some("91"), Level::Warn));
        let numbers = read_one(&json!({"labels": {"severity": "high", "shard": 7, "of": [1, 2]}}));
        let labels = json!({"severity": "high", "shard": "7", "of": "[1,2]"});
        assert_eq!((&written(&numbers)["metadata"]["labels"], numbers.draft.level()), (&labels, Level::Error));
        let group =
            json!({"alerts": [alert(&json!({}))], "receiver": null, "externalURL": null, "truncatedAlerts": null});
        assert_eq!(read(Sender::Grafana, &topic(), &group.to_string()).unwrap().len(), 1);
    }

    #[test]
    fn the_message_is_the_first_text_that_is_not_empty() {
        let message = |change: &Value| written(&read_one(change))["message"].as_str().unwrap().to_owned();
        assert_eq!(message(&json!({"annotations": {"summary": " ", "description": "91 %"}})), "91 %");
        assert_eq!(message(&json!({"annotations": {"message": "m"}})), "m");
        assert_eq!(message(&json!({"annotations": {}})), "DiskFull (instance=db1, severity=critical)");
        assert_eq!(message(&json!({"annotations": {}, "labels": {"alertname": "Up"}})), "Up");
        assert_eq!(message(&json!({"annotations": {}, "labels": {}})), "an alert without a name");
        let resolved = json!({"status": "resolved", "endsAt": "2026-11-23T18:00:00Z"});
        assert_eq!(message(&resolved), "resolved: disk of db1 is full");
        assert_eq!(written(&read_one(&resolved))["metadata"]["endsAt"], "2026-11-23T18:00:00Z");
        let long = message(&json!({"annotations": {"summary": "ä".repeat(5000)}}));
        assert!(long.len() <= 4096 && long.ends_with('…'));
    }

    #[test]
    fn a_repeat_is_an_alert_of_the_same_fingerprint_status_and_start() {
        let told = |change: &Value| {
            let Identity { key, state } = read_one(change).identity.unwrap();
            (key, state)
        };
        let first = told(&json!({}));
        assert_eq!(told(&json!({"annotations": {"summary": "now 95 %"}})), first);
        let resolved = told(&json!({"status": "resolved"}));
        assert!(resolved.0 == first.0 && resolved.1 != first.1);
        assert_ne!(told(&json!({"startsAt": "2026-11-24T00:00:00Z"})).1, first.1);
        assert_ne!(told(&json!({"fingerprint": "other"})).0, first.0);
        let group = json!({"alerts": [alert(&json!({}))]}).to_string();
        let of = |sender, topic: &str| {
            read(sender, &topic.parse().unwrap(), &group).unwrap().pop().unwrap().identity.unwrap().key
        };
        assert_ne!(of(Sender::Grafana, "ops.db"), first.0);
        assert_ne!(of(Sender::Alertmanager, "ops"), first.0);
    }

    #[test]
    fn an_invalid_field_is_named_by_its_path() {
        let with = |change: Value| json!({"alerts": [alert(&json!({})), alert(&change)]});
        for (group, words) in [
            (json!({}), "alerts: is missing"),
            (json!([]), "body: must be a JSON object"),
            (json!("text"), "body: must be an object, not string"),
            (json!({"alerts": {}}), "alerts: must be a list, not an object"),
            (json!({"alerts": [5]}), "alerts[0]: must be an object, not integer 5"),
            (
                with(json!({"status": "pending"})),
                "alerts[1].status: must be \"firing\" or \"resolved\", not \"pending\"",
            ),
            (with(json!({"fingerprint": ""})), "alerts[1].fingerprint: must not be empty"),
            (with(json!({"startsAt": 5})), "alerts[1].startsAt: must be a"),
            (with(json!({"labels": []})), "alerts[1].labels: must be"),
            (json!({"alerts": [{"status": "firing"}]}), "alerts[0].fingerprint: is missing"),
            (json!({"alerts": vec![alert(&json!({})); MAX_ALERTS + 1]}), "alerts: has 2049 alerts"),
        ] {
            assert!(refused(&group).starts_with(words), "{words}: {}", refused(&group));
        }
        for body in ["", "{", "{\"alerts\":[]} x"] {
            let error = read(Sender::Grafana, &topic(), body).unwrap_err();
            assert!(matches!(error, DraftError::Malformed(_)), "{body}: {error}");
        }
        assert!(read(Sender::Grafana, &topic(), r#"{"alerts":[]}"#).unwrap().is_empty());
    }
}
