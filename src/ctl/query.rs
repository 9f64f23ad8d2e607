//! What the reading commands have in common.

use crate::alert::{Level, Pattern};

/// Topics and level as a query; no topic means all.
#[must_use]
pub fn query(topics: &[Pattern], level: Level) -> Vec<(&'static str, String)> {
    let all = [Pattern::All];
    let topics = if topics.is_empty() { &all[..] } else { topics };
    let level = (level != Level::default()).then(|| ("level", level.to_string()));
    topics.iter().map(|topic| ("topic", topic.to_string())).chain(level).collect()
}
