//! The level that a payload means: a recovery is `info`, otherwise its severity counts, then its state, then its colour.

use serde_json::Value;

use super::color;
use super::place::{Place, as_text, member, text};
use crate::alert::Level;
use crate::hooks::severity;

/// Members with the state of what the alert is about.
pub(super) const STATE: &[&str] = &[
    "status",
    "state",
    "alert_state",
    "alertstate",
    "current_state",
    "build_status",
    "job_status",
    "result",
    "outcome",
    "conclusion",
    "action",
];
/// States in which nothing is wrong any more, in lower case.
const RECOVERED: &[&str] = &[
    "resolved",
    "recovered",
    "recovery",
    "ok",
    "okay",
    "up",
    "clear",
    "cleared",
    "closed",
    "fixed",
    "success",
    "successful",
    "succeeded",
    "passed",
    "online",
    "normal",
];

pub(super) fn of(places: &[Place<'_>]) -> Level {
    let state = state(places);
    if state.as_deref().is_some_and(is_recovery) {
        return Level::Info;
    }
    let severity = places.iter().find_map(severity_of);
    let by_state = || severity::level(&state?);
    let by_colour = || places.iter().find_map(color_of);
    severity.or_else(by_state).or_else(by_colour).unwrap_or_default()
}

/// The state, if it is a word that says whether something is wrong.
pub(super) fn state(places: &[Place<'_>]) -> Option<String> {
    let is_known = |word: &String| is_recovery(word) || severity::level(word).is_some();
    places.iter().find_map(|place| {
        let words = STATE.iter().filter_map(|name| text(place.object, &[name]));
        words.map(|word| numbered(place, &word).map_or(word, str::to_owned)).find(is_known).or_else(|| zabbix(place))
    })
}

fn is_recovery(word: &str) -> bool {
    RECOVERED.iter().any(|known| known.eq_ignore_ascii_case(word.trim()))
}

/// Uptime Kuma numbers the states of a heartbeat.
fn numbered(place: &Place<'_>, word: &str) -> Option<&'static str> {
    match (place.name, word) {
        ("heartbeat", "0") => Some("down"),
        ("heartbeat", "1") => Some("up"),
        ("heartbeat", "2") => Some("warning"),
        _ => None,
    }
}

/// Zabbix has 1 for a problem and 0 for its end.
fn zabbix(place: &Place<'_>) -> Option<String> {
    (text(place.object, &["event_value"])? == "0").then(|| "resolved".to_owned())
}

fn severity_of(place: &Place<'_>) -> Option<Level> {
    let get = |name: &str| as_text(member(place.object, name)?.1);
    let scale = |name: &str| {
        let word = get(name)?;
        Some(of_number(&word).unwrap_or_else(|| severity::level_or_warn(&word)))
    };
    let priority = || {
        let word = get("priority")?;
        // Gotify's go up to 10.
        let by_number = || word.parse::<u8>().ok().map(severity::of_ntfy_priority);
        severity::of_priority(&word).or_else(by_number)
    };
    scale("level")
        .or_else(|| scale("severity"))
        .or_else(|| scale("loglevel"))
        .or_else(|| scale("log_level"))
        .or_else(|| suffixed(place))
        .or_else(priority)
        .or_else(|| severity::level(&get("urgency")?))
        .or_else(|| severity::level(&get("type")?))
}

/// A member such as Zabbix's `event_severity`.
fn suffixed(place: &Place<'_>) -> Option<Level> {
    let mut named = place.object.iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with("_severity"));
    named.find_map(|(_, value)| severity::level(&as_text(value)?))
}

/// 0 to 7 as syslog has them, from 10 on as logging libraries do. They disagree on 40, so the more serious meaning counts.
fn of_number(word: &str) -> Option<Level> {
    Some(match word.parse::<u8>().ok()? {
        0..=3 | 40.. => Level::Error,
        4 | 30..=39 => Level::Warn,
        _ => Level::Info,
    })
}

fn color_of(place: &Place<'_>) -> Option<Level> {
    let value = ["color", "colour", "themeColor"].iter().find_map(|name| Some(member(place.object, name)?.1))?;
    match value {
        Value::Number(number) => color::level(u32::try_from(number.as_u64()?).ok()?),
        Value::String(text) => {
            let digits = text.trim().trim_start_matches('#');
            let is_hex = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            if is_hex { color::level(u32::from_str_radix(digits, 16).ok()?) } else { severity::level(text) }
        }
        _ => None,
    }
}
