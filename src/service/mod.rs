//! The use cases: publish, read, follow, manage keys. The only place that decides who may do what.
//!
//! Called by the HTTP layer for every kind of socket. It joins the engine, the hub and the keyring, which know nothing of
//! each other. Every method takes a [`Caller`] and checks it first; what comes in is already typed and validated.

mod ends;
mod keys;
mod limit;
mod numbers;
mod pace;
mod refusal;
mod stream;
mod tickets;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::alert::{Draft, Filter, Id, Level, Pattern, Record, Start};
use crate::api::{HubStatus, Reloaded, Status};
use crate::engine::{Clock, Engine, Idempotency, Publish, Range, Stored};
use crate::hub::Hub;
use crate::key::{Grant, Scope};
use crate::keyring::{Keyring, VerifyError};
use crate::sse::{Bye, Format, Gap};

use ends::Ends;
use limit::{Full, Places, Rate};
pub use limit::{Place, PlaceOwner};
pub use numbers::Numbers;
pub use pace::Pace;
pub use refusal::Refusal;
pub use stream::{Cohort, End, FAREWELL, Live, Outlet, STALL, Stream};
use tickets::Tickets;

/// What may change at a reload.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `prod` or `dev`.
    pub stage: String,
    /// How old a `latest` alert may be.
    pub latest_ttl: Duration,
    /// Silence on a stream before a sign of life.
    pub heartbeat: Duration,
    /// Span from which each stream's reconnect delay is drawn.
    pub retry: (Duration, Duration),
    /// Age at which a stream is ended; zero means never.
    pub stream_lifetime: Duration,
    /// Streams in all.
    pub max_streams: u32,
    /// Streams of one key; zero means no limit.
    pub streams_per_key: u32,
    /// Publishes per key and second; zero means no limit.
    pub publish_rate: u32,
    /// Refused keys per address and minute; zero means no limit.
    pub failed_auth_rate: u32,
    /// Whether each alert is written to the log at its own priority.
    pub mirror_alerts: bool,
    /// For the status.
    pub config_file: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A verified key.
    Key(Arc<Grant>),
    /// The control socket: file permissions are the credential, everything is allowed.
    Control,
    /// The publish socket: alerts in, nothing else.
    Publisher,
}

/// What a stream or a page asks for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Topics; never empty.
    pub patterns: Vec<Pattern>,
    /// The least level.
    pub level: Level,
    /// Where to begin; none where the client did not say.
    pub start: Option<Start>,
    /// For history: only what is before this id.
    pub before: Option<Id>,
    /// For history: so many at the most.
    pub limit: usize,
}

/// A page of history.
#[derive(Debug)]
pub struct HistoryPage {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Cursor of the next page, exclusive.
    pub next: Option<Id>,
    /// Something asked for may be missing.
    pub gap: Option<Gap>,
}

/// Bytes of a page of history.
const HISTORY_BYTES: usize = 1 << 20;

/// Asks the daemon to read its configuration again; the answer is what to know of it, or all errors.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, Vec<String>>>;

/// The use cases; shared by all connections.
pub struct Service {
    engine: Engine,
    hub: Hub,
    keyring: Arc<Keyring>,
    settings: ArcSwap<Settings>,
    clock: Clock,
    started: Instant,
    drain: watch::Sender<Option<Bye>>,
    stuck: AtomicBool,
    reload: mpsc::Sender<ReloadRequest>,
    publish_rate: Rate<String>,
    /// None is a proxy that does not say for whom it asks.
    failed_auth: Rate<Option<IpAddr>>,
    tickets: Tickets,
    streams: Arc<Places>,
    numbers: Arc<Numbers>,
    pace: Pace,
}

fn named(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string())
}

fn may_read(grant: &Grant, patterns: &[Pattern]) -> bool {
    grant.has(Scope::Subscribe) && patterns.iter().all(|pattern| grant.covers(pattern))
}

