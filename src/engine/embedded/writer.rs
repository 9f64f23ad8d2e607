//! The one thread that writes.
//!
//! It takes the waiting groups, stores them in one batch, answers once the batch is as durable as configured, and feeds
//! the hub in the same order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Settings;
use super::disk;
use super::job_queue::JobReceiver;
use super::keeper::Chore;
use super::location;
use super::reserve::Reserve;
use super::shared::Shared;
use super::store::Store;
use crate::alert::Record;
use crate::engine::intake::{ActRequest, Gathered, Group, Job, Outcome, RetractRequest, WriteLimits};
use crate::engine::{AppendError, Cause, Clock, Feed, Unavailable};
use crate::log::Event;

/// The limits of one batch.
const BATCH: WriteLimits = WriteLimits { alerts: 1024, bytes: 4 << 20 };
/// The longest time between two runs of the periodic work.
const TICK: Duration = Duration::from_secs(1);
/// With durability `none`: the longest time, and the most bytes, for which answered alerts are only in the kernel.
const SYNC: Duration = Duration::from_millis(100);
const SYNC_BYTES: usize = 4 << 20;
/// Removals in one step without publishes, and at least so many with each batch.
const STEP: usize = 512;
/// How far retention may be behind the clock before this is logged, milliseconds.
const HELD_BACK: u64 = 3_600_000;

