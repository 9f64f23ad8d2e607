//! The proof. Pure, so that hand-made histories can show that it finds each kind of violation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alertd::alert::Id;

use super::{Direction, Event, History, Publish, Reader, Revoked, Storage, Walk};

/// How long a revoked key may work where nothing is wrong. The promise is a second; the rest is for a busy machine.
pub(super) const REVOCATION_BOUND: Duration = Duration::from_secs(2);

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Violation {
    /// An answered alert was not delivered, and no gap covers it.
    Untold {
        reader: String,
        id: Id,
    },
    /// A reader got an alert twice.
    Repeated {
        reader: String,
        id: Id,
    },
    /// A reader got an alert, or a cursor, below one that it had.
    OutOfOrder {
        reader: String,
        id: Id,
        after: Id,
    },
    /// A reader had not reached the newest answered alert when its time was over.
    Behind {
        reader: String,
    },
    /// An alert arrived under another id than it was answered with, or that nobody published.
    Foreign {
        seen_by: String,
        id: Id,
    },
    /// A publish that was refused with 4xx was stored.
    Surfaced {
        seen_by: String,
        message: String,
    },
    /// An idempotency key was stored twice.
    StoredTwice {
        message: String,
        ids: Vec<Id>,
    },
    /// An alert was sent after another one was answered, and has the lower id.
    IdsFall {
        earlier: Id,
        later: Id,
    },
    /// Pages that follow each other overlap, or are not in order.
    PagesOverlap {
        id: Id,
    },
    /// Pages that follow each other leave out an alert that had been answered before and is still in the log.
    PagesSkip {
        id: Id,
    },
    /// The nodes do not show the same log at the end.
    LogsDiffer {
        node: usize,
    },
    /// A revoked key was still accepted.
    RevokedKey {
        node: Option<usize>,
        after: Duration,
    },
    Unexpected(String),
}

/// The result of a run.
#[derive(Debug, Default)]
pub(in super::super) struct Report {
    pub(in super::super) violations: Vec<Violation>,
    /// Alerts that were answered with success.
    pub(in super::super) answered: usize,
    /// Answered alerts that some reader did not get, or that are not in the log any more and not because of retention.
    pub(in super::super) lost: usize,
    /// Answered alerts that some reader was not told of either.
    pub(in super::super) untold: usize,
    /// Alerts that a reader got twice, or of which it got two copies because the first was lost and a retry was stored.
    pub(in super::super) repeated: usize,
    pub(in super::super) out_of_order: usize,
    /// Readers that got a gap.
    pub(in super::super) told: usize,
    /// The longest time without an answered alert.
    pub(in super::super) pause: Duration,
}

impl History {
    pub(in super::super) fn check(&self) -> Report {
        let mut report = Report::default();
        let answered = || self.publishes.values().filter(|publish| !publish.answered.is_empty());
        report.answered = answered().count();
        report.pause = longest_pause(answered());
        report.violations.extend(self.unexpected.iter().cloned().map(Violation::Unexpected));
        ids_rise(answered(), &mut report.violations);
        let log = self.log();
        self.stored_once(&log, &mut report.violations);
        let mut lost = BTreeSet::new();
        if self.storage != Storage::Trims {
            lost.extend(answered().flat_map(|p| &p.answered).map(|(id, _)| *id).filter(|id| !log.contains_key(id)));
        }
        for reader in &self.readers {
            self.check_reader(reader, &log, &mut lost, &mut report);
        }
        report.lost = lost.len();
        report.walks(self, &log);
        report.violations.extend(self.revoked.iter().flat_map(|key| self.check_revoked(key)));
        report
    }

    /// What is in the log at the end.
    fn log(&self) -> BTreeMap<Id, &str> {
        self.logs.first().into_iter().flatten().map(|(id, message)| (*id, message.as_str())).collect()
    }

