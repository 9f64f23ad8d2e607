//! The answer to `GET /status`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::Id;

/// `GET /status`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// Of the program.
    pub version: String,
    /// Seconds since start.
    pub uptime: u64,
    /// Whether publishing works now.
    pub ready: bool,
    /// Why not, if not.
    pub not_ready: Option<String>,
    /// `prod` or `dev`.
    pub stage: String,
    /// Of the log.
    pub engine: EngineStatus,
    /// Of the fan-out.
    pub hub: HubStatus,
    /// Counters since start, and rates of the last minute.
    pub traffic: TrafficStatus,
    /// Number of keys.
    pub keys: usize,
    /// The configuration file in force, if there is one.
    pub config_file: Option<String>,
}

/// The log in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EngineStatus {
    /// `embedded` or `redis`.
    pub kind: String,
    /// As configured.
    pub durability: String,
    /// Newest id ever given.
    pub head: Id,
    /// False where the log cannot be read now: the numbers below are not known then, and zero.
    #[serde(default)]
    pub counted: bool,
    /// Oldest alert that is retained.
    pub oldest: Option<Id>,
    /// Alerts retained.
    pub alerts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Topics that have alerts.
    pub topics: u64,
    /// Bytes of the store: on disk, or in the memory of Redis.
    pub store_bytes: u64,
    /// Places where the log is damaged; readers are told of gaps there.
    #[serde(default)]
    pub damaged: u64,
    /// What the settings of the store's server may lose, each with the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_warnings: Vec<String>,
    /// The nodes that share the log; none where only one can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// A node of a fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeStatus {
    /// Host and port.
    pub name: String,
    /// Of its program.
    pub version: String,
    /// Open streams.
    pub streams: u64,
    /// How long the oldest alert had waited that it had not seen, when it spoke last.
    pub lag_ms: u64,
    /// How long it has said nothing; each one speaks once a second.
    pub silent_ms: u64,
}

/// The fan-out in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HubStatus {
    /// Open streams.
    pub streams: u64,
    /// Distinct subscriptions with a ring of their own.
    pub subscriptions: u64,
    /// Bytes in all rings.
    pub bytes: u64,
    /// Newest id that the hub was fed with; behind the engine's head by the lag.
    pub head: Id,
    /// Streams ended because their reader was too slow, since start.
    pub ended_slow: u64,
}

/// What went through.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TrafficStatus {
    /// Alerts stored since start.
    pub published: u64,
    /// Alerts sent to subscribers since start.
    pub delivered: u64,
    /// Requests refused for their key since start.
    pub auth_failures: u64,
    /// Alerts stored per second, over the last minute.
    pub publish_rate: f64,
    /// Alerts sent per second, over the last minute.
    pub delivery_rate: f64,
}
