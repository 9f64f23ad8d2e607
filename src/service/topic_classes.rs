//! Accepted alerts by topic class and level.
//!
//! The class of a topic is its first label. Publishers choose topics, so only the first [`TopicClassCounters::MAX_CLASSES`]
//! classes since the start have counters of their own, and all others share one. Counting takes no lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::alert::{Level, Topic};

/// The name of the class that all others share.
const OTHER: &str = "other";

type ByLevel = [AtomicU64; Level::ALL.len()];

#[derive(Debug, Default)]
pub(super) struct TopicClassCounters {
    /// Assigned in order.
    named: [OnceLock<(Box<str>, ByLevel)>; TopicClassCounters::MAX_CLASSES],
    other: ByLevel,
}

impl TopicClassCounters {
    /// Number of classes that have their own counters.
    pub(super) const MAX_CLASSES: usize = 32;

    pub(super) fn count(&self, topic: &Topic, level: Level) {
        let class = topic.as_str().split('.').next().unwrap_or_default();
        self.counter(class)[level as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn counter(&self, class: &str) -> &ByLevel {
        if class == OTHER {
            return &self.other;
        }
        let mut slots = self.named.iter().map(|slot| slot.get_or_init(|| (class.into(), ByLevel::default())));
        slots.find(|(name, _)| **name == *class).map_or(&self.other, |(_, alerts)| alerts)
    }

    /// Each class with its alerts by level.
    pub(super) fn read(&self) -> Vec<(String, [u64; Level::ALL.len()])> {
        let named = self.named.iter().map_while(OnceLock::get).map(|(name, alerts)| (&**name, alerts));
        named.chain([(OTHER, &self.other)]).map(|(name, alerts)| (name.to_owned(), load(alerts))).collect()
    }

    pub(super) fn total(&self) -> u64 {
        let named = self.named.iter().map_while(OnceLock::get).map(|(_, alerts)| alerts);
        named.chain([&self.other]).flat_map(load).sum()
    }
}

fn load(alerts: &ByLevel) -> [u64; Level::ALL.len()] {
    std::array::from_fn(|level| alerts[level].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_cannot_create_classes_without_bound() {
        let classes = TopicClassCounters::default();
        let count = |topic: &str, level| classes.count(&topic.parse().unwrap(), level);
        count("ops.db", Level::Error);
        count("ops.db.replica", Level::Error);
        count("ops", Level::Info);
        count("other.things", Level::Warn);
        for number in 0..1000 {
            count(&format!("made-up-{number}"), Level::Info);
        }
        count("ops.web", Level::Warn);
        let seen = classes.read();
        assert_eq!(seen.len(), TopicClassCounters::MAX_CLASSES + 1);
        assert_eq!(seen[0], ("ops".into(), [1, 1, 2]));
        assert_eq!(
            seen[TopicClassCounters::MAX_CLASSES],
            ("other".into(), [1000 - (TopicClassCounters::MAX_CLASSES as u64 - 1), 1, 0])
        );
        assert_eq!(classes.total(), 1005);
    }

    #[test]
    fn threads_that_count_a_new_class_at_the_same_time_share_its_counter() {
        let classes = TopicClassCounters::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let classes = &classes;
                scope.spawn(move || {
                    for number in 0..TopicClassCounters::MAX_CLASSES {
                        let topic = format!("class-{}", (number * 7 + thread) % TopicClassCounters::MAX_CLASSES);
                        classes.count(&topic.parse().unwrap(), Level::Info);
                    }
                });
            }
        });
        assert!(
            classes.read()[..TopicClassCounters::MAX_CLASSES].iter().all(|(_, alerts)| *alerts == [4, 0, 0]),
            "{:?}",
            classes.read()
        );
    }
}
