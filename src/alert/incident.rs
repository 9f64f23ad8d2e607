//! What an alert says about an incident: the incident's name, whether it goes on, and how long it lasts without a repeat.
//!
//! Read with the other fields of a publish. What follows from it for the incident is decided in
//! [`incident`](crate::incident).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
// From core, which has no clock.
use core::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::duration;

/// The name of an incident, which identifies it within its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentName(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 128 printable characters")]
pub struct NotAnIncidentName;

impl IncidentName {
    /// In characters.
    pub const MAX: usize = 128;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest name to a text of another system: characters that are not printable become U+FFFD, and a long text is
    /// cut. None for an empty text.
    #[must_use]
    pub fn nearest(text: &str) -> Option<Self> {
        let printable = text.chars().map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER });
        let name: String = printable.take(Self::MAX).collect();
        (!name.is_empty()).then_some(Self(name))
    }
}

/// Line and paragraph separators end a line for some readers.
fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}')
}

impl FromStr for IncidentName {
    type Err = NotAnIncidentName;

    fn from_str(text: &str) -> Result<Self, NotAnIncidentName> {
        let is_short = (1..=Self::MAX).contains(&text.chars().take(Self::MAX + 1).count());
        if is_short && text.chars().all(is_printable) { Ok(Self(text.to_owned())) } else { Err(NotAnIncidentName) }
    }
}

impl TryFrom<String> for IncidentName {
    type Error = NotAnIncidentName;

    fn try_from(text: String) -> Result<Self, NotAnIncidentName> {
        text.parse()
    }
}

impl From<IncidentName> for String {
    fn from(name: IncidentName) -> Self {
        name.0
    }
}

impl fmt::Display for IncidentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for IncidentName {
    fn schema_name() -> Cow<'static, str> {
        "IncidentName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Name of an incident: printable characters.",
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
            "minLength": 1,
            "maxLength": Self::MAX,
        })
    }
}

/// Whether an alert reports an incident or its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentStatus {
    /// The incident goes on.
    #[default]
    Open,
    /// The incident is over.
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be open or resolved")]
pub struct NotAnIncidentStatus;

impl IncidentStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

impl FromStr for IncidentStatus {
    type Err = NotAnIncidentStatus;

    fn from_str(text: &str) -> Result<Self, NotAnIncidentStatus> {
        match text {
            "open" => Ok(Self::Open),
            "resolved" => Ok(Self::Resolved),
            _ => Err(NotAnIncidentStatus),
        }
    }
}

/// How long an incident lasts without a further alert: 1 second to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ttl(Duration);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration from 1s to 366d, such as 10m")]
pub struct NotATtl;

impl Ttl {
    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(366 * 86_400);

    /// Milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The nearest duration that is allowed.
    #[must_use]
    pub fn nearest_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms).clamp(Self::MIN, Self::MAX))
    }
}

impl FromStr for Ttl {
    type Err = NotATtl;

    fn from_str(text: &str) -> Result<Self, NotATtl> {
        let ttl = duration::parse(text).filter(|ttl| (Self::MIN..=Self::MAX).contains(ttl));
        ttl.map(Self).ok_or(NotATtl)
    }
}

impl TryFrom<String> for Ttl {
    type Error = NotATtl;

    fn try_from(text: String) -> Result<Self, NotATtl> {
        text.parse()
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::show(self.0))
    }
}

impl From<Ttl> for String {
    fn from(ttl: Ttl) -> Self {
        ttl.to_string()
    }
}

impl JsonSchema for Ttl {
    fn schema_name() -> Cow<'static, str> {
        "Ttl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration from `1s` to `366d`, such as `10m`.",
            "pattern": "^([0-9]+(ms|s|m|h|d|w))+$",
        })
    }
}

/// What becomes of an alert that says what the last one of its incident said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// It is only counted within `incidents.repeat_interval`.
    #[default]
    Limited,
    /// It is only counted: its sender repeats it for as long as the incident lasts.
    Counted,
}

/// What an alert says about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentReport {
    pub name: IncidentName,
    pub status: IncidentStatus,
    /// The incident resolves if no further alert of it comes within this time.
    pub ttl: Option<Ttl>,
    pub repeats: Repeats,
}

impl IncidentReport {
    /// A report without a time to live.
    #[must_use]
    pub const fn new(name: IncidentName, status: IncidentStatus) -> Self {
        Self { name, status, ttl: None, repeats: Repeats::Limited }
    }
}

/// The place of an alert in its incident, which its JSON carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentPlace {
    /// Which occurrence of the incident it is; the first is 1.
    pub occurrence: u64,
    /// The alerts of the occurrence so far, with repeats that were not broadcast.
    pub count: u64,
}

/// The fields of a publish that concern an incident, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFields {
    pub name: Option<IncidentName>,
    pub status: Option<IncidentStatus>,
    pub ttl: Option<Ttl>,
}

impl IncidentFields {
    /// What the fields say together; none without any.
    ///
    /// # Errors
    /// The name of a field that is of no use without an incident.
    pub fn report(self) -> Result<Option<IncidentReport>, &'static str> {
        match self {
            Self { name: Some(name), status, ttl } => {
                Ok(Some(IncidentReport { ttl, ..IncidentReport::new(name, status.unwrap_or_default()) }))
            }
            Self { status: Some(_), .. } => Err("status"),
            Self { ttl: Some(_), .. } => Err("ttl"),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_up_to_128_printable_characters() {
        for text in ["x", "disk full on /var", "a/b", "Ä€\u{1f600}", &"ä".repeat(128)] {
            let name: IncidentName = text.parse().unwrap();
            assert_eq!((name.as_str(), IncidentName::nearest(text)), (text, Some(name.clone())));
        }
        for text in ["", "a\nb", "\u{85}", "a\u{2028}b", "\0", &"x".repeat(129)] {
            assert_eq!(text.parse::<IncidentName>(), Err(NotAnIncidentName), "{text:?}");
        }
        assert_eq!(IncidentName::nearest("a\nb").unwrap().as_str(), "a\u{fffd}b");
        assert_eq!(IncidentName::nearest(&"x".repeat(200)).unwrap().as_str().len(), 128);
        assert_eq!(IncidentName::nearest(""), None);
    }

    #[test]
    fn status_and_ttl_are_of_no_use_without_an_incident() {
        let name: Option<IncidentName> = "x".parse().ok();
        let fields = |name: &Option<IncidentName>, status, ttl| IncidentFields { name: name.clone(), status, ttl };
        let ttl: Option<Ttl> = "10m".parse().ok();
        assert_eq!(fields(&None, None, None).report(), Ok(None));
        assert_eq!(fields(&None, Some(IncidentStatus::Open), None).report(), Err("status"));
        assert_eq!(fields(&None, None, ttl).report(), Err("ttl"));
        let report = fields(&name, None, ttl).report().unwrap().unwrap();
        assert_eq!((report.status, report.ttl.unwrap().ms()), (IncidentStatus::Open, 600_000));
    }

    #[test]
    fn a_ttl_is_between_a_second_and_366_days() {
        for text in ["1s", "90s", "366d"] {
            assert_eq!(text.parse::<Ttl>().unwrap().to_string().parse(), text.parse::<Ttl>());
        }
        for text in ["", "0", "999ms", "367d", "10"] {
            assert_eq!(text.parse::<Ttl>(), Err(NotATtl), "{text}");
        }
        assert_eq!((Ttl::nearest_ms(0).ms(), Ttl::nearest_ms(u64::MAX).ms()), (1000, 366 * 86_400_000));
    }
}
