//! What a successor process needs to know of one stream, apart from its socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::alert::{Filter, Start};
use crate::sse::Format;

/// A stream between two processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRecord {
    pub subscription: SubscriptionRecord,
    /// Where the stream continues: after an id, if its client was told a cursor.
    pub start: Start,
    /// With [`Start::Latest`]: older alerts are not sent.
    pub latest_after_ms: u64,
    /// Whether the client was told the cursor between replay and live.
    pub has_passed_seam: bool,
    /// The reconnect delay for the final `bye`.
    pub retry_ms: u32,
    /// The time until the stream reaches its maximum age.
    pub lifetime: Option<Duration>,
    /// For a client whose socket is full: how much longer it may read nothing.
    pub patience: Option<Duration>,
    /// What has to be sent first, in chunked coding: the rest of a chunk that was sent in part, or chunks that were not
    /// sent at all. What follows it begins a new chunk.
    pub unsent: Bytes,
}

/// What many streams have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionRecord {
    /// The id of the key; none for a stream over the control socket, which needs no key.
    pub key: Option<String>,
    pub filter: Arc<Filter>,
    pub format: Format,
}
