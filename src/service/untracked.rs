//! Alerts that report an incident and open none, because of a limit or of an older node.
//!
//! They are stored and broadcast as ever. Here they are counted by reason and named in the journal once a minute; the status
//! tells of them for as long as it lasts, and for an hour.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::alert::Record;
use crate::incident::Untracked;
use crate::log::{Event, Repeated};

const REASONS: usize = Untracked::NAMES.len();
/// How long the status tells of the last one.
const TOLD_FOR: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(super) struct UntrackedAlerts {
    counts: [AtomicU64; REASONS],
    lines: [Repeated; REASONS],
    last: Mutex<Option<(Untracked, Instant)>>,
}

impl UntrackedAlerts {
    pub(super) fn note(&self, why: Untracked, alert: &Record, user: &str, now: Instant) {
        self.counts[why.number()].fetch_add(1, Ordering::Relaxed);
        *self.last.lock() = Some((why, now));
        if let Some(left_out) = self.lines[why.number()].note(now) {
            tracing::warn!(
                message_id = %Event::IncidentsUntracked,
                topic = %alert.topic,
                alert_id = %alert.id,
                user,
                reason = Untracked::NAMES[why.number()],
                left_out,
                "an alert of {user} on {} is stored and opens no incident: {why}", alert.topic
            );
        }
    }

    /// Logs what was left out in minutes that have ended.
    pub(super) fn settle(&self, now: Instant) {
        for (line, reason) in self.lines.iter().zip(Untracked::NAMES) {
            if let Some(count) = line.settle(now) {
                tracing::warn!(
                    message_id = %Event::IncidentsUntracked,
                    reason,
                    count,
                    "{count} more alerts within a minute opened no incident, for the same reason ({reason})"
                );
            }
        }
    }

    /// How many there were since the start, by reason.
    pub(super) fn counts(&self) -> [(&'static str, u64); REASONS] {
        std::array::from_fn(|reason| (Untracked::NAMES[reason], self.counts[reason].load(Ordering::Relaxed)))
    }

    /// What the operator should know. `reached` is the limit that is reached now, if one is known to be.
    pub(super) fn warning(&self, reached: Option<Untracked>, now: Instant) -> Option<String> {
        if let Some(why) = reached {
            return Some(format!("new alerts open no incident: {why}"));
        }
        let last = *self.last.lock();
        let (why, _) = last.filter(|(_, at)| now.duration_since(*at) < TOLD_FOR)?;
        Some(format!("in the last hour alerts opened no incident: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Id};

    #[test]
    fn each_reason_is_counted_and_the_last_one_is_told_for_an_hour() {
        let (untracked, start) = (UntrackedAlerts::default(), Instant::now());
        assert_eq!(untracked.warning(None, start), None);
        let record = Draft::from_json(None, br#"{"message":"m","level":"warn","incident":"i"}"#).unwrap();
        let record = record.record(Id::at(1), 1);
        for (why, times) in [(Untracked::OlderNode, 1), (Untracked::MaxOpen(7), 2), (Untracked::MaxOpenPerUser(5), 3)] {
            (0..times).for_each(|_| untracked.note(why, &record, "alice", start));
        }
        assert_eq!(untracked.counts(), [("max_open", 2), ("max_open_per_user", 3), ("older_node", 1)]);
        let warning = untracked.warning(None, start + TOLD_FOR / 2).unwrap();
        assert!(warning.contains("5 incidents of one user") && warning.contains("(incidents.max_open_per_user)"));
        assert_eq!(untracked.warning(None, start + TOLD_FOR), None);
        let reached = untracked.warning(Some(Untracked::MaxOpen(7)), start + TOLD_FOR).unwrap();
        assert!(reached.contains("7 incidents may be unresolved (incidents.max_open): resolve"), "{reached}");
    }
}
