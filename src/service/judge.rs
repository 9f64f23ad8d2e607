//! Announces that topics or incidents are silent, and their return.
//!
//! One task. Before anything is announced, the log is asked for the newest alert of the subject, so a feed that is behind
//! never makes it silent. An announcement has an idempotency key of its subject and of the time when the sign of life
//! was due: however often it is published, by one node or several, it is in the log once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Service;
use crate::alert::{Filter, Id, Level, Pattern};
use crate::engine::{Direction, Idempotency, Publish, Range, Unavailable};
use crate::expectation::{Announcement, Change, Kind, Seen, Subject, Verdict, Watched, Work};
use crate::incident::Key;
use crate::log::Event;

/// How often what is due is looked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Without a look for this long, this process or its machine stood still, and no topic is silent because of that.
const STOOD_STILL_MS: u64 = 10_000;
/// Subjects that one look reads about.
const MOST: usize = 500;
/// Alerts of a topic that are read at once, and how often at most. On the way to an alert of one incident there may be many
/// others.
const PAGE: usize = 20;
const INCIDENT_PAGE: usize = 500;
const PAGES: usize = 50;
/// The user of the idempotency keys. No key can have this name.
const ALERTD: &str = "(alertd)";

impl Service {
    /// Watches the topics on which something is expected, forever.
    pub(crate) async fn watch_topics(self: Arc<Self>) {
        self.engine.synced().await;
        let mut looked_ms = self.now_ms();
        self.watch.table.lock().begin(looked_ms);
        loop {
            self.look(looked_ms).await;
            looked_ms = self.now_ms();
            sleep(PAUSE).await;
            let _ = timeout(INTERVAL - PAUSE, self.watch.wake.notified()).await;
        }
    }

    async fn look(&self, looked_ms: u64) {
        let (now_ms, is_up) = (self.now_ms(), self.engine.status().health.is_ok());
        if !is_up || now_ms.saturating_sub(looked_ms) > STOOD_STILL_MS {
            self.watch.table.lock().begin(now_ms);
        }
        if !is_up || self.refresh_expectations().await.is_err() {
            return;
        }
        let Work { read, signs } = self.watch.table.lock().work(now_ms, MOST);
        let mut changes = signs.clone();
        for subject in read {
            changes.extend(self.judge(&subject, now_ms).await);
        }
        self.store_changes(changes, signs).await;
    }

    /// Stores the signs of life that are not in the log, because the process ends.
    pub(crate) async fn settle_expectations(&self) {
        let Work { signs, .. } = self.watch.table.lock().work(0, 0);
        self.store_changes(signs.clone(), signs).await;
    }

    async fn store_changes(&self, changes: Vec<Change>, signs: Vec<Change>) {
        if !changes.is_empty() && self.change_expectations(&changes).await.is_err() {
            // The announcements are in the log, where the next look finds them.
            self.watch.table.lock().give_back(signs);
        }
    }

    /// Reads about a subject, publishes what is to be announced, and returns what has to be stored.
    async fn judge(&self, subject: &Subject, now_ms: u64) -> Option<Change> {
        let seen = self.seen(subject).await.ok()?;
        let verdict = self.watch.table.lock().judge(subject, &seen, now_ms);
        match verdict {
            Verdict::Nothing => None,
            Verdict::Store(change) => Some(change),
            Verdict::Announce(announcement, watched) => self.announce(subject, announcement, &watched).await,
        }
    }

    async fn announce(&self, subject: &Subject, announcement: Announcement, watched: &Watched) -> Option<Change> {
        let Announcement { kind, due_ms } = announcement;
        let draft = announcement.draft(subject, &watched.stored, watched.last_ms()).ok()?;
        let key = format!("{} {} {due_ms}", kind.as_str(), subject.key());
        // Nodes may differ in what they say, so the key alone identifies it.
        let idempotency = Some(Idempotency { user: ALERTD.into(), key, state: Some(kind.as_str().into()) });
        let stored = match self.engine.append(Publish { draft, user: ALERTD.into(), idempotency }).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(topic = %subject.topic, "{} is not announced yet: {error}", kind.as_str());
                return None;
            }
        };
        if !stored.repeated {
            self.record_accepted(&stored, ALERTD);
            tracing::info!(
                message_id = %Event::ExpectationAnnounced,
                topic = %subject.topic,
                alert_id = %stored.record.id,
                "an alert says that what is expected on {subject} was {}",
                kind.as_str()
            );
        }
        let subject = subject.clone();
        Some(match kind {
            Kind::Missed => Change::Missed { subject, due_ms },
            Kind::Met => Change::Met { subject, due_ms },
        })
    }

    /// What the log says about a subject: one page, or more of them until there is an alert of a sender. What an incident
    /// has as its last alert is a sign of life too, because the log may have many others behind it.
    pub(super) async fn seen(&self, subject: &Subject) -> Result<Seen, Unavailable> {
        let filter = Filter::new([Pattern::Exact(subject.topic.clone())], Level::Info);
        let (mut seen, mut until, mut limit) = (Seen::default(), Id::MAX, PAGE);
        if let Some(name) = subject.incident.clone() {
            let row = self.engine.incident(Key { topic: subject.topic.clone(), name }).await?;
            seen.last_ms = row.and_then(|row| row.last?.id).map(|id| id.ms);
            limit = INCIDENT_PAGE;
        }
        for _ in 0..PAGES {
            let range = Range { filter: filter.clone(), after: Id::ZERO, until, limit, bytes: 256 << 10 };
            let page = self.engine.read(range, Direction::Backward).await?;
            for record in page.records.iter().rev().filter(|record| record.is_alert()) {
                seen.note(subject, record);
            }
            match page.next {
                Some(next) if seen.last_ms.is_none() => until = next.predecessor(),
                _ => break,
            }
        }
        Ok(seen)
    }
}
