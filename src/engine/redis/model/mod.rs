//! A model of the protocol between nodes and log, and a search of all its states.
//!
//! Two nodes, two or three alerts, two topics, one replica, one failover (which is also a restore or an emptied log),
//! connections that break, retention, and a reader that hops: [`checks`] has the combinations. Each script is one step, as
//! Redis runs it; the search tries every order of what happens between two scripts, and every delay of an announcement. The
//! properties hold in every state; with a rule switched off, the search finds a state where one fails.
//!
//! Ids are numbers that rise with time, as ids do with the clock of the server: a primary that goes on after another was
//! promoted, with a clock that is ahead, is not modelled, nor is a node that dies with what only it had seen.

mod checks;
mod log;
mod node;
mod reader;

use log::{Announcement, Log, Number};
use node::{Feed, Node, Phase};
use reader::{Reader, Stream};
use stateright::Model;

/// A stored alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Alert {
    id: Number,
    topic: usize,
}

/// A set of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Set(u32);

impl Set {
    const fn has(self, id: Number) -> bool {
        self.0 & (1 << id) != 0
    }

    const fn add(&mut self, id: Number) {
        self.0 |= 1 << id;
    }
}

/// The rules of the protocol; without any one of them the search finds a hole.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// An announcement continues exactly what the node has.
    predecessor_is_exact: bool,
    /// The script that stores compares the log with what the node has seen.
    store_compares: bool,
    /// A node that reads the log looks at what was removed after its position.
    pages_are_compared: bool,
    /// Records that leave out the newest id that the node has seen are not taken.
    seen_is_missed: bool,
    /// A stream does not read a log that shows less than the node has seen.
    streams_wait: bool,
    /// A node knows what it had seen when it starts again.
    seen_is_kept: bool,
}

impl Rules {
    const ALL: Self = Self {
        predecessor_is_exact: true,
        store_compares: true,
        pages_are_compared: true,
        seen_is_missed: true,
        streams_wait: true,
        seen_is_kept: true,
    };
}

/// How the log may go back to an older state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// To what the replica has: a failover, or a backup that is restored.
    OlderState,
    /// The same while no node runs.
    WhileStopped,
    Emptied,
}

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
struct Fleet {
    rules: Rules,
    fault: Fault,
    /// `replicas:1` in place of `primary`.
    waits_for_replica: bool,
    alerts: usize,
    /// Topics that alerts are stored on; only the limit of a topic tells them apart.
    topics: usize,
    /// Removals by retention of the whole log, and by the limit of a topic.
    retained: u8,
    topic_retained: u8,
    cuts: u8,
    hops: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    log: Log,
    replica: Log,
    nodes: [Node; 2],
    reader: Reader,
    /// The server's time, which has moved on with each alert.
    now: Number,
    answered: Set,
    /// Taken back because the replica did not confirm.
    refused: Set,
    stored: usize,
    retained: u8,
    topic_retained: u8,
    cuts: u8,
    hops: u8,
    has_failed: bool,
    /// An alert was given an id that is not above one that was answered before.
    fell: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Store { node: usize, topic: usize },
    Settle { node: usize, is_confirmed: bool },
    Replicate,
    Fail,
    Retain,
    RetainTopic(usize),
    Cut(usize),
    Mend(usize),
    Hear(usize),
    Tick(usize),
    Drain(usize),
    Read(usize),
    Seek,
    Page,
    Hop,
}

