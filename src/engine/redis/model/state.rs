//! The state of servers, nodes and reader, and the steps that change it.

use super::log::{Announcement, Log, Number};
use super::node::{Feed, Node, Phase};
use super::reader::{Reader, Stream};
use super::rules::{Fault, Rules};
use super::{Alert, Fleet, Seen, Set, Step};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Of the primary.
    pub(super) log: Log,
    pub(super) replica: Log,
    /// Of a primary that goes on although another server was promoted.
    pub(super) old: Option<Log>,
    pub(super) nodes: [Node; 2],
    pub(super) reader: Reader,
    /// The server's time, which has moved on with each alert.
    now: Number,
    answered: Set,
    /// The ids of the alerts that were answered, by name.
    ids: [Number; 5],
    /// Taken back because the replica did not confirm.
    pub(super) refused: Set,
    /// The names of alerts that were taken back, and of the records that did it.
    pub(super) taken_back: Set,
    pub(super) retractions: Set,
    pub(super) stored: usize,
    pub(super) retained: u8,
    pub(super) topic_retained: u8,
    pub(super) cuts: u8,
    pub(super) hops: u8,
    pub(super) kept: u8,
    pub(super) has_failed: bool,
    /// An alert was given an id that is not above one that was answered before.
    pub(super) fell: bool,
    /// An alert was answered under `replicas:1` that the replica did not have.
    pub(super) is_unsafe: bool,
}

impl State {
    /// Publishes on the primary, or on the old one.
    fn publish(&mut self, is_old: bool, announcement: Option<Announcement>) {
        let Some(announcement) = announcement else { return };
        for node in self.nodes.iter_mut().filter(|node| !node.is_cut && node.is_on_old == is_old) {
            node.queue.push(announcement.clone());
        }
    }

    fn feed(&mut self, node: usize, fed: impl IntoIterator<Item = Feed>) {
        for feed in fed {
            if self.reader.node == node {
                self.reader.fed(&feed);
            }
        }
    }

    /// The log that this node follows; none while its server is gone.
    pub(super) fn log_of(&self, node: usize) -> Option<&Log> {
        if self.nodes[node].is_on_old { self.old.as_ref() } else { Some(&self.log) }
    }

    /// Whether what this node stores goes to the old primary.
    pub(super) fn stores_on_old(&self, node: usize) -> bool {
        self.old.is_some() && !self.nodes[node].is_told
    }

    /// The server's time; two primaries may give the same ids.
    const fn time(&self) -> Number {
        if self.old.is_some() { 0 } else { self.now + 1 }
    }

    fn answer(&mut self, node: usize, alert: Alert) {
        self.answered.add(alert.name);
        self.nodes[node].seen.raise(Seen::of(&alert));
    }

    /// Whether every node knows all that it would learn from the log, and the reader has caught up.
    pub(super) fn is_settled(&self, rules: Rules) -> bool {
        let is_quiet = |node: &Node| {
            let mut log = self.log.clone();
            let (announced, fed) = node.clone().tick(rules, &mut log, self.now + 1);
            let waits = node.is_cut || node.waits.is_some() || node.answer.is_some() || node.is_on_old;
            let is_idle = node.phase == Phase::Follows && node.queue.is_empty() && !waits;
            is_idle && log == self.log && announced.is_none() && fed.is_none() && node.at.id == self.log.shown
        };
        self.nodes.iter().all(is_quiet) && self.reader.stream == Stream::Live
    }

    /// Answered alerts that the reader did not get and that no gap covers.
    pub(super) fn untold(&self) -> Vec<Number> {
        let is_untold = |name: &Number| {
            let id = self.ids[usize::from(*name)];
            let is_owed = self.answered.has(*name) && !self.taken_back.has(*name);
            is_owed && !self.reader.got.has(*name) && id > self.reader.told
        };
        (1..5).filter(is_untold).collect()
    }

    /// Whether every alert that was answered is in the log.
    pub(super) fn has_all(&self) -> bool {
        (1..5).all(|name| !self.answered.has(name) || self.log.entries.iter().any(|alert| alert.name == name))
    }

