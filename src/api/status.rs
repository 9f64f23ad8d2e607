//! The answer to `GET /status`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::Id;

/// The setting `stage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Without the documentation of the API.
    #[default]
    Prod,
    /// With the documentation of the API at `/docs`.
    Dev,
}

impl Stage {
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
        }
    }
}

/// The answer to `GET /status`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// Version of alertd.
    pub version: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// Whether requests should come to this node: publishing works, and the node is not draining.
    pub ready: bool,
    /// Why requests should not come to this node; null if they should.
    pub not_ready: Option<String>,
    pub stage: Stage,
    /// The log of alerts.
    pub engine: EngineStatus,
    /// Incidents that are not resolved.
    #[serde(default)]
    pub incidents: IncidentStatus,
    /// Open streams and their rings.
    pub hub: HubStatus,
    /// Counters since the start, and rates over the last minute.
    pub traffic: TrafficStatus,
    /// Number of keys.
    pub keys: usize,
    /// Stored keys that are refused because they are damaged; `GET /keys` names them.
    #[serde(default)]
    pub unusable_keys: usize,
    /// The configuration file in use, if there is one.
    pub config_file: Option<String>,
    /// Where requests with keys are accepted.
    #[serde(default)]
    pub listening: Listening,
    /// The drain of `alertctl drain`.
    #[serde(default)]
    pub drain: DrainStatus,
    /// The connections of clients, for each kind of listener.
    #[serde(default)]
    pub connections: Vec<ConnectionStatus>,
    /// Failed attempts to accept a connection since the start, because file descriptors or memory were exhausted.
    #[serde(default)]
    pub accept_failures: u64,
    /// The TLS certificate; null without TLS.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

/// The connections of one kind of listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConnectionStatus {
    /// `http`, over TCP and the socket for proxies; `control` or `publish`, over the local sockets.
    pub listener: String,
    /// Number of open connections.
    pub open: u64,
    /// The maximum number of connections: `http.max_connections`, or the fixed limit of a local socket.
    pub limit: u64,
    /// Requests refused since the start because the limit was reached.
    pub refused: u64,
    /// While the limit is reached: what to do about it.
    pub warning: Option<String>,
}

/// The TLS certificate that clients see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CertificateStatus {
    /// The file that it was read from.
    pub file: String,
    /// Time of expiry.
    pub expires_at: String,
    /// From 30 days before the expiry on: what to do about it.
    pub warning: Option<String>,
}

/// The state of a drain. Also the answer to `POST /drain` and `DELETE /drain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DrainStatus {
    /// Whether alertd is draining: it ends open streams and refuses new ones.
    pub draining: bool,
    /// When the drain began; null if there is none.
    pub since: Option<String>,
    /// Seconds over which the streams end; null if there is no drain.
    pub over: Option<u64>,
    /// Number of open streams.
    pub streams: u64,
}

/// The sockets for requests with keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Listening {
    /// Addresses with ports, and `unix:` with the path of a socket.
    pub addresses: Vec<String>,
    /// What set them: the setting `http.listen`, or the unit of systemd that opened them.
    pub source: String,
}

/// State of the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EngineStatus {
    /// `embedded` or `redis`.
    pub kind: String,
    /// The setting `engine.durability`.
    pub durability: String,
    /// The newest id ever given to an alert.
    pub head: Id,
    /// False if the log cannot be read now; the numbers below are then unknown and 0.
    #[serde(default)]
    pub counted: bool,
    /// Id of the oldest alert in the log.
    pub oldest: Option<Id>,
    /// Number of alerts in the log.
    pub alerts: u64,
    /// Bytes of these alerts.
    pub bytes: u64,
    /// Number of topics that have alerts.
    pub topics: u64,
    /// Size of the store: bytes on disk, or in the memory of Redis.
    pub store_bytes: u64,
    /// Bytes of removed alerts whose space becomes free when the running backup has read them.
    #[serde(default)]
    pub held_bytes: u64,
    /// Number of places where the log is damaged, as far as they are known. Streams get a gap there.
    #[serde(default)]
    pub damaged: u64,
    /// When the last scrub of the whole log on disk ended; null before the first one has ended, and for Redis.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub scrubbed_at: Option<Timestamp>,
    /// Settings of the Redis server that may lose alerts, each with a remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_warnings: Vec<String>,
    /// The nodes of the fleet that share the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// The unresolved incidents; in a fleet, those of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct IncidentStatus {
    /// False if they cannot be counted now; the next two numbers are then unknown and 0.
    pub counted: bool,
    /// Number of open incidents.
    pub open: u64,
    /// Number of acknowledged incidents.
    pub acknowledged: u64,
    /// The maximum number of both together, `incidents.max_open`.
    pub limit: u64,
    /// Alerts stored by this node since its start that should have opened an incident and did not.
    pub untracked: u64,
    /// While the limit is reached, and for an hour after an alert has opened no incident: why, and what to do about it.
    pub warning: Option<String>,
}

/// A node of a fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeStatus {
    /// Host and port of the node.
    pub name: String,
    /// Version of alertd on the node.
    pub version: String,
    /// Number of open streams.
    pub streams: u64,
    /// How far the node was behind the log at its last report, in milliseconds.
    pub lag_ms: u64,
    /// Milliseconds since the last report of the node; each node reports once a second.
    pub silent_ms: u64,
}

/// State of the hub.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HubStatus {
    /// Number of open streams.
    pub streams: u64,
    /// Number of distinct subscriptions that have a ring.
    pub subscriptions: u64,
    /// Bytes in all rings.
    pub bytes: u64,
    /// Newest id that the hub has received from the log.
    pub head: Id,
    /// Streams ended since the start because their client read too slowly.
    pub ended_slow: u64,
    /// Streams that were taken over from the previous process.
    #[serde(default)]
    pub taken_over: u64,
}

/// Counters of alerts and requests.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TrafficStatus {
    /// Alerts stored since the start.
    pub published: u64,
    /// Alerts sent to subscribers since the start.
    pub delivered: u64,
    /// Requests refused since the start because of their key.
    pub auth_failures: u64,
    /// Alerts stored per second, over the last minute.
    pub publish_rate: f64,
    /// Alerts sent per second, over the last minute.
    pub delivery_rate: f64,
}
