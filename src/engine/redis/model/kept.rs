//! Pages that a node keeps for other streams, as `delivery::shared_pages` does, and how it finds out whether one is still
//! true; each question to the log is one step.
//!
//! What only this node knows is not enough: other nodes take alerts back and remove them.

use super::log::{Log, Number};
use super::node::Node;
use super::reader::{Reader, Stream};
use super::rules::Rules;
use super::state::State;
use super::{Alert, Fleet, Set, Step};

/// A page that was read from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub(super) after: Number,
    pub(super) upto: Number,
    pub(super) alerts: Vec<Alert>,
    /// The node has it, and does not wait for it any more.
    pub(super) is_here: bool,
}

/// What the log said when it was asked about a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Told {
    shown: Number,
    trimmed: Number,
}

impl Kept {
    fn suits(&self, cursor: Number, until: Number) -> bool {
        self.is_here && self.after == cursor && self.upto <= until
    }
}

impl Node {
    /// Whether the node has compared itself since it was connected; before that its streams do not get the connection.
    fn may_query(&self, rules: Rules) -> bool {
        !self.is_cut && (self.is_compared || !rules.kept_pages_are_compared)
    }

    /// Reads a page; it is kept if nothing that it should have was removed.
    fn fetch(&mut self, log: &Log, after: Number) {
        if log.trimmed() <= after {
            let (upto, alerts) = (self.at.id, log.after(after, self.at.id).collect());
            (self.kept, self.told) = (Some(Kept { after, upto, alerts, is_here: false }), None);
        }
    }

    /// The node has heard of a retraction or of a break.
    pub(super) fn outdate_kept(&mut self, rules: Rules) {
        self.kept = self.kept.take().filter(|kept| !kept.is_here && !rules.kept_pages_are_versioned);
        self.told = None;
    }
}

impl Fleet {
    pub(super) fn kept_actions(&self, state: &State, steps: &mut Vec<Step>) {
        let (reader, node) = (&state.reader, &state.nodes[state.reader.node]);
        steps.extend(node.kept.as_ref().filter(|kept| !kept.is_here).map(|_| Step::Keep));
        if let Some(log) = state.log_of(reader.node).filter(|_| node.may_query(self.rules)) {
            let has_more = node.at.id > reader.cursor && Reader::may_read(self.rules, node, log, node.at.id);
            if state.kept < self.kept && reader.wanted.is_none() && has_more {
                steps.push(Step::Fetch);
            }
            if node.kept.is_some() && (reader.wanted.is_some() || !self.rules.kept_pages_are_asked_for) {
                steps.push(Step::Ask);
            }
        }
        let Stream::Replays { until, .. } = &reader.stream else { return };
        match reader.wanted {
            None if node.kept.as_ref().is_some_and(|kept| kept.suits(reader.cursor, *until)) => steps.push(Step::Want),
            Some(_) if node.told.is_some() => steps.push(Step::Send),
            _ => {}
        }
    }
}

impl State {
    pub(super) fn fetch(&mut self) -> Option<()> {
        self.kept += 1;
        let log = self.log_of(self.reader.node)?.clone();
        self.nodes[self.reader.node].fetch(&log, self.reader.cursor);
        Some(())
    }

    pub(super) fn keep(&mut self) -> Option<()> {
        self.nodes[self.reader.node].kept.as_mut()?.is_here = true;
        Some(())
    }

    /// From here on the reader must not get what it could not read from the log itself.
    pub(super) fn want(&mut self, rules: Rules) -> Option<()> {
        self.reader.wanted = Some(Set::default());
        self.could_read()?;
        if rules.kept_pages_are_asked_for {
            self.nodes[self.reader.node].told = None;
        }
        Some(())
    }

    /// A reader that waits for a page could read what is in the log now. After a failover that may be an alert whose retraction
    /// is lost.
    fn could_read(&mut self) -> Option<()> {
        let there: Vec<Number> = self.log_of(self.reader.node)?.after(0, Number::MAX).map(|alert| alert.name).collect();
        if let Some(wanted) = &mut self.reader.wanted {
            there.into_iter().for_each(|name| wanted.add(name));
        }
        Some(())
    }

    pub(super) fn ask(&mut self) -> Option<()> {
        self.could_read()?;
        let log = self.log_of(self.reader.node)?;
        let told = Told { shown: log.shown, trimmed: log.trimmed() };
        self.nodes[self.reader.node].told = Some(told);
        Some(())
    }

    /// None while the node has not heard everything that the log showed.
    pub(super) fn send_kept(&mut self, rules: Rules) -> Option<()> {
        let node = &mut self.nodes[self.reader.node];
        let told = node.told.clone()?;
        let has_heard = node.at.id >= told.shown || !rules.kept_pages_wait;
        let Stream::Replays { until, .. } = self.reader.stream else { return None };
        let cursor = self.reader.cursor;
        let is_whole = |kept: &Kept| told.trimmed <= kept.after || !rules.kept_pages_are_trimmed;
        let is_true = |kept: &Kept| kept.suits(cursor, until) && is_whole(kept);
        if node.kept.is_some() && !has_heard {
            return None;
        }
        let seen = node.seen.id;
        node.told = None;
        let there = self.reader.wanted.take()?;
        let has_all = told.shown >= until.min(seen) || !rules.streams_wait;
        match node.kept.clone().filter(|kept| is_true(kept) && has_all) {
            Some(kept) => self.reader.take_kept(&kept, there),
            // It reads the log in its next step.
            None => node.kept = None,
        }
        Some(())
    }
}
