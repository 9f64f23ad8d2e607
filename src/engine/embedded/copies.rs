//! Copies of what was retracted, in what the log says besides its alerts: the texts of incidents, in the log and in the
//! snapshot, and fingerprints of texts.
//!
//! The keeper erases them: an incident whose alert repeats often has many. Which retractions are not done is in the snapshot,
//! and a start adds those after it. Always: what is searched was written before the retraction was, and so is synced and
//! stays where it is.

use std::io;
use std::sync::Arc;

use super::disk;
use super::frame::{ALIGN, HEAD, Head, Kind};
use super::header::RECORDS;
use super::keeper::Keeper;
use super::overwrite;
use super::retracted::Retracted;
use super::segment::Segment;
use super::snapshot;
use crate::alert::Id;

/// Bytes that are read at once.
const PIECE: u64 = 256 << 10;

impl Keeper {
    /// Erases the copies of all alerts that were retracted.
    pub(super) fn erase_copies(&self) -> io::Result<()> {
        let retracted = self.retracted.lock().clone();
        if retracted.is_empty() {
            return Ok(());
        }
        let first = retracted.iter().find(|(_, has_copies)| **has_copies).map(|(id, _)| *id);
        let segments = self.catalog.read().segments.clone();
        for segment in first.iter().flat_map(|first| of_copies(&segments, *first)) {
            self.erase_within(segment, &retracted)?;
        }
        self.erase_in_snapshot(&retracted)?;
        for segment in segments.iter().filter(|segment| segment.has_leftover()) {
            // The next start does it, if this fails.
            let end = segment.index.read().end;
            let _ = segment.file.truncate(end);
        }
        let mut left = self.retracted.lock();
        left.retain(|id, _| !retracted.contains_key(id));
        Ok(())
    }

    fn erase_within(&self, segment: &Segment, retracted: &Retracted) -> io::Result<()> {
        let end = segment.index.read().end;
        let mut copies = Vec::new();
        each_head(segment, end, |offset, head| {
            if matches!(head.kind, Kind::Incident | Kind::Key) && retracted.contains_key(&head.id) {
                copies.push(offset);
            }
        })?;
        if copies.is_empty() || segment.is_dropped() {
            return Ok(());
        }
        // Whoever replays records sees all of them before, or none.
        let _snapshot = self.pins.snapshot.lock();
        for offset in copies {
            overwrite::write(segment, offset)?;
        }
        segment.file.sync()
    }

    fn erase_in_snapshot(&self, retracted: &Retracted) -> io::Result<()> {
        let _snapshot = self.pins.snapshot.lock();
        let Some(identity) = self.catalog.read().segments.first().map(|segment| segment.header.identity) else {
            return Ok(());
        };
        let Some((place, mut state)) = self.snapshot(identity) else { return Ok(()) };
        retracted.keys().for_each(|id| state.keys.erase(*id));
        state.incidents.forget(retracted);
        state.retracted.retain(|id, _| !retracted.contains_key(id));
        disk::replace(&*self.disk, snapshot::FILE, &snapshot::encode(&place, &state))
    }
}

/// The segments that may have copies of alerts from `first` on.
fn of_copies(segments: &[Arc<Segment>], first: Id) -> &[Arc<Segment>] {
    let from = segments.partition_point(|segment| segment.index.read().last < first);
    &segments[from..]
}