/// The state of the writer.
pub(super) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    clock: Clock,
    /// Where the publishers wait; none if the store was opened outside of a runtime.
    runtime: Option<Handle>,
    feed: mpsc::Sender<Feed>,
    chores: SyncSender<Chore>,
    reserve: Reserve,
    /// When the periodic work was last done.
    looked: Instant,
    /// Since when answered alerts are only in the kernel.
    unsynced: Option<Instant>,
    warned: bool,
    /// The content of a retracted alert could not be overwritten.
    is_unerased: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: &Settings,
        store: Store,
        feed: mpsc::Sender<Feed>,
        chores: SyncSender<Chore>,
    ) -> Self {
        let mut writer = Self {
            shared,
            store,
            clock: Arc::clone(&settings.clock),
            runtime: Handle::try_current().ok(),
            feed,
            chores,
            reserve: Reserve::new(&settings.directory),
            looked: Instant::now(),
            unsynced: None,
            warned: false,
            is_unerased: false,
        };
        writer.store.advance((writer.clock)(), 0);
        if let Err(error) = writer.reserve.hold() {
            writer.report(true, &format!("no space can be held in reserve: {error}"));
        }
        writer
    }

    pub(super) fn run(mut self, jobs: &JobReceiver) {
        loop {
            let first = jobs.recv_timeout(self.patience()).unwrap_or(Job::Wake);
            let gathered = Gathered::gather(first, BATCH, || jobs.try_recv());
            if !gathered.groups.is_empty() || !gathered.acts.is_empty() {
                self.append(gathered.groups, gathered.acts, gathered.alerts);
            }
            if !gathered.retractions.is_empty() {
                self.retract(gathered.retractions);
            }
            self.sync_if_due();
            if self.looked.elapsed() >= TICK {
                self.tick();
            }
            self.hand_over();
            let marker = self.shared.marker.swap(0, Ordering::AcqRel);
            if marker != 0 {
                let _ = self.feed.blocking_send(Feed::Marker(marker));
            }
            if gathered.is_closing {
                return self.close();
            }
        }
    }

    /// How long the writer may wait for work.
    fn patience(&self) -> Duration {
        let tick = TICK.saturating_sub(self.looked.elapsed());
        if self.shared.trouble().is_some() {
            return tick;
        }
        self.unsynced.map_or(tick, |since| tick.min(SYNC.saturating_sub(since.elapsed())))
    }

    fn append(&mut self, groups: Vec<Group>, acts: Vec<ActRequest>, alerts: usize) {
        if let Some(trouble) = self.shared.trouble() {
            return self.answer_all(groups, acts, &AppendError::NotStored(trouble));
        }
        let (now_ms, limit, retention) = ((self.clock)(), STEP.max(2 * alerts), *self.shared.retention.lock());
        let began = Instant::now();
        let stored = self.store.commit(now_ms, &retention, limit, |stage| {
            let outcomes: Vec<_> = groups.iter().map(|group| stage.add(&group.alerts)).collect();
            let done: Vec<_> = acts.iter().map(|request| stage.act(&request.wanted)).collect();
            (outcomes, done)
        });
        match stored {
            Ok(((outcomes, done), records)) => {
                self.shared.commits.observe(began.elapsed(), 1);
                self.answer(groups.into_iter().zip(outcomes).collect());
                acts.into_iter().zip(done).for_each(|(request, done)| request.answer(Ok(done)));
                self.feed(records);
                // One batch may add more than it removes.
                if self.store.is_due(&retention) {
                    self.retain();
                }
            }
            Err(error) => {
                self.fail(&error);
                let trouble = self.shared.trouble().unwrap_or_else(Unavailable::stopping);
                // They are not in the log, unless the process ends before it can write again.
                self.answer_all(groups, acts, &AppendError::Unknown(trouble));
            }
        }
    }

    fn retract(&mut self, requests: Vec<RetractRequest>) {
        let answer_all = |requests: Vec<RetractRequest>, error: &AppendError| {
            requests.into_iter().for_each(|request| request.answer(Err(error.clone())));
        };
        if let Some(trouble) = self.shared.trouble() {
            return answer_all(requests, &AppendError::NotStored(trouble));
        }
        let (now_ms, retention) = ((self.clock)(), *self.shared.retention.lock());
        let wanted: Vec<_> = requests.iter().map(|request| request.wanted.clone()).collect();
        match self.store.retract(&wanted, now_ms, &retention) {
            Ok((outcomes, records)) => {
                self.erase();
                if !records.is_empty() {
                    // It has copies, and is kept only for the way back to an earlier version.
                    location::remove_converted(&self.shared.directory);
                }
                let unread = |error: std::io::Error| {
                    let detail = format!("the log cannot be read: {error}");
                    AppendError::NotStored(Unavailable::new(Cause::StoreFailing, detail))
                };
                for (request, outcome) in requests.into_iter().zip(outcomes) {
                    request.answer(outcome.map_err(unread));
                }
                self.feed(records);
            }
            Err(error) => {
                self.fail(&error);
                let trouble = self.shared.trouble().unwrap_or_else(Unavailable::stopping);
                answer_all(requests, &AppendError::Unknown(trouble));
            }
        }
    }

    /// Overwrites what was retracted. Nobody reads it any more, whether this succeeds or not.
    fn erase(&mut self) {
        let erased = self.store.redo_erasures();
        if let (Err(error), false) = (&erased, self.is_unerased) {
            let directory = self.shared.directory.display();
            tracing::error!(
                "the text of a retracted alert cannot be overwritten in {directory} ({error}): repair the disk; alertd tries again each second"
            );
        }
        self.is_unerased = erased.is_err();
    }

    fn feed(&self, records: Arc<[Record]>) {
        if !records.is_empty() {
            let _ = self.feed.blocking_send(Feed::Alerts(records));
        }
    }

    /// Answers everybody with the same error.
    fn answer_all(&self, groups: Vec<Group>, acts: Vec<ActRequest>, error: &AppendError) {
        self.answer(groups.into_iter().map(|group| (group, Err(error.clone()))).collect());
        acts.into_iter().for_each(|request| request.answer(Err(error.clone())));
    }

    /// Answers the publishers. Several are answered within the runtime, which is woken once for all of them.
    fn answer(&self, outcomes: Vec<(Group, Outcome)>) {
        let answer_all = |outcomes: Vec<(Group, Outcome)>| {
            outcomes.into_iter().for_each(|(group, outcome)| group.answer(outcome));
        };
        match &self.runtime {
            Some(runtime) if outcomes.len() > 1 => drop(runtime.spawn(async move { answer_all(outcomes) })),
            _ => answer_all(outcomes),
        }
    }

    fn retain(&mut self) {
        let (now_ms, retention) = ((self.clock)(), *self.shared.retention.lock());
        if let Err(error) = self.store.append(std::iter::empty(), now_ms, &retention, STEP) {
            self.fail(&error);
        }
    }

    fn sync_if_due(&mut self) {
        let Some(bytes) = self.store.appender.pending() else {
            self.unsynced = None;
            return;
        };
        let since = *self.unsynced.get_or_insert_with(Instant::now);
        if (since.elapsed() >= SYNC || bytes >= SYNC_BYTES) && self.shared.trouble().is_none() {
            self.unsynced = None;
            if let Err(error) = self.store.appender.sync() {
                self.fail(&error);
            }
        }
    }

    /// Does the periodic work: retention, what is due for incidents, and retries of a broken store.
    fn tick(&mut self) {
        let now_ms = (self.clock)();
        let elapsed = u64::try_from(self.looked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.looked = Instant::now();
        self.store.advance(now_ms, elapsed);
        let behind = now_ms.saturating_sub(self.store.catalog.read().clock_ms);
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
        if self.store.is_due(&self.shared.retention.lock()) {
            self.retain();
        }
        if self.is_unerased {
            self.erase();
        }
        let retention = *self.shared.retention.lock();
        match self.store.keep_up_incidents(now_ms, &retention) {
            Ok(records) => self.feed(records),
            Err(error) => self.fail(&error),
        }
    }

    /// Gives the keeper its work; what its queue has no room for waits.
    fn hand_over(&mut self) {
        let mut chores = self.store.take_chores().into_iter();
        for chore in chores.by_ref() {
            if let Err(TrySendError::Full(chore)) = self.chores.try_send(chore) {
                self.store.chores.push(chore);
                break;
            }
        }
        self.store.chores.extend(chores);
    }

    fn fail(&mut self, error: &std::io::Error) {
        if disk::is_full(error) {
            self.reserve.release();
            if self.store.give_up_exports() {
                tracing::warn!("a backup is given up: it kept space that retention has freed, and the disk is full");
            }
        }
        self.report(disk::is_full(error), &error.to_string());
    }

    fn report(&mut self, is_full: bool, reason: &str) {
        let directory = self.shared.directory.display();
        let trouble = format!(
            "the store in {directory} cannot take alerts ({reason}): free space there, or repair the disk; alertd tries again each second"
        );
        if is_full {
            tracing::error!(message_id = %Event::StoreFull, "{trouble}");
        } else {
            tracing::error!(message_id = %Event::StoreUnavailable, "{trouble}");
        }
        let cause = if is_full { Cause::StoreFull } else { Cause::StoreFailing };
        self.shared.set_trouble(Some(Unavailable::new(cause, trouble)));
    }

    /// Continues in a new segment, lets retention make room, and accepts publishes again once the reserve is held.
    fn recover(&mut self) {
        let (now_ms, retention) = ((self.clock)(), *self.shared.retention.lock());
        let written =
            self.store.appender.go_on().and_then(|()| self.store.append(std::iter::empty(), now_ms, &retention, STEP));
        match written {
            Ok(_) if self.reserve.hold().is_ok() => {
                tracing::info!(message_id = %Event::StoreRecovered, "the store takes alerts again");
                self.shared.set_trouble(None);
            }
            Ok(_) => {}
            Err(error) if disk::is_full(&error) => self.reserve.release(),
            Err(_) => {}
        }
    }

    fn close(mut self) {
        let keeper = self.store.keeper();
        if self.shared.trouble().is_none()
            && let Err(error) = self.store.stop(&keeper)
        {
            self.fail(&error);
        }
        self.hand_over();
        self.shared.set_closed();
    }
}