impl State {
    fn publish(&mut self, announcement: Option<Announcement>) {
        let Some(announcement) = announcement else { return };
        for node in self.nodes.iter_mut().filter(|node| !node.is_cut) {
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

    fn answer(&mut self, node: usize, id: Number) {
        self.answered.add(id);
        self.nodes[node].seen = self.nodes[node].seen.max(id);
    }

    /// Whether every node knows all that it would learn from the log, and the reader has caught up.
    fn is_settled(&self) -> bool {
        let is_quiet = |node: &Node| {
            let mut log = self.log.clone();
            let (announced, fed) = node.clone().tick(&mut log, self.now + 1);
            let is_idle = node.phase == Phase::Follows && node.queue.is_empty() && !node.is_cut && node.waits.is_none();
            is_idle && log == self.log && announced.is_none() && fed.is_none() && node.at == self.log.shown
        };
        self.nodes.iter().all(is_quiet) && self.reader.stream == Stream::Live
    }

    /// Answered alerts that the reader did not get and that no gap covers.
    fn untold(&self) -> Vec<Number> {
        let is_untold = |id: &Number| self.answered.has(*id) && !self.reader.got.has(*id) && *id > self.reader.told;
        (1..32).filter(is_untold).collect()
    }

    fn take(&mut self, fleet: &Fleet, step: &Step) -> Option<()> {
        match *step {
            Step::Store { node, topic } => self.store(fleet, node, topic),
            Step::Settle { node, is_confirmed } => self.settle(node, is_confirmed)?,
            Step::Replicate => self.replica = self.log.clone(),
            Step::Fail => {
                self.has_failed = true;
                self.log = if fleet.fault == Fault::Emptied { Log::default() } else { self.replica.clone() };
                // The connections on which nodes wait are broken, and so the answers are lost.
                self.nodes.iter_mut().for_each(|node| node.waits = None);
                if fleet.fault == Fault::WhileStopped {
                    self.nodes.iter_mut().for_each(|node| *node = node.again(fleet.rules));
                    self.reader.hop(self.reader.node);
                }
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
                node.queue.clear();
            }
            Step::Mend(node) => (self.nodes[node].is_cut, self.nodes[node].phase) = (false, Phase::MustLook),
            Step::Hear(node) => {
                let fed = self.nodes[node].hears(fleet.rules);
                self.feed(node, fed);
            }
            Step::Tick(node) => {
                let (announced, fed) = self.nodes[node].tick(&mut self.log, self.now + 1);
                self.publish(announced);
                self.feed(node, fed);
            }
            Step::Drain(node) => {
                let Phase::Drains(until) = self.nodes[node].phase else { return None };
                let fed = self.nodes[node].drain(fleet.rules, until);
                self.feed(node, fed);
            }
            Step::Read(node) => {
                let Phase::Reads(until, held) = self.nodes[node].phase.clone() else { return None };
                let fed = self.nodes[node].read(fleet.rules, &self.log, until, held);
                self.feed(node, fed);
            }
            Step::Seek => self.reader.seek(&self.nodes[self.reader.node], &self.log),
            Step::Page => {
                let Stream::Replays { until, trimmed, ring } = self.reader.stream.clone() else { return None };
                self.reader.page(&self.log, until, trimmed, &ring);
            }
            Step::Hop => {
                self.hops += 1;
                self.reader.hop(1 - self.reader.node);
            }
        }
        Some(())
    }

    fn store(&mut self, fleet: &Fleet, node: usize, topic: usize) {
        self.stored += 1;
        self.now += 1;
        let (epoch, seen) = (self.nodes[node].epoch, self.nodes[node].seen);
        let (id, announced) = self.log.store(fleet.rules, epoch, seen, topic, self.now);
        self.now = self.now.max(id);
        self.fell |= self.answered.0 >> id != 0;
        self.publish(announced);
        if fleet.waits_for_replica {
            self.nodes[node].waits = Some(id);
        } else {
            let announced = self.log.announce(id);
            self.publish(announced);
            self.answer(node, id);
        }
    }

    fn settle(&mut self, node: usize, is_confirmed: bool) -> Option<()> {
        let id = self.nodes[node].waits.take()?;
        if is_confirmed {
            let announced = self.log.announce(id);
            self.publish(announced);
        }
        if self.log.shown >= id {
            self.answer(node, id);
        } else {
            self.log.take_out(id);
            self.refused.add(id);
        }
        Some(())
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::default();
        state.log.epoch = 1;
        state.replica = state.log.clone();
        state.nodes.iter_mut().for_each(|node| node.epoch = 1);
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (number, node) in state.nodes.iter().enumerate() {
            if node.is_cut {
                steps.push(Step::Mend(number));
                continue;
            }
            let may_store = state.stored < self.alerts && node.waits.is_none() && node.epoch == state.log.epoch;
            if may_store {
                steps.extend((0..self.topics).map(|topic| Step::Store { node: number, topic }));
            }
            if let Some(id) = node.waits {
                // The replica may have the alert although its confirmation is late.
                steps.push(Step::Settle { node: number, is_confirmed: false });
                if state.replica.has(id) {
                    steps.push(Step::Settle { node: number, is_confirmed: true });
                }
            }
            match &node.phase {
                Phase::Follows => {
                    if !node.queue.is_empty() {
                        steps.push(Step::Hear(number));
                    }
                    steps.push(Step::Tick(number));
                }
                Phase::MustLook => steps.push(Step::Tick(number)),
                Phase::Drains(_) => steps.push(Step::Drain(number)),
                Phase::Reads(..) => steps.push(Step::Read(number)),
            }
            if state.cuts < self.cuts {
                steps.push(Step::Cut(number));
            }
        }
        if !state.has_failed && self.fault != Fault::None {
            steps.push(Step::Fail);
            if state.replica != state.log {
                steps.push(Step::Replicate);
            }
        }
        if state.retained < self.retained && state.log.oldest().is_some_and(|oldest| oldest <= state.log.shown) {
            steps.push(Step::Retain);
        }
        if state.topic_retained < self.topic_retained {
            let visible = |topic: &usize| state.log.after(0, Number::MAX).filter(|alert| alert.topic == *topic).count();
            steps.extend((0..2).filter(|topic| visible(topic) > 1).map(Step::RetainTopic));
        }
        let node = &state.nodes[state.reader.node];
        match state.reader.stream {
            Stream::Seeks if state.reader.may_seek(self.rules, node, &state.log) => steps.push(Step::Seek),
            Stream::Replays { until, .. } if Reader::may_read(self.rules, node, &state.log, until) => {
                steps.push(Step::Page)
            }
            _ => {}
        }
        if state.hops < self.hops {
            steps.push(Step::Hop);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        state.take(self, &step)?;
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        checks::properties()
    }
}