/// Calls `visit` with each head of a segment up to `end`, and where it is.
fn each_head(segment: &Segment, end: u64, mut visit: impl FnMut(u64, &Head)) -> io::Result<()> {
    let (mut at, mut piece, mut from) = (RECORDS, Vec::new(), RECORDS);
    while at + HEAD as u64 <= end {
        let start = usize::try_from(at - from).unwrap_or(usize::MAX);
        let Some(bytes) = piece.get(start..).filter(|bytes: &&[u8]| bytes.len() >= HEAD) else {
            piece = disk::read(&*segment.file, at, usize::try_from(PIECE.min(end - at)).unwrap_or(0))?;
            from = at;
            if piece.len() < HEAD {
                // It is shorter than its index says.
                return Ok(());
            }
            continue;
        };
        match Head::read(bytes, at, segment.header.salt) {
            Some(head) => {
                visit(at, &head);
                at += head.size() as u64;
            }
            None => at += ALIGN,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::disk::Disk;
    use super::super::disk::simulated::SimulatedDisk;
    use super::super::incident_power::{alert, rows};
    use super::super::testing::{Log, UNLIMITED};
    use crate::alert::{Level, Record};
    use crate::engine::{Retracted, Stored};
    use crate::incident::{Action, Settings};
    use crate::random::Random;

    const SETTINGS: Settings = Settings {
        repeat_interval_ms: 60_000,
        remind_after_ms: 0,
        remind_level: Level::Error,
        max_open: 10,
        max_open_per_user: 10,
    };
    const SECRET: &str = "the-secret-text";

    fn is_on(disk: &SimulatedDisk) -> bool {
        let has = |name: &String| disk.content(name).windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        disk.list().unwrap().iter().any(has)
    }

    fn open(disk: &SimulatedDisk, durability: Durability) -> Log {
        let log = Log::open(disk, durability, UNLIMITED).unwrap();
        log.store.incidents.write().set_settings(SETTINGS);
        assert_eq!(log.damage, Vec::<String>::new());
        log
    }

    fn put(log: &mut Log, message: &str, key: Option<&str>) -> Stored {
        log.append(&[vec![alert("disk", message, Level::Warn, "", key)]]).unwrap().remove(0).unwrap().remove(0)
    }

    /// An incident whose last alert was repeated, acknowledged and opened again so often that its texts are in many segments.
    fn fill(log: &mut Log) -> (Record, Record) {
        let before = put(log, "before", None).record;
        let secret = put(log, SECRET, None).record;
        for number in 0..60 {
            put(log, SECRET, Some(&format!("key {number}")));
            let action = if number % 2 == 0 { Action::Acknowledge } else { Action::Reopen };
            log.act("disk", action).unwrap();
        }
        (before, secret)
    }

    fn last(log: &Log) -> Option<String> {
        rows(log).into_values().next().unwrap().last.map(|last| last.message)
    }

    #[test]
    fn the_text_of_an_incident_is_gone_from_all_files_and_its_state_stays() {
        for durability in [Durability::Fsync, Durability::None] {
            let disk = SimulatedDisk::default();
            let mut log = open(&disk, durability);
            let (before, secret) = fill(&mut log);
            assert!(log.view.catalog.read().segments.len() > 2 && is_on(&disk));
            let row = rows(&log).into_values().next().unwrap();
            assert!(matches!(log.retract(&secret), Ok(Some(Retracted::Now(_)))));
            let retracted = rows(&log).into_values().next().unwrap();
            assert_eq!(retracted.last.as_ref().unwrap().id, Some(before.id));
            assert_eq!((retracted.state, retracted.count, retracted.changed), (row.state, row.count, row.changed));
            // Killed before the copies are erased: the next start does it.
            let killed = disk.copy();
            log.work();
            assert!(!is_on(&disk));
            let mut reopened = open(&killed, durability);
            assert_eq!(last(&reopened).as_deref(), Some("before"));
            reopened.work();
            assert!(!is_on(&killed));
            // The keys of repeats stand for the retracted alert.
            for mut log in [log, reopened] {
                let repeat = alert("disk", SECRET, Level::Warn, "", Some("key 7"));
                assert!(log.append(&[vec![repeat]]).unwrap().remove(0).unwrap_err().contains("retracted"));
                assert!(log.retract(&before).unwrap().is_some());
                log.work();
                assert_eq!(last(&log), None);
            }
        }
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_the_incident_and_the_next_start_erases_its_text() {
        for durability in [Durability::Fsync, Durability::None] {
            let whole = SimulatedDisk::default();
            let mut log = open(&whole, durability);
            let (_, secret) = fill(&mut log);
            log.store.appender.sync().unwrap();
            drop(log);
            for fuel in 0.. {
                let disk = whole.copy();
                let mut log = open(&disk, durability);
                log.work();
                disk.set_fuel(Some(fuel));
                let outcome = log.retract(&secret);
                log.work();
                let is_over = disk.list().is_ok();
                for seed in 0..4 {
                    let disk = disk.after_power_cut(&mut Random::new(100 * fuel + seed));
                    let mut log = open(&disk, durability);
                    log.work();
                    let at = format!("{durability:?} fuel {fuel} seed {seed}");
                    let text = last(&log);
                    assert!(
                        outcome.is_err() || text.as_deref() == Some("before"),
                        "{at}: an answered retraction was undone"
                    );
                    assert_eq!(is_on(&disk), text.as_deref() == Some(SECRET), "{at}");
                    assert_eq!(rows(&log).into_values().next().unwrap().count, 62, "{at}");
                }
                if is_over {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_disk_that_fails_meanwhile_is_tried_again() {
        let disk = SimulatedDisk::default();
        let mut log = open(&disk, Durability::Fsync);
        let (_, secret) = fill(&mut log);
        log.retract(&secret).unwrap();
        disk.fail_syncs(1);
        assert!(log.keeper.erase_copies().is_err());
        log.keeper.erase_copies().unwrap();
        assert!(!is_on(&disk) && log.store.retracted.lock().is_empty());
        let cut = disk.after_power_cut(&mut Random::new(1));
        assert!(!is_on(&cut));
    }
}
