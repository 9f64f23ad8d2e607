//! The selection of a stream or page: topics, a level, and where to start.

use super::{Id, Level, Pattern, duration};

/// The topics and the level of a subscription. Equal filters share one ring in the hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    patterns: Vec<Pattern>,
    level: Level,
}

/// Where a stream or a page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The newest alert of each topic unless it is too old, then live.
    Latest,
    /// Live only.
    Live,
    /// Everything that is retained.
    All,
    /// Everything since this time, in milliseconds since 1970.
    Time(u64),
    /// Everything after this cursor.
    After(Id),
    /// A cursor that is not an id: a gap, then everything that is retained. Cut to [`Start::SHOWN`] characters.
    Unreadable(String),
}

impl Start {
    /// How many characters of an unreadable cursor the gap event repeats.
    pub const SHOWN: usize = 64;

    /// Parses `since=`: `latest`, `none`, `all`, an id, a duration back from `now_ms` such as `10m`, or a time.
    ///
    /// The error text lists these forms.
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
        // In many interfaces `since=0` means everything; here it would silently mean nothing, so it stays an error.
        if text != "0"
            && let Some(back) = duration::parse(text)
        {
            let back = u64::try_from(back.as_millis()).unwrap_or(u64::MAX);
            return Ok(Self::Time(now_ms.saturating_sub(back)));
        }
        let time = text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok());
        time.map(Self::Time)
            .ok_or("takes latest, none, all, an id, a duration such as 10m, or a time such as 2026-11-23T17:33:10Z")
    }

    /// Parses a cursor that a client sends. Never fails: an `EventSource` does not reconnect after an error status.
    #[must_use]
    pub fn cursor(text: &str) -> Self {
        match text.parse() {
            Ok(id) => Self::After(id),
            Err(_) => Self::Unreadable(text.chars().take(Self::SHOWN).collect()),
        }
    }
}

impl Filter {
    /// The most patterns of one stream.
    pub const MAX_PATTERNS: usize = 64;

    /// Reduces the patterns to their normal form: sorted, without those that another one covers. Without patterns the filter
    /// matches nothing.
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

    /// The lowest level that passes.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Whether one of the patterns matches, whatever the level.
    #[must_use]
    pub fn matches_topic(&self, topic: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    #[must_use]
    pub fn matches(&self, topic: &str, level: Level) -> bool {
        level >= self.level && self.matches_topic(topic)
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
    fn since_accepts_every_documented_form() {
        for (text, start) in [
            ("latest", Start::Latest),
            ("none", Start::Live),
            ("all", Start::All),
            ("5-0", Start::After(Id::at(5))),
            ("10m", Start::Time(400_000)),
            ("1m30s", Start::Time(910_000)),
            ("1000000h", Start::Time(0)),
            ("1970-01-01T00:00:01.5Z", Start::Time(1500)),
            ("1970-01-01T01:00:00+01:00", Start::Time(0)),
        ] {
            assert_eq!(Start::since(text, 1_000_000), Ok(start), "{text}");
        }
        for bad in
            ["", "yesterday", "m", "0", "10", "10 m", "-5m", "2026-11-23", "5-", "99999999999999999999d", "LATEST"]
        {
            assert!(Start::since(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unreadable_cursor_is_not_an_error() {
        assert_eq!(Start::cursor("5-1"), Start::After(Id { ms: 5, seq: 1 }));
        assert_eq!(Start::cursor("nonsense"), Start::Unreadable("nonsense".into()));
        assert!(
            matches!(Start::cursor(&"ä".repeat(500)), Start::Unreadable(text) if text.chars().count() == Start::SHOWN)
        );
    }
}
