//! The bodies of the HTTP API, shared by the server and `alertctl` so that they cannot drift apart.
//!
//! Pure values. Times are RFC 3339 text; absent means "none".

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::alert::{Id, Pattern, Topic};
use crate::key::Scope;
use crate::sse::Gap;

/// The answer to a publish.
#[derive(Debug, Serialize, Deserialize)]
pub struct Published {
    /// Always `alert stored`.
    pub status: String,
    /// The alert as every subscriber gets it.
    pub alert: Box<RawValue>,
}

/// The answer to a hook.
#[derive(Debug, Serialize, Deserialize)]
pub struct HookStored {
    /// Always `alerts stored`.
    pub status: String,
    /// Alerts that are new.
    pub stored: usize,
    /// Alerts that were there before, in the same state.
    pub repeated: usize,
}

/// A page of history, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct History {
    /// The alerts.
    pub alerts: Vec<Box<RawValue>>,
    /// The cursor for the next page in the same direction, exclusive; none at the end.
    pub next: Option<Id>,
    /// Present where something asked for may be missing.
    pub gap: Option<Gap>,
}

/// An error, RFC 9457.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name of the kind of error, such as `/problems/not-permitted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// As in `X-Request-Id` and in the journal.
    pub request_id: String,
    /// What it is about, for programs that give the remedy in their own words.
    #[serde(flatten)]
    pub about: About,
}

/// The members of a problem that name what it is about, where that is one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// 403: the scope that the key lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// 403: the topic or pattern that the key's topics do not cover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// And those topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
    /// 422: the field or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// What a new key may do; `POST /keys`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Whose key it is.
    pub user: String,
    /// Empty means publish and subscribe.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Empty means `*`.
    #[serde(default)]
    pub topics: Vec<Pattern>,
    /// Any words that help to tell keys apart.
    #[serde(default)]
    pub label: Option<String>,
    /// Seconds from now until it ends.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

/// A key as it is listed: never its secret, salt or hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Its public id.
    pub id: String,
    /// Whose key it is.
    pub user: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where it may do it.
    pub topics: Vec<Pattern>,
    /// Words of the person who made it.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// True for a key taken over from the service before.
    pub imported: bool,
}

/// A key that was just made; the only time its secret is shown.
#[derive(Serialize, Deserialize)]
pub struct CreatedKey {
    /// What is known of it from now on.
    pub key: KeyInfo,
    /// The secret, to be sent as `Authorization: Bearer`.
    pub secret: String,
    /// After a rotation: when the old key ends.
    #[serde(default)]
    pub old_expires_at: Option<String>,
}

/// `POST /tickets`: opens one stream, as the key that asked for it.
#[derive(Serialize, Deserialize)]
pub struct Ticket {
    /// To be sent as `GET /alerts?ticket=…`, once.
    pub ticket: String,
    /// Seconds for which it is good.
    pub expires_in: u64,
}

/// `POST /keys/{id}/rotate`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Seconds for which the old key goes on working.
    #[serde(default)]
    pub overlap: Option<u64>,
}

/// `GET /keys`, and the keys that `DELETE /keys/{id}` ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keys {
    /// The keys, by user and age.
    pub keys: Vec<KeyInfo>,
}

/// `GET /topics`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Topics {
    /// Topics that have alerts and that the key may read, in order, 1,000 at the most.
    pub topics: Vec<Topic>,
    /// Whether there are others behind them: ask with a longer `prefix`.
    pub more: bool,
}

/// The answer to `POST /reload`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// Settings whose new value waits for a restart.
    pub needs_restart: Vec<String>,
    /// Things to know that are no errors.
    pub warnings: Vec<String>,
}

/// `GET /status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EngineStatus {
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
    /// What the server's own settings can lose, with the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The nodes that share the log; none where only one can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
}

/// A node of a fleet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Host and port.
    pub name: String,
    /// Of its program.
    pub version: String,
    /// Open streams.
    pub streams: u64,
    /// How far it is behind the log.
    pub lag_ms: u64,
    /// How long it has said nothing; each one speaks once a second.
    pub silent_ms: u64,
}

/// The fan-out in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HubStatus {
    /// Open streams.
    pub subscribers: u64,
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrafficStatus {
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
