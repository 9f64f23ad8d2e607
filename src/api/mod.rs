//! The bodies of the HTTP API, shared by the server and `alertctl`.
//!
//! Pure values. Times are RFC 3339 text. The doc comments of fields are their descriptions in the OpenAPI document.

mod alert;
mod expectation;
mod incident;
mod retraction;
mod status;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::{Id, Pattern, Topic};
use crate::key::Scope;
use crate::key::secret::Secret;
use crate::sse::{Bye, Gap};
#[cfg(test)]
pub(crate) use alert::Alert;
pub(crate) use alert::{AllStored, History, NewAlert, NewAlertLine, Published};
pub(crate) use expectation::{Expectation, Expectations, NewExpectation};
pub(crate) use incident::{Incident, IncidentEvent, Incidents, NewNote};
pub(crate) use retraction::RetractEvent;
pub(crate) use status::{
    CertificateStatus, ConnectionStatus, DrainStatus, EngineStatus, HubStatus, IncidentStatus, Listening, NodeStatus,
    Stage, Status, TrafficStatus,
};

/// The answer to `GET /health`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    pub status: String,
}

/// The answer to `POST /keys/import`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ImportedKeys {
    /// Number of new keys.
    pub added: usize,
    /// Number of keys that existed before.
    pub skipped: usize,
}

// `sse::Format` writes it; this type only describes it in the OpenAPI document.
/// An event of a stream other than an alert. NDJSON has it in this form; Server-Sent Events have the name in `event:` and
/// the other members in `data:`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum StreamEvent {
    /// The seam between replay and live, and a heartbeat.
    Cursor {
        /// The newest id that the stream has delivered or filtered out; null before the replay is complete.
        id: Option<Id>,
    },
    /// Requested alerts may be missing.
    Gap(Gap),
    /// An incident was changed. In Server-Sent Events its id is also in `id:`.
    Incident(IncidentEvent),
    /// An alert was retracted; its content is gone.
    Retract(RetractEvent),
    /// The server ends the stream.
    Bye {
        reason: Bye,
        /// Milliseconds to wait before reconnecting; in Server-Sent Events it is `retry:`.
        retry: u64,
    },
}

/// An error, as defined by RFC 9457.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Problem {
    /// Stable name of the kind of error, such as `/problems/not-permitted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of error in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    pub detail: String,
    /// The id that is also in the header `X-Request-Id` and in the journal.
    pub request_id: String,
    /// The subject of the error, for programs that show a remedy in their own words.
    #[serde(flatten)]
    pub about: About,
}

/// An error as ntfy's clients read it, below `/ntfy` and for what is published at `/`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NtfyError {
    /// The status followed by two more digits, as ntfy numbers its errors.
    pub code: u32,
    /// The HTTP status.
    pub http: u16,
    /// What is wrong with this request, and what to do about it.
    pub error: String,
}

/// The members of a problem that name the subject of the error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// 403: the scope that the key does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// 403: the topic or pattern that the key's topics do not cover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// 403: the topics of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<String>>,
    /// 422: the invalid field or parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A key to create, `POST /keys`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// User who owns the key.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub user: String,
    /// Empty means publish and subscribe.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Empty means `*`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub topics: Vec<Pattern>,
    /// Description that helps to tell keys apart.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub label: Option<String>,
    /// Seconds until the key expires, at most 100 years.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3_162_240_000_u64))]
    pub expires_in: Option<u64>,
}

/// A key in a list, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct KeyInfo {
    /// Public id of the key.
    pub id: String,
    /// User who owns the key.
    pub user: String,
    /// What the key permits.
    pub scopes: Vec<Scope>,
    /// Topics that the key may use.
    pub topics: Vec<Pattern>,
    /// Description given when the key was created.
    pub label: Option<String>,
    /// Time of creation.
    pub created_at: String,
    /// Time of expiry; null if the key does not expire.
    pub expires_at: Option<String>,
    /// Whether the key was imported from the former alert server.
    pub imported: bool,
}

impl fmt::Display for KeyInfo {
    /// What an audit asks about a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes: Vec<_> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        let topics: Vec<_> = self.topics.iter().map(ToString::to_string).collect();
        write!(f, "{} of {} ({}; topics {}; ", self.id, self.user, scopes.join(", "), topics.join(", "))?;
        match &self.expires_at {
            Some(time) => write!(f, "expires at {time})"),
            None => f.write_str("does not expire)"),
        }
    }
}

/// A new key with its secret, which is not shown again.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedKey {
    pub key: KeyInfo,
    /// The secret, to be sent as `Authorization: Bearer`.
    #[schemars(with = "String")]
    pub secret: Secret,
    /// After a rotation: when the old key expires.
    #[serde(default)]
    pub old_expires_at: Option<String>,
}

/// The answer to `POST /tickets`: a ticket that opens one stream with the rights of the key that requested it.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ticket {
    /// The ticket, to be sent once, as `GET /alerts?ticket=…`.
    pub ticket: String,
    /// Seconds until the ticket expires.
    pub expires_in: u64,
}

/// The body of `POST /keys/{id}/rotate`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// Seconds for which the old key remains valid.
    #[serde(default)]
    #[schemars(range(max = 3_162_240_000_u64))]
    pub overlap: Option<u64>,
}

/// The body of `POST /drain`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    /// Seconds over which the streams end; 30 by default.
    #[serde(default)]
    #[schemars(range(max = 86_400))]
    pub over: Option<u64>,
}

/// The answer to `GET /keys`, and to `DELETE /keys/{id}` with the revoked keys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Keys {
    /// The keys, sorted by user and time of creation.
    pub keys: Vec<KeyInfo>,
    /// Stored entries that are refused because they are damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<UnusableKey>,
}

/// A stored key that is refused.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UnusableKey {
    /// What `DELETE /keys/{id}` takes to remove it.
    pub id: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// The answer to `GET /topics`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Topics {
    /// Topics that have alerts and that the key may read, sorted, at most 1,000.
    pub topics: Vec<Topic>,
    /// Whether more topics follow. A longer `prefix` selects them.
    pub more: bool,
}

/// The answer to `POST /reload`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reloaded {
    /// Settings whose new value takes effect only after a restart.
    pub needs_restart: Vec<String>,
    /// Settings that are valid but probably a mistake.
    pub warnings: Vec<String>,
}