impl Caller {
    /// Whom idempotency keys, rates and rings are counted for.
    fn name(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.key_id,
            Self::Control => "(control socket)",
            Self::Publisher => "(publish socket)",
        }
    }

    fn user(&self) -> &str {
        match self {
            Self::Key(grant) => &grant.user,
            other => other.name(),
        }
    }

    fn require(&self, scope: Scope) -> Result<(), Refusal> {
        match self {
            Self::Key(grant) if !grant.has(scope) => Err(Refusal::Scope(scope)),
            Self::Publisher if scope != Scope::Publish => Err(Refusal::PublishOnly),
            _ => Ok(()),
        }
    }

    fn require_topics(&self, patterns: &[Pattern]) -> Result<(), Refusal> {
        let Self::Key(grant) = self else { return Ok(()) };
        match patterns.iter().find(|pattern| !grant.covers(pattern)) {
            None => Ok(()),
            Some(pattern) => {
                let own: Vec<String> = grant.topics.iter().map(ToString::to_string).collect();
                Err(Refusal::Topic(pattern.clone(), own.join(", ")))
            }
        }
    }
}

impl Service {
    /// Joins the parts. `reload` reaches the daemon.
    #[must_use]
    pub fn new(
        engine: Engine,
        hub: Hub,
        keyring: Arc<Keyring>,
        settings: Settings,
        clock: Clock,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Self {
        Self {
            engine,
            hub,
            keyring,
            settings: ArcSwap::from_pointee(settings),
            clock,
            started: Instant::now(),
            drain: watch::Sender::new(None),
            stuck: AtomicBool::new(false),
            reload,
            publish_rate: Rate::default(),
            failed_auth: Rate::default(),
            tickets: Tickets::default(),
            streams: Arc::default(),
            numbers: Arc::default(),
            pace: Pace::default(),
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// The counters.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Where the broadcast loops say whether they are behind.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Puts new settings into force for whatever begins from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Ends all streams, and each that is opened from now on, with this reason.
    pub fn drain(&self, bye: Bye) {
        self.drain.send_replace(Some(bye));
    }

    /// Who holds this key. A remembered key costs a hash table look-up; another one PBKDF2 on the pool.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for every reason alike, which only the log tells apart; [`Refusal::TooMany`] for an
    /// address with too many failures; [`Refusal::Unavailable`] where too many keys wait to be verified.
    pub async fn authenticate(&self, presented: &str, peer: Option<IpAddr>) -> Result<Caller, Refusal> {
        let now_ms = self.now_ms();
        if let Some(grant) = self.keyring.remembered(presented, now_ms) {
            return Ok(Caller::Key(grant));
        }
        self.may_try_keys(peer)?;
        match self.keyring.verify(presented, now_ms).await {
            Ok(grant) => Ok(Caller::Key(grant)),
            Err(VerifyError::Busy) => Err(Refusal::Unavailable("too many keys wait to be verified: try again".into())),
            Err(reason) => {
                self.refused_key(peer, &reason.to_string());
                Err(Refusal::Unauthorized)
            }
        }
    }

    /// Whether this address may present a key that is not known yet.
    fn may_try_keys(&self, peer: Option<IpAddr>) -> Result<(), Refusal> {
        let (rate, minute) = (self.settings.load().failed_auth_rate, Duration::from_secs(60));
        self.failed_auth.check(&peer, rate, minute, Instant::now()).map_err(|retry_after| {
            let who = named(peer);
            Refusal::TooMany {
                what: format!("too many wrong keys from {who} (limits.failed_auth_rate): wait, and check the key"),
                retry_after,
            }
        })
    }

    /// Notes a request without a working key.
    pub fn refused_key(&self, peer: Option<IpAddr>, reason: &str) {
        self.numbers.auth_failure();
        tracing::warn!(address = named(peer), reason, "authentication failed");
        let rate = self.settings.load().failed_auth_rate;
        // The failure itself is answered as one, whatever the rate says; the next ones are held back.
        let _ = self.failed_auth.take(peer, rate, Duration::from_secs(60), Instant::now());
    }

    /// Whether the caller is anybody at all: what `/health` asks.
    ///
    /// # Errors
    /// [`Refusal::PublishOnly`] on the publish socket.
    pub fn health(&self, caller: &Caller) -> Result<(), Refusal> {
        match caller {
            Caller::Publisher => Err(Refusal::PublishOnly),
            _ => Ok(()),
        }
    }

    /// Checks whether the caller may publish at all, before its body is read.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn may_publish(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.require(Scope::Publish)?;
        let rate = self.settings.load().publish_rate;
        let limited = !matches!(caller, Caller::Control);
        if limited
            && let Err(retry_after) =
                self.publish_rate.take(caller.name().to_owned(), rate, Duration::from_secs(1), Instant::now())
        {
            return Err(Refusal::TooMany {
                what: format!("over {rate} alerts a second (limits.publish_rate): send slower"),
                retry_after,
            });
        }
        Ok(())
    }

    /// Stores an alert and returns it once it is as durable as configured. Call [`may_publish`](Self::may_publish) first.
    ///
    /// # Errors
    /// [`Refusal::Scope`] or [`Refusal::Topic`] where the key does not reach, [`Refusal::Conflict`] for a reused
    /// idempotency key, [`Refusal::Unavailable`] where the outcome is unknown.
    pub async fn publish(&self, caller: &Caller, draft: Draft, key: Option<String>) -> Result<Stored, Refusal> {
        caller.require_topics(&[Pattern::Exact(draft.topic().clone())])?;
        let idempotency = key.map(|key| Idempotency { user: caller.user().to_owned(), key });
        self.pace.keep().await;
        let stored = self.engine.append(Publish { draft, idempotency }).await?;
        if !stored.repeated {
            self.numbers.published(1);
            tracing::debug!(topic = %stored.record.topic, alert_id = %stored.record.id, user = caller.user(), "stored");
            if self.settings.load().mirror_alerts {
                mirror(&stored.record, caller.user());
            }
        }
        Ok(stored)
    }

    /// Opens a stream; [`Stream::run`] is its life.
    ///
    /// # Errors
    /// As the key and the limits have it. An engine that is away is no error: the stream waits for it.
    pub fn open_stream(&self, caller: &Caller, query: Query, format: Format) -> Result<Stream, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&query.patterns)?;
        let settings = self.settings.load();
        let too_many = |what: String| Refusal::TooMany { what, retry_after: settings.retry.1 };
        let (of_key, in_all) = (settings.streams_per_key, settings.max_streams);
        let place = self.streams.enter(caller.name(), of_key, in_all).map_err(|full| match full {
            Full::Key => too_many(format!("this key has {of_key} streams open (limits.streams_per_key)")),
            Full::All => too_many(format!("{in_all} streams are open in all (http.max_streams): try again later")),
        })?;
        let filter = Arc::new(Filter::new(query.patterns, query.level));
        let key = match caller {
            Caller::Key(grant) => Some(self.keyring.watch(&grant.key_id)),
            _ => None,
        };
        let (least, most) = settings.retry;
        let lifetime = settings.stream_lifetime;
        let retry_ms = u32::try_from(within(least, most).as_millis()).unwrap_or(u32::MAX);
        let clock = Arc::clone(&self.clock);
        Ok(Stream {
            subscription: self.hub.subscribe(&filter, format, caller.name()),
            start: query.start.unwrap_or(Start::Latest),
            latest_after_ms: self.latest_after_ms(&settings),
            seam: true,
            retry: Some(format.retry(retry_ms.into())),
            retry_ms,
            lifetime: (!lifetime.is_zero())
                .then(|| tokio::time::Instant::now() + within(lifetime.mul_f64(0.8), lifetime)),
            place,
            cohort: Arc::new(Cohort {
                engine: self.engine.clone(),
                hub: self.hub.clone(),
                format,
                owner: caller.name().to_owned(),
                heartbeat: settings.heartbeat,
                ends: Ends { drain: self.drain.subscribe(), key, filter: Arc::clone(&filter), clock },
                filter,
                numbers: Arc::clone(&self.numbers),
            }),
        })
    }

