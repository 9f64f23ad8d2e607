//! The one task of a node that stores alerts.
//!
//! It stores all waiting groups with one call, which many publishers share; groups that come in meanwhile make the next
//! one. Incidents ([`decided`](super::decided)) and alerts that are taken back ([`retraction`](super::retraction)) are read
//! and decided first. A call that fails closes the connection: its outcome is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::belief::Address;
use super::codec::{self, Unreadable};
use super::link::Connected;
use super::script::Arguments;
use super::seen::Seen;
use super::store_script::{self as script, Unsettled};
use super::{ANSWER_WITHIN, Durability, Shared, TAKE_WITHIN};
use crate::alert::{Id, Level};
use crate::engine::intake::{Gathered, Group, Job, Outcome, WriteLimits};
use crate::engine::{AppendError, Cause, Idempotency, Stored, Tracking, Unavailable};
use crate::incident::Untracked;

/// The limits of one call: Redis serves nobody else meanwhile.
const CALL: WriteLimits = WriteLimits { alerts: 128, bytes: 1 << 20 };
/// The pause after a failed attempt to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// A connection that was idle for this long is checked, and has as long again to answer.
const IDLE: Duration = Duration::from_millis(500);

/// Checked before a publish is written to it: afterwards the outcome of the publish is unknown.
struct Connection {
    redis: MultiplexedConnection,
    address: Address,
    is_closed: Arc<AtomicBool>,
    used: Instant,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    markers: watch::Sender<u64>,
    connection: Option<Connection>,
    /// Why the last attempt to connect failed, and when the next one is due.
    refused: Option<(Unavailable, Instant)>,
    /// The times of reminders by which it is stored when something is due; none if that is not known.
    pub(super) times: Option<(u64, Level)>,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, markers: watch::Sender<u64>) -> Self {
        Self { shared, markers, connection: None, refused: None, times: None }
    }

    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let (shared, mut is_open) = (Arc::clone(&self.shared), true);
        while is_open {
            let job = tokio::select! {
                job = jobs.recv() => job,
                () = shared.ticked.notified() => {
                    self.do_what_is_due().await;
                    continue;
                }
            };
            let Some(first) = job else { return };
            let Gathered { groups, acts, retractions, is_woken, is_closing, .. } =
                Gathered::gather(first, CALL, || jobs.try_recv().ok());
            if is_woken {
                self.keep_alive().await;
            }
            if !acts.is_empty() || groups.iter().any(Group::reports_incident) {
                self.store_decided(groups, acts, &[]).await;
            } else if !groups.is_empty() {
                self.store(groups).await;
            }
            for request in retractions {
                self.take_back(request).await;
            }
            let marker = self.shared.marker.swap(0, Ordering::AcqRel);
            if marker != 0 {
                self.markers.send_replace(marker);
            }
            is_open = !is_closing;
        }
    }

    pub(super) async fn store(&mut self, groups: Vec<Group>) {
        let began = Instant::now();
        match self.attempt(&groups).await {
            Ok(outcomes) => {
                self.shared.commits.observe(began.elapsed(), 1);
                for (group, outcome) in groups.into_iter().zip(outcomes) {
                    group.answer(outcome);
                }
            }
            Err(reason) => {
                self.connection = None;
                for group in groups {
                    group.answer(Err(AppendError::Unknown(reason.clone())));
                }
            }
        }
    }

    /// Stores the groups; an error means that the outcome of all of them is unknown.
    async fn attempt(&mut self, groups: &[Group]) -> Result<Vec<Outcome>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let until = groups.iter().map(|group| group.deadline).max().unwrap_or_else(Instant::now);
        let mut known = shared.epoch.subscribe();
        loop {
            let epoch = self.epoch(&mut known, until).await?;
            let answer = self.call(&self.call_to_store(&epoch, groups), until).await?;
            if answer.first().is_some_and(|word| word == b"epoch") {
                self.other_epoch(&mut known, until).await?;
                continue;
            }
            let (head, mut outcomes) =
                self.outcomes(groups, &answer).ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))?;
            if let Durability::Replicas(replicas) = shared.durability {
                let settlement = Settlement { epoch: &epoch, replicas, until, head };
                self.settle_groups(&settlement, groups, &mut outcomes).await?;
            }
            // A version that writes alerts in another way may have stored a repeated one.
            let seen = |stored: &Stored| {
                if stored.repeated { Seen::id(stored.record.id) } else { Seen::record(&stored.record) }
            };
            self.promise(newest(&outcomes).map(seen))?;
            return Ok(outcomes);
        }
    }

    /// Waits until this node knows the log, and returns its epoch.
    pub(super) async fn epoch(
        &self,
        known: &mut watch::Receiver<Option<String>>,
        until: Instant,
    ) -> Result<String, Unavailable> {
        let synced = timeout_at(until, known.wait_for(Option::is_some)).await;
        match synced.map(|epoch| epoch.map(|epoch| epoch.clone())) {
            Ok(Ok(epoch)) => Ok(epoch.unwrap_or_default()),
            _ => Err(self.shared.trouble()),
        }
    }

    /// Waits for another epoch: the log was emptied or replaced, and the follower finds out which.
    pub(super) async fn other_epoch(
        &self,
        known: &mut watch::Receiver<Option<String>>,
        until: Instant,
    ) -> Result<(), Unavailable> {
        let timed_out = || self.shared.link.timed_out();
        self.shared.compare_now.notify_one();
        timeout_at(until, known.changed()).await.map_err(|_| timed_out())?.map_err(|_| timed_out())
    }

    pub(super) async fn call(&mut self, call: &Arguments, until: Instant) -> Result<Vec<Vec<u8>>, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let connection = self.connect(until).await?;
        let called = timeout_at(until + (ANSWER_WITHIN - TAKE_WITHIN) / 2, call.run(connection)).await;
        called.map_err(|_| shared.link.timed_out())?.map_err(|error| shared.link.failed(&error))
    }

    /// Notes the newest of what is about to be promised. Fails if the server is replaced.
    pub(super) fn promise(&self, newest: Option<Seen>) -> Result<(), Unavailable> {
        let shared = &self.shared;
        if let Some(newest) = newest {
            shared.saw(newest);
        }
        // After what was stored has been noted, which the follower compares with the next server when it leaves this one.
        // If it has left before, nobody would notice the loss.
        let is_replaced = self.connection.as_ref().is_some_and(|connection| shared.is_replaced(&connection.address));
        if is_replaced { Err(shared.link.replaced()) } else { Ok(()) }
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    fn call_to_store(&self, epoch: &str, groups: &[Group]) -> Arguments {
        let shared = &self.shared;
        // Otherwise the first alert after a failover that lost some would get an id below theirs, which hides the loss.
        let seen = shared.state(|state| state.seen.clone());
        let groups: Vec<_> =
            groups.iter().map(|group| (shared.server_ms(group.deadline), group.alerts.as_slice())).collect();
        let announce = shared.durability == Durability::Primary;
        script::store(&shared.link, shared.time_argument(), epoch, &seen, announce, &shared.retention(), &groups)
    }

    /// Checks an idle connection: one that was cut in the network is not closed, only silent.
    async fn keep_alive(&mut self) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.used.elapsed() > IDLE) else {
            return;
        };
        connection.used = Instant::now();
        let ping = redis::cmd("PING");
        let answered = timeout_at(Instant::now() + IDLE, ping.exec_async(&mut connection.redis)).await;
        if !matches!(answered, Ok(Ok(()))) {
            self.connection = None;
        }
    }

    async fn connect(&mut self, until: Instant) -> Result<&mut MultiplexedConnection, Unavailable> {
        let shared = &self.shared;
        self.connection.take_if(|connection| {
            connection.is_closed.load(Ordering::Acquire) || shared.is_replaced(&connection.address)
        });
        if self.connection.is_none() {
            if let Some((reason, due)) = &self.refused
                && Instant::now() < *due
            {
                return Err(reason.clone());
            }
            let connected = timeout_at(until, self.shared.link.connect_watched()).await;
            let connected = connected.map_err(|_| self.shared.link.timed_out());
            match connected.and_then(|connected| connected.map_err(Unavailable::from)) {
                Ok(Connected { redis, address, is_closed }) => {
                    self.refused = None;
                    self.connection = Some(Connection { redis, address, is_closed, used: Instant::now() });
                }
                Err(reason) => {
                    self.refused = Some((reason.clone(), Instant::now() + super::jittered(RECONNECT_PAUSE)));
                    return Err(reason);
                }
            }
        }
        let connection = self.connection.as_mut().ok_or_else(|| self.shared.trouble())?;
        connection.used = Instant::now();
        Ok(&mut connection.redis)
    }

    /// Reads the answer of `store.lua`.
    fn outcomes(&self, groups: &[Group], answer: &[Vec<u8>]) -> Option<(Id, Vec<Outcome>)> {
        let mut fields = answer.iter().skip(1).map(Vec::as_slice);
        self.shared.heard_time(codec::number(fields.next()?)?);
        let head = codec::id(fields.next()?)?;
        let mut outcomes = Vec::with_capacity(groups.len());
        for group in groups {
            outcomes.push(match fields.next()? {
                b"ok" => {
                    let stored = group.alerts.iter().map(|publish| {
                        let (id, ms) = (codec::id(fields.next()?)?, codec::number(fields.next()?)?);
                        let repeated = fields.next()? == b"1";
                        // Stored in this way only while a node that does not know incidents may be running.
                        let is_untracked = !repeated && publish.draft.incident().is_some();
                        let incident =
                            if is_untracked { Tracking::Untracked(Untracked::OlderNode) } else { Tracking::None };
                        Some(Stored { record: publish.draft.record(id, ms), repeated, incident })
                    });
                    Ok(stored.collect::<Option<Vec<_>>>()?)
                }
                b"conflict" => Err(AppendError::Conflict),
                b"retracted" => Err(AppendError::Retracted),
                _ => Err(AppendError::NotStored(self.shared.link.timed_out())),
            });
        }
        Some((head, outcomes))
    }

    async fn settle_groups(
        &mut self,
        settlement: &Settlement<'_>,
        groups: &[Group],
        outcomes: &mut [Outcome],
    ) -> Result<(), Unavailable> {
        let (mut stored, mut entries) = (Vec::new(), Vec::with_capacity(outcomes.len()));
        for (group, outcome) in groups.iter().zip(outcomes.iter()) {
            let first = stored.len();
            stored.extend(group.alerts.iter().zip(outcome.iter().flatten()).map(|(publish, stored)| Unsettled {
                id: stored.record.id,
                key: publish.idempotency.as_ref().map(Idempotency::hash),
                undo: None,
            }));
            entries.push((first..stored.len()).collect::<Vec<_>>());
        }
        if stored.is_empty() {
            return Ok(());
        }
        let settled = self.settle(settlement, &stored).await?;
        for (outcome, entries) in outcomes.iter_mut().zip(&entries) {
            if let Some(error) = settled.error(entries) {
                *outcome = Err(error);
            }
        }
        Ok(())
    }

    /// Waits for the replicas, then makes visible what enough of them have, and removes the rest.
    pub(super) async fn settle(
        &mut self,
        settlement: &Settlement<'_>,
        stored: &[Unsettled],
    ) -> Result<Settled, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let failed = |error| shared.link.failed(&error);
        let &Settlement { epoch, replicas, until, head } = settlement;
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(u64::try_from(left.as_millis()).unwrap_or(1));
        // The connection that stored the alerts: on another one WAIT would wait for nothing.
        let is_open = |connection: &&mut Connection| !connection.is_closed.load(Ordering::Acquire);
        let connection = self.connection.as_mut().filter(is_open).ok_or_else(|| shared.link.timed_out())?;
        let connection = &mut connection.redis;
        let confirmed: u32 = wait.query_async(connection).await.map_err(failed)?;
        let (is_confirmed, retention) = (confirmed >= replicas, shared.retention());
        let call = script::settle(&shared.link, shared.time_argument(), epoch, is_confirmed, head, &retention, stored);
        let words = call.run(connection).await.map_err(failed)?;
        let detail = format!(
            "{confirmed} of {replicas} replicas of {} confirmed an alert (engine.durability): check the replicas",
            shared.link.topology()
        );
        Ok(Settled { words, reason: Unavailable::new(Cause::NotSafe, detail) })
    }
}

/// What became of records that waited for the replicas.
pub(super) struct Settled {
    words: Vec<Vec<u8>>,
    /// Why those that are not visible are not.
    reason: Unavailable,
}

impl Settled {
    /// Why some of these are not safe; none if all are.
    pub(super) fn error(&self, entries: &[usize]) -> Option<AppendError> {
        let are_all =
            |expected: &[u8]| entries.iter().all(|entry| self.words.get(*entry).is_some_and(|word| word == expected));
        match (are_all(b"visible"), are_all(b"removed")) {
            (true, _) => None,
            (_, true) => Some(AppendError::NotStored(self.reason.clone())),
            _ => Some(AppendError::Unknown(self.reason.clone())),
        }
    }
}

/// Records that were stored under `replicas:N` and wait for the replicas.
pub(super) struct Settlement<'a> {
    pub(super) epoch: &'a str,
    pub(super) replicas: u32,
    pub(super) until: Instant,
    /// The newest id that was stored.
    pub(super) head: Id,
}

fn newest(outcomes: &[Outcome]) -> Option<&Stored> {
    let stored = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).flatten();
    stored.max_by_key(|stored| stored.record.id)
}
