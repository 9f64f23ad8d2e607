//! Retention: removes alerts that are too old, or beyond the limits of the log or of a topic, in small steps within
//! other batches.
//!
//! Removal is logical: an id up to which everything is gone (`trim`), for the log and for each topic with a limit of its
//! own. Readers respect it at once; a segment with nothing left is dropped as a whole.

use std::collections::HashMap;

use super::catalog::Catalog;
use super::oldest::{Oldest, Search};
use super::segment::Position;
use crate::alert::{Id, Topic};
use crate::engine::Retention;
use crate::engine::limits::CATCH_UP_SPEED;

impl Retention {
    /// Whether the log as a whole holds more than it may.
    pub(super) const fn is_exceeded(&self, count: u64, bytes: u64) -> bool {
        (self.count != 0 && count > self.count) || (self.bytes != 0 && bytes > self.bytes)
    }

    /// Alerts that came in before this time are too old; 0 if none is.
    pub(super) const fn horizon(&self, clock_ms: u64) -> u64 {
        if self.age_ms == 0 { 0 } else { clock_ms.saturating_sub(self.age_ms) }
    }
}

/// Advances the time of retention. `elapsed_ms` is real, monotonic time since the last call.
pub(super) fn advance(clock_ms: u64, now_ms: u64, elapsed_ms: u64) -> u64 {
    let reachable = clock_ms.saturating_add(elapsed_ms.saturating_mul(CATCH_UP_SPEED));
    if clock_ms == 0 { now_ms } else { now_ms.min(reachable) }
}

/// What the limit of one topic removes.
#[derive(Clone, Debug)]
pub(super) struct TopicTrim {
    pub(super) topic: Topic,
    /// Up to this id.
    pub(super) trim: Id,
    removed: u64,
    bytes: u64,
    /// No alert of the topic before this place is retained.
    next: Position,
    /// How many alerts each segment loses.
    segments: Vec<(u32, u64)>,
}

impl TopicTrim {
    /// An earlier removal, of which only the id is known.
    pub(super) fn at(topic: Topic, trim: Id) -> Self {
        Self { topic, trim, removed: 0, bytes: 0, next: Position::default(), segments: Vec::new() }
    }
}

/// What a batch removes.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) topics: HashMap<u32, TopicTrim>,
    /// The new trim of the log, and the place after it.
    pub(super) trim: Option<(Id, Position)>,
    removed: Vec<Oldest>,
    /// Alerts lost to damage that the search passed.
    passed: Vec<Position>,
    /// The oldest alert that is left.
    pub(super) oldest: Option<Oldest>,
    /// Nothing before this is retained.
    pub(super) from: Position,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.trim.is_none()
    }

    /// Moves the trim of the log past the segments that limits have emptied, and past one that has to be freed for the
    /// limit of bytes. The limits of topics alone do not move it, and a segment is freed only once the trim has passed
    /// it.
    fn pass_emptied_segments(&mut self, catalog: &Catalog, over_disk: Option<u32>) {
        let Some(tail) = catalog.segments.last() else { return };
        let until = self.oldest.map_or(tail.number(), |oldest| oldest.at.segment);
        let from = self.trim.map_or(catalog.trim_at, |(_, at)| at).segment;
        let passed = catalog
            .segments
            .iter()
            .skip_while(|segment| segment.number() < from)
            .take_while(|segment| segment.number() < until)
            .take_while(|segment| {
                over_disk == Some(segment.number()) || (segment.seems_emptied() && catalog.is_emptied(segment))
            })
            .last();
        if let Some(segment) = passed {
            let at = Position { segment: segment.number() + 1, ordinal: 0 };
            self.trim = Some((segment.index.read().last, at));
        }
    }
}

/// What a batch adds that counts towards the limits.
pub(super) struct Added<'a> {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) topics: HashMap<&'a Topic, u64>,
}