    /// A page of history, oldest first: the newest `limit`, or from `start` on, or what is right before `before`.
    ///
    /// # Errors
    /// As the key has it, and [`Refusal::Unavailable`] where the engine is away.
    pub async fn history(&self, caller: &Caller, query: Query) -> Result<HistoryPage, Refusal> {
        caller.require(Scope::Subscribe)?;
        caller.require_topics(&query.patterns)?;
        let filter = Filter::new(query.patterns, query.level);
        let until = query.before.map_or_else(|| self.engine.head(), Id::predecessor);
        let range = |after| Range { filter: filter.clone(), after, until, limit: query.limit, bytes: HISTORY_BYTES };
        let Some(start) = query.start.filter(|start| *start != Start::Latest) else {
            let page = self.engine.read_back(range(Id::ZERO)).await?;
            return Ok(HistoryPage { records: page.records, next: page.next, gap: None });
        };
        if start == Start::Live {
            return Err(Refusal::invalid("since", "none is for streams: use all, an id, a duration or a time"));
        }
        let head = self.engine.head();
        let seek = self.engine.seek(&start, &filter, head, self.latest_after_ms(&self.settings.load())).await?;
        let page = self.engine.read(range(seek.after)).await?;
        Ok(HistoryPage { records: page.records, next: page.next, gap: seek.gap })
    }

