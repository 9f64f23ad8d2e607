//! What a node has seen of the log: the newest id, and the alert that has it.
//!
//! While a failover is under way two servers may store different alerts under one id. So a node names not only an id when it
//! compares itself with a log, but the alert too; otherwise an id that both servers gave would hide what one of them lost.

use bytes::Bytes;

use crate::alert::{Id, Record};

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) id: Id,
    /// The JSON of the alert; empty if the id is all that is known.
    pub(super) alert: Bytes,
}

impl Seen {
    pub(super) const fn id(id: Id) -> Self {
        Self { id, alert: Bytes::new() }
    }

    pub(super) fn record(record: &Record) -> Self {
        Self { id: record.id, alert: record.json.clone() }
    }

    /// Takes what is newer.
    pub(super) fn raise(&mut self, other: Self) {
        if other.id > self.id {
            *self = other;
        }
    }
}
