//! The use cases: publish, read, follow, manage keys. The only layer that authorises.
//!
//! Called by the HTTP layer for every kind of socket. It connects the engine, the hub and the keyring, which do not know each
//! other. Every method for a client takes a [`Caller`] and checks its rights first; its arguments are typed and validated.

mod actor;
mod auth_log;
mod backup;
mod caller;
mod certificate;
mod connections;
mod counters;
mod drain;
mod expectations;
mod hooks;
mod incidents;
mod judge;
mod keys;
mod limit;
mod measure;
mod publish;
mod read;
mod refusal;
mod retraction;
mod takeover;
mod tickets;
mod topic_classes;
mod untracked;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::api::{HubStatus, Listening, Reloaded, Stage, Status};
use crate::certificate::{Certificate, Remaining};
use crate::delivery::Delivery;
use crate::engine::{Clock, Engine};
use crate::hub::Hub;
use crate::key::Scope;
use crate::keyring::{KEYS_OUT_OF_REACH, Keyring};
use crate::sse::Bye;

pub(crate) use actor::Actor;
use auth_log::{AuthLog, Settle};
pub(crate) use caller::Caller;
use caller::Guesses;
pub(crate) use connections::{Admission, ConnectionLimit, Connections, HTTP_RESERVE};
use counters::{Attempt, Counters};
pub(crate) use hooks::GitHub;
use hooks::PayloadSlots;
use limit::Rate;
pub(crate) use measure::Measurements;
pub(crate) use publish::{Line, PublishPermit};
pub(crate) use read::{HistoryPage, Query};
pub(crate) use refusal::Refusal;
use tickets::Tickets;
use untracked::UntrackedAlerts;
use watch::Watch;

/// The settings that a reload can change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub stage: Stage,
    /// The maximum age of an alert that a new stream gets with `since=latest`.
    pub latest_ttl: Duration,
    /// `alerts.retain_age`; zero means no limit.
    pub retain_age: Duration,
    /// Silence on a stream after which it gets a heartbeat.
    pub heartbeat: Duration,
    /// Range of the random reconnect delay of streams.
    pub retry: (Duration, Duration),
    /// Age at which a stream is ended; zero means never.
    pub stream_lifetime: Duration,
    /// Maximum number of connections with keys. The value at the start stays in force.
    pub max_connections: usize,
    pub max_streams: u32,
    /// Maximum number of streams of one key; zero means no limit.
    pub streams_per_key: u32,
    /// Publishes per key and second; zero means no limit.
    pub publish_rate: u32,
    /// Wrong secrets of one address for one user, or signatures, a minute; zero means no limit.
    pub failed_auth_rate: u32,
    /// `None` if the GitHub hook is off.
    pub github: Option<GitHub>,
    /// Whether each alert is also written to the process's log.
    pub mirror_alerts: bool,
    /// Shown in the status.
    pub config_file: Option<String>,
    /// Where requests with keys are accepted, for the status.
    pub listening: Listening,
    /// Where alertd keeps its state.
    pub state_dir: PathBuf,
    /// `alerts.retain_count` and `alerts.retain_bytes`; 0 means no limit.
    pub retain: (u64, u64),
    /// `incidents.max_open`.
    pub max_open_incidents: usize,
    /// The certificate that clients see; `None` without TLS.
    pub certificate: Option<Arc<Certificate>>,
}

/// A request to the daemon to reload its configuration.
pub(crate) struct ReloadRequest {
    /// Who asks.
    pub by: Actor,
    /// Gets the result, or all errors.
    pub answer: oneshot::Sender<Result<Reloaded, Vec<String>>>,
}

/// The use cases; shared by all connections.
pub(crate) struct Service {
    engine: Engine,
    hub: Hub,
    keyring: Arc<Keyring>,
    delivery: Arc<Delivery>,
    settings: ArcSwap<Settings>,
    clock: Clock,
    started: Instant,
    started_ms: u64,
    stuck: AtomicBool,
    /// Whether the log says that no streams are left in this drain.
    has_drained: AtomicBool,
    reload: mpsc::Sender<ReloadRequest>,
    publish_rate: Rate<String>,
    guesses: Rate<Guesses>,
    auth_log: AuthLog,
    /// End of the certificate, and how near it is, that the log was last told of.
    certificate_told: Mutex<Option<(u64, Remaining)>>,
    tickets: Tickets,
    /// Turns of tickets that this node did not give, to be looked up in the fleet.
    lookups: Semaphore,
    payloads: PayloadSlots,
    connections: Connections,
    /// Taken by the backup that is being made.
    backups: Arc<Semaphore>,
    counters: Counters,
    untracked: UntrackedAlerts,
    watch: Watch,
    /// Whether the last reload was refused.
    reload_refused: AtomicBool,
    /// Taken while the system is asked about the process and its disk, so that a disk that hangs holds one thread only.
    asking: Arc<Semaphore>,
}

