//! The topics that have alerts: a bounded part of them, in order.
//!
//! The service asks for them to complete names. A topic that retention has emptied is not listed.

use super::limits::MAX_LISTED_TOPICS;
use super::{Engine, Unavailable};
use crate::alert::{Pattern, Topic};

/// A part of the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// In byte order.
    pub topics: Vec<Topic>,
    /// Whether there are more than these.
    pub more: bool,
}

/// A range of names in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    One(String),
    /// All names with this prefix.
    From(String),
}

impl Engine {
    /// The topics that one of the patterns selects and that begin with `prefix`: the first `limit` of them, and never more
    /// than [`MAX_LISTED_TOPICS`].
    ///
    /// # Errors
    /// The log cannot be read now.
    pub(crate) async fn topics(
        &self,
        patterns: &[Pattern],
        prefix: &str,
        limit: usize,
    ) -> Result<Listing, Unavailable> {
        let (runs, limit) = (runs(patterns, prefix), limit.min(MAX_LISTED_TOPICS));
        // One more of each run shows whether the listing is complete.
        let mut topics = match self {
            Self::Embedded(embedded) => embedded.topics(runs, limit + 1).await?,
            Self::Redis(redis) => redis.topics(&runs, limit + 1).await?,
        };
        topics.sort_unstable();
        topics.dedup();
        let more = topics.len() > limit;
        topics.truncate(limit);
        Ok(Listing { topics, more })
    }
}

fn runs(patterns: &[Pattern], prefix: &str) -> Vec<Run> {
    let run = |pattern: &Pattern| match pattern {
        Pattern::All => Some(Run::From(prefix.to_owned())),
        Pattern::Exact(topic) => topic.as_str().starts_with(prefix).then(|| Run::One(topic.to_string())),
        Pattern::Below(parent) => {
            let own = format!("{parent}.");
            if prefix.starts_with(&own) {
                Some(Run::From(prefix.to_owned()))
            } else {
                own.starts_with(prefix).then_some(Run::From(own))
            }
        }
    };
    patterns.iter().filter_map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_within_its_pattern_and_begins_as_asked() {
        let from = |text: &str| vec![Run::From(text.to_owned())];
        for (pattern, prefix, expected) in [
            ("*", "", from("")),
            ("*", "op", from("op")),
            ("ops.*", "", from("ops.")),
            ("ops.*", "ops", from("ops.")),
            ("ops.*", "ops.d", from("ops.d")),
            ("ops.*", "opsx", vec![]),
            ("ops.*", "web", vec![]),
            ("ops", "op", vec![Run::One("ops".to_owned())]),
            ("ops", "ops.", vec![]),
        ] {
            assert_eq!(runs(&[pattern.parse().unwrap()], prefix), expected, "{pattern} {prefix}");
        }
    }
}