    pub(super) fn take(&mut self, fleet: &Fleet, step: &Step) -> Option<()> {
        match *step {
            Step::Store { node, topic, is_ahead } => self.store(fleet, node, topic, is_ahead, None),
            Step::Retract { node, id } => {
                let alert = *self.log.entries.iter().find(|alert| alert.id == id)?;
                self.taken_back.add(alert.name);
                self.retractions.add(self.stored as Number + 1);
                self.store(fleet, node, alert.topic, false, Some(id));
            }
            Step::Answer(node) => {
                let (alert, is_old) = self.nodes[node].answer.take()?;
                self.nodes[node].seen.raise(Seen::of(&alert));
                if !(is_old && self.nodes[node].is_told && fleet.rules.old_answers_are_void) {
                    self.answer(node, alert);
                }
            }
            Step::Settle { node, is_confirmed } => self.settle(fleet.rules, node, is_confirmed)?,
            Step::Replicate => self.replica = self.log.clone(),
            Step::Fail => {
                self.has_failed = true;
                match fleet.fault {
                    Fault::TwoPrimaries => {
                        self.old = Some(std::mem::replace(&mut self.log, self.replica.clone()));
                        for node in &mut self.nodes {
                            node.is_on_old = true;
                            node.answer = node.answer.map(|(alert, _)| (alert, true));
                        }
                    }
                    Fault::Emptied => self.log = Log::default(),
                    Fault::Restored => {
                        self.log = Log { epoch: 1, ..Log::default() };
                        self.replica = self.log.clone();
                    }
                    _ => self.log = self.replica.clone(),
                }
                // The connections on which nodes wait are broken, and so the answers are lost.
                self.nodes.iter_mut().for_each(|node| node.waits = None);
                self.nodes.iter_mut().filter(|node| !node.is_on_old).for_each(|node| node.is_compared = false);
                if fleet.fault == Fault::WhileStopped {
                    self.nodes.iter_mut().for_each(|node| *node = node.again(fleet.rules));
                    self.reader.hop(self.reader.node);
                }
            }
            Step::Demote => self.old = None,
            Step::Tell(node) => self.nodes[node].is_told = true,
            Step::Leave(node) => {
                let node = &mut self.nodes[node];
                (node.is_on_old, node.is_told, node.phase) = (false, true, Phase::MustLook);
                node.is_compared = false;
                node.queue.clear();
            }
            Step::Retain => {
                self.retained += 1;
                self.log.retain();
            }
            Step::RetainTopic(topic) => {
                self.topic_retained += 1;
                self.log.retain_topic(topic);
            }
            Step::Cut(node) => {
                self.cuts += 1;
                let node = &mut self.nodes[node];
                (node.is_cut, node.phase, node.waits) = (true, Phase::Follows, None);
                node.is_compared = false;
                node.queue.clear();
            }
            Step::Mend(node) => (self.nodes[node].is_cut, self.nodes[node].phase) = (false, Phase::MustLook),
            Step::Hear(node) => {
                let fed = self.nodes[node].hears(fleet.rules);
                self.feed(node, fed);
            }
            Step::Tick(node) => {
                let (is_old, now) = (self.nodes[node].is_on_old, self.time());
                let log = if is_old { self.old.as_mut()? } else { &mut self.log };
                let (announced, fed) = self.nodes[node].tick(fleet.rules, log, now);
                self.publish(is_old, announced);
                self.feed(node, fed);
            }
            Step::Drain(node) => {
                let Phase::Drains(until) = self.nodes[node].phase else { return None };
                let fed = self.nodes[node].drain(fleet.rules, until);
                self.feed(node, fed);
            }
            Step::Read(node) => {
                let Phase::Reads(until, held) = self.nodes[node].phase.clone() else { return None };
                let log = self.log_of(node)?.clone();
                let fed = self.nodes[node].read(fleet.rules, &log, until, held);
                self.feed(node, fed);
            }
            Step::Seek => {
                let number = self.reader.node;
                let log = self.log_of(number)?.clone();
                if self.reader.cursor > log.shown && self.nodes[number].is_on_old {
                    // The node asks which server is the primary.
                    self.nodes[number].is_told = true;
                } else {
                    self.reader.seek(&self.nodes[number], &log);
                }
            }
            Step::Page => {
                let Stream::Replays { until, trimmed, ring } = self.reader.stream.clone() else { return None };
                let log = self.log_of(self.reader.node)?.clone();
                self.reader.page(&log, until, trimmed, &ring);
            }
            Step::Fetch => self.fetch()?,
            Step::Keep => self.keep()?,
            Step::Want => self.want(fleet.rules)?,
            Step::Ask => self.ask()?,
            Step::Send => self.send_kept(fleet.rules)?,
            Step::Hop => {
                self.hops += 1;
                self.reader.hop(1 - self.reader.node);
            }
        }
        Some(())
    }

    fn store(&mut self, fleet: &Fleet, node: usize, topic: usize, is_ahead: bool, of: Option<Number>) {
        self.stored += 1;
        let name = self.stored as Number;
        let (epoch, seen, is_old) = (self.nodes[node].epoch, self.nodes[node].seen, self.stores_on_old(node));
        let now = if is_ahead { self.now + 1 } else { self.time() };
        let log = if let (Some(old), true) = (&mut self.old, is_old) { old } else { &mut self.log };
        let (alert, found) = log.store(fleet.rules, epoch, seen, (name, topic, of.is_some()), now);
        if let Some(of) = of {
            log.take_back(fleet.rules, of);
        }
        let announced = if fleet.waits_for_replica { None } else { log.announce(alert.id) };
        self.now = self.now.max(alert.id);
        self.ids[usize::from(name)] = alert.id;
        self.fell |= fleet.fault != Fault::TwoPrimaries && self.newest_answered() >= alert.id;
        self.publish(is_old, found);
        self.publish(is_old, announced);
        if fleet.waits_for_replica {
            self.nodes[node].waits = Some(alert);
        } else if fleet.fault == Fault::TwoPrimaries {
            self.nodes[node].answer = Some((alert, is_old));
        } else {
            self.answer(node, alert);
        }
    }

    fn newest_answered(&self) -> Number {
        let answered = (1..5).filter(|name| self.answered.has(*name));
        answered.map(|name| self.ids[usize::from(name)]).max().unwrap_or(0)
    }

    fn settle(&mut self, rules: Rules, node: usize, is_confirmed: bool) -> Option<()> {
        let alert = self.nodes[node].waits.take()?;
        if is_confirmed {
            let announced = self.log.announce(alert.id);
            self.publish(false, announced);
        }
        if self.log.shown >= alert.id {
            if is_confirmed || alert.id > self.log.trim || !rules.loss_confirms_nothing {
                self.is_unsafe |= !self.replica.has(alert.id);
                self.answer(node, alert);
            }
        } else {
            self.log.take_out(alert.id);
            self.refused.add(alert.name);
        }
        Some(())
    }
}
