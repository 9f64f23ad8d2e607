//! Compares a node with the log, and reads what the node has missed.
//!
//! Called by the follower whenever an announcement does not fit, and once a second. Always: nothing is skipped
//! silently. If alerts were removed or lost before this node had them, the feed is reset, so that streams read the log
//! and find their gap there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::codec::{self, Announcement, Unreadable};
use super::follower::{Follower, Session};
use super::seen::Seen;
use super::shared::KeysHeard;
use super::ticked::TickAnswer;
use super::{incident_row, script};
use crate::alert::{Filter, Id, Level, Pattern};
use crate::engine::{Cause, Direction, Feed, Range, Unavailable};
use crate::log::Event;

/// Alerts and bytes of one read while catching up.
const CATCH_UP_PAGE: (usize, usize) = (500, 1 << 20);

impl Follower {
    /// Compares this node with the log and feeds what is missing. Returns the state of the keys.
    pub(super) async fn compare(&mut self, session: &mut Session) -> Result<KeysHeard, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let ticked = self.tick(&mut session.data).await?;
        shared.heard_time(ticked.server_ms);
        let keys = KeysHeard { revision: ticked.keys_revision, are_whole: ticked.are_keys_whole, at: self.ticked };
        let is_other = self.epoch.as_ref() != Some(&ticked.epoch);
        self.report_loss_before_start(&ticked);
        if is_other || ticked.trimmed > self.at.id {
            self.reset(ticked.visible).await;
        } else if ticked.visible > self.at.id {
            if ticked.is_seen_retracted {
                // No page has it any more; that the log has what comes after it says as much.
                shared.saw(Seen::id(ticked.visible));
            }
            // Announcements that are on the way need not be read from the log, which may no longer have them because of
            // a limit.
            let held = self.drain(session).await?;
            self.catch_up(ticked.visible, &mut session.data).await?;
            self.follow_on(held).await;
        }
        // Before the epoch is known: whoever waits for that may read at once.
        shared.state(|state| state.connection = Some((session.address.clone(), session.data.clone())));
        if is_other {
            self.epoch = Some(ticked.epoch.clone());
            shared.epoch.send_replace(Some(ticked.epoch.clone()));
        }
        if ticked.is_rewrite_due {
            shared.rewrite.notify_one();
        } else {
            *shared.rewrite_warning.lock() = None;
        }
        *shared.due.lock() = ticked.due.iter().filter_map(|field| incident_row::key(field)).collect();
        shared.ticked.notify_one();
        if self.keeping.as_ref().is_none_or(JoinHandle::is_finished) {
            self.keeping = shared.keep_seen();
        }
        Ok(keys)
    }

    async fn tick(&mut self, data: &mut MultiplexedConnection) -> Result<TickAnswer, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let elapsed = self.ticked.elapsed();
        self.ticked = Instant::now();
        let new_epoch = random_epoch()
            .ok_or_else(|| Unavailable::new(Cause::StoreFailing, "the operating system gives no random numbers"))?;
        let seen = shared.state(|state| state.seen.clone());
        let tick = script::Tick {
            epoch: self.known_epoch(),
            seen: &seen,
            fed: &self.at,
            new_epoch: &new_epoch,
            node: &shared.node,
            probe: self.probe,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            streams: shared.streams.load(Ordering::Relaxed),
            retention: &shared.retention(),
        };
        let answer = script::tick(&shared.link, shared.time_argument(), &tick).run(data).await;
        let answer = answer.map_err(|error| shared.link.failed(&error))?;
        TickAnswer::parse(&answer).ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))
    }

    /// The epoch of the log that this node follows, or followed before it started.
    fn known_epoch(&self) -> &str {
        let before = self.shared.last_seen.at_start.as_ref().map(|seen| &seen.epoch);
        self.epoch.as_ref().or(before).map_or("", String::as_str)
    }

    /// Logs if the log went back while this node was stopped. Retention never removes the newest id.
    fn report_loss_before_start(&self, ticked: &TickAnswer) {
        let Some(before) = self.shared.last_seen.at_start.as_ref().filter(|_| self.epoch.is_none()) else { return };
        if ticked.trimmed > before.newest && ticked.trimmed == ticked.visible {
            tracing::warn!(
                message_id = %Event::EngineGap,
                "Redis has lost a part of the log since this node stopped: subscribers that had not reached {} get a gap",
                before.newest
            );
        }
    }

    /// Resets the feed, because a part of the log before this id may be gone.
    async fn reset(&mut self, visible: Id) {
        if self.epoch.is_some() {
            tracing::warn!(
                message_id = %Event::EngineGap,
                "a part of the log was lost before this node had read it: its streams continue from the log and get a gap if they missed something"
            );
        }
        self.shared.retractions.fetch_add(1, Ordering::AcqRel);
        // From here on the node follows a log whose ids are above all that it has seen.
        self.at.raise(Seen::id(visible));
        self.heard();
        self.pass(Feed::Reset(self.at.id)).await;
    }

    async fn catch_up(&mut self, until: Id, data: &mut MultiplexedConnection) -> Result<(), Unavailable> {
        let shared = Arc::clone(&self.shared);
        while self.at.id < until {
            let filter = Filter::new([Pattern::All], Level::Info);
            let range = Range { filter, after: self.at.id, until, limit: CATCH_UP_PAGE.0, bytes: CATCH_UP_PAGE.1 };
            let answer = script::read(&shared.link, shared.time_argument(), &range, Direction::Forward).run(data).await;
            let answer = answer.map_err(|error| shared.link.failed(&error))?;
            let codec::ReadAnswer { page, damaged, .. } =
                codec::page(&answer).map_err(|reason| shared.link.unreadable(&reason))?;
            shared.damaged.name(&damaged, shared.link.topology());
            if page.trimmed > self.at.id {
                // Retention or a topic's limit has removed alerts that this node did not have yet, or one cannot be decoded.
                self.reset(until.max(page.trimmed)).await;
                return Ok(());
            }
            let end = page.next.unwrap_or(until);
            if self.has().misses_seen(&page.records, end) {
                // The log has gone back to an older state since it was compared.
                shared.compare_now.notify_one();
                return Ok(());
            }
            self.deliver(page.records).await;
            self.at.raise(Seen::id(end));
            self.heard();
        }
        Ok(())
    }

    /// Takes the announcements that were held while this node read the log.
    async fn follow_on(&mut self, held: Vec<Announcement>) {
        for announcement in held {
            let is_covered = match &announcement {
                Announcement::Alerts { records, .. } => records.last().is_some_and(|last| last.id <= self.at.id),
                _ => false,
            };
            if !is_covered && self.take(announcement).await.is_some() {
                self.shared.compare_now.notify_one();
                return;
            }
        }
    }
}

pub(super) fn random_epoch() -> Option<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).ok()?;
    Some(script::hex(&random))
}
