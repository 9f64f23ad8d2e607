//! What a failure of the server, or an answer that cannot be read, means for the engine.
//!
//! Used wherever a command is sent. The detail is for operators; it names the server and, where a person can help, the remedy.

use super::codec::Unreadable;
use super::link::Link;
use super::script;
use crate::engine::{Cause, Unavailable};

impl Link {
    /// The error for a server that did not answer in time.
    pub(super) fn timed_out(&self) -> Unavailable {
        Unavailable::new(Cause::TimedOut, format!("{} did not answer in time", self.topology()))
    }

    /// The error for a server in whose place another one was promoted.
    pub(super) fn replaced(&self) -> Unavailable {
        Unavailable::new(Cause::NotReached, format!("{}: another server was promoted", self.topology()))
    }

    /// The error for a server that refused, or a connection that broke.
    pub(super) fn failed(&self, error: &redis::RedisError) -> Unavailable {
        if error.code() == Some("SCHEMA") {
            return self.unknown_schema(error.detail().unwrap_or_default());
        }
        let cause = match error.code() {
            Some("OOM") => Cause::StoreFull,
            Some("READONLY") => Cause::ReadOnly,
            Some("NOREPLICAS") => Cause::NotSafe,
            Some(_) => Cause::StoreFailing,
            None if error.is_timeout() => Cause::TimedOut,
            None => Cause::NotReached,
        };
        Unavailable::new(cause, format!("{}: {error}", self.topology()))
    }

    /// `detail` begins with the number that the scripts refuse.
    fn unknown_schema(&self, detail: &str) -> Unavailable {
        let found = detail.split_whitespace().next().unwrap_or_default();
        let detail = format!(
            "{} holds a log of schema {found}, and alertd {} supports {} to {}: run the version of alertd that the other nodes run, or set another engine.redis.key_prefix; nothing was changed",
            self.topology(),
            env!("CARGO_PKG_VERSION"),
            script::OLDEST_SCHEMA,
            script::SCHEMA
        );
        Unavailable::new(Cause::UnknownFormat, detail)
    }

    /// The error for an entry or an answer that this version cannot read.
    pub(super) fn unreadable(&self, reason: &Unreadable) -> Unavailable {
        let topology = self.topology();
        match reason {
            Unreadable::Malformed => {
                Unavailable::new(Cause::Damaged, format!("{topology} holds an entry that alertd did not write"))
            }
            Unreadable::UnknownKind { id, kind } => {
                let detail = format!(
                    "{topology} holds the record {id} of kind {kind:?}, which alertd {} does not know: run the version of alertd that the other nodes run",
                    env!("CARGO_PKG_VERSION")
                );
                Unavailable::new(Cause::UnknownFormat, detail)
            }
        }
    }
}
