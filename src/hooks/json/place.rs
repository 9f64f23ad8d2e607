//! The objects of a payload in which its message, level and link are looked for, and the texts in them.

use serde_json::Value;

use super::Object;

/// Members that are about the alert, in the order in which they are read: CloudEvents and Sentry have `data`, chats
/// `attachments` and `embeds`, Uptime Kuma `heartbeat`, Healthchecks `check`, Jenkins `build`, GitLab `object_attributes`.
const PARTS: &[&str] = &[
    "data",
    "event",
    "alert",
    "alerts",
    "incident",
    "issue",
    "problem",
    "heartbeat",
    "check",
    "build",
    "object_attributes",
    "attachments",
    "embeds",
    "payload",
    "attributes",
];
/// Members that are only the subject of the alert: their descriptions are none of it.
const SUBJECTS: &[&str] = &["monitor", "project", "repository"];
/// How deep the parts are, and how many are read.
const MAX_DEPTH: usize = 3;
const MAX_PLACES: usize = 24;

#[derive(Clone, Copy)]
pub(super) struct Place<'v> {
    pub(super) object: &'v Object,
    /// The member of its parent; empty for the payload itself.
    pub(super) name: &'static str,
    pub(super) depth: usize,
    /// Whether it says what happened, not only to what.
    pub(super) is_event: bool,
}

/// The payload and its parts, those further out first. Of a list the first element counts.
pub(super) fn all(object: &Object) -> Vec<Place<'_>> {
    let mut places = vec![Place { object, name: "", depth: 0, is_event: true }];
    let mut at = 0;
    while at < places.len() && places.len() < MAX_PLACES {
        let Place { object, depth, .. } = places[at];
        at += 1;
        if depth == MAX_DEPTH {
            break;
        }
        for name in PARTS.iter().chain(SUBJECTS) {
            let part = match member(object, name) {
                Some((_, Value::Array(list))) => list.first(),
                Some((_, value)) => Some(value),
                None => None,
            };
            if let Some(Value::Object(object)) = part {
                places.push(Place { object, name, depth: depth + 1, is_event: !SUBJECTS.contains(name) });
            }
        }
    }
    places
}

/// A member by its name, which may be written in any case.
pub(super) fn member<'v>(object: &'v Object, name: &str) -> Option<(&'v String, &'v Value)> {
    object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The first of these members that has a text, with its name as it is written.
pub(super) fn named_text(object: &Object, names: &[&str]) -> Option<(String, String)> {
    names.iter().find_map(|name| {
        let (name, value) = member(object, name)?;
        Some((name.clone(), as_text(value)?))
    })
}

/// The first of these members that has a text.
pub(super) fn text(object: &Object, names: &[&str]) -> Option<String> {
    named_text(object, names).map(|(_, text)| text)
}

/// A text that is not empty, or a number as one.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