    /// Whether an alert that somebody saw may be there under this id.
    fn look_at(&self, seen_by: &str, id: Id, message: &str, violations: &mut Vec<Violation>) {
        let seen_by = || seen_by.to_owned();
        match self.publishes.get(message) {
            None => violations.push(Violation::Foreign { seen_by: seen_by(), id }),
            Some(publish) if publish.refused.is_some() => {
                violations.push(Violation::Surfaced { seen_by: seen_by(), message: message.to_owned() });
            }
            Some(_) => {}
        }
    }

    fn stored_once(&self, log: &BTreeMap<Id, &str>, violations: &mut Vec<Violation>) {
        let mut copies: BTreeMap<&str, Vec<Id>> = BTreeMap::new();
        for (id, message) in log {
            copies.entry(message).or_default().push(*id);
            self.look_at("the log", *id, message, violations);
        }
        for (message, ids) in copies {
            if ids.len() > 1 {
                violations.push(Violation::StoredTwice { message: message.to_owned(), ids });
            }
        }
        for publish in self.publishes.values() {
            for (id, _) in &publish.answered {
                if log.get(id).is_some_and(|message| self.publishes.get(*message).is_none_or(|p| !p.has(*id))) {
                    violations.push(Violation::Foreign { seen_by: "the log".into(), id: *id });
                }
            }
        }
    }

    fn check_reader(&self, reader: &Reader, log: &BTreeMap<Id, &str>, lost: &mut BTreeSet<Id>, report: &mut Report) {
        let name = || reader.name.clone();
        let (mut at, mut has_gone_back) = (Id::ZERO, false);
        let (mut got, mut messages, mut covered) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for event in &reader.events {
            let (Event::Alert { id, .. } | Event::Cursor(id)) = event else {
                let Event::Gap { oldest, head } = event else { continue };
                covered.push((at, oldest.unwrap_or_else(|| head.successor())));
                // A server that another one replaces does not know the cursor. The reader is told, and begins again there.
                has_gone_back |= self.storage == Storage::MayFork && *head < at;
                at = if self.storage == Storage::MayFork { at.min(*head) } else { at };
                continue;
            };
            if let Event::Alert { message, .. } = event {
                self.look_at(&reader.name, *id, message, &mut report.violations);
                if !got.insert(*id) {
                    report.repeated += 1;
                    if !has_gone_back {
                        report.violations.push(Violation::Repeated { reader: name(), id: *id });
                    }
                } else if !messages.insert(message.as_str()) {
                    // The log cannot have both, so one of them was lost. Two that it has are another violation.
                    report.repeated += 1;
                }
            }
            if *id < at {
                report.out_of_order += 1;
                report.violations.push(Violation::OutOfOrder { reader: name(), id: *id, after: at });
            }
            at = at.max(*id);
        }
        report.told += usize::from(!covered.is_empty());
        let wanted = self.publishes.values().filter(|p| reader.topic.as_ref().is_none_or(|topic| *topic == p.topic));
        for (id, _) in wanted.flat_map(|publish| &publish.answered).filter(|(id, _)| !got.contains(id)) {
            if *id > at && log.contains_key(id) {
                report.violations.push(Violation::Behind { reader: name() });
            } else if !covered.iter().any(|(from, to)| id < to && (from < id || self.is_forked(reader, *id, log))) {
                report.untold += 1;
                report.violations.push(Violation::Untold { reader: name(), id: *id });
            }
            lost.insert(*id);
        }
        report.violations.dedup();
    }

    /// Whether a reader passed an alert because one of the two, at that time, was on a server that lost what it got. A gap
    /// that comes later, with a higher `oldest`, then covers it.
    fn is_forked(&self, reader: &Reader, passed: Id, log: &BTreeMap<Id, &str>) -> bool {
        if self.storage != Storage::MayFork {
            return false;
        }
        let ids: Vec<_> = reader.events.iter().filter_map(Event::position).collect();
        let above = ids.iter().position(|id| *id > passed).unwrap_or(ids.len());
        let neighbours = ids[..above].last().into_iter().chain(ids.get(above));
        !log.contains_key(&passed) || neighbours.into_iter().any(|id| !log.contains_key(id))
    }