/// Plans at most `left` removals. `oldest` is what the last plan found, if it is still valid; nothing before `from` is
/// retained.
pub(super) fn plan(
    mut search: Search<'_>,
    retention: &Retention,
    added: &Added<'_>,
    (oldest, from): (Option<Oldest>, Position),
    segment_bytes: u64,
    mut left: usize,
) -> Plan {
    let mut plan = Plan { from, ..Plan::default() };
    let catalog = search.catalog;
    if retention.topic_count > 0 {
        for (topic, alerts) in &added.topics {
            topic_limit(&catalog.read(), topic, *alerts, retention.topic_count, &mut left, &mut plan);
        }
    }
    let (mut count, mut bytes, clock_ms, over_disk) = {
        let catalog = catalog.read();
        let is_over = retention.bytes != 0 && catalog.on_disk() > retention.bytes.saturating_add(segment_bytes);
        let first = catalog.segments.first().map(|segment| segment.number());
        let over_disk = first.filter(|_| is_over && catalog.segments.len() > 1);
        (catalog.count + added.count, catalog.bytes + added.bytes, catalog.clock_ms, over_disk)
    };
    for trim in plan.topics.values() {
        count = count.saturating_sub(trim.removed);
        bytes = bytes.saturating_sub(trim.bytes);
    }
    let horizon = retention.horizon(clock_ms);
    let is_true = |oldest: &Oldest, plan: &Plan| {
        oldest.topic.and_then(|topic| plan.topics.get(&topic)).is_none_or(|trim| oldest.id > trim.trim)
    };
    // Limits of topics do not move the trim of the log, so a search from the trim would read everything that they have
    // removed again at each commit.
    let mut oldest = oldest.filter(|oldest| is_true(oldest, &plan)).or_else(|| find(&mut search, from, &mut plan));
    while left > 0
        && let Some(next) = oldest
    {
        let too_much = retention.is_exceeded(count, bytes) || over_disk == Some(next.at.segment);
        if !too_much && next.received_ms >= horizon {
            break;
        }
        let behind = Position { ordinal: next.at.ordinal + 1, ..next.at };
        plan.removed.push(next);
        plan.trim = Some((next.id, behind));
        count = count.saturating_sub(1);
        bytes = bytes.saturating_sub(next.size);
        left -= 1;
        oldest = find(&mut search, behind, &mut plan);
    }
    plan.oldest = oldest;
    plan.pass_emptied_segments(&catalog.read(), over_disk);
    plan
}

/// Looks for the oldest alert that the plan leaves.
fn find(search: &mut Search<'_>, at: Position, plan: &mut Plan) -> Option<Oldest> {
    let Plan { topics, passed, trim, from, .. } = plan;
    // After a failure of the disk an alert may have moved to another segment, and so be found twice.
    let trim = trim.map_or(Id::ZERO, |(trim, _)| trim);
    let is_left = |topic: u32, id: Id| id > trim && topics.get(&topic).is_none_or(|trim| id > trim.trim);
    let (oldest, reached) = search.find(at, is_left, passed);
    *from = reached.max(*from);
    oldest
}

/// A plan that removes nothing and knows the oldest alert.
pub(super) fn find_oldest(mut search: Search<'_>, at: Position) -> Plan {
    let mut plan = Plan::default();
    plan.oldest = find(&mut search, at, &mut plan);
    plan
}

/// Plans the removal of the oldest alerts of a topic that has more than `limit`, including those being added.
fn topic_limit(catalog: &Catalog, topic: &Topic, added: u64, limit: u64, left: &mut usize, plan: &mut Plan) {
    let Some((number, row)) = catalog.topics.number(topic.as_str()).and_then(|n| Some((n, catalog.topics.row(n)?)))
    else {
        return;
    };
    let excess = (row.count + added).saturating_sub(limit).min(row.count);
    let mut wanted = usize::try_from(excess).unwrap_or(usize::MAX).min(*left);
    let mut at = row.oldest.max(catalog.trim_at);
    let mut trim = TopicTrim { next: at, ..TopicTrim::at(topic.clone(), row.trim) };
    while wanted > 0
        && let Some(segment) = catalog.segment_from(at.segment)
    {
        let from = if segment.number() == at.segment { at.ordinal } else { 0 };
        let index = segment.index.read();
        let ordinals = index.posting(number).map_or_else(Vec::new, |posting| posting.from(from, wanted));
        let spans: Vec<_> = ordinals
            .iter()
            .filter_map(|ordinal| Some((*ordinal, index.span(*ordinal)?, index.level(*ordinal).is_some())))
            .collect();
        drop(index);
        let mut lost = 0;
        for (ordinal, (from, to), is_alert) in spans {
            let head = segment.head(from).ok().flatten();
            trim.trim = head.map_or(trim.trim, |head| head.id.max(trim.trim));
            trim.next = Position { segment: segment.number(), ordinal: ordinal + 1 };
            if is_alert {
                lost += 1;
                trim.removed += 1;
                trim.bytes += head.map_or(to - from, |head| head.size() as u64);
                wanted -= 1;
                *left -= 1;
            }
        }
        trim.segments.push((segment.number(), lost));
        if wanted > 0 {
            at = Position { segment: segment.number() + 1, ordinal: 0 };
        }
    }
    if trim.removed > 0 {
        plan.topics.insert(number, trim);
    }
}

