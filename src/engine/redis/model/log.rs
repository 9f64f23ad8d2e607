//! The log as the scripts keep it, each script one step.

use super::rules::Rules;
use super::{Alert, Seen, Set};
use crate::alert::Id;
use crate::engine::redis::chain::Identified;

/// An id; the model needs few of them.
pub(super) type Number = u8;

impl Identified for Alert {
    fn id(&self) -> Id {
        Id::at(self.id.into())
    }
}

/// The keys of the scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// 0 for a log that was emptied and that no node has looked at since.
    pub(super) epoch: u8,
    pub(super) entries: Vec<Alert>,
    pub(super) head: Number,
    pub(super) shown: Number,
    pub(super) trim: Number,
    /// For each topic the newest id that its limit removed.
    pub(super) topic_trim: [Number; 2],
    /// What limits of topics removed.
    pub(super) removed: Set,
    /// What was taken back.
    pub(super) retracted: Set,
}

/// A message on the channel `live`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Announcement {
    pub(super) epoch: u8,
    pub(super) before: Number,
    pub(super) alerts: Vec<Alert>,
}

impl Log {
    pub(super) fn is_known(&self, id: Number) -> bool {
        id == self.shown || id == self.trim || self.has(id) || self.removed.has(id) || self.retracted.has(id)
    }

    pub(super) fn has(&self, id: Number) -> bool {
        self.entries.iter().any(|alert| alert.id == id)
    }

    fn is_lost(&self, rules: Rules, seen: Seen) -> bool {
        let stored = self.entries.iter().find(|alert| alert.id == seen.id);
        match stored.filter(|_| seen.name != 0 && rules.alerts_are_compared) {
            Some(stored) => stored.name != seen.name,
            None => !self.is_known(seen.id),
        }
    }

    /// The newest id that was removed, whatever its topic.
    pub(super) fn trimmed(&self) -> Number {
        self.topic_trim.iter().copied().max().unwrap_or(0).max(self.trim)
    }

    pub(super) fn oldest(&self) -> Option<Number> {
        self.entries.first().map(|alert| alert.id)
    }

    /// The visible entries after an id.
    pub(super) fn after(&self, id: Number, until: Number) -> impl Iterator<Item = Alert> {
        let until = until.min(self.shown);
        self.entries.iter().filter(move |alert| alert.id > id && alert.id <= until).copied()
    }

    /// `look_back` of `log.lua`. `now` is the server's time: it has moved on since the last alert was stored.
    pub(super) fn look_back(&mut self, rules: Rules, epoch: u8, seen: Seen, now: Number) -> Option<Announcement> {
        if seen.id == 0 {
            return None;
        }
        let is_other = epoch != self.epoch;
        if self.trim < seen.id && (is_other || self.is_lost(rules, seen)) {
            let cut = (self.head.max(seen.id) + 1).max(now);
            (self.head, self.shown, self.trim) = (cut, cut, cut);
            None
        } else if !is_other && self.shown < seen.id {
            self.announce(seen.id)
        } else {
            None
        }
    }

    pub(super) fn announce(&mut self, upto: Number) -> Option<Announcement> {
        if self.shown >= upto {
            return None;
        }
        let (epoch, before) = (self.epoch, self.shown);
        self.shown = upto;
        Some(Announcement { epoch, before, alerts: self.after(before, upto).collect() })
    }

    /// `store.lua`, without the announcement of the new alert.
    pub(super) fn store(
        &mut self,
        rules: Rules,
        epoch: u8,
        seen: Seen,
        (name, topic, is_retraction): (Number, usize, bool),
        now: Number,
    ) -> (Alert, Option<Announcement>) {
        let announced = if rules.store_compares { self.look_back(rules, epoch, seen, now) } else { None };
        self.head = (self.head + 1).max(now);
        let alert = Alert { id: self.head, name, topic, is_retraction };
        self.entries.push(alert);
        (alert, announced)
    }

    /// A step of retention of the whole log; nothing that waits for the replicas is touched.
    pub(super) fn retain(&mut self) {
        let oldest = self.entries.remove(0);
        self.trim = self.trim.max(oldest.id);
    }

    /// A step of the limit of a topic.
    pub(super) fn retain_topic(&mut self, topic: usize) {
        let Some(at) = self.entries.iter().position(|alert| alert.topic == topic) else { return };
        let oldest = self.entries.remove(at);
        self.topic_trim[topic] = oldest.id;
        self.removed.add(oldest.id);
    }

    /// `take_back` of `change.lua`.
    pub(super) fn take_back(&mut self, rules: Rules, id: Number) {
        self.take_out(id);
        if rules.retracted_is_known {
            self.retracted.add(id);
        }
    }

    pub(super) fn take_out(&mut self, id: Number) {
        self.entries.retain(|alert| alert.id != id);
    }
}
