//! A subscriber that hops between nodes with its newest id, as `delivery` serves it.

use super::kept::Kept;
use super::log::{Log, Number};
use super::node::{Feed, Node};
use super::rules::Rules;
use super::{Alert, Set};

/// What the reader's stream does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Stream {
    /// Has to find out where to begin.
    #[default]
    Seeks,
    /// Reads the log after the cursor up to an id, and knows that everything up to another may be missing. What the hub
    /// gets meanwhile waits in the ring.
    Replays { until: Number, trimmed: Number, ring: Vec<Alert> },
    /// Gets what the hub gets.
    Live,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    pub(super) node: usize,
    pub(super) cursor: Number,
    pub(super) stream: Stream,
    pub(super) got: Set,
    /// Gaps have reported that alerts up to this id may be missing.
    pub(super) told: Number,
    /// It got an alert twice, or an older one after a newer one.
    pub(super) is_disordered: bool,
    newest: Number,
    /// It wants the page that its node keeps; with the names of what it could have read from the log since.
    pub(super) wanted: Option<Set>,
    /// It got a page with an alert that it could not have read from the log since it wanted the page.
    pub(super) got_untrue: bool,
}

impl Reader {
    fn get(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            self.is_disordered |= alert.id <= self.newest;
            self.newest = self.newest.max(alert.id);
            self.cursor = self.cursor.max(alert.id);
            self.got.add(alert.name);
        }
    }

    /// Nothing from `oldest` on is missing.
    fn gap(&mut self, oldest: Option<Number>, trimmed: Number, head: Number) {
        let complete = oldest.map_or(head + 1, |oldest| oldest.max(trimmed + 1));
        self.told = self.told.max(complete - 1);
    }

    /// The hub of the node was fed.
    pub(super) fn fed(&mut self, feed: &Feed) {
        match (feed, &mut self.stream) {
            (Feed::Alerts(alerts), Stream::Live) => self.get(alerts),
            (Feed::Alerts(alerts), Stream::Replays { ring, .. }) => ring.extend(alerts),
            (Feed::Reset, _) => (self.stream, self.wanted) = (Stream::Seeks, None),
            (Feed::Alerts(_), Stream::Seeks) => {}
        }
    }

    /// Whether the log shows what the node has seen; otherwise the stream asks again.
    pub(super) fn may_read(rules: Rules, node: &Node, log: &Log, until: Number) -> bool {
        !rules.streams_wait || log.shown >= until.min(node.seen.id)
    }

    /// Whether the hub has what the stream waits for.
    pub(super) fn may_seek(&self, rules: Rules, node: &Node, log: &Log) -> bool {
        let is_awaited = self.cursor > node.at.id && (self.has_cursor(log) || self.cursor <= log.shown);
        let is_synced = node.epoch != 0 && node.at.id >= node.seen.id;
        is_synced && !is_awaited && (self.cursor == node.at.id || Self::may_read(rules, node, log, node.at.id))
    }

    fn has_cursor(&self, log: &Log) -> bool {
        match self.cursor {
            0 => log.trimmed() == 0,
            cursor => log.is_known(cursor),
        }
    }

    /// `seek.lua` and `Seek::new`.
    pub(super) fn seek(&mut self, node: &Node, log: &Log) {
        let (until, trimmed) = (node.at.id, log.trimmed());
        if self.cursor == until && until != 0 {
            self.stream = Stream::Live;
            return;
        }
        if !self.has_cursor(log) || trimmed > self.cursor {
            self.gap(log.oldest(), trimmed, log.shown);
        }
        if self.cursor > log.shown {
            // The log does not know the cursor: alerts after this gap may have lower ids, and may be repeated.
            self.newest = 0;
        }
        self.cursor = if self.cursor > log.shown { until } else { self.cursor.min(until) };
        self.stream = Stream::Replays { until, trimmed, ring: Vec::new() };
    }

    /// A page of all that is left.
    pub(super) fn page(&mut self, log: &Log, until: Number, trimmed: Number, ring: &[Alert]) {
        if log.trimmed() > trimmed && log.trimmed() > self.cursor {
            // What the log no longer has may still come through the ring.
            let oldest = log.oldest().map(|oldest| oldest.max(log.trimmed() + 1).min(until + 1));
            self.told = self.told.max(oldest.map_or(until, |oldest| oldest - 1));
        }
        let page: Vec<_> = log.after(self.cursor, until).collect();
        self.get(&page);
        self.cursor = self.cursor.max(until);
        (self.stream, self.wanted) = (Stream::Live, None);
        self.get(ring);
    }

    /// A page that another stream has read; `there` is what this one could have read since it wanted it.
    pub(super) fn take_kept(&mut self, kept: &Kept, there: Set) {
        let Stream::Replays { until, ring, .. } = self.stream.clone() else { return };
        self.got_untrue |= kept.alerts.iter().any(|alert| !there.has(alert.name));
        self.get(&kept.alerts);
        self.cursor = self.cursor.max(kept.upto);
        if self.cursor >= until {
            self.stream = Stream::Live;
            self.get(&ring);
        }
    }

    pub(super) fn hop(&mut self, node: usize) {
        self.node = node;
        (self.stream, self.wanted) = (Stream::Seeks, None);
    }
}
