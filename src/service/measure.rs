//! All measurements at one moment, for the metrics.
//!
//! Counters are read without a lock. Numbers of the log that are not available within [`STATS_TIMEOUT`] are left out, because
//! zero would be misleading.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Caller, Refusal, Service};
use crate::alert::{Filter, Level, Pattern};
use crate::api::{ConnectionStatus, EngineStatus};
use crate::delivery::{KINDS, PageSource, Takeover, Transport};
use crate::engine::{Direction, IncidentTimes, Range};
use crate::histogram::Distribution;
use crate::incident::Counts;
use crate::key::Scope;
use crate::process::{Disk, Process};
use crate::sse::FormatKind;

/// How long to wait for the log.
const STATS_TIMEOUT: Duration = Duration::from_secs(1);

const DAY_MS: u64 = 86_400_000;
/// The values of the label `within`, and their days.
const EXPIRING: [(&str, u64); 3] = [("1d", 1), ("7d", 7), ("30d", 30)];

/// All measurements; counters count since the start of the process.
#[derive(Clone, Debug)]
pub(crate) struct Measurements {
    pub version: &'static str,
    pub started: Duration,
    pub is_live: bool,
    pub accepted: Vec<(String, [u64; Level::ALL.len()])>,
    pub repeated: Vec<(String, [u64; Level::ALL.len()])>,
    pub publish_failures: u64,
    pub streams: [(FormatKind, Transport, u32); KINDS.len()],
    pub max_streams: u32,
    pub is_draining: bool,
    /// The end of the certificate, in milliseconds since 1970.
    pub certificate_end_ms: Option<u64>,
    pub subscriptions: usize,
    pub deliveries: u64,
    pub latency: Distribution,
    pub lag: Option<Duration>,
    pub loops_behind: usize,
    pub overtaken: u64,
    pub replay_pages: Vec<(PageSource, u64)>,
    pub gaps: u64,
    pub ended: Vec<(&'static str, u64)>,
    pub takeover: Option<Takeover>,
    pub connections: Vec<ConnectionStatus>,
    pub accept_failures: u64,
    pub engine: &'static str,
    pub engine_is_up: bool,
    pub commits: Distribution,
    pub store: Option<EngineStatus>,
    /// None if they cannot be counted now.
    pub incidents: Option<Counts>,
    /// `incidents.max_open`.
    pub max_open_incidents: usize,
    pub incident_times: IncidentTimes,
    /// Alerts that opened no incident, by reason.
    pub untracked: Vec<(&'static str, u64)>,
    pub keys: usize,
    /// Expectations that are waited for and that were missed, and their limit.
    pub expectations: [usize; 3],
    pub attempts: Vec<(&'static str, u64)>,
    pub waiting_own: usize,
    pub waiting_imported: usize,
    pub derivations: u64,
    /// Keys that expire within a day, a week and a month.
    pub keys_expiring: [(&'static str, usize); 3],
    /// Whether the last reload was refused.
    pub reload_refused: bool,
    /// `alerts.retain_count` and `alerts.retain_bytes`; 0 means no limit.
    pub retain: (u64, u64),
    /// None if the system did not answer in time.
    pub process: Option<Process>,
    pub disk: Option<Disk>,
}

impl Service {
    /// # Errors
    /// [`Refusal::Scope`] without the scope `metrics`.
    pub(crate) async fn measure(&self, caller: &Caller) -> Result<Measurements, Refusal> {
        caller.require(Scope::Metrics)?;
        let (store, lag, incidents) = self.ask_engine().await;
        let (process, disk) = self.ask_system().await.unzip();
        let engine = self.engine.status();
        let (counters, delivered) = (&self.counters, self.delivery.counters());
        let [waiting_own, waiting_imported] = self.keyring.waiting();
        let open = self.delivery.slots().by_kind();
        Ok(Measurements {
            version: env!("CARGO_PKG_VERSION"),
            started: Duration::from_millis(self.started_ms),
            is_live: self.is_live(),
            accepted: counters.accepted.read(),
            // Few classes ever have repeats.
            repeated: counters.repeated.read().into_iter().filter(|(_, alerts)| *alerts != [0; 3]).collect(),
            publish_failures: counters.publish_failures.load(Ordering::Relaxed),
            streams: std::array::from_fn(|kind| (KINDS[kind].0, KINDS[kind].1, open[kind])),
            max_streams: self.settings.load().max_streams,
            is_draining: self.is_leaving(),
            certificate_end_ms: self.settings.load().certificate.as_ref().map(|certificate| certificate.not_after_ms),
            subscriptions: self.hub.rings(),
            deliveries: delivered.delivered(),
            latency: delivered.latency(),
            lag,
            loops_behind: self.delivery.backpressure().loops_behind(),
            overtaken: delivered.overtaken(),
            replay_pages: delivered.replay_pages().collect(),
            gaps: delivered.gaps(),
            ended: delivered.ended().map(|(end, count)| (end.as_str(), count)).collect(),
            takeover: delivered.takeover(),
            connections: self.connections.status(),
            accept_failures: self.connections.accept_failures(),
            engine: engine.kind,
            engine_is_up: engine.health.is_ok(),
            commits: engine.commits,
            store: store.filter(|store| store.counted),
            incidents,
            max_open_incidents: self.settings.load().max_open_incidents,
            incident_times: engine.incidents,
            untracked: self.untracked.counts().into(),
            keys: self.keyring.len(),
            expectations: self.count_expectations(),
            attempts: counters.attempts().map(|(attempt, count)| (attempt.as_str(), count)).collect(),
            waiting_own,
            waiting_imported,
            derivations: self.keyring.derivations(),
            keys_expiring: EXPIRING.map(|(name, days)| (name, self.keyring.expiring(self.now_ms(), days * DAY_MS))),
            reload_refused: self.reload_refused.load(Ordering::Relaxed),
            retain: self.settings.load().retain,
            process,
            disk: disk.flatten(),
        })
    }

    /// Asks the engine for what it has to ask its store for.
    async fn ask_engine(&self) -> (Option<EngineStatus>, Option<Duration>, Option<Counts>) {
        let asked =
            async { (Some(self.engine.stats().await), self.lag().await, self.engine.incident_counts().await.ok()) };
        tokio::time::timeout(STATS_TIMEOUT, asked).await.unwrap_or_default()
    }

    /// Asks the system about the process and the disk of its state.
    async fn ask_system(&self) -> Option<(Process, Option<Disk>)> {
        let permit = Arc::clone(&self.asking).try_acquire_owned().ok()?;
        let directory = self.settings.load().state_dir.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (Process::read(), Disk::of(&directory))
        });
        tokio::time::timeout(STATS_TIMEOUT, asked).await.ok()?.ok()
    }

    /// The age of the oldest alert that is in the log but not yet in the hub; none if the log cannot be read.
    async fn lag(&self) -> Option<Duration> {
        let fed = self.hub.head();
        let head = self.engine.head()?;
        if head <= fed {
            return Some(Duration::ZERO);
        }
        let filter = Filter::new(vec![Pattern::All], Level::Info);
        let missing = Range { filter, after: fed, until: head, limit: 1, bytes: 0 };
        let page = self.engine.read(missing, Direction::Forward).await.ok()?;
        let first = page.records.first().map_or(head, |record| record.id);
        Some(Duration::from_millis(self.now_ms().saturating_sub(first.ms)))
    }
}
