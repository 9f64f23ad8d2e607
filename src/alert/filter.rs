//! What a reader asks for: topics, a level, and where to begin.

use super::duration::milliseconds;
use super::{Id, Level, Pattern, Record, Topic};

/// The topics and the level of a subscription; equal filters share one ring in the hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    patterns: Vec<Pattern>,
    level: Level,
}

/// Where a stream or a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The newest alert of each topic that is young enough, then live.
    Latest,
    /// Live only.
    Live,
    /// Everything that is retained.
    All,
    /// All since this time, milliseconds since 1970.
    Time(u64),
    /// All after this cursor.
    After(Id),
    /// A cursor that is no id: a gap, then everything that is retained. The text is cut to [`Start::SHOWN`] characters.
    Unreadable(String),
}

impl Start {
    /// So much of an unreadable cursor is sent back in the gap event.
    pub const SHOWN: usize = 64;

    /// The forms of `since=`: `latest`, `none`, `all`, an id, a duration back from `now_ms` such as `10m`, a time.
    ///
    /// # Errors
    /// The accepted forms, for a person.
    pub fn since(text: &str, now_ms: u64) -> Result<Self, &'static str> {
        match text {
            "latest" => return Ok(Self::Latest),
            "none" => return Ok(Self::Live),
            "all" => return Ok(Self::All),
            _ => {}
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::After(id));
        }
        if let Some(back) = milliseconds(text) {
            return Ok(Self::Time(now_ms.saturating_sub(back)));
        }
        let time = text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok());
        time.map(Self::Time)
            .ok_or("takes latest, none, all, an id, a duration such as 10m, or a time such as 2026-11-23T17:33:10Z")
    }

    /// A cursor as a client sends it; never an error, because an EventSource does not come back from one.
    #[must_use]
    pub fn cursor(text: &str) -> Self {
        match text.parse() {
            Ok(id) => Self::After(id),
            Err(_) => Self::Unreadable(text.chars().take(Self::SHOWN).collect()),
        }
    }
}

impl Filter {
    /// So many patterns at the most; a stream with more wants a wider one.
    pub const MAX_PATTERNS: usize = 64;

    /// A filter of the smallest equal form: sorted, without patterns that another one covers. No pattern means none is selected.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = Pattern>, level: Level) -> Self {
        let mut all: Vec<Pattern> = patterns.into_iter().collect();
        all.sort();
        all.dedup();
        let patterns = all.iter().filter(|p| !all.iter().any(|q| q != *p && q.covers(p))).cloned().collect();
        Self { patterns, level }
    }

    /// The patterns, sorted, none covered by another.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The least level that passes.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Whether an alert of this topic and level passes.
    #[must_use]
    pub fn matches(&self, topic: &Topic, level: Level) -> bool {
        level >= self.level && self.patterns.iter().any(|p| p.matches(topic))
    }

    /// Whether this alert passes.
    #[must_use]
    pub fn passes(&self, record: &Record) -> bool {
        self.matches(&record.topic, record.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_requests_become_equal_filters() {
        let patterns = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<Pattern>>();
        let one = Filter::new(patterns(&["b", "a.*", "a.x", "b"]), Level::Warn);
        let two = Filter::new(patterns(&["a.*", "b"]), Level::Warn);
        assert_eq!(one, two);
        assert_eq!(Filter::new(patterns(&["a", "*", "b.*"]), Level::Info).patterns(), [Pattern::All]);
        assert_ne!(one, Filter::new(patterns(&["a.*", "b"]), Level::Info));
    }

    #[test]
    fn since_has_the_forms_of_the_contract() {
        for (text, start) in [
            ("latest", Start::Latest),
            ("none", Start::Live),
            ("all", Start::All),
            ("5-0", Start::After(Id::at(5))),
            ("10m", Start::Time(400_000)),
            ("1000000h", Start::Time(0)),
            ("1970-01-01T00:00:01.5Z", Start::Time(1500)),
            ("1970-01-01T01:00:00+01:00", Start::Time(0)),
        ] {
            assert_eq!(Start::since(text, 1_000_000), Ok(start), "{text}");
        }
        for bad in ["", "yesterday", "m", "10", "10 m", "-5m", "2026-11-23", "5-", "99999999999999999999d", "LATEST"] {
            assert!(Start::since(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unreadable_cursor_is_a_start_and_no_error() {
        assert_eq!(Start::cursor("5-1"), Start::After(Id { ms: 5, seq: 1 }));
        assert_eq!(Start::cursor("nonsense"), Start::Unreadable("nonsense".into()));
        assert!(
            matches!(Start::cursor(&"ä".repeat(500)), Start::Unreadable(text) if text.chars().count() == Start::SHOWN)
        );
    }
}
