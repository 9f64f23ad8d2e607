//! How often something is expected on a topic.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
// From core, which has no clock.
use core::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::duration;

/// The longest silence of a topic that is expected: 10 seconds to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Every(Duration);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration from 10s to 366d, such as 25h")]
pub struct NotAnEvery;

impl Every {
    const MIN: Duration = Duration::from_secs(10);
    const MAX: Duration = Duration::from_secs(366 * 86_400);

    /// Milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads stored milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Option<Self> {
        let every = Duration::from_millis(ms);
        (Self::MIN..=Self::MAX).contains(&every).then_some(Self(every))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::show(self.0))
    }
}

impl FromStr for Every {
    type Err = NotAnEvery;

    fn from_str(text: &str) -> Result<Self, NotAnEvery> {
        let every = duration::parse(text).and_then(|every| u64::try_from(every.as_millis()).ok());
        every.and_then(Self::from_ms).ok_or(NotAnEvery)
    }
}

impl TryFrom<String> for Every {
    type Error = NotAnEvery;

    fn try_from(text: String) -> Result<Self, NotAnEvery> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> Self {
        every.to_string()
    }
}

impl JsonSchema for Every {
    fn schema_name() -> Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration from `10s` to `366d`, such as `25h`.",
            "pattern": "^([0-9]+(ms|s|m|h|d|w))+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_contract() {
        for text in ["10s", "25h", "1h30m", "366d", "10000ms"] {
            let every: Every = text.parse().unwrap();
            assert_eq!(every.to_string().parse(), Ok(every));
            assert_eq!(Every::from_ms(every.ms()), Some(every));
        }
        for text in ["", "0", "9999ms", "9s", "367d", "25", "1.5h", "-10s", "99999999999999999d"] {
            assert_eq!(text.parse::<Every>(), Err(NotAnEvery), "{text}");
        }
    }
}
