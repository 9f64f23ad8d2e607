//! Frees the space of segments of which nothing is retained, at the old end of the log and within it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::codec::Writer;
use super::dropped::DroppedRange;
use super::frame::Kind;
use super::keeper::Chore;
use super::segment::Segment;
use super::store::Store;
use crate::engine::limits::IDEMPOTENCY_AGE_MS;

impl Store {
    /// Drops the segments of which nothing is retained, once nothing else depends on them.
    pub(super) fn drop_segments(&mut self) {
        while let Some(first) = self.dead_segment() {
            // The trim must be on the disk before the segment is removed.
            if self.appender.failed.is_some() || self.appender.sync().is_err() {
                return;
            }
            let is_dropped = self.catalog.write().drop_segment(&first);
            if !is_dropped {
                return;
            }
            self.forget_segment(&first);
        }
        let mut emptied = self.emptied_segments();
        if emptied.is_empty() {
            return;
        }
        {
            let mut catalog = self.catalog.write();
            let (sound, unsound) = emptied.into_iter().partition::<Vec<_>, _>(|segment| catalog.is_emptied(segment));
            catalog.emptied.retain(|number| unsound.iter().all(|segment| segment.number() != *number));
            emptied = sound;
        }
        if !emptied.is_empty() {
            self.drop_within(&emptied);
        }
    }

    /// Whether a segment waits for [`drop_segments`](Self::drop_segments).
    pub(super) fn has_droppable(&self) -> bool {
        self.dead_segment().is_some() || !self.emptied_segments().is_empty()
    }

    /// The oldest segment, if everything in it is removed.
    fn dead_segment(&self) -> Option<Arc<Segment>> {
        let catalog = self.catalog.read();
        let first = catalog.segments.first()?;
        let last = first.index.read().last;
        let is_dead = first.number() < catalog.trim_at.segment && !self.is_tail(first) && last <= catalog.trim;
        // What it says about incidents must be in the snapshot, and so must its idempotency keys unless they are too old.
        let is_old = last.ms.saturating_add(IDEMPOTENCY_AGE_MS) < catalog.clock_ms;
        let is_covered = self.is_in_snapshot(first) || (is_old && !self.has_incidents);
        (is_dead && is_covered).then(|| Arc::clone(first))
    }

    /// Segments that limits seem to have emptied, after one that is still needed.
    fn emptied_segments(&self) -> Vec<Arc<Segment>> {
        let catalog = self.catalog.read();
        if catalog.emptied.is_empty() {
            return Vec::new();
        }
        let Some(needed) = catalog.segments.iter().find(|segment| !segment.seems_emptied()) else { return Vec::new() };
        let emptied = catalog.emptied.iter().filter_map(|number| catalog.segment(*number));
        emptied
            .filter(|segment| segment.number() > needed.number() && !self.is_tail(segment))
            // After a segment with a leftover, this one says where the log goes on.
            .filter(|segment| {
                let before = segment.number().checked_sub(1).and_then(|number| catalog.segment_until(number));
                before.is_none_or(|before| !before.has_leftover())
            })
            // What was removed from it must be known from the snapshot.
            .filter(|segment| self.is_in_snapshot(segment))
            .cloned()
            .collect()
    }

    fn is_tail(&self, segment: &Segment) -> bool {
        self.appender.tail.as_ref().is_some_and(|tail| tail.number() == segment.number())
    }

    fn is_in_snapshot(&self, segment: &Segment) -> bool {
        segment.number() <= self.snapshotted.load(Ordering::Acquire)
    }

    /// Records that these segments are dropped, and then drops them; after a crash in between, the next start drops the
    /// files.
    fn drop_within(&mut self, segments: &[Arc<Segment>]) {
        let mut ranges = self.catalog.read().dropped.clone();
        for segment in segments {
            let last = segment.index.read().last;
            DroppedRange::add(&mut ranges, &segment.header, last);
        }
        if self.note_dropped(ranges).is_err() {
            // The log goes on in a new segment with the next batch, and this is tried again.
            return;
        }
        for segment in segments {
            self.catalog.write().drop_segment(segment);
            self.forget_segment(segment);
        }
    }

