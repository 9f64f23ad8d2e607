//! Which topics have alerts: a bounded part of them, in order.
//!
//! Asked by the service for whoever completes a name. A topic that retention has emptied is none any more.

use super::{Engine, Unavailable};
use crate::alert::{Pattern, Topic};

/// Topics that one listing holds at the most.
pub(crate) const MOST: usize = 1000;

/// The topics that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// In the order of their bytes.
    pub topics: Vec<Topic>,
    /// Whether there are others behind them.
    pub more: bool,
}

/// A run of names in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// This one.
    One(String),
    /// All that begin so.
    From(String),
}

impl Engine {
    /// The topics that one of the patterns selects and that begin with `prefix`: the first `most`, [`MOST`] at the most.
    ///
    /// # Errors
    /// Where the log cannot be read now.
    pub(crate) async fn topics(&self, patterns: &[Pattern], prefix: &str, most: usize) -> Result<Listing, Unavailable> {
        let (runs, most) = (runs(patterns, prefix), most.min(MOST));
        // One more of each run tells whether there are others.
        let mut topics = match self {
            Self::Embedded(embedded) => embedded.topics(runs, most + 1).await?,
            Self::Redis(redis) => redis.topics(&runs, most + 1).await?,
        };
        topics.sort_unstable();
        topics.dedup();
        let more = topics.len() > most;
        topics.truncate(most);
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
