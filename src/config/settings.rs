//! The configuration as typed values.
//!
//! [`load`](super::load()) fills it from the table of keys; the daemon and `alertctl` read it. Each field has the name of its
//! key, and the table explains it. All values are validated.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::alert::{self, Pattern};
use crate::api::Stage;
use crate::log::{Level, Target};
use crate::net::Networks;

/// `auth.store`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Store {
    /// `auth.json` under `auth.store_dir`.
    #[default]
    File,
    /// In the engine, shared by a fleet.
    Engine,
}

/// `engine.kind`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// On this machine's disk.
    #[default]
    Embedded,
    /// In Redis or Valkey.
    Redis,
}

/// `engine.durability`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Embedded: answered when the alert is on disk.
    #[default]
    Fsync,
    /// Embedded: answered immediately.
    None,
    /// Redis: answered when the primary has the alert.
    Primary,
    /// Redis: answered when this number of replicas have the alert too.
    Replicas(u32),
}

impl Durability {
    /// The engine to which this durability belongs.
    pub(super) const fn engine(self) -> EngineKind {
        match self {
            Self::Fsync | Self::None => EngineKind::Embedded,
            Self::Primary | Self::Replicas(_) => EngineKind::Redis,
        }
    }
}

/// The whole configuration; alertd.toml(5) explains each value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub stage: Stage,
    pub state_dir: PathBuf,
    pub control_socket: PathBuf,
    pub publish_socket: PathBuf,
    pub http: Http,
    pub auth: Auth,
    pub alerts: Alerts,
    pub incidents: Incidents,
    pub engine: Engine,
    pub hooks: Hooks,
    pub ntfy: Ntfy,
    pub hub: Hub,
    pub limits: Limits,
    pub log: Log,
}

/// `[http]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    pub listen: Vec<SocketAddr>,
    pub trusted_proxies: Networks,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub max_body: usize,
    pub max_connections: usize,
    pub max_streams: u32,
    pub heartbeat: Duration,
    pub retry: (Duration, Duration),
    pub stream_lifetime: Duration,
    pub hsts: Duration,
    pub cors_origins: Vec<String>,
}

impl Http {
    /// Certificate chain and private key, if TLS is on.
    #[must_use]
    pub(crate) fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }
}

/// `[auth]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Auth {
    pub store: Store,
    pub store_dir: PathBuf,
    pub iterations: u32,
    pub query_token: bool,
    pub stale_max: Duration,
}

/// `[alerts]`; zero means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alerts {
    pub latest_ttl: Duration,
    pub retain_age: Duration,
    pub retain_count: u64,
    pub retain_bytes: u64,
    pub topic_count: u64,
}

/// `[incidents]`; a duration of zero turns off what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Incidents {
    pub repeat_interval: Duration,
    pub remind_after: Duration,
    pub remind_level: alert::Level,
    pub max_open: usize,
    pub max_open_per_user: usize,
}

/// `[engine]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    pub kind: EngineKind,
    pub durability: Durability,
    pub redis: Redis,
}

/// `[engine.redis]`, which the embedded engine ignores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Redis {
    pub host: String,
    pub port: u16,
    pub sentinels: Vec<(String, u16)>,
    pub sentinel_service: String,
    pub cluster: Vec<(String, u16)>,
    pub username: String,
    pub password_file: String,
    pub tls: bool,
    pub tls_ca: Option<PathBuf>,
    pub key_prefix: String,
}

/// `[ntfy]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ntfy {
    pub below: bool,
}

/// `[hooks]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    pub max_body: usize,
    pub github_secret_file: String,
    pub github_topics: Vec<Pattern>,
}

/// `[hub]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hub {
    pub memory: usize,
    pub max_subscriptions: usize,
    pub max_subscriptions_per_key: usize,
}

/// `[limits]`; zero means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub publish_rate: u32,
    pub streams_per_key: u32,
    pub failed_auth_rate: u32,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub target: Target,
    pub level: Level,
    pub mirror_alerts: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { target: Target::default(), level: Level::INFO, mirror_alerts: false }
    }
}