    /// Records which segments were dropped from within the log.
    pub(super) fn note_dropped(&mut self, ranges: Vec<DroppedRange>) -> std::io::Result<()> {
        let mut content = Writer::default();
        DroppedRange::put(&ranges, &mut content);
        self.note(Kind::Dropped, self.head(), &content.0)?;
        self.catalog.write().dropped = ranges;
        Ok(())
    }

    fn forget_segment(&mut self, segment: &Segment) {
        self.erasures.retain(|(number, _)| *number != segment.number());
        self.chores.push(Chore::Drop(segment.name.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::disk::Disk;
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::header::SUFFIX;
    use super::super::snapshot;
    use super::super::testing::{Log, UNLIMITED, filter, publish};
    use crate::alert::{Id, Level, Record, Start};
    use crate::engine::Retention;

    const LIMITED: Retention = Retention { topic_count: 5, ..UNLIMITED };

    fn put(log: &mut Log, topic: &str, alerts: usize) -> Vec<Record> {
        (0..alerts)
            .map(|_| {
                let group = vec![publish(topic, "one of many", Level::Info, None)];
                log.append(&[group]).unwrap().remove(0).unwrap().remove(0).record
            })
            .collect()
    }

    fn segments(disk: &SimulatedDisk) -> usize {
        disk.list().unwrap().iter().filter(|name| name.ends_with(SUFFIX)).count()
    }

    /// Whether a stream that continues after `cursor` gets a gap.
    fn is_told(log: &Log, cursor: Id, pattern: &str) -> bool {
        log.view.seek(&Start::After(cursor), &filter(pattern), log.store.head(), 0).unwrap().gap.is_some()
    }

    /// A log with an old alert of a quiet topic in front of many segments that a limit emptied, and all alerts in order.
    fn quiet_and_noisy(disk: &SimulatedDisk) -> (Log, Vec<Record>) {
        let mut log = Log::open(disk, Durability::Fsync, LIMITED).unwrap();
        let mut records = Vec::new();
        for (topic, alerts) in [("quiet", 1), ("noisy", 400), ("calm", 1), ("noisy", 600)] {
            records.extend(put(&mut log, topic, alerts));
        }
        (log, records)
    }

    fn check(log: &mut Log, disk: &SimulatedDisk, records: &[Record], at: &str) {
        assert_eq!(log.damage, Vec::<String>::new(), "{at}");
        let left: Vec<_> = [&records[..1], &records[401..402], &records[997..]].concat();
        assert_eq!(log.read(&filter("*")).unwrap(), (left.clone(), vec![]), "{at}");
        assert_eq!(log.read_back(&filter("*")).unwrap().0, left, "{at}");
        let latest = log.view.seek(&Start::Latest, &filter("*"), log.store.head(), 0).unwrap().latest;
        assert_eq!(latest, [records[0].clone(), records[401].clone(), records[1001].clone()], "{at}");
        // Every id is still a cursor, and a stream that missed something gets a gap.
        for record in records.iter().step_by(37) {
            assert_eq!(is_told(log, record.id, "noisy"), record.id < records[996].id, "{at}");
            assert!(!is_told(log, record.id, "calm") && !is_told(log, record.id, "quiet"), "{at}: {}", record.id);
        }
        let files = segments(disk);
        assert!(files <= 5, "{at}: {files} segments for 7 alerts: {:?}", disk.list());
    }

    #[test]
    fn segments_that_limits_have_emptied_go_wherever_they_are_and_no_cursor_with_them() {
        let disk = SimulatedDisk::default();
        let (mut log, records) = quiet_and_noisy(&disk);
        let made = log.store.catalog.read().segments.last().unwrap().number();
        assert!(made > 10, "the segments of this test are too large: {made}");
        check(&mut log, &disk, &records, "written");
        let killed = disk.copy();
        let mut log = Log::open(&killed, Durability::Fsync, LIMITED).unwrap();
        check(&mut log, &killed, &records, "killed");
        log.stop().unwrap();
        let mut log = Log::open(&killed, Durability::Fsync, LIMITED).unwrap();
        check(&mut log, &killed, &records, "stopped");
        // The old end of the log skips the segments that were dropped before.
        log.retention = Retention { count: 1, ..UNLIMITED };
        let last = put(&mut log, "calm", 40).pop().unwrap();
        assert_eq!(log.read(&filter("*")).unwrap().0, [last]);
        assert!(log.store.catalog.read().dropped.is_empty());
        assert!(is_told(&log, records[500].id, "calm"));
    }

    #[test]
    fn a_crash_between_the_note_and_the_files_drops_them_at_the_next_start() {
        for fuel in 0.. {
            let disk = SimulatedDisk::default();
            let mut log = Log::open(&disk, Durability::Fsync, LIMITED).unwrap();
            let quiet = put(&mut log, "quiet", 1).remove(0);
            let noisy = put(&mut log, "noisy", 60);
            // The power fails after each operation in turn while the segments are dropped that the next alerts empty.
            disk.set_fuel(Some(fuel));
            let mut answered = Vec::new();
            for _ in 0..60 {
                let group = vec![publish("noisy", "one of many", Level::Info, None)];
                match log.append(&[group]) {
                    Ok(mut outcomes) => answered.push(outcomes.remove(0).unwrap().remove(0).record),
                    Err(_) => break,
                }
            }
            let is_over = answered.len() == 60;
            let disk = disk.copy();
            let mut log = Log::open(&disk, Durability::Fsync, LIMITED).unwrap();
            log.work();
            assert_eq!(log.damage, Vec::<String>::new(), "fuel {fuel}");
            let (records, gaps) = log.read(&filter("*")).unwrap();
            assert!(gaps.is_empty() && records[0] == quiet, "fuel {fuel}: {gaps:?}");
            let newest = answered.last().or(noisy.last()).unwrap();
            assert!(records.contains(newest) && records[1..].iter().all(|record| record.topic == newest.topic));
            put(&mut log, "noisy", 60);
            assert!(segments(&disk) <= 4, "fuel {fuel}: {:?}", disk.list());
            if is_over {
                break;
            }
        }
    }

    #[test]
    fn without_the_snapshot_dropped_segments_count_as_missing_for_good() {
        let disk = SimulatedDisk::default();
        let (log, records) = quiet_and_noisy(&disk);
        drop(log);
        disk.alter(snapshot::FILE, |bytes| bytes[30] ^= 1);
        for start in 0..3 {
            let mut log = Log::open(&disk, Durability::Fsync, LIMITED).unwrap();
            log.work();
            assert!(log.damage.iter().any(|what| what.contains("missing")), "{start}: {:?}", log.damage);
            // Without the snapshot removals may be forgotten, so every stream gets a gap.
            assert!(!log.read(&filter("quiet")).unwrap().1.is_empty(), "{start}");
            assert_eq!(log.read(&filter("*")).unwrap().0[0], records[0]);
            log.stop().unwrap();
        }
    }

    #[test]
    fn a_damaged_segment_within_the_log_is_not_dropped() {
        let disk = SimulatedDisk::default();
        let mut log = Log::open(&disk, Durability::Fsync, UNLIMITED).unwrap();
        put(&mut log, "quiet", 1);
        put(&mut log, "noisy", 400);
        log.stop().unwrap();
        let damaged = disk.list().unwrap().into_iter().filter(|name| name.ends_with(SUFFIX)).nth(2).unwrap();
        disk.alter(&damaged, |bytes| bytes.truncate(5000));
        let mut log = Log::open(&disk, Durability::Fsync, LIMITED).unwrap();
        put(&mut log, "noisy", 400);
        assert!(disk.list().unwrap().contains(&damaged), "{:?}", disk.list());
        assert!(segments(&disk) <= 6, "{:?}", disk.list());
    }
}
