//! Labels and annotations of alerts from Prometheus, Alertmanager and Grafana: how they are read, and the level and the text
//! that they stand for.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{non_empty, severity};
use crate::alert::Level;

pub(super) type Texts = BTreeMap<String, String>;

/// Programs that are not Alertmanager write `null` for what they do not have.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Labels or annotations. Texts alone are due, but anything else can be shown as one.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
    let given: BTreeMap<String, Value> = or_default(deserializer)?;
    let text = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    Ok(given.into_iter().filter_map(text).collect())
}

/// The level of an alert that fires.
pub(super) fn level_of(labels: &Texts) -> Level {
    labels.get("severity").map_or(Level::Warn, |word| severity::level_or_warn(word))
}

/// The text that the rule's author wrote, otherwise its name and labels.
pub(super) fn text_of(labels: &Texts, annotations: &Texts) -> String {
    let written = ["summary", "description", "message"].into_iter();
    if let Some(text) = written.filter_map(|name| non_empty(annotations.get(name)?)).next() {
        return text.to_owned();
    }
    let name = labels.get("alertname").and_then(|name| non_empty(name)).unwrap_or("an alert without a name");
    let labels = labels.iter().filter(|(name, _)| *name != "alertname");
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name} ({})", labels.join(", ")) }
}
