//! The one task of a node that follows the log and feeds the hub.
//!
//! Announcements are only a hint: each one names the id before it, and on any mismatch the node reads the log instead. Once
//! a second the node compares itself with the log and sends a probe through Redis to itself, so that a dead subscription is
//! told from a quiet one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::codec::{self, Announcement, TickAnswer, Unreadable};
use super::shared::KeysHeard;
use super::{Shared, jittered, script, server_warnings};
use crate::alert::{Filter, Id, Level, Pattern, Record};
use crate::engine::{Cause, Direction, Feed, Range, Unavailable};
use crate::log::Event;

/// Between two comparisons with the log.
const PERIOD: Duration = Duration::from_secs(1);
/// For both connections together.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts to connect: the first pause and the longest one.
const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Probes that may be outstanding before the subscription counts as dead.
const MAX_PROBES: u64 = 3;
/// Alerts and bytes of one read while catching up.
const CATCH_UP_PAGE: (usize, usize) = (500, 1 << 20);

/// The connections of one session.
struct Session {
    /// Holds the subscription.
    _live: MultiplexedConnection,
    pushes: mpsc::Receiver<Option<PushInfo>>,
    data: MultiplexedConnection,
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    feed: mpsc::Sender<Feed>,
    /// The hub was fed with everything up to this id.
    at: Id,
    epoch: Option<String>,
    ticked: Instant,
    /// The probe that was sent last.
    probe: u64,
    /// The probe that came back last.
    probed: u64,
    /// The warnings that were logged last.
    server_warnings: Vec<String>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, feed: mpsc::Sender<Feed>) -> Self {
        let ticked = Instant::now();
        Self { shared, feed, at: Id::ZERO, epoch: None, ticked, probe: 0, probed: 0, server_warnings: Vec::new() }
    }

    pub(super) async fn run(mut self, mut markers: watch::Receiver<u64>) {
        let mut pause = RECONNECT_PAUSES.0;
        while !self.shared.stopping.load(Ordering::Acquire) {
            let reason = match timeout(CONNECT, self.connect()).await {
                Ok(Ok(session)) => {
                    pause = RECONNECT_PAUSES.0;
                    self.follow(session, &mut markers).await
                }
                Ok(Err(reason)) => reason,
                Err(_) => self.shared.timed_out(),
            };
            self.shared.state(|state| state.connection = None);
            if self.shared.stopping.load(Ordering::Acquire) {
                return;
            }
            self.shared.set_trouble(Some(with_remedy(reason)));
            let waiting = tokio::time::sleep(jittered(pause));
            pause = RECONNECT_PAUSES.1.min(pause * 2);
            tokio::pin!(waiting);
            loop {
                tokio::select! {
                    () = &mut waiting => break,
                    () = self.shared.compare_now.notified() => break,
                    marker = next(&mut markers) => self.pass(Feed::Marker(marker)).await,
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Session, Unavailable> {
        let (live, pushes) = self.shared.link.subscribe().await?;
        let mut data = self.shared.link.connect().await?;
        let warnings = server_warnings::ask(&mut data, (self.shared.local)()).await;
        if warnings != self.server_warnings {
            for warning in &warnings {
                tracing::warn!(message_id = %Event::EngineUnsafe, "{}: {warning}", self.shared.link.topology());
            }
            self.shared.state(|state| state.server_warnings.clone_from(&warnings));
            self.server_warnings = warnings;
        }
        self.probe = 0;
        self.probed = 0;
        Ok(Session { _live: live, pushes, data })
    }

    /// Follows until something fails; returns what.
    async fn follow(&mut self, mut session: Session, markers: &mut watch::Receiver<u64>) -> Unavailable {
        if let Err(reason) = self.look(&mut session.data).await {
            return reason;
        }
        let mut period = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            let look = tokio::select! {
                push = session.pushes.recv() => match push {
                    None => return self.closed(),
                    // Announcements were dropped; the log has the alerts.
                    Some(None) => true,
                    Some(Some(push)) => match self.announced(push).await {
                        Ok(look) => look,
                        Err(reason) => return reason,
                    },
                },
                _ = period.tick() => {
                    // Only here: announcements that cause a comparison come in bursts, ahead of the probes among them.
                    self.probe += 1;
                    true
                }
                () = shared.compare_now.notified() => true,
                marker = next(markers) => {
                    self.pass(Feed::Marker(marker)).await;
                    false
                }
            };
            if shared.stopping.load(Ordering::Acquire) {
                return Unavailable::stopping();
            }
            if look {
                if let Err(reason) = self.look(&mut session.data).await {
                    return reason;
                }
                if self.probe.saturating_sub(self.probed) > MAX_PROBES {
                    let detail = format!("the subscription to {} has gone silent", shared.link.topology());
                    return Unavailable::new(Cause::TimedOut, detail);
                }
            }
        }
    }

    /// Handles an announcement; true if the log must be compared instead.
    async fn announced(&mut self, push: PushInfo) -> Result<bool, Unavailable> {
        match push.kind {
            PushKind::Message => {}
            PushKind::Disconnection => return Err(self.closed()),
            _ => return Ok(false),
        }
        let Some(Value::BulkString(payload)) = push.data.get(1) else { return Ok(true) };
        match Announcement::parse(payload) {
            Some(Announcement::Probe { node, probe }) => {
                if node == self.shared.node {
                    self.probed = self.probed.max(probe);
                }
                Ok(false)
            }
            Some(Announcement::Alerts { epoch, before, records }) => {
                if self.epoch.as_deref() != Some(epoch.as_str()) || before > self.at {
                    return Ok(true);
                }
                self.deliver(records).await;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn closed(&self) -> Unavailable {
        Unavailable::new(Cause::NotReached, format!("{} closed the subscription", self.shared.link.topology()))
    }

    /// Compares this node with the log and publishes the result to the rest of the node.
    async fn look(&mut self, data: &mut MultiplexedConnection) -> Result<(), Unavailable> {
        // Before anything is written: it refuses a log of an unknown schema.
        let keys = self.compare(data).await?;
        self.shared.state(|state| state.connection = Some(data.clone()));
        let trouble = self.check_memory(data).await?;
        // After the connection: a follower of the keys reads them at once.
        self.shared.keys.send_replace(Some(keys));
        self.shared.set_trouble(trouble);
        Ok(())
    }

    /// Trouble if Redis has no memory for another alert. The tick does not notice, because its writes are let through.
    async fn check_memory(&self, data: &mut MultiplexedConnection) -> Result<Option<Unavailable>, Unavailable> {
        let mut write = redis::cmd("HSET");
        write.arg(self.shared.link.key("state")).arg("room").arg(&self.shared.node);
        match write.query_async::<()>(data).await {
            Ok(()) => Ok(None),
            Err(error) if error.code() == Some("OOM") => {
                let detail = format!(
                    "{} has no memory for another alert, and publishing is refused: raise its maxmemory, or keep less in [alerts]",
                    self.shared.link.topology()
                );
                Ok(Some(Unavailable::new(Cause::StoreFull, detail)))
            }
            Err(error) => Err(self.shared.failed(&error)),
        }
    }

    /// Compares this node with the log and feeds what is missing. Returns the state of the keys.
    async fn compare(&mut self, data: &mut MultiplexedConnection) -> Result<KeysHeard, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let elapsed = self.ticked.elapsed();
        self.ticked = Instant::now();
        let new_epoch = random_epoch()
            .ok_or_else(|| Unavailable::new(Cause::StoreFailing, "the operating system gives no random numbers"))?;
        let tick = script::Tick {
            epoch: self.epoch.as_deref().unwrap_or_default(),
            seen: self.at,
            new_epoch: &new_epoch,
            node: &shared.node,
            probe: self.probe,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            streams: shared.streams.load(Ordering::Relaxed),
            retention: &shared.retention(),
        };
        let answer = script::tick(&shared.link, shared.time_argument(), &tick).run(data).await;
        let answer = answer.map_err(|error| shared.failed(&error))?;
        let ticked = TickAnswer::parse(&answer).ok_or_else(|| shared.unreadable(&Unreadable::Malformed))?;
        shared.heard_time(ticked.server_ms);
        let keys = KeysHeard { revision: ticked.keys_revision, are_whole: ticked.are_keys_whole, at: self.ticked };
        let is_other = self.epoch.as_ref() != Some(&ticked.epoch);
        if is_other || ticked.trimmed > self.at {
            if self.epoch.is_some() {
                tracing::warn!(
                    message_id = %Event::EngineGap,
                    "a part of the log was lost before this node had read it: its streams continue from the log and are told of a gap if they missed something"
                );
            }
            // From here on the node follows the other log, whose ids are above all that were seen.
            self.at = self.at.max(ticked.visible);
            shared.saw(self.at);
            self.pass(Feed::Reset(self.at)).await;
        } else {
            self.catch_up(ticked.visible, data).await?;
        }
        if is_other {
            self.epoch = Some(ticked.epoch.clone());
            shared.epoch.send_replace(Some(ticked.epoch));
        }
        Ok(keys)
    }

    async fn catch_up(&mut self, until: Id, data: &mut MultiplexedConnection) -> Result<(), Unavailable> {
        let shared = Arc::clone(&self.shared);
        while self.at < until {
            let filter = Filter::new([Pattern::All], Level::Info);
            let range = Range { filter, after: self.at, until, limit: CATCH_UP_PAGE.0, bytes: CATCH_UP_PAGE.1 };
            let answer = script::read(&shared.link, shared.time_argument(), &range, Direction::Forward).run(data).await;
            let answer = answer.map_err(|error| shared.failed(&error))?;
            let page = codec::page(&answer).map_err(|reason| shared.unreadable(&reason))?;
            self.deliver(page.records).await;
            self.at = self.at.max(page.next.unwrap_or(until));
            shared.saw(self.at);
        }
        Ok(())
    }

    /// Feeds the records that are new.
    async fn deliver(&mut self, mut records: Vec<Record>) {
        records.retain(|record| record.id > self.at);
        let Some(last) = records.last() else { return };
        self.at = last.id;
        self.shared.saw(self.at);
        self.pass(Feed::Alerts(records.into())).await;
    }

    async fn pass(&self, fed: Feed) {
        // The receiver is gone only when the daemon is ending.
        let _ = self.feed.send(fed).await;
    }
}

/// Adds what the trouble means and what to check, unless the reason already says what to do.
fn with_remedy(reason: Unavailable) -> Unavailable {
    if reason.cause == Cause::UnknownFormat {
        return reason;
    }
    let detail = format!(
        "{}: publishing is refused and streams wait until the server is reached again; check the server, the network and [engine.redis]",
        reason.detail
    );
    Unavailable { detail, ..reason }
}

async fn next(markers: &mut watch::Receiver<u64>) -> u64 {
    if markers.changed().await.is_err() {
        // The writer has ended; this task is about to.
        std::future::pending::<()>().await;
    }
    *markers.borrow_and_update()
}

fn random_epoch() -> Option<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).ok()?;
    Some(script::hex(&random))
}
