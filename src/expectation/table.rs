//! All expectations, with the last sign of life of each: what is due, and what is back.
//!
//! Times are milliseconds since 1970 by the engine's clock; that of an alert is the time in its id, which never goes back.
//! Time while nothing could be published does not count: the table is told when it begins to judge, and judges nothing
//! before as much as a term, or ten minutes, has passed since then.

use std::collections::BTreeMap;

use super::{Announcement, Change, Kind, Stored, Subject};
use crate::alert::{IncidentName, Record, Topic};

/// Expectations of all users.
pub(crate) const MAX: usize = 10_000;
/// Expectations of one user.
pub(super) const MAX_PER_USER: usize = MAX / 4;
/// The longest time after a start without a judgement.
const PATIENCE_MS: u64 = 600_000;

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("there are {MAX} expectations, and no more are allowed (limit expectations): remove one")]
    All,
    #[error(
        "there are {MAX_PER_USER} expectations of {0}, and no more are allowed (limit expectations of one user): remove one"
    )]
    User(String),
}

/// An expectation, and what is known about its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub stored: Stored,
    /// The newest sign of life that this process knows of.
    heard_ms: Option<u64>,
    /// Whether that includes what the log had before.
    is_read: bool,
    /// A sign of life that is not in the log and not stored.
    unsaved_ms: Option<u64>,
}

impl Watched {
    const fn new(stored: Stored) -> Self {
        Self { stored, heard_ms: None, is_read: false, unsaved_ms: None }
    }

    /// The newest sign of life.
    pub(crate) fn last_ms(&self) -> Option<u64> {
        self.heard_ms.max(self.stored.last_ms)
    }

    /// When the next sign of life is due.
    pub(crate) fn due_ms(&self) -> u64 {
        let begun = self.stored.since_ms.max(self.last_ms().unwrap_or_default());
        begun.saturating_add(self.stored.every.ms())
    }

    /// When its absence is announced.
    pub(crate) fn judged_ms(&self, from_ms: u64) -> u64 {
        self.due_ms().max(from_ms.saturating_add(self.stored.every.ms().min(PATIENCE_MS)))
    }

    /// The announced silence that has ended.
    pub(crate) fn back(&self) -> Option<u64> {
        self.stored.missed_ms.filter(|due_ms| self.last_ms().is_some_and(|last_ms| last_ms >= *due_ms))
    }
}

/// What the log says about a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The newest alert of a sender.
    pub last_ms: Option<u64>,
    /// The newest announcement.
    pub announced: Option<Announcement>,
}

impl Seen {
    /// Notes an alert of the subject's topic. Newer ones come first.
    pub(crate) fn note(&mut self, subject: &Subject, alert: &Record) {
        let incident = Announcement::incident_of(&alert.json);
        match Announcement::of(&alert.json) {
            Some(announcement) if subject.is_announced_as(incident.as_ref()) => {
                self.announced = self.announced.or(Some(announcement));
            }
            None if subject.includes(incident.as_ref()) => self.last_ms = self.last_ms.max(Some(alert.id.ms)),
            _ => {}
        }
    }
}

/// What is to be done about the expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Subjects about which the log is to be read before anything is announced: those that it was not asked about before,
    /// and those that are due or back.
    pub read: Vec<Subject>,
    /// Signs of life to be stored.
    pub signs: Vec<Change>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Of what is stored; none before that was read.
    revision: Option<u64>,
    watched: BTreeMap<Subject, Watched>,
    /// When this process began to judge.
    from_ms: u64,
}

