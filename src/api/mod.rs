//! The bodies of the HTTP API, shared by the server and `alertctl` so that they cannot drift apart.
//!
//! Pure values. Times are RFC 3339 text; absent means "none".

mod status;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::alert::{Id, Level, Pattern, Topic};
use crate::key::Scope;
use crate::key::secret::Secret;
use crate::sse::{Bye, Gap};
pub(crate) use status::{EngineStatus, HubStatus, NodeStatus, Status, TrafficStatus};

// `Draft::record` writes it, once; this is its shape, for the API's description.
/// An alert, everywhere in the API.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alert {
    /// Its place in the log, and the cursor behind it.
    pub id: Id,
    /// Where it was published.
    pub topic: Topic,
    /// What it says.
    #[schemars(length(min = 1, max = 4096))]
    pub message: String,
    /// How serious it is.
    pub level: Level,
    /// The free part, as it was sent.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it came in, by the server's clock.
    pub received_at: String,
}

// `Draft::from_json` reads it; this is its shape, for the API's description.
/// An alert to publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAlert {
    /// Where it goes; the path's topic, or `default`, where absent.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// Text of at most 4,096 bytes of UTF-8.
    #[schemars(length(min = 1, max = 4096))]
    pub message: String,
    /// How serious it is.
    #[serde(default)]
    pub level: Level,
    /// Any JSON object.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// The answer to a publish.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Published {
    /// Always `alert stored`.
    pub status: String,
    /// The alert as every subscriber gets it.
    #[schemars(with = "Alert")]
    pub alert: Box<RawValue>,
}

/// The answer to a hook.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HookStored {
    /// Always `alerts stored`.
    pub status: String,
    /// Alerts that are new.
    pub stored: usize,
    /// Alerts that were there before, in the same state.
    pub repeated: usize,
}

/// The answer to `GET /health`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    pub status: String,
}

/// The answer to `POST /keys/import`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ImportedKeys {
    /// Keys that are new.
    pub added: usize,
    /// Keys that were there before.
    pub skipped: usize,
}

/// A page of history, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// The alerts.
    #[schemars(with = "Vec<Alert>")]
    pub alerts: Vec<Box<RawValue>>,
    /// The cursor for the next page in the same direction, exclusive; none at the end.
    pub next: Option<Id>,
    /// Present where something asked for may be missing.
    pub gap: Option<Gap>,
}

// `sse::Format` writes it; this is its shape, for the API's description.
/// What a stream says beside alerts: in lines of JSON as it is here, as Server-Sent Events with the name in `event:` and
/// the rest in `data:`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum StreamEvent {
    /// The seam between replay and live, and a heartbeat.
    Cursor {
        /// The newest id that the stream has passed; none before the replay is done.
        id: Option<Id>,
    },
    /// Something asked for may be missing.
    Gap(Gap),
    /// The server ends the stream.
    Bye {
        /// Why.
        reason: Bye,
        /// Milliseconds to wait before coming back; `retry:` as Server-Sent Events.
        retry: u64,
    },
}

/// An error, RFC 9457.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Problem {
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// Whose key it is.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub user: String,
    /// Empty means publish and subscribe.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Empty means `*`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub topics: Vec<Pattern>,
    /// Any words that help to tell keys apart.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub label: Option<String>,
    /// Seconds from now until it ends: 100 years at the most.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3_162_240_000_u64))]
    pub expires_in: Option<u64>,
}

/// A key as it is listed: never its secret, salt or hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct KeyInfo {
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
    /// True for a key taken over from the former service.
    pub imported: bool,
}

/// A key that was just made; the only time its secret is shown.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedKey {
    /// What is known of it from now on.
    pub key: KeyInfo,
    /// The secret, to be sent as `Authorization: Bearer`.
    #[schemars(with = "String")]
    pub secret: Secret,
    /// After a rotation: when the old key ends.
    #[serde(default)]
    pub old_expires_at: Option<String>,
}

/// `POST /tickets`: opens one stream, as the key that asked for it.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ticket {
    /// To be sent as `GET /alerts?ticket=…`, once.
    pub ticket: String,
    /// Seconds for which it is good.
    pub expires_in: u64,
}

/// `POST /keys/{id}/rotate`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// Seconds for which the old key goes on working.
    #[serde(default)]
    #[schemars(range(max = 3_162_240_000_u64))]
    pub overlap: Option<u64>,
}

/// `GET /keys`, and the keys that `DELETE /keys/{id}` ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Keys {
    /// The keys, by user and age.
    pub keys: Vec<KeyInfo>,
}

/// `GET /topics`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Topics {
    /// Topics that have alerts and that the key may read, in order, 1,000 at the most.
    pub topics: Vec<Topic>,
    /// Whether there are others behind them: ask with a longer `prefix`.
    pub more: bool,
}

/// The answer to `POST /reload`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reloaded {
    /// Settings whose new value waits for a restart.
    pub needs_restart: Vec<String>,
    /// Things to know that are no errors.
    pub warnings: Vec<String>,
}