impl Service {
    /// `reload` is the daemon's channel for [`ReloadRequest`].
    #[must_use]
    pub(crate) fn new(
        engine: Engine,
        hub: Hub,
        keyring: Arc<Keyring>,
        delivery: Arc<Delivery>,
        settings: Settings,
        clock: Clock,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        Self {
            engine,
            hub,
            keyring,
            delivery,
            connections: Connections::new(settings.max_connections),
            settings: ArcSwap::from_pointee(settings),
            started: Instant::now(),
            started_ms: clock(),
            clock,
            stuck: AtomicBool::new(false),
            has_drained: AtomicBool::new(false),
            reload,
            publish_rate: Rate::default(),
            guesses: Rate::default(),
            auth_log: AuthLog::default(),
            certificate_told: Mutex::default(),
            tickets: Tickets::default(),
            lookups: Semaphore::new(tickets::MAX_LOOKUPS),
            payloads: PayloadSlots::default(),
            backups: Arc::new(Semaphore::new(1)),
            counters: Counters::default(),
            untracked: UntrackedAlerts::default(),
            watch: Watch::default(),
            reload_refused: AtomicBool::new(false),
            asking: Arc::new(Semaphore::new(1)),
        }
    }

    /// Notes the outcome of a reload, for the metrics.
    pub(crate) fn note_reload<T, E>(&self, outcome: &Result<T, E>) {
        self.reload_refused.store(outcome.is_err(), Ordering::Relaxed);
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    #[must_use]
    pub(crate) fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// The connections of clients, and their limits.
    #[must_use]
    pub(crate) const fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Samples the counters, for the rates of the last minute, and logs what is due: refusals that were
    /// only counted, the end of a drain, and that of the certificate. The daemon calls it every few seconds.
    pub(crate) fn sample_traffic(&self, now: Instant) {
        self.counters.sample(now, self.delivery.counters().delivered());
        self.auth_log.settle(now, Settle::Ended);
        self.connections.settle(now);
        self.untracked.settle(now);
        self.delivery.counters().settle(now);
        self.note_drained();
        self.note_certificate();
    }

    /// Logs what was counted for lines that are still to come, because the process ends.
    pub(crate) fn settle_log(&self) {
        self.auth_log.settle(Instant::now(), Settle::All);
    }

    /// Replaces the settings. They apply to requests and streams that begin from now on.
    pub(crate) fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.note_certificate();
    }

    /// Ends all streams with this reason, also those that are opened from now on.
    pub(crate) fn drain(&self, bye: Bye) {
        self.delivery.drain(bye);
    }

    /// # Errors
    /// [`Refusal::Scope`] without the scope `admin`.
    pub(crate) async fn status(&self, caller: &Caller) -> Result<Status, Refusal> {
        caller.require(Scope::Admin)?;
        let settings = self.settings.load_full();
        let (subscriptions, bytes) = self.hub.usage();
        let not_ready = self.not_ready();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.started.elapsed().as_secs(),
            ready: not_ready.is_none(),
            not_ready,
            stage: settings.stage,
            engine: self.engine.stats().await,
            incidents: self.incident_status().await,
            hub: HubStatus {
                streams: self.streams(),
                subscriptions,
                bytes,
                head: self.hub.head(),
                ended_slow: self.delivery.counters().ended_slow(),
                taken_over: self.delivery.counters().takeover().map_or(0, |takeover| takeover.taken),
            },
            traffic: self.counters.traffic(Instant::now(), self.delivery.counters().delivered()),
            keys: self.keyring.len(),
            unusable_keys: self.keyring.unusable(),
            config_file: settings.config_file.clone(),
            listening: settings.listening.clone(),
            drain: self.drain_status(),
            connections: self.connections.status(),
            accept_failures: self.connections.accept_failures(),
            certificate: self.certificate_status(),
        })
    }

    /// After how many seconds an alert is removed; none without such a limit.
    #[must_use]
    pub(crate) fn retained_s(&self) -> Option<u64> {
        Some(self.settings.load().retain_age.as_secs()).filter(|seconds| *seconds > 0)
    }

    #[must_use]
    pub(crate) fn streams(&self) -> u64 {
        self.delivery.slots().open().into()
    }

    /// Why requests should go elsewhere: publishing would fail now, or an operator has the streams leave.
    #[must_use]
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.delivery.is_ending() {
            return Some("alertd is stopping".into());
        }
        if self.is_leaving() {
            return Some("drained by an operator; publishing goes on, and `alertctl undrain` ends it".into());
        }
        let unavailable = self.engine.status().health.err().map(|unavailable| unavailable.detail);
        unavailable.or_else(|| self.keyring.has_no_keys().then(|| KEYS_OUT_OF_REACH.to_owned()))
    }

    /// Sets whether the watchdog's marker is late.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// False only if a restart would help.
    #[must_use]
    pub(crate) fn is_live(&self) -> bool {
        !self.stuck.load(Ordering::Relaxed)
    }

    /// Reloads configuration, keys and certificates.
    ///
    /// # Errors
    /// [`Refusal::ControlOnly`] except on the control socket; [`Refusal::Invalid`] with all errors if the new configuration
    /// is invalid.
    pub(crate) async fn reload(&self, caller: &Caller) -> Result<Reloaded, Refusal> {
        caller.require_control()?;
        let (answer, answered) = oneshot::channel();
        let gone = || Refusal::unavailable("alertd is stopping");
        let by = Actor::of(caller).await;
        self.reload.send(ReloadRequest { by, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|problems| Refusal::invalid("configuration", problems.join("\n")))
    }
}
