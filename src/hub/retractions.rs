//! Which alerts were retracted lately, for whoever has taken alerts from a ring or from the log and has not sent them yet.
//!
//! The rule for all streams: whoever is going to send alerts remembers how many retractions there were before it read them
//! ([`Held`]), and asks before it sends them, and while it waits for its client. If one of them was retracted since, what is not
//! sent yet is read again; a stream that has sent its client a part of an event, or of the chunk around it, ends there, and its
//! client resumes. What the kernel or hyper has taken is sent. Always: a retraction counts here once the rings have dropped the
//! alert, and the log dropped it before that, so nobody reads it after having seen the count. Memory is bounded: whoever
//! remembers a count before the last [`KEPT`] retractions is told that its alerts may have been retracted.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::alert::{Filter, Id, Level, Topic};

/// Retractions that are remembered.
const KEPT: usize = 1024;

/// Alerts that were read and are not sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many retractions there were before they were read.
    pub since: u64,
    /// Their ids are after this one.
    pub after: Id,
    /// Up to this one.
    pub upto: Id,
}

impl Held {
    pub(crate) const NOTHING: Self = Self { since: u64::MAX, after: Id::MAX, upto: Id::ZERO };
}

pub(super) struct Retractions {
    recent: Mutex<VecDeque<(Topic, Id)>>,
    count: watch::Sender<u64>,
}

impl Default for Retractions {
    fn default() -> Self {
        Self { recent: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Retractions {
    /// How many there were since the start.
    pub(super) fn count(&self) -> u64 {
        *self.count.borrow()
    }

    pub(super) fn add(&self, topic: Topic, alert: Id) {
        {
            let mut recent = self.recent.lock();
            if recent.len() == KEPT {
                recent.pop_front();
            }
            recent.push_back((topic, alert));
        }
        self.count.send_modify(|count| *count += 1);
    }

    /// Whether one of these alerts may have been retracted since they were read. They pass the filter.
    pub(super) fn concern(&self, held: &Held, filter: &Filter) -> bool {
        let newer = usize::try_from(self.count().saturating_sub(held.since)).unwrap_or(usize::MAX);
        if newer == 0 {
            return false;
        }
        let recent = self.recent.lock();
        let is_held = |(topic, id): &(Topic, Id)| {
            held.after < *id && *id <= held.upto && filter.matches(topic.as_str(), Level::Error)
        };
        newer > recent.len() || recent.iter().rev().take(newer).any(is_held)
    }

    /// Waits until one of these alerts may have been retracted. Safe to cancel.
    pub(super) async fn reach(&self, held: &Held, filter: &Filter) {
        let mut count = self.count.subscribe();
        // This cannot fail, because `self` keeps the sender alive.
        let _ = count.wait_for(|count| *count != held.since && self.concern(held, filter)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_concerned_by_what_was_retracted_among_them_since_they_were_read() {
        let (retractions, filter) = (Retractions::default(), Filter::new(["ops".parse().unwrap()], Level::Error));
        let held = |since, after, upto| Held { since, after: Id::at(after), upto: Id::at(upto) };
        let concern = |held| retractions.concern(&held, &filter);
        assert!(!concern(held(0, 0, 9)));
        retractions.add("ops".parse().unwrap(), Id::at(5));
        retractions.add("web".parse().unwrap(), Id::at(7));
        assert!(
            concern(held(0, 4, 5)) && !concern(held(0, 5, 9)) && !concern(held(0, 3, 4)) && !concern(held(1, 0, 9))
        );
        for _ in 0..KEPT {
            retractions.add("web".parse().unwrap(), Id::at(7));
        }
        assert!(concern(held(1, 8, 9)) && !concern(held(2, 0, 9)));
    }
}
