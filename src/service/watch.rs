//! The expectations of this process: what is stored, what was heard since, and how both are changed.
//!
//! A change is stored under the revision that it was made of, and in memory once it is stored. Changes and reloads have
//! turns, so memory never goes back. The feed tells of every alert in the log; while nothing is expected, that costs one
//! look at a flag.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Refusal, Service};
use crate::alert::Record;
use crate::engine::{StoredTexts, TextChange, Unavailable};
use crate::expectation::{Announcement, Change, Full, Stored, Subject, Table};
use crate::log::{Event, Repeated};

/// How often a change is tried while other nodes make changes at the same time.
const ATTEMPTS: usize = 20;

#[derive(Default)]
pub(super) struct Watch {
    pub(super) table: Mutex<Table>,
    /// Whether anything is expected.
    is_active: AtomicBool,
    /// Held during a change or a reload.
    turn: tokio::sync::Mutex<()>,
    /// There is something to store or to announce.
    pub(super) wake: Notify,
    full: Repeated,
}

impl Watch {
    fn update(&self, update: impl FnOnce(&mut Table)) {
        let mut table = self.table.lock();
        update(&mut table);
        self.is_active.store(!table.is_empty(), Ordering::Release);
    }

    fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }
}

impl Service {
    /// Notes alerts that the log has, as signs of life of their topics and incidents.
    pub(crate) fn heard(&self, alerts: &[Record]) {
        if !self.watch.is_active() {
            return;
        }
        let mut table = self.watch.table.lock();
        for alert in alerts.iter().filter(|record| record.is_alert()) {
            // alertd's own announcements are no signs of life.
            if !table.is_about(&alert.topic) || Announcement::of(&alert.json).is_some() {
                continue;
            }
            let incident = Announcement::incident_of(&alert.json);
            if table.heard(&alert.topic, incident.as_ref(), alert.id.ms) {
                self.watch.wake.notify_one();
            }
        }
    }

    /// The feed has a break, and what came meanwhile has to be looked up in the log.
    pub(crate) fn heard_gap(&self) {
        self.watch.table.lock().doubt();
    }

    /// Notes an alert that came again, as a sign of life.
    pub(super) fn heard_again(&self, alert: &Record) {
        if !self.watch.is_active() {
            return;
        }
        let incident = Announcement::incident_of(&alert.json);
        if self.watch.table.lock().repeated(&alert.topic, incident.as_ref(), self.now_ms()) {
            self.watch.wake.notify_one();
        }
    }

    /// Stores changes, all or none.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] at a limit, or if the store is.
    pub(super) async fn change_expectations(&self, changes: &[Change]) -> Result<(), Refusal> {
        let _turn = self.watch.turn.lock().await;
        self.refresh().await?;
        for _ in 0..ATTEMPTS {
            let (known, difference) = {
                let table = self.watch.table.lock();
                (table.revision().unwrap_or_default(), table.difference(changes))
            };
            let difference = difference.map_err(|full| self.refuse_expectation(&full))?;
            if difference.is_empty() {
                return Ok(());
            }
            let mut change = TextChange { expected: known, floor: 0, put: Vec::new(), gone: Vec::new() };
            for (subject, stored) in &difference {
                match stored {
                    Some(stored) => change.put.push((subject.key(), text(stored)?)),
                    None => change.gone.push(subject.key()),
                }
            }
            if let Some(revision) = self.engine.save_expectations(change).await? {
                self.watch.update(|table| table.adopt(revision, difference));
                return Ok(());
            }
            self.load().await?;
        }
        Err(Refusal::unavailable("other nodes changed the expectations at the same time: try again"))
    }

    /// Takes over what other nodes have changed.
    ///
    /// # Errors
    /// The store cannot be read now.
    pub(super) async fn refresh_expectations(&self) -> Result<(), Unavailable> {
        let _turn = self.watch.turn.lock().await;
        self.refresh().await
    }

    async fn refresh(&self) -> Result<(), Unavailable> {
        let known = self.watch.table.lock().revision();
        // Without a fleet nobody else changes them.
        let is_current = match known {
            None => false,
            Some(_) if self.engine.fleet().is_none() => true,
            Some(known) => self.engine.expectations_revision().await? == known,
        };
        if is_current { Ok(()) } else { self.load().await }
    }

    async fn load(&self) -> Result<(), Unavailable> {
        let StoredTexts { revision, by_subject } = self.engine.load_expectations().await?;
        let known = self.watch.table.lock().revision();
        if known.is_some_and(|known| revision < known) {
            return self.give_back(revision, &by_subject).await;
        }
        self.watch.update(|table| table.install(revision, read(by_subject)));
        Ok(())
    }

    /// Gives Redis what this node knows: it has gone back, as after a failover to a replica that was behind.
    async fn give_back(&self, revision: u64, found: &BTreeMap<String, String>) -> Result<(), Unavailable> {
        let change = {
            let table = self.watch.table.lock();
            let put = table.iter().filter_map(|(subject, known)| Some((subject.key(), text(&known.stored).ok()?)));
            let put: BTreeMap<_, _> = put.collect();
            let gone = found.keys().filter(|key| !put.contains_key(*key)).cloned().collect();
            let floor = table.revision().unwrap_or_default();
            TextChange { expected: revision, floor, put: put.into_iter().collect(), gone }
        };
        // Without an answer another node was faster, and the next look finds what it has done.
        if let Some(revision) = self.engine.save_expectations(change).await? {
            tracing::warn!(
                message_id = %Event::ExpectationsRestored,
                "Redis had older expectations than this node, and was given them back"
            );
            self.watch.update(|table| table.adopt(revision, BTreeMap::new()));
        }
        Ok(())
    }

    /// The refusal at a limit, which is logged once a minute.
    pub(super) fn refuse_expectation(&self, full: &Full) -> Refusal {
        if let Some(left_out) = self.watch.full.note(Instant::now()) {
            tracing::warn!(message_id = %Event::ExpectationsFull, left_out, "an expectation was refused: {full}");
        }
        Refusal::unavailable(full.to_string())
    }
}

fn text(stored: &Stored) -> Result<String, Refusal> {
    serde_json::to_string(stored).map_err(|error| Refusal::unavailable(format!("cannot be stored: {error}")))
}

/// Reads what is stored. What cannot be read is named in the journal and stays where it is.
fn read(by_subject: BTreeMap<String, String>) -> BTreeMap<Subject, Stored> {
    let mut stored = BTreeMap::new();
    for (key, text) in by_subject {
        let parsed = key.parse::<Subject>().and_then(|subject| {
            Ok((subject, serde_json::from_str::<Stored>(&text).map_err(|error| error.to_string())?))
        });
        match parsed {
            Ok((subject, expected)) => drop(stored.insert(subject, expected)),
            Err(reason) => tracing::error!(
                message_id = %Event::ExpectationsUnread,
                "the expectation of {key:?} cannot be read and is ignored ({reason}): make it again, or remove it"
            ),
        }
    }
    stored
}
