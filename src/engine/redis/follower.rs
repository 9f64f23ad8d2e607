//! The one task of a node that follows the log and feeds the hub.
//!
//! Announcements are only a hint: each one names the id before it ([`chain`]), and on any mismatch the node reads the log
//! instead. Once a second the node compares itself with the log and sends a probe through Redis to itself, to tell a
//! dead subscription from a quiet one. Always: the hub gets everything that the log made visible, in order, or a reset
//! if a part of it was removed or lost before this node had it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};

use super::belief::Address;
use super::chain::{self, Has, Link};
use super::codec::Announcement;
use super::seen::Seen;
use super::trial::{Trial, Verdict};
use super::{Shared, jittered, server_warnings};
use crate::alert::{Record, RecordKind};
use crate::engine::{Cause, Feed, Unavailable};
use crate::log::Event;

/// The time between two comparisons with the log.
const PERIOD: Duration = Duration::from_secs(1);
/// The time limit for both connections together.
const CONNECT: Duration = Duration::from_secs(5);
/// The first and the longest pause between two attempts to connect.
const RECONNECT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Probes that may be outstanding before the subscription counts as dead.
const MAX_PROBES: u64 = 3;
/// How long a node that is behind the log waits for the announcements that are on the way.
const DRAIN: Duration = Duration::from_secs(1);
/// Announcements that are held until the node has read what comes before them; more are read from the log too.
const MAX_HELD: usize = 256;

/// The connections of one session.
pub(super) struct Session {
    pub(super) address: Address,
    /// Holds the subscription.
    _live: MultiplexedConnection,
    pushes: mpsc::Receiver<Option<PushInfo>>,
    pub(super) data: MultiplexedConnection,
    /// Warnings about settings of the server that may lose alerts.
    warnings: Vec<String>,
    trial: Trial,
}

pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    feed: mpsc::Sender<Feed>,
    /// The hub was fed with everything up to this.
    pub(super) at: Seen,
    pub(super) epoch: Option<String>,
    pub(super) ticked: Instant,
    /// The probe that was sent last.
    pub(super) probe: u64,
    /// The probe that came back last.
    probed: u64,
    /// The warnings that were logged last.
    server_warnings: Vec<String>,
    /// The last write of what was seen that was started.
    pub(super) keeping: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, feed: mpsc::Sender<Feed>) -> Self {
        let ticked = Instant::now();
        let (epoch, keeping) = (None, None);
        Self {
            shared,
            feed,
            at: Seen::default(),
            epoch,
            ticked,
            probe: 0,
            probed: 0,
            server_warnings: Vec::new(),
            keeping,
        }
    }

    pub(super) async fn run(mut self, mut markers: watch::Receiver<u64>) {
        let mut pause = RECONNECT_PAUSES.0;
        while !self.shared.stopping.load(Ordering::Acquire) {
            let reason = match timeout(CONNECT, self.connect()).await {
                Ok(Ok(mut session)) => {
                    pause = RECONNECT_PAUSES.0;
                    let reason = self.follow(&mut session, &mut markers).await;
                    if self.shared.stopping.load(Ordering::Acquire) {
                        self.leave(session).await;
                    }
                    reason
                }
                Ok(Err(reason)) => reason,
                Err(_) => self.shared.link.timed_out(),
            };
            self.shared.state(|state| state.connection = None);
            if self.shared.stopping.load(Ordering::Acquire) {
                break;
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
        self.shared.left.notify_one();
    }

    /// Takes this node off the list of nodes, after its last report on the same connection.
    async fn leave(&self, mut session: Session) {
        let mut leave = redis::cmd("HDEL");
        leave.arg(self.shared.link.key("nodes")).arg(&self.shared.node);
        let _ = leave.exec_async(&mut session.data).await;
    }

    async fn connect(&mut self) -> Result<Session, Unavailable> {
        let address = self.shared.link.server().await?;
        let (live, pushes) = self.shared.link.subscribe(&address, &self.shared.node).await?;
        let mut data = self.shared.link.connect_to(&address).await?;
        let warnings = server_warnings::ask(&mut data, (self.shared.local)()).await;
        self.probe = 0;
        self.probed = 0;
        Ok(Session { address, _live: live, pushes, data, warnings, trial: Trial::default() })
    }

    /// Replaces the warnings about the server, and logs changes.
    fn warn(&mut self, warnings: Vec<String>) {
        if warnings == self.server_warnings {
            return;
        }
        for warning in warnings.iter().filter(|warning| !self.server_warnings.contains(warning)) {
            tracing::warn!(message_id = %Event::EngineUnsafe, "{}: {warning}", self.shared.link.topology());
        }
        self.shared.state(|state| state.server_warnings.clone_from(&warnings));
        self.server_warnings = warnings;
    }

    /// Follows until something fails; returns the failure.
    async fn follow(&mut self, session: &mut Session, markers: &mut watch::Receiver<u64>) -> Unavailable {
        if let Err(reason) = self.look(session).await {
            return reason;
        }
        let mut period = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        let mut primary = shared.primary.subscribe();
        loop {
            if shared.is_replaced(&session.address) {
                return shared.link.replaced();
            }
            let look = tokio::select! {
                _ = primary.changed() => false,
                push = session.pushes.recv() => match push {
                    None => return self.closed(),
                    // Announcements were dropped; the log has the alerts.
                    Some(None) => true,
                    Some(Some(push)) => match self.announced(push).await {
                        Ok(held) => held.is_some(),
                        Err(reason) => return reason,
                    },
                },
                _ = period.tick() => {
                    // Only on the timer: announcements that cause a comparison come in bursts, ahead of the probes
                    // among them.
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
                if let Err(reason) = self.look(session).await {
                    return reason;
                }
                if self.probe.saturating_sub(self.probed) > MAX_PROBES {
                    let detail = format!("the subscription to {} has gone silent", shared.link.topology());
                    return Unavailable::new(Cause::TimedOut, detail);
                }
            }
        }
    }

    /// Handles a message; returns an announcement that does not continue what this node has.
    async fn announced(&mut self, push: PushInfo) -> Result<Option<Announcement>, Unavailable> {
        match push.kind {
            PushKind::Message => {}
            PushKind::Disconnection => return Err(self.closed()),
            _ => return Ok(None),
        }
        let payload = match push.data.get(1) {
            Some(Value::BulkString(payload)) => Announcement::parse(payload),
            _ => None,
        };
        Ok(self.take(payload.unwrap_or(Announcement::Unreadable)).await)
    }

    pub(super) async fn take(&mut self, announcement: Announcement) -> Option<Announcement> {
        match announcement {
            Announcement::Probe { node, probe } => {
                if node == self.shared.node {
                    self.probed = self.probed.max(probe);
                }
                None
            }
            Announcement::Alerts { epoch, before, records } => {
                if self.epoch.as_ref() != Some(&epoch) {
                    return Some(Announcement::Alerts { epoch, before, records });
                }
                match chain::link(self.has(), before, records) {
                    Link::Next(records) => {
                        self.deliver(records).await;
                        None
                    }
                    Link::Doubt(records) => Some(Announcement::Alerts { epoch, before, records }),
                }
            }
            Announcement::Unreadable => Some(announcement),
        }
    }

    /// Takes the announcements that Redis has sent until now, so that only what they did not bring has to be read.
    /// Returns those that do not continue what this node has.
    pub(super) async fn drain(&mut self, session: &mut Session) -> Result<Vec<Announcement>, Unavailable> {
        self.probe += 1;
        let mut probe = redis::cmd("PUBLISH");
        probe.arg(self.shared.link.probes(&self.shared.node)).arg(format!("!{} {}", self.shared.node, self.probe));
        probe.exec_async(&mut session.data).await.map_err(|error| self.shared.link.failed(&error))?;
        let (deadline, mut held) = (Instant::now() + DRAIN, Vec::new());
        while self.probed < self.probe
            && let Ok(push) = timeout_at(deadline, session.pushes.recv()).await
        {
            let Some(push) = push else { return Err(self.closed()) };
            let left_over = match push {
                Some(push) => self.announced(push).await?,
                None => None,
            };
            held.extend(left_over.filter(|_| held.len() < MAX_HELD));
        }
        Ok(held)
    }

    fn closed(&self) -> Unavailable {
        Unavailable::new(Cause::NotReached, format!("{} closed the subscription", self.shared.link.topology()))
    }

    /// Compares this node with the log and publishes the result to the rest of the node.
    async fn look(&mut self, session: &mut Session) -> Result<(), Unavailable> {
        // First, before anything is written, because it refuses a log of an unknown schema.
        let keys = self.compare(session).await?;
        let shared = Arc::clone(&self.shared);
        let Verdict { trouble, warning } = session.trial.run(&shared, &mut session.data).await?;
        let rewriting = shared.rewrite_warning.lock().clone();
        self.warn(session.warnings.iter().cloned().chain(warning).chain(rewriting).collect());
        // After the connection is shared, because the follower of the keys reads them at once.
        self.shared.keys.send_replace(Some(keys));
        self.shared.set_trouble(trouble);
        Ok(())
    }

    pub(super) fn has(&self) -> Has {
        Has { at: self.at.id, seen: self.shared.head() }
    }

    /// Feeds the records that are new.
    pub(super) async fn deliver(&mut self, mut records: Vec<Record>) {
        records.retain(|record| record.id > self.at.id);
        let Some(last) = records.last() else { return };
        if records.iter().any(|record| matches!(record.kind, RecordKind::Retraction(_))) {
            self.shared.retractions.fetch_add(1, Ordering::AcqRel);
        }
        self.at = Seen::record(last);
        self.heard();
        self.pass(Feed::Alerts(records.into())).await;
    }

    /// Tells the rest of the node how far this has come.
    pub(super) fn heard(&self) {
        self.shared.saw(self.at.clone());
        self.shared.heard.send_replace(self.at.id);
    }

    pub(super) async fn pass(&self, fed: Feed) {
        // The receiver is gone only when the daemon is ending.
        let _ = self.feed.send(fed).await;
    }
}

/// Adds the consequence and what to check, unless the reason already has a remedy.
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
