//! The one task of a node that stores alerts.
//!
//! It stores all waiting groups with one call, so that many publishers share a round trip; groups that come in meanwhile
//! make the next call. A call that fails in any way closes the connection: its outcome is unknown, and its publishers are
//! told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::belief::Address;
use super::codec::{self, Unreadable};
use super::link::Connected;
use super::script::{self, Unsettled};
use super::seen::Seen;
use super::{ANSWER_WITHIN, Durability, Shared, TAKE_WITHIN};
use crate::alert::Id;
use crate::engine::intake::{Gathered, Group, Job, Outcome, WriteLimits};
use crate::engine::{AppendError, Cause, Idempotency, Stored, Unavailable};

/// The limits of one call: Redis serves nobody else meanwhile.
const CALL: WriteLimits = WriteLimits { alerts: 128, bytes: 1 << 20 };
/// The pause after a failed attempt to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// A connection that was idle for this long is checked, and has as long again to answer.
const IDLE: Duration = Duration::from_millis(500);

/// Used to detect a dead connection before a publish is written to it: afterwards the outcome of the publish is unknown.
struct Connection {
    redis: MultiplexedConnection,
    address: Address,
    is_closed: Arc<AtomicBool>,
    used: Instant,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    markers: watch::Sender<u64>,
    connection: Option<Connection>,
    /// Why the last attempt to connect failed, and when the next one is due.
    refused: Option<(Unavailable, Instant)>,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, markers: watch::Sender<u64>) -> Self {
        Self { shared, markers, connection: None, refused: None }
    }

    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let gathered = Gathered::gather(first, CALL, || jobs.try_recv().ok());
            if gathered.is_woken {
                self.keep_alive().await;
            }
            if !gathered.groups.is_empty() {
                self.store(gathered.groups).await;
            }
            let marker = self.shared.marker.swap(0, Ordering::AcqRel);
            if marker != 0 {
                self.markers.send_replace(marker);
            }
            if gathered.is_closing {
                return;
            }
        }
    }

    async fn store(&mut self, groups: Vec<Group>) {
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
        let timed_out = || shared.link.timed_out();
        let until = groups.iter().map(|group| group.deadline).max().unwrap_or_else(Instant::now);
        let mut known = shared.epoch.subscribe();
        loop {
            let synced = timeout_at(until, known.wait_for(Option::is_some)).await;
            let epoch = match synced.map(|epoch| epoch.map(|epoch| epoch.clone())) {
                Ok(Ok(epoch)) => epoch.unwrap_or_default(),
                _ => return Err(shared.trouble()),
            };
            let call = self.call_to_store(&epoch, groups);
            let connection = self.connect(until).await?;
            let called = timeout_at(until + (ANSWER_WITHIN - TAKE_WITHIN) / 2, call.run(connection)).await;
            let answer = called.map_err(|_| timed_out())?.map_err(|error| shared.link.failed(&error))?;
            if answer.first().is_some_and(|word| word == b"epoch") {
                // The log was emptied or replaced; the follower finds out which.
                shared.compare_now.notify_one();
                timeout_at(until, known.changed()).await.map_err(|_| timed_out())?.map_err(|_| timed_out())?;
                continue;
            }
            let (head, mut outcomes) =
                self.outcomes(groups, &answer).ok_or_else(|| shared.link.unreadable(&Unreadable::Malformed))?;
            if let Durability::Replicas(replicas) = shared.durability {
                let settlement = Settlement { epoch: &epoch, replicas, until, head };
                self.settle(&settlement, groups, &mut outcomes).await?;
            }
            if let Some(stored) = newest(&outcomes) {
                // A version that writes alerts in another way may have stored a repeated one.
                shared.saw(if stored.repeated { Seen::id(stored.record.id) } else { Seen::record(&stored.record) });
            }
            // After what was stored has been noted: if the follower leaves this server from here on, it compares that with
            // the next one. If it has left before, nobody would notice the loss, so nothing was promised.
            if self.connection.as_ref().is_some_and(|connection| shared.is_replaced(&connection.address)) {
                return Err(shared.link.replaced());
            }
            return Ok(outcomes);
        }
    }

    fn call_to_store(&self, epoch: &str, groups: &[Group]) -> script::Arguments {
        let shared = &self.shared;
        // Otherwise the first alert after a failover that lost some would get an id below theirs, which would hide the
        // loss.
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
                        Some(Stored { record: publish.draft.record(id, ms), repeated: fields.next()? == b"1" })
                    });
                    Ok(stored.collect::<Option<Vec<_>>>()?)
                }
                b"conflict" => Err(AppendError::Conflict),
                _ => Err(AppendError::NotStored(self.shared.link.timed_out())),
            });
        }
        Some((head, outcomes))
    }

    /// Waits for the replicas, then makes visible what enough of them have, and removes the rest.
    async fn settle(
        &mut self,
        settlement: &Settlement<'_>,
        groups: &[Group],
        outcomes: &mut [Outcome],
    ) -> Result<(), Unavailable> {
        let shared = Arc::clone(&self.shared);
        let failed = |error| shared.link.failed(&error);
        let &Settlement { epoch, replicas, until, head } = settlement;
        let stored: Vec<Unsettled> = groups
            .iter()
            .zip(outcomes.iter())
            .filter_map(|(group, outcome)| Some(group.alerts.iter().zip(outcome.as_ref().ok()?)))
            .flatten()
            .map(|(publish, stored)| (stored.record.id, publish.idempotency.as_ref().map(Idempotency::hash)))
            .collect();
        if stored.is_empty() {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(u64::try_from(left.as_millis()).unwrap_or(1));
        // The connection that stored the alerts: on another one WAIT would wait for nothing.
        let is_open = |connection: &&mut Connection| !connection.is_closed.load(Ordering::Acquire);
        let stored_on = self.connection.as_mut().filter(is_open).ok_or_else(|| shared.link.timed_out())?;
        let connection = &mut stored_on.redis;
        let confirmed: u32 = wait.query_async(connection).await.map_err(failed)?;
        let (is_confirmed, retention) = (confirmed >= replicas, shared.retention());
        let call = script::settle(&shared.link, shared.time_argument(), epoch, is_confirmed, head, &retention, &stored);
        let settled = call.run(connection).await.map_err(failed)?;
        let mut settled = settled.iter().map(Vec::as_slice);
        for outcome in outcomes.iter_mut() {
            let Ok(alerts) = outcome else { continue };
            let words: Vec<&[u8]> = alerts.iter().map(|_| settled.next().unwrap_or_default()).collect();
            if words.iter().all(|word| *word == b"visible") {
                continue;
            }
            let topology = shared.link.topology();
            let detail = format!(
                "{confirmed} of {replicas} replicas of {topology} confirmed an alert (engine.durability): check the replicas"
            );
            let reason = Unavailable::new(Cause::NotSafe, detail);
            let is_removed = words.iter().all(|word| *word == b"removed");
            *outcome = Err(if is_removed { AppendError::NotStored(reason) } else { AppendError::Unknown(reason) });
        }
        Ok(())
    }
}

/// Alerts that were stored under `replicas:N` and wait for the replicas.
struct Settlement<'a> {
    epoch: &'a str,
    replicas: u32,
    until: Instant,
    /// The newest id that was stored.
    head: Id,
}

fn newest(outcomes: &[Outcome]) -> Option<&Stored> {
    let stored = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).flatten();
    stored.max_by_key(|stored| stored.record.id)
}
