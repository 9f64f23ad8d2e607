//! The one thread that writes.
//!
//! It takes what waits, stores it in one transaction, answers after the commit, and feeds the hub in the same order.
//! Its state in memory is that of the last commit; a transaction that fails leaves no trace of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::batch::Batch;
use super::codec::State;
use super::reserve::Reserve;
use super::retain::advance;
use super::tables::{self, StoreError};
use super::{Durability, Settings, Shared};
use crate::alert::Id;
use crate::engine::intake::{Gathered, Group, Job, WriteLimits};
use crate::engine::{AppendError, Cause, Clock, Feed, Unavailable};
use crate::log::Event;

/// What one commit takes.
const COMMIT: WriteLimits = WriteLimits { alerts: 1024, bytes: 4 << 20 };
/// The longest silence between two looks at what time does: retention, a broken store, durability `none`.
const TICK: Duration = Duration::from_secs(1);
/// Removals of one step without publishes, and the least within a commit.
const STEP: usize = 512;
/// With durability `none`: how far ahead of the clock ids are reserved on disk, milliseconds.
const AHEAD: u64 = 10_000;
/// A held-back clock is worth a warning from here on, milliseconds.
const HELD_BACK: u64 = 3_600_000;

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    durability: Durability,
    clock: Clock,
    feed: mpsc::Sender<Feed>,
    reserve: Reserve,
    /// As of the last commit.
    state: State,
    /// Ids go on above this one.
    base: Id,
    /// When time was last looked at.
    looked: Instant,
    /// When all was last flushed, with durability `none`.
    flushed: Instant,
    warned: bool,
    closing: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings, state: State, feed: mpsc::Sender<Feed>) -> Self {
        let reserve = Reserve::new(&settings.directory);
        let base = state.head.max(state.floor);
        let now = Instant::now();
        let mut writer = Self {
            shared,
            durability: settings.durability,
            clock: settings.clock,
            feed,
            reserve,
            state,
            base,
            looked: now,
            flushed: now,
            warned: false,
            closing: false,
        };
        advance(&mut writer.state, (writer.clock)(), 0);
        if let Err(error) = writer.reserve.hold() {
            writer.report(true, &format!("no space can be held in reserve: {error}"));
        }
        writer
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match jobs.recv_timeout(TICK.saturating_sub(self.looked.elapsed())) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => Job::Wake,
                Err(RecvTimeoutError::Disconnected) => Job::Close,
            };
            let gathered = Gathered::gather(first, COMMIT, || jobs.try_recv().ok());
            if !gathered.groups.is_empty() {
                self.store(gathered.groups, gathered.alerts);
            }
            if self.looked.elapsed() >= TICK {
                self.tick();
            }
            let marker = self.shared.marker.swap(0, Ordering::AcqRel);
            if marker != 0 {
                let _ = self.feed.blocking_send(Feed::Marker(marker));
            }
            if gathered.is_closing {
                return self.close();
            }
        }
    }

    fn store(&mut self, groups: Vec<Group>, alerts: usize) {
        if let Some(trouble) = self.shared.trouble() {
            for group in groups {
                group.answer(Err(AppendError::NotStored(trouble.clone())));
            }
            return;
        }
        let now_ms = (self.clock)();
        let base = self.base;
        let limit = STEP.max(2 * alerts);
        let done = self.commit(limit, |batch| {
            groups.iter().map(|group| batch.append_all(&group.alerts, base, now_ms)).collect::<Result<Vec<_>, _>>()
        });
        match done {
            Ok(outcomes) => {
                let fresh = outcomes.iter().flatten().flatten().filter(|stored| !stored.repeated);
                let records: Arc<[_]> = fresh.map(|stored| stored.record.clone()).collect();
                self.shared.set_head(self.state.head);
                for (group, outcome) in groups.into_iter().zip(outcomes) {
                    group.answer(outcome);
                }
                if !records.is_empty() {
                    let _ = self.feed.blocking_send(Feed::Alerts(records));
                }
            }
            Err(error) => {
                self.fail(&error);
                let trouble = self.shared.trouble().unwrap_or_else(Unavailable::stopping);
                for group in groups {
                    group.answer(Err(AppendError::Unknown(trouble.clone())));
                }
            }
        }
    }

    /// One transaction: `work`, then at most `limit` removals. Returns what `work` did.
    fn commit<T>(
        &mut self,
        limit: usize,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let database = self.shared.database().ok_or(StoreError::Closed)?;
        let mut transaction = database.begin_write()?;
        let mut batch = Batch::new(&transaction, self.state.clone())?;
        let done = work(&mut batch)?;
        batch.retain(&self.shared.retention.lock(), limit)?;
        batch.forget_keys(limit)?;
        let flush = match self.durability {
            _ if self.closing => {
                // All ids that were given are on disk with this commit.
                batch.state.floor = Id::ZERO;
                true
            }
            Durability::Fsync => true,
            Durability::None => {
                let due = self.flushed.elapsed() >= TICK || batch.state.head >= batch.state.floor;
                if due {
                    // Ids up to here may be given before the next flush; after a crash they are not given again.
                    let ms = (self.clock)().max(batch.state.head.ms) + AHEAD;
                    batch.state.floor = batch.state.floor.max(Id::at(ms));
                }
                due
            }
        };
        let state = batch.finish()?;
        transaction.set_durability(if flush { redb::Durability::Immediate } else { redb::Durability::None })?;
        transaction.commit()?;
        self.shared.commits.observe(began.elapsed(), 1);
        if flush {
            self.flushed = Instant::now();
        }
        self.state = state;
        Ok(done)
    }

    /// What time asks for: retention, the next try of a broken store, the flush of durability `none`.
    fn tick(&mut self) {
        let now_ms = (self.clock)();
        let elapsed = u64::try_from(self.looked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.looked = Instant::now();
        advance(&mut self.state, now_ms, elapsed);
        let behind = now_ms.saturating_sub(self.state.clock_ms);
        if behind > HELD_BACK && !self.warned {
            tracing::warn!(
                held_back_s = behind / 1000,
                message_id = %Event::ClockHeldBack,
                "the clock leapt forward: retention follows it slowly, so that a wrong clock does not empty the log"
            );
        }
        self.warned = behind > HELD_BACK;
        if self.shared.trouble().is_some() {
            return self.recover();
        }
        let flush = self.durability == Durability::None && self.flushed.elapsed() >= TICK;
        if (flush || self.is_due())
            && let Err(error) = self.commit(STEP, |_| Ok(()))
        {
            self.fail(&error);
        }
    }

    /// Whether retention has something to do; looked up without a write.
    fn is_due(&self) -> bool {
        let retention = *self.shared.retention.lock();
        if retention.is_exceeded(&self.state) {
            return true;
        }
        let horizon = retention.horizon(&self.state);
        if horizon == 0 {
            return false;
        }
        let Some(database) = self.shared.database() else { return false };
        let oldest = super::read::View::new(&database).and_then(|view| view.oldest_received());
        oldest.is_ok_and(|oldest| oldest.is_some_and(|ms| ms < horizon))
    }

    /// After an error the library refuses to go on with an open store; it is opened again by [`Writer::recover`].
    fn fail(&mut self, error: &StoreError) {
        self.let_go(error);
        self.report(error.is_full(), &error.to_string());
    }

    /// Closes the store; where the disk is full, the reserve makes room for the next try.
    fn let_go(&self, error: &StoreError) {
        if error.is_full() {
            self.reserve.release();
        }
        self.shared.set_database(None);
    }

    fn report(&mut self, is_full: bool, reason: &str) {
        let directory = self.shared.directory.display();
        let trouble = format!(
            "the store in {directory} cannot take alerts ({reason}): free space there, or mend the disk; alertd tries again each second"
        );
        if is_full {
            tracing::error!(message_id = %Event::StoreFull, "{trouble}");
        } else {
            tracing::error!(message_id = %Event::StoreUnavailable, "{trouble}");
        }
        let cause = if is_full { Cause::StoreFull } else { Cause::StoreFailing };
        self.shared.set_trouble(Some(Unavailable::new(cause, trouble)));
    }

    /// Opens the store if it is closed, lets retention make room, and takes publishes again once the reserve is held.
    fn recover(&mut self) {
        if self.shared.database().is_none() {
            match tables::open(&self.shared.directory) {
                Ok((database, state)) => {
                    // What was answered is in the store; what is not there was never answered, but its ids stay used.
                    self.base = self.base.max(self.state.head).max(state.floor);
                    self.state = State { clock_ms: self.state.clock_ms, ..state };
                    self.shared.set_database(Some(Arc::new(database)));
                }
                Err(_) => return,
            }
        }
        let made_room = self.commit(STEP, |_| Ok(()));
        match made_room {
            Ok(_) if self.reserve.hold().is_ok() => {
                tracing::info!(message_id = %Event::StoreRecovered, "the store takes alerts again");
                self.shared.set_trouble(None);
            }
            Ok(_) => {}
            Err(error) => self.let_go(&error),
        }
    }

    fn close(mut self) {
        if self.shared.trouble().is_none() {
            self.closing = true;
            if let Err(error) = self.commit(0, |_| Ok(())) {
                self.fail(&error);
            }
        }
        self.shared.set_trouble(Some(Unavailable::stopping()));
        self.shared.set_database(None);
    }
}