impl Table {
    pub(crate) const fn revision(&self) -> Option<u64> {
        self.revision
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    pub(crate) fn get(&self, subject: &Subject) -> Option<&Watched> {
        self.watched.get(subject)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Subject, &Watched)> {
        self.watched.iter()
    }

    pub(crate) const fn begun_ms(&self) -> u64 {
        self.from_ms
    }

    /// Replaces what is stored. What is known about a subject stays known.
    pub(crate) fn install(&mut self, revision: u64, stored: BTreeMap<Subject, Stored>) {
        let mut before = std::mem::take(&mut self.watched);
        let taken = |(subject, stored): (Subject, Stored)| {
            let watched = match before.remove(&subject) {
                Some(known) => Watched { stored, ..known },
                None => Watched::new(stored),
            };
            (subject, watched)
        };
        self.watched = stored.into_iter().map(taken).collect();
        self.revision = Some(revision);
    }

    /// Takes over changes that were stored.
    pub(crate) fn adopt(&mut self, revision: u64, difference: BTreeMap<Subject, Option<Stored>>) {
        for (subject, stored) in difference {
            match stored {
                None => drop(self.watched.remove(&subject)),
                Some(stored) => match self.watched.get_mut(&subject) {
                    Some(watched) => watched.stored = stored,
                    None => drop(self.watched.insert(subject, Watched::new(stored))),
                },
            }
        }
        self.revision = Some(revision);
    }

    /// What the changes make of what is stored, for the subjects that they change.
    ///
    /// # Errors
    /// A limit is reached; then nothing is changed.
    pub(crate) fn difference(&self, changes: &[Change]) -> Result<BTreeMap<Subject, Option<Stored>>, Full> {
        let mut after = BTreeMap::<Subject, Option<Stored>>::new();
        let stored = |subject: &Subject| self.watched.get(subject).map(|watched| &watched.stored);
        for change in changes {
            let subject = change.subject();
            let before = after.remove(subject).unwrap_or_else(|| stored(subject).cloned());
            after.insert(subject.clone(), change.apply(before));
        }
        after.retain(|subject, after| stored(subject) != after.as_ref());
        let added = after.iter().filter(|(subject, after)| after.is_some() && !self.watched.contains_key(*subject));
        let added: Vec<&str> = added.filter_map(|(_, after)| Some(after.as_ref()?.user.as_str())).collect();
        self.has_room(&added)?;
        Ok(after)
    }

    /// Whether these users may have one more expectation each.
    ///
    /// # Errors
    /// The limit that is reached.
    fn has_room(&self, users: &[&str]) -> Result<(), Full> {
        let Some(first) = users.first() else { return Ok(()) };
        if self.watched.len() + users.len() > MAX {
            return Err(Full::All);
        }
        let count = |user: &str| self.watched.values().filter(|watched| watched.stored.user == user).count();
        // All are of one caller.
        debug_assert!(users.iter().all(|user| user == first));
        if count(first) + users.len() > MAX_PER_USER { Err(Full::User((*first).to_owned())) } else { Ok(()) }
    }

    /// Nothing could be published before this.
    pub(crate) const fn begin(&mut self, now_ms: u64) {
        self.from_ms = now_ms;
    }

    /// Whether something is expected on a topic, or of an incident on it.
    pub(crate) fn is_about(&self, topic: &Topic) -> bool {
        let first = Subject::topic(topic.clone());
        self.watched.range(first..).next().is_some_and(|(subject, _)| subject.topic == *topic)
    }

    /// Notes an alert of a sender that the log has. Returns whether a silence ends with it.
    pub(crate) fn heard(&mut self, topic: &Topic, incident: Option<&IncidentName>, at_ms: u64) -> bool {
        let mut is_back = false;
        self.renewed(topic, incident, |watched| {
            watched.heard_ms = watched.heard_ms.max(Some(at_ms));
            is_back |= watched.back().is_some();
        });
        is_back
    }

    /// Notes an alert that came again, so that the log does not have this sign of life. Returns whether it is expected.
    pub(crate) fn repeated(&mut self, topic: &Topic, incident: Option<&IncidentName>, now_ms: u64) -> bool {
        let mut is_expected = false;
        self.renewed(topic, incident, |watched| {
            watched.heard_ms = watched.heard_ms.max(Some(now_ms));
            watched.unsaved_ms = watched.unsaved_ms.max(Some(now_ms));
            is_expected = true;
        });
        is_expected
    }

    /// What an alert is a sign of life of: its topic, and its incident.
    fn renewed(&mut self, topic: &Topic, incident: Option<&IncidentName>, mut note: impl FnMut(&mut Watched)) {
        for incident in std::iter::once(None).chain(incident.cloned().map(Some)) {
            let subject = Subject { topic: topic.clone(), incident };
            if let Some(watched) = self.watched.get_mut(&subject) {
                note(watched);
            }
        }
    }

    /// What is known may be incomplete: everything is looked up again.
    pub(crate) fn doubt(&mut self) {
        self.watched.values_mut().for_each(|watched| watched.is_read = false);
    }

    /// What is to be done now, at most `most` subjects to be read about. Signs of life are handed out once.
    pub(crate) fn work(&mut self, now_ms: u64, most: usize) -> Work {
        let mut work = Work::default();
        let from_ms = self.from_ms;
        for (subject, watched) in &mut self.watched {
            if let Some(at_ms) = watched.unsaved_ms.take() {
                work.signs.push(Change::Sign { subject: subject.clone(), at_ms });
            }
            let is_due = watched.stored.missed_ms.is_none() && watched.judged_ms(from_ms) <= now_ms;
            if work.read.len() < most && (!watched.is_read || is_due || watched.back().is_some()) {
                work.read.push(subject.clone());
            }
        }
        work
    }

    /// Signs of life that could not be stored.
    pub(crate) fn give_back(&mut self, signs: Vec<Change>) {
        for sign in signs {
            if let Change::Sign { subject, at_ms } = sign
                && let Some(watched) = self.watched.get_mut(&subject)
            {
                watched.unsaved_ms = watched.unsaved_ms.max(Some(at_ms));
            }
        }
    }

    /// Notes what the log says about a subject, and decides: an announcement that is to be published, or one that is in the
    /// log and has to be stored.
    pub(crate) fn judge(&mut self, subject: &Subject, seen: &Seen, now_ms: u64) -> Verdict {
        let from_ms = self.from_ms;
        let Some(watched) = self.watched.get_mut(subject) else { return Verdict::Nothing };
        watched.heard_ms = watched.heard_ms.max(seen.last_ms);
        watched.is_read = true;
        let announced = |kind: Kind| seen.announced.filter(|announced| announced.kind == kind);
        match (watched.stored.missed_ms, watched.back()) {
            (Some(due_ms), _) if announced(Kind::Met).is_some_and(|met| met.due_ms == due_ms) => {
                Verdict::Store(Change::Met { subject: subject.clone(), due_ms })
            }
            (Some(_), Some(due_ms)) => Verdict::Announce(Announcement { kind: Kind::Met, due_ms }, watched.clone()),
            (Some(_), None) => Verdict::Nothing,
            (None, _) => {
                // The process ended between the announcement and its mark.
                if let Some(missed) = announced(Kind::Missed)
                    && missed.due_ms > watched.stored.since_ms
                {
                    return Verdict::Store(Change::Missed { subject: subject.clone(), due_ms: missed.due_ms });
                }
                if watched.judged_ms(from_ms) > now_ms {
                    return Verdict::Nothing;
                }
                let due_ms = watched.due_ms();
                Verdict::Announce(Announcement { kind: Kind::Missed, due_ms }, watched.clone())
            }
        }
    }
}

/// What follows from what the log says about a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    /// To be published; the change follows.
    Announce(Announcement, Watched),
    /// It was published before.
    Store(Change),
}