    /// Everything at a glance.
    ///
    /// # Errors
    /// As the key has it.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Refusal> {
        caller.require(Scope::Admin)?;
        let settings = self.settings.load_full();
        let (subscriptions, bytes) = self.hub.numbers();
        let not_ready = self.not_ready();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.started.elapsed().as_secs(),
            ready: not_ready.is_none(),
            not_ready,
            stage: settings.stage.clone(),
            engine: self.engine.stats().await,
            hub: HubStatus {
                subscribers: self.streams(),
                subscriptions,
                bytes,
                head: self.hub.head(),
                ended_slow: self.numbers.ended_slow(),
            },
            traffic: self.numbers.traffic(Instant::now()),
            keys: self.keyring.len(),
            config_file: settings.config_file.clone(),
        })
    }

    /// Open streams.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams.open().into()
    }

    /// Why publishing would fail now, if it would.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        if self.drain.borrow().is_some() {
            return Some("alertd is stopping".into());
        }
        self.engine.health().err()
    }

    /// Notes whether the watchdog's marker came through in time.
    pub fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// False only where a restart would help.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.stuck.load(Ordering::Relaxed)
    }

    /// Reads file, keys and certificates again.
    ///
    /// # Errors
    /// [`Refusal::ControlOnly`] for a key; [`Refusal::Invalid`] with all reasons where the new configuration is refused.
    pub async fn reload(&self, caller: &Caller) -> Result<Reloaded, Refusal> {
        if !matches!(caller, Caller::Control) {
            return Err(Refusal::ControlOnly);
        }
        let (answer, answered) = oneshot::channel();
        let gone = || Refusal::Unavailable("alertd is stopping".into());
        self.reload.send(answer).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|problems| Refusal::invalid("configuration", problems.join("\n")))
    }

    fn latest_after_ms(&self, settings: &Settings) -> u64 {
        self.now_ms().saturating_sub(settings.latest_ttl.as_millis() as u64)
    }
}

/// One event for an alert, at the alert's own level; the target lets it through whatever `log.level` says.
fn mirror(record: &Record, user: &str) {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let Ok(Message { message }) = serde_json::from_slice(&record.json) else { return };
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "alertd::alert", tracing::Level::$level,
                topic = %record.topic, alert_id = %record.id, user, "{message}"
            )
        };
    }
    match record.level {
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
}

/// A time between the two, so that clients do not come back together.
fn within(least: Duration, most: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness all come back at the earliest time, which is only less even.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    least + most.saturating_sub(least).mul_f64(share)
}
