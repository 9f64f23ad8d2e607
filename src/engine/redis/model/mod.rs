//! A model of the protocol between nodes and log, and a search of all its states.
//!
//! Two nodes, two or three alerts, two topics, one replica, one failover (also one in which the old primary goes on, a
//! restore, or an emptied log), connections that break, retention, an alert that is taken back, and a reader that hops: [`checks`] has the combinations. Each script is one step, as
//! Redis runs it; the search tries every order of what happens between two scripts, and every delay of an announcement. The
//! properties hold in every state; with a rule switched off, the search finds a state where one fails.
//!
//! Ids are numbers that rise with time, as ids do with the clock of the server; while there are two primaries, each has a
//! clock of its own. A node that dies with what only it had seen is not modelled.

mod checks;
mod kept;
mod log;
mod node;
mod reader;
mod rules;
mod state;

use log::Number;
use node::Phase;
use reader::{Reader, Stream};
use rules::{Fault, Rules};
use state::State;
use stateright::Model;

/// A stored alert. Two primaries may store different alerts, with different names, under one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Alert {
    id: Number,
    name: Number,
    topic: usize,
    /// It takes another one back.
    is_retraction: bool,
}

/// What a node has seen; the name is 0 if it knows the id alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    id: Number,
    name: Number,
}

impl Seen {
    const fn id(id: Number) -> Self {
        Self { id, name: 0 }
    }

    const fn of(alert: &Alert) -> Self {
        Self { id: alert.id, name: alert.name }
    }

    const fn raise(&mut self, other: Self) {
        if other.id > self.id {
            *self = other;
        }
    }
}

/// A set of ids or names.
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
    /// Alerts that are taken back, each by a record that counts as an alert; without a replica that has to confirm it.
    retracted: u8,
    cuts: u8,
    hops: u8,
    /// Pages that the reader's node keeps because other streams have read them.
    kept: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The clock of one of two primaries may be ahead of that of the other.
    Store {
        node: usize,
        topic: usize,
        is_ahead: bool,
    },
    /// Takes back the alert with this id.
    Retract {
        node: usize,
        id: Number,
    },
    Answer(usize),
    Settle {
        node: usize,
        is_confirmed: bool,
    },
    Replicate,
    Fail,
    /// The old primary is gone.
    Demote,
    /// A node hears of the new primary.
    Tell(usize),
    /// A node follows the new primary.
    Leave(usize),
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
    /// Another stream of the reader's node reads what comes after the reader's cursor.
    Fetch,
    /// What it read has arrived, and the node keeps it.
    Keep,
    /// The reader wants the page that its node keeps.
    Want,
    /// The node asks the log whether the page is still true.
    Ask,
    /// The reader gets the page if it is, and otherwise reads the log.
    Send,
    Hop,
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::default();
        state.log.epoch = 1;
        state.replica = state.log.clone();
        state.nodes.iter_mut().for_each(|node| (node.epoch, node.is_compared) = (1, true));
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (number, node) in state.nodes.iter().enumerate() {
            if node.is_cut {
                steps.push(Step::Mend(number));
                continue;
            }
            let may_store = state.stored < self.alerts && node.waits.is_none() && node.answer.is_none();
            if may_store && node.epoch == state.log.epoch {
                let ahead: &[bool] = if state.old.is_some() { &[false, true] } else { &[false] };
                for topic in 0..self.topics {
                    steps.extend(ahead.iter().map(|&is_ahead| Step::Store { node: number, topic, is_ahead }));
                }
                if (state.taken_back.0.count_ones() as usize) < usize::from(self.retracted) {
                    let alerts = state.log.after(0, Number::MAX).filter(|alert| !state.retractions.has(alert.name));
                    steps.extend(alerts.map(|alert| Step::Retract { node: number, id: alert.id }));
                }
            }
            if node.answer.is_some() {
                steps.push(Step::Answer(number));
            }
            if let Some(alert) = node.waits {
                // The replica may have the alert although its confirmation is late.
                steps.push(Step::Settle { node: number, is_confirmed: false });
                if state.replica.has(alert.id) {
                    steps.push(Step::Settle { node: number, is_confirmed: true });
                }
            }
            if node.is_on_old {
                steps.extend((!node.is_told).then_some(Step::Tell(number)));
                if node.is_told || state.old.is_none() {
                    steps.push(Step::Leave(number));
                }
            }
            if state.log_of(number).is_none() {
                continue;
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
        steps.extend(state.old.is_some().then_some(Step::Demote));
        if state.retained < self.retained && state.log.oldest().is_some_and(|oldest| oldest <= state.log.shown) {
            steps.push(Step::Retain);
        }
        if state.topic_retained < self.topic_retained {
            let visible = |topic: &usize| state.log.after(0, Number::MAX).filter(|alert| alert.topic == *topic).count();
            steps.extend((0..2).filter(|topic| visible(topic) > 1).map(Step::RetainTopic));
        }
        self.kept_actions(state, steps);
        let node = &state.nodes[state.reader.node];
        match (&state.reader.stream, state.log_of(state.reader.node)) {
            (Stream::Seeks, Some(log)) if state.reader.may_seek(self.rules, node, log) => steps.push(Step::Seek),
            (Stream::Replays { until, .. }, Some(log)) if Reader::may_read(self.rules, node, log, *until) => {
                steps.push(Step::Page);
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
