//! The JSON of a record that is not an alert: its id, its members, and its time, which Redis assigns on its own.

use bytes::Bytes;
use serde::Serialize;

use super::{Id, escape_line_ends, rfc3339};

/// The JSON between the id and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventJson(Vec<u8>);

impl EventJson {
    /// `members` is an object of texts and numbers.
    pub(crate) fn of(members: &impl Serialize) -> Self {
        let json = serde_json::to_vec(members).unwrap_or_default(); // texts and numbers into a Vec cannot fail
        let members = json.strip_prefix(b"{").and_then(|json| json.strip_suffix(b"}")).unwrap_or_default();
        Self([br#"","#, &*escape_line_ends(members), br#","time":""#].concat())
    }

    pub(crate) fn between(&self) -> &[u8] {
        &self.0
    }

    /// The whole of it.
    pub(crate) fn at(&self, id: Id, now_ms: u64) -> Bytes {
        let (id, time) = (id.to_string(), rfc3339(now_ms));
        [br#"{"id":""#, id.as_bytes(), &*self.0, time.as_bytes(), br#""}"#].concat().into()
    }
}