impl Catalog {
    /// Applies a plan that was written.
    pub(super) fn apply(&mut self, plan: &Plan) {
        for (number, trim) in &plan.topics {
            self.topics.remove(*number, trim.removed);
            if let Some(row) = self.topics.row_mut(*number) {
                row.trim = row.trim.max(trim.trim);
                row.oldest = row.oldest.max(trim.next);
            }
            self.topic_trim = self.topic_trim.max(trim.trim);
            self.count = self.count.saturating_sub(trim.removed);
            self.bytes = self.bytes.saturating_sub(trim.bytes);
            trim.segments.iter().for_each(|(segment, alerts)| self.remove_retained(*segment, *alerts));
        }
        for removed in &plan.removed {
            if let Some(topic) = removed.topic {
                self.topics.remove(topic, 1);
            }
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(removed.size);
            self.remove_retained(removed.at.segment, 1);
        }
        for at in &plan.passed {
            let topic = self.segment(at.segment).and_then(|segment| segment.index.read().topic_of(at.ordinal));
            if let Some(topic) = topic {
                self.topics.remove(topic, 1);
            }
            self.count = self.count.saturating_sub(1);
        }
        if let Some((trim, at)) = plan.trim {
            self.trim = self.trim.max(trim);
            self.trim_at = self.trim_at.max(at);
        }
        self.oldest = plan.oldest.map(|oldest| oldest.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Level;
    use crate::engine::embedded::Durability;
    use crate::engine::embedded::disk::Disk;
    use crate::engine::embedded::disk::simulated::SimulatedDisk;
    use crate::engine::embedded::testing::{Log, UNLIMITED, publish};

    #[test]
    fn a_commit_reads_no_more_however_much_limits_have_removed() {
        let of_topic = |topic_count: u64| Retention { topic_count, ..UNLIMITED };
        for retention in [of_topic(5), of_topic(1), Retention { count: 5, ..UNLIMITED }] {
            let disk = SimulatedDisk::default();
            let mut log = Log::open(&disk, Durability::None, retention).unwrap();
            let mut reads_of_100 = || {
                let before = disk.reads();
                for _ in 0..100 {
                    log.append(&[vec![publish("ops", "one of many", Level::Info, None)]]).unwrap();
                }
                disk.reads() - before
            };
            reads_of_100();
            let early = reads_of_100();
            for _ in 0..10 {
                reads_of_100();
            }
            let late = reads_of_100();
            assert!(late <= 2 * early, "{early} reads for 100 commits at first, {late} at last: {retention:?}");
        }
    }

    #[test]
    fn segments_that_limits_have_emptied_are_given_back() {
        for retention in [Retention { topic_count: 5, ..UNLIMITED }, Retention { count: 5, ..UNLIMITED }] {
            let mut log = Log::open(&SimulatedDisk::default(), Durability::None, retention).unwrap();
            for number in 0..1000 {
                let topic = ["ops", "web"][number % 2];
                log.append(&[vec![publish(topic, "one of many", Level::Info, None)]]).unwrap();
            }
            let catalog = log.store.catalog.read();
            let made = catalog.segments.last().unwrap().number();
            assert!(made > 5, "the segments of this test are too large: {made}");
            assert!(catalog.segments.len() <= 2, "{} of {made} segments: {retention:?}", catalog.segments.len());
        }
    }

    #[test]
    fn a_damaged_segment_is_not_given_back_for_the_limit_of_a_topic() {
        let disk = SimulatedDisk::default();
        let fill = |log: &mut Log| {
            for _ in 0..200 {
                log.append(&[vec![publish("ops", "one of many", Level::Info, None)]]).unwrap();
            }
        };
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        fill(&mut log);
        log.stop().unwrap();
        let damaged = disk.list().unwrap().into_iter().find(|name| name.ends_with(".seg")).unwrap();
        disk.alter(&damaged, |bytes| bytes.truncate(5000));
        let mut log = Log::open(&disk, Durability::Fsync, Retention { topic_count: 5, ..UNLIMITED }).unwrap();
        fill(&mut log);
        assert!(disk.list().unwrap().contains(&damaged), "{:?}", disk.list());
    }

    #[test]
    fn a_leap_of_the_clock_is_followed_slowly_and_taken_back_at_once() {
        let year = 365 * 86_400_000;
        let mut clock = advance(0, 1_000_000, 0);
        assert_eq!(clock, 1_000_000);
        clock = advance(clock, 1_001_000, 1000);
        assert_eq!(clock, 1_001_000);
        clock = advance(clock, year, 1000);
        assert_eq!(clock, 1_001_000 + 24_000);
        assert_eq!(advance(clock, 1_003_000, 1000), 1_003_000);
    }
}
