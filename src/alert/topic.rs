//! Topics and the patterns that match them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Dot-separated labels of `[A-Za-z0-9_-]`, 1 to 128 characters in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// A topic, `ops.*` (all below `ops`) or `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// `*`: every topic.
    All,
    /// `ops.*`: every topic that starts with `ops.`, but not `ops` itself.
    Below(Topic),
    /// One topic.
    Exact(Topic),
}

/// Why a text is not a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATopic {
    /// Empty, or over 128 characters.
    #[error("a topic has 1 to 128 characters, this has {0}")]
    Length(usize),
    /// Two dots in a row, or a dot at either end.
    #[error("a topic's labels are separated by single dots and none is empty")]
    EmptyLabel,
    #[error("a topic's labels consist of A-Z a-z 0-9 _ and -, not of {0:?}")]
    Character(char),
}

impl Topic {
    /// The longest topic, in characters.
    pub const MAX: usize = 128;

    /// The topic of a publish that names none.
    #[must_use]
    pub fn fallback() -> Self {
        Self("default".into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topics above this one, nearest first: `a.b` and `a` for `a.b.c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let text = self.as_str();
        text.rmatch_indices('.').map(|(dot, _)| &text[..dot])
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Topic {
    type Err = NotATopic;

    fn from_str(text: &str) -> Result<Self, NotATopic> {
        let length = text.chars().count();
        if length == 0 || length > Self::MAX {
            return Err(NotATopic::Length(length));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if let Some(other) = text.chars().find(|c| !allowed(c)) {
            return Err(NotATopic::Character(other));
        }
        if text.split('.').any(str::is_empty) {
            return Err(NotATopic::EmptyLabel);
        }
        Ok(Self(text.into()))
    }
}

impl Pattern {
    /// Takes text, so that a stored topic can be matched without making a [`Topic`] of it.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(own) => own.as_str() == topic,
            Self::Below(parent) => is_below(topic, parent.as_str()),
        }
    }

    /// Whether this pattern matches every topic that `other` matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (_, Self::All) | (Self::Exact(_), Self::Below(_)) => false,
            (own, Self::Exact(topic)) => own.matches(topic.as_str()),
            (Self::Below(own), Self::Below(parent)) => own == parent || is_below(parent.as_str(), own.as_str()),
        }
    }
}

fn is_below(topic: &str, parent: &str) -> bool {
    topic.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Below(parent) => write!(f, "{parent}.*"),
            Self::Exact(topic) => topic.fmt(f),
        }
    }
}

impl FromStr for Pattern {
    type Err = NotATopic;

    fn from_str(text: &str) -> Result<Self, NotATopic> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.strip_suffix(".*") {
            Some(parent) => parent.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Topic, Pattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn an_invalid_topic_is_refused_with_the_reason() {
        for good in ["a", "ops.db-1.disk_full", "A.B.C", "0", &"x".repeat(128)] {
            assert_eq!(good.parse::<Topic>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<Topic>(), Err(NotATopic::Length(0)));
        assert_eq!("x".repeat(129).parse::<Topic>(), Err(NotATopic::Length(129)));
        for bad in [".", "a.", ".a", "a..b"] {
            assert_eq!(bad.parse::<Topic>(), Err(NotATopic::EmptyLabel), "{bad}");
        }
        for (bad, at) in [("a b", ' '), ("a/b", '/'), ("ä", 'ä'), ("ops.*", '*'), ("a\n", '\n')] {
            assert_eq!(bad.parse::<Topic>(), Err(NotATopic::Character(at)), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_topics_below_but_not_the_parent() {
        assert!(pattern("ops.*").matches("ops.db.disk"));
        assert!(!pattern("ops.*").matches("ops"));
        assert!(!pattern("ops.*").matches("opsx.db"));
        assert!(pattern("*").matches("ops"));
        assert!("*.ops".parse::<Pattern>().is_err());
        assert!("ops.**".parse::<Pattern>().is_err());
    }

    #[test]
    fn a_pattern_covers_only_patterns_that_are_no_wider() {
        for (wide, narrow) in [("*", "ops.*"), ("ops.*", "ops.db.*"), ("ops.*", "ops.db"), ("a", "a"), ("a.*", "a.*")] {
            assert!(pattern(wide).covers(&pattern(narrow)), "{wide} {narrow}");
        }
        for (narrow, wide) in
            [("ops.*", "*"), ("ops.db.*", "ops.*"), ("ops", "ops.*"), ("ops.*", "ops"), ("a", "b"), ("a.*", "ab.*")]
        {
            assert!(!pattern(narrow).covers(&pattern(wide)), "{narrow} {wide}");
        }
    }

    #[test]
    fn ancestors_come_nearest_first() {
        let topic: Topic = "a.b.c".parse().unwrap();
        assert_eq!(topic.ancestors().collect::<Vec<_>>(), ["a.b", "a"]);
    }
}
