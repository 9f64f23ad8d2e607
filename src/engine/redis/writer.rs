//! The one task of a node that stores.
//!
//! It takes what waits and stores it with one call, so many publishers share one round trip; what comes in meanwhile is the
//! next one. A call that fails in any way costs the connection: what it did is then unknown, and its publishers are told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::script::{self, Group, Unsettled};
use super::{Durability, PATIENCE, Shared, codec};
use crate::alert::Id;
use crate::engine::{AppendError, OUTCOME_UNKNOWN, Publish, Stored};

/// Alerts and bytes of one call: Redis does nothing else meanwhile.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 1 << 20;
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that was not used for so long is asked whether it is alive, and has as long to answer.
const IDLE: Duration = Duration::from_millis(500);

/// What the writer is asked to do.
pub(super) enum Job {
    /// Store all of these, or none.
    Append(Waiting),
    /// Pass on the marker.
    Wake,
    /// Finish, and say so.
    Close(oneshot::Sender<()>),
}

/// A group of alerts whose publisher waits.
pub(super) struct Waiting {
    pub(super) batch: Vec<Publish>,
    /// What Redis has not taken up by then it refuses.
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// The outcome of a group: its alerts with their ids, or why there are none.
type Outcome = Result<Vec<Stored>, AppendError>;

/// A publish that finds its connection dead is one whose outcome is unknown, so that is to be known before.
struct Connection {
    redis: MultiplexedConnection,
    is_closed: Arc<AtomicBool>,
    used: Instant,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    markers: watch::Sender<u64>,
    connection: Option<Connection>,
    /// Why the last try to connect failed, and when the next one is due.
    refused: Option<(String, Instant)>,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, markers: watch::Sender<u64>) -> Self {
        Self { shared, markers, connection: None, refused: None }
    }

    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let (mut waiting, mut closing, mut next) = (Vec::new(), None, Some(first));
            let (mut alerts, mut bytes) = (0, 0);
            while let Some(job) = next {
                match job {
                    Job::Append(group) => {
                        alerts += group.batch.len();
                        bytes += group.batch.iter().map(|publish| publish.draft.size()).sum::<usize>();
                        waiting.push(group);
                    }
                    Job::Wake => self.keep_alive().await,
                    Job::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
                next = if alerts < BATCH && bytes < BATCH_BYTES { jobs.try_recv().ok() } else { None };
            }
            if !waiting.is_empty() {
                self.store(waiting).await;
            }
            let marker = self.shared.marker.swap(0, Ordering::AcqRel);
            if marker != 0 {
                self.markers.send_replace(marker);
            }
            if let Some(done) = closing {
                let _ = done.send(());
                return;
            }
        }
    }

    async fn store(&mut self, waiting: Vec<Waiting>) {
        let began = Instant::now();
        let stored = self.attempt(&waiting).await;
        match stored {
            Ok(outcomes) => {
                self.shared.commits.observe(began.elapsed(), 1);
                for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
                    let _ = waiting.answer.send(outcome);
                }
            }
            Err(reason) => {
                self.connection = None;
                let reason = format!("{reason}: {OUTCOME_UNKNOWN}");
                for waiting in waiting {
                    let _ = waiting.answer.send(Err(AppendError::Unavailable(reason.clone())));
                }
            }
        }
    }

    /// Stores what waits; an error means that nothing is known of any of it.
    async fn attempt(&mut self, waiting: &[Waiting]) -> Result<Vec<Outcome>, String> {
        let shared = Arc::clone(&self.shared);
        let late = || shared.late();
        let until = waiting.iter().map(|waiting| waiting.deadline).max().unwrap_or_else(Instant::now);
        let mut known = shared.epoch.subscribe();
        loop {
            let met = timeout_at(until, known.wait_for(Option::is_some)).await;
            let epoch = match met.map(|met| met.map(|epoch| epoch.clone())) {
                Ok(Ok(epoch)) => epoch.unwrap_or_default(),
                _ => return Err(shared.state(|state| state.trouble.clone()).unwrap_or_else(late)),
            };
            let groups: Vec<_> = waiting
                .iter()
                .map(|waiting| Group { deadline_ms: shared.server_ms(waiting.deadline), batch: &waiting.batch })
                .collect();
            let announce = shared.durability == Durability::Primary;
            let call =
                script::store(&shared.link, shared.time_argument(), &epoch, announce, &shared.retention(), &groups);
            let connection = self.connect(until).await?;
            let called = timeout_at(until + (PATIENCE - super::DEADLINE) / 2, call.run(connection)).await;
            let answer = called.map_err(|_| late())?.map_err(|error| shared.failed(error))?;
            if answer.first().is_some_and(|word| word == b"epoch") {
                // The log was emptied or replaced; the follower finds out what that means.
                shared.kick.notify_one();
                timeout_at(until, known.changed()).await.map_err(|_| late())?.map_err(|_| late())?;
                continue;
            }
            let (head, mut outcomes) = self.outcomes(waiting, &answer).ok_or("Redis answered something unknown")?;
            if let Durability::Replicas(replicas) = shared.durability {
                self.settle(&epoch, replicas, until, head, waiting, &mut outcomes).await?;
            }
            if outcomes.iter().any(Result::is_ok) {
                shared.saw(newest(&outcomes));
            }
            return Ok(outcomes);
        }
    }

    /// Lets an idle connection show that it is alive: one that is dropped on the way there is not closed, but silent.
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

    async fn connect(&mut self, until: Instant) -> Result<&mut MultiplexedConnection, String> {
        self.connection.take_if(|connection| connection.is_closed.load(Ordering::Acquire));
        if self.connection.is_none() {
            if let Some((reason, due)) = &self.refused
                && Instant::now() < *due
            {
                return Err(reason.clone());
            }
            let connected = timeout_at(until, self.shared.link.connect_watched()).await;
            let connected = connected.map_err(|_| self.shared.late());
            match connected.and_then(|connected| connected.map_err(|error| error.to_string())) {
                Ok((redis, is_closed)) => {
                    self.refused = None;
                    self.connection = Some(Connection { redis, is_closed, used: Instant::now() });
                }
                Err(reason) => {
                    self.refused = Some((reason.clone(), Instant::now() + super::jittered(PAUSE)));
                    return Err(reason);
                }
            }
        }
        let connection = self.connection.as_mut().ok_or("Redis is away")?;
        connection.used = Instant::now();
        Ok(&mut connection.redis)
    }

    /// Reads the answer of `store.lua`.
    fn outcomes(&self, waiting: &[Waiting], answer: &[Vec<u8>]) -> Option<(Id, Vec<Outcome>)> {
        let mut fields = answer.iter().skip(1).map(Vec::as_slice);
        self.shared.heard_time(codec::number(fields.next()?)?);
        let head = codec::id(fields.next()?)?;
        let mut outcomes = Vec::with_capacity(waiting.len());
        for waiting in waiting {
            outcomes.push(match fields.next()? {
                b"ok" => {
                    let stored = waiting.batch.iter().map(|publish| {
                        let (id, ms) = (codec::id(fields.next()?)?, codec::number(fields.next()?)?);
                        Some(Stored { record: publish.draft.record(id, ms), repeated: fields.next()? == b"1" })
                    });
                    Ok(stored.collect::<Option<Vec<_>>>()?)
                }
                b"conflict" => Err(AppendError::Conflict),
                _ => Err(AppendError::Unavailable(format!(
                    "{} took too long, and did not store it: try again",
                    self.shared.link.topology()
                ))),
            });
        }
        Some((head, outcomes))
    }

    /// Waits for the replicas, then shows what they have, or takes it out again.
    async fn settle(
        &mut self,
        epoch: &str,
        replicas: u32,
        until: Instant,
        head: Id,
        waiting: &[Waiting],
        outcomes: &mut [Outcome],
    ) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let failed = |error| shared.failed(error);
        let stored: Vec<Unsettled> = waiting
            .iter()
            .zip(outcomes.iter())
            .filter_map(|(waiting, outcome)| Some(waiting.batch.iter().zip(outcome.as_ref().ok()?)))
            .flatten()
            .map(|(publish, stored)| {
                (stored.record.id, publish.idempotency.as_ref().map(crate::engine::Idempotency::hash))
            })
            .collect();
        if stored.is_empty() {
            return Ok(());
        }
        let patience = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(u64::try_from(patience.as_millis()).unwrap_or(1));
        let connection = self.connect(until).await?;
        let confirmed: u32 = wait.query_async(connection).await.map_err(failed)?;
        let call = script::settle(&shared.link, shared.time_argument(), epoch, confirmed >= replicas, head, &stored);
        let visible = call.run(connection).await.map_err(failed)?;
        let visible: Vec<Id> = visible.iter().filter_map(|id| codec::id(id)).collect();
        for outcome in outcomes {
            let is_missing = |stored: &Stored| !visible.contains(&stored.record.id);
            if outcome.as_ref().is_ok_and(|stored| stored.iter().any(is_missing)) {
                *outcome = Err(AppendError::Unavailable(format!(
                    "{confirmed} of {replicas} replicas confirmed the alert (engine.durability), so it was taken back: try again, and look after the replicas"
                )));
            }
        }
        Ok(())
    }
}

fn newest(outcomes: &[Outcome]) -> Id {
    let stored = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).flatten();
    stored.map(|stored| stored.record.id).max().unwrap_or_default()
}
