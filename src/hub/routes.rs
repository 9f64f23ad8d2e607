//! Finds the subscriptions that match a topic without looking at the others.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alert::{Filter, Pattern, Topic};

/// Something with a filter, which must not change.
pub(super) trait Filtered {
    fn filter(&self) -> &Filter;
}

pub(super) struct Routes<T> {
    exact: HashMap<Topic, Vec<Arc<T>>>,
    below: HashMap<Topic, Vec<Arc<T>>>,
    all: Vec<Arc<T>>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new(), all: Vec::new() }
    }
}

impl<T: Filtered> Routes<T> {
    /// Everything with a pattern that matches the topic; the caller checks the level. The patterns of a filter never overlap,
    /// so each one comes once.
    pub(super) fn of<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = &'a Arc<T>> {
        let ancestors = (!self.below.is_empty()).then(|| topic.ancestors());
        let below = ancestors.into_iter().flatten().filter_map(|parent| self.below.get(parent)).flatten();
        self.exact.get(topic).into_iter().flatten().chain(below).chain(&self.all)
    }

    /// Everything, once for each of its patterns.
    pub(super) fn each(&self) -> impl Iterator<Item = &Arc<T>> {
        self.exact.values().chain(self.below.values()).flatten().chain(&self.all)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.all.is_empty()
    }

    pub(super) fn add(&mut self, one: &Arc<T>) {
        for pattern in one.filter().patterns() {
            match pattern {
                Pattern::All => self.all.push(Arc::clone(one)),
                Pattern::Below(parent) => self.below.entry(parent.clone()).or_default().push(Arc::clone(one)),
                Pattern::Exact(topic) => self.exact.entry(topic.clone()).or_default().push(Arc::clone(one)),
            }
        }
    }

    pub(super) fn remove(&mut self, one: &Arc<T>) {
        let without = |others: &mut Vec<Arc<T>>| {
            others.retain(|other| !Arc::ptr_eq(other, one));
            !others.is_empty()
        };
        for pattern in one.filter().patterns() {
            let (map, topic) = match pattern {
                Pattern::All => {
                    without(&mut self.all);
                    continue;
                }
                Pattern::Below(parent) => (&mut self.below, parent),
                Pattern::Exact(topic) => (&mut self.exact, topic),
            };
            if map.get_mut(topic).is_some_and(|others| !without(others)) {
                map.remove(topic);
            }
        }
    }
}