    /// A key may work for the bound after its revocation; on a node that the fault kept from the others, until the fault is over.
    fn check_revoked(&self, key: &Revoked) -> Vec<Violation> {
        let hindered = self.fault.filter(|(began, ended)| key.at + REVOCATION_BOUND >= *began && key.at <= *ended);
        let bound = hindered.map_or(key.at, |(_, ended)| ended.max(key.at)) + REVOCATION_BOUND;
        let violation = |node, at: Duration| Violation::RevokedKey { node, after: at - key.at };
        let accepted = key.accepted.iter().filter(|(at, _)| *at > bound).map(|(at, node)| violation(Some(*node), *at));
        let sent = key.delivered.iter().filter_map(|message| self.publishes.get(message)).map(|publish| publish.sent);
        accepted.chain(sent.filter(|sent| *sent > bound).map(|sent| violation(None, sent))).collect()
    }
}

impl Event {
    fn position(&self) -> Option<Id> {
        match self {
            Self::Alert { id, .. } | Self::Cursor(id) => Some(*id),
            Self::Gap { .. } => None,
        }
    }
}

impl Publish {
    fn has(&self, id: Id) -> bool {
        self.answered.iter().any(|(answered, _)| *answered == id)
    }
}

impl Report {
    fn walks(&mut self, history: &History, log: &BTreeMap<Id, &str>) {
        for (node, other) in history.logs.iter().enumerate().skip(1) {
            if *other != history.logs[0] {
                self.violations.push(Violation::LogsDiffer { node });
            }
        }
        for walk in &history.walks {
            self.walk(walk, history, log);
        }
    }

    fn walk(&mut self, walk: &Walk, history: &History, log: &BTreeMap<Id, &str>) {
        let pages: Vec<_> = match walk.direction {
            Direction::Forward => walk.pages.iter().flatten().collect(),
            Direction::Backward => walk.pages.iter().rev().flatten().collect(),
        };
        for pair in pages.windows(2) {
            if pair[0].0 >= pair[1].0 {
                self.violations.push(Violation::PagesOverlap { id: pair[1].0 });
            }
        }
        let has: BTreeSet<_> = pages.iter().map(|(id, _)| *id).collect();
        pages.iter().for_each(|(id, message)| history.look_at("a page", *id, message, &mut self.violations));
        let is_of_the_loser = |(began, ended): (Duration, Duration)| began <= walk.began && walk.began <= ended;
        if history.storage == Storage::MayFork && history.fault.is_some_and(is_of_the_loser) {
            // For a moment the node may have read on a server that the others had left.
            return;
        }
        let before =
            history.publishes.values().flat_map(|publish| &publish.answered).filter(|(_, at)| *at < walk.began);
        for (id, _) in before {
            if log.contains_key(id) && !has.contains(id) {
                self.violations.push(Violation::PagesSkip { id: *id });
            }
        }
    }
}

fn longest_pause<'a>(answered: impl Iterator<Item = &'a Publish>) -> Duration {
    let mut times: Vec<_> = answered.flat_map(|publish| &publish.answered).map(|(_, at)| *at).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Whoever publishes after an answer gets a higher id than that answer.
fn ids_rise<'a>(answered: impl Iterator<Item = &'a Publish> + Clone, violations: &mut Vec<Violation>) {
    let first = |publish: &'a Publish| publish.answered.iter().min_by_key(|(_, at)| *at);
    let mut sent: Vec<_> = answered.clone().filter_map(|publish| Some((publish.sent, first(publish)?.0))).collect();
    let mut ended: Vec<_> = answered.filter_map(first).map(|(id, at)| (*at, *id)).collect();
    sent.sort_unstable();
    ended.sort_unstable();
    let (mut ended, mut highest) = (ended.into_iter().peekable(), Id::ZERO);
    for (at, id) in sent {
        while let Some((_, answered)) = ended.next_if(|(answered, _)| *answered < at) {
            highest = highest.max(answered);
        }
        if id < highest {
            violations.push(Violation::IdsFall { earlier: highest, later: id });
        }
    }
}
