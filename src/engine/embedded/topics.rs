//! The topics that have alerts, each with a number: names, counts, and their newest alerts by level.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use super::segment::Position;
use crate::alert::{Filter, Id, Level, Pattern, Topic};
use crate::engine::topics::Run;

/// A topic with alerts in some segment.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: Topic,
    /// Alerts and transitions that are retained.
    pub(super) count: u64,
    /// The number of segments with alerts of it; at zero the topic's number is free.
    pub(super) segments: u32,
    /// The newest id that the topic's own limit removed.
    pub(super) trim: Id,
    /// The newest alert of each level; it may have been removed since. After a start or a failure of the disk it may be
    /// a transition, because the index does not tell.
    pub(super) newest: [Option<Position>; 3],
    /// The id of its newest alert or transition, once it was looked up.
    pub(super) last: Option<Id>,
    /// No alert before this is retained.
    pub(super) oldest: Position,
}

impl Row {
    /// The newest alert of at least this level.
    pub(super) fn newest_from(&self, level: Level) -> Option<Position> {
        self.newest[level as usize..].iter().copied().max().flatten()
    }
}

#[derive(Default)]
pub(super) struct Topics {
    numbers: BTreeMap<Topic, u32>,
    rows: Vec<Option<Row>>,
    free: Vec<u32>,
    /// Topics with at least one retained alert.
    listed: u64,
}

impl Topics {
    /// The number of a topic, assigned if it has none.
    pub(super) fn intern(&mut self, name: &Topic) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let row = Row {
            name: name.clone(),
            count: 0,
            segments: 0,
            trim: Id::ZERO,
            newest: [None; 3],
            last: None,
            oldest: Position::default(),
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        self.rows[number as usize] = Some(row);
        self.numbers.insert(name.clone(), number);
        number
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn row(&self, number: u32) -> Option<&Row> {
        self.rows.get(number as usize)?.as_ref()
    }

    pub(super) fn row_mut(&mut self, number: u32) -> Option<&mut Row> {
        self.rows.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Row> {
        self.row(self.number(name)?)
    }

    pub(super) const fn listed(&self) -> u64 {
        self.listed
    }

    /// Counts alerts of a topic that were added.
    pub(super) fn add(&mut self, number: u32, alerts: u64) {
        if let Some(row) = self.row_mut(number) {
            let is_new = row.count == 0 && alerts > 0;
            row.count += alerts;
            self.listed += u64::from(is_new);
        }
    }

    /// Counts alerts of a topic that were removed.
    pub(super) fn remove(&mut self, number: u32, alerts: u64) {
        if let Some(row) = self.row_mut(number)
            && row.count > 0
        {
            row.count = row.count.saturating_sub(alerts);
            let is_empty = row.count == 0;
            self.listed -= u64::from(is_empty);
        }
    }

    /// Counts a segment with alerts of the topic that was dropped.
    pub(super) fn release(&mut self, number: u32) {
        if let Some(row) = self.row_mut(number) {
            row.segments = row.segments.saturating_sub(1);
        }
    }

    /// Forgets topics that have no alerts left, and of which nothing after `trim` was removed.
    pub(super) fn forget(&mut self, trim: Id) {
        for (number, row) in self.rows.iter_mut().enumerate() {
            if let Some(gone) = row.take_if(|row| row.segments == 0 && row.count == 0 && row.trim <= trim) {
                self.numbers.remove(&gone.name);
                self.free.push(u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
    }

    /// All rows, with alerts or without.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.numbers.values().filter_map(|number| Some((*number, self.row(*number)?)))
    }

    fn range(&self, from: Bound<&str>, to: Bound<&str>) -> Range<'_, Topic, u32> {
        self.numbers.range::<str, _>((from, to))
    }

    /// Calls `take` with the topics that the filter selects until it says false.
    pub(super) fn each(&self, filter: &Filter, mut take: impl FnMut(u32, &Row) -> bool) {
        for pattern in filter.patterns() {
            let rows = match pattern {
                Pattern::All => self.range(Unbounded, Unbounded),
                Pattern::Exact(topic) => self.range(Included(topic.as_str()), Included(topic.as_str())),
                // '/' is the character after '.'.
                Pattern::Below(parent) => self.range(Included(&format!("{parent}.")), Excluded(&format!("{parent}/"))),
            };
            for (_, number) in rows {
                if let Some(row) = self.row(*number)
                    && !take(*number, row)
                {
                    return;
                }
            }
        }
    }

    /// The first `most` of each run that have alerts.
    pub(super) fn list(&self, runs: &[Run], most: usize) -> Vec<Topic> {
        let mut topics = Vec::new();
        for run in runs {
            let (Run::One(name) | Run::From(name)) = run;
            let is_in = |topic: &Topic| match run {
                Run::One(_) => topic.as_str() == name,
                Run::From(_) => topic.as_str().starts_with(name),
            };
            let found = self.range(Included(name), Unbounded).take_while(|(topic, _)| is_in(topic));
            let listed = found.filter(|(_, number)| self.row(**number).is_some_and(|row| row.count > 0));
            topics.extend(listed.take(most).map(|(topic, _)| topic.clone()));
        }
        topics
    }
}
