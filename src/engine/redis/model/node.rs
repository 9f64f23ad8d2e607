//! A node, modelled on the writer and the follower of this engine; each call of a script is one step.

use super::kept::{Kept, Told};
use super::log::{Announcement, Log, Number};
use super::rules::Rules;
use super::{Alert, Seen};
use crate::alert::Id;
use crate::engine::redis::chain::{self, Has, Link};

/// What a follower does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Waits for announcements.
    #[default]
    Follows,
    /// An announcement did not fit, or the node has just connected.
    MustLook,
    /// Has compared itself with the log, which had this newest visible id; now takes the announcements on the way.
    Drains(Number),
    /// Reads up to an id, then takes what it held.
    Reads(Number, Vec<Announcement>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// 0 after a start, until the node has compared itself with the log.
    pub(super) epoch: u8,
    /// The value of `seen` when the node stopped.
    kept_epoch: u8,
    /// The hub was fed with everything up to this.
    pub(super) at: Seen,
    /// The newest in an answer or an announcement.
    pub(super) seen: Seen,
    /// What the subscription brings, in order.
    pub(super) queue: Vec<Announcement>,
    pub(super) phase: Phase,
    pub(super) is_cut: bool,
    /// An alert that was stored and waits for the replica.
    pub(super) waits: Option<Alert>,
    /// An alert that was stored and whose answer is on the way, and whether the old primary stored it.
    pub(super) answer: Option<(Alert, bool)>,
    /// Follows the old primary.
    pub(super) is_on_old: bool,
    /// Knows that another server was promoted.
    pub(super) is_told: bool,
    /// Has compared itself with the log on this connection.
    pub(super) is_compared: bool,
    /// A page for the streams of this node. It is gone as soon as the node hears of a retraction or of a break: the version
    /// of the page is another one then.
    pub(super) kept: Option<Kept>,
    pub(super) told: Option<Told>,
}

/// An input of the hub.
#[derive(Clone, Debug)]
pub(super) enum Feed {
    Alerts(Vec<Alert>),
    Reset,
}

impl Node {
    fn has(&self, rules: Rules) -> Has {
        let seen = if rules.seen_is_missed { self.seen } else { self.at };
        Has { at: Id::at(self.at.id.into()), seen: Id::at(seen.id.into()) }
    }

    /// The node after a stop and a start.
    pub(super) fn again(&self, rules: Rules) -> Self {
        let (kept_epoch, seen) = if rules.seen_is_kept { (self.epoch, self.seen) } else { (0, Seen::default()) };
        Self { kept_epoch, seen, phase: Phase::MustLook, ..Self::default() }
    }

    fn deliver(&mut self, rules: Rules, alerts: Vec<Alert>) -> Feed {
        let new: Vec<_> = alerts.into_iter().filter(|alert| alert.id > self.at.id).collect();
        self.at = new.last().map_or(self.at, Seen::of);
        self.seen.raise(self.at);
        if new.iter().any(|alert| alert.is_retraction) {
            self.outdate_kept(rules);
        }
        Feed::Alerts(new)
    }

    fn reset(&mut self, rules: Rules, visible: Number) -> Feed {
        self.at.raise(Seen::id(visible));
        self.seen.raise(self.at);
        self.outdate_kept(rules);
        Feed::Reset
    }

    /// Takes an announcement, or gives it back if it does not continue what the node has.
    fn take(&mut self, rules: Rules, announcement: Announcement) -> Result<Feed, Announcement> {
        let Announcement { epoch, before, alerts } = announcement;
        if epoch != self.epoch {
            return Err(Announcement { epoch, before, alerts });
        }
        if !rules.predecessor_is_exact {
            return if before <= self.at.id {
                Ok(self.deliver(rules, alerts))
            } else {
                Err(Announcement { epoch, before, alerts })
            };
        }
        match chain::link(self.has(rules), Id::at(before.into()), alerts) {
            Link::Next(alerts) => Ok(self.deliver(rules, alerts)),
            Link::Doubt(alerts) => Err(Announcement { epoch, before, alerts }),
        }
    }

    /// The next announcement.
    pub(super) fn hears(&mut self, rules: Rules) -> Option<Feed> {
        let announcement = self.queue.remove(0);
        match self.take(rules, announcement) {
            Ok(feed) => Some(feed),
            Err(_) => {
                self.phase = Phase::MustLook;
                None
            }
        }
    }

    /// `tick.lua` and what follows from its answer.
    pub(super) fn tick(&mut self, rules: Rules, log: &mut Log, now: Number) -> (Option<Announcement>, Option<Feed>) {
        let known = if self.epoch == 0 { self.kept_epoch } else { self.epoch };
        if log.epoch == 0 {
            log.epoch = known + 1;
        }
        let announced = log.look_back(rules, known, self.at, now);
        let announced = log.look_back(rules, known, self.seen, now).or(announced);
        let mut feed = None;
        if self.epoch != log.epoch || log.trim > self.at.id {
            feed = Some(self.reset(rules, log.shown));
            self.phase = Phase::Follows;
        } else if log.shown > self.at.id {
            if log.retracted.has(self.seen.id) {
                self.seen.raise(Seen::id(log.shown));
            }
            self.phase = Phase::Drains(log.shown);
        } else {
            self.phase = Phase::Follows;
        }
        (self.epoch, self.is_compared) = (log.epoch, true);
        (announced, feed)
    }

    /// Takes everything that is on the way.
    pub(super) fn drain(&mut self, rules: Rules, until: Number) -> Vec<Feed> {
        let (mut fed, mut held) = (Vec::new(), Vec::new());
        for announcement in std::mem::take(&mut self.queue) {
            match self.take(rules, announcement) {
                Ok(feed) => fed.push(feed),
                Err(announcement) => held.push(announcement),
            }
        }
        self.phase = Phase::Reads(until, held);
        fed
    }

    /// One page of one alert, or the end of catching up.
    pub(super) fn read(&mut self, rules: Rules, log: &Log, until: Number, held: Vec<Announcement>) -> Vec<Feed> {
        if self.at.id >= until {
            return self.follow_on(rules, held);
        }
        if rules.pages_are_compared && log.trimmed() > self.at.id {
            let mut fed = vec![self.reset(rules, until.max(log.trimmed()))];
            fed.extend(self.follow_on(rules, held));
            return fed;
        }
        let page: Vec<_> = log.after(self.at.id, until).take(1).collect();
        let end = page.first().map_or(until, |alert| alert.id);
        if self.has(rules).misses_seen(&page, Id::at(end.into())) {
            let fed = self.follow_on(rules, held);
            self.phase = Phase::MustLook;
            return fed;
        }
        let feed = self.deliver(rules, page);
        self.at.raise(Seen::id(end));
        self.seen.raise(self.at);
        self.phase = Phase::Reads(until, held);
        vec![feed]
    }

    fn follow_on(&mut self, rules: Rules, held: Vec<Announcement>) -> Vec<Feed> {
        let mut fed = Vec::new();
        self.phase = Phase::Follows;
        for announcement in held {
            if announcement.alerts.last().is_some_and(|last| last.id <= self.at.id) {
                continue;
            }
            match self.take(rules, announcement) {
                Ok(feed) => fed.push(feed),
                Err(_) => {
                    self.phase = Phase::MustLook;
                    break;
                }
            }
        }
        fed
    }
}
