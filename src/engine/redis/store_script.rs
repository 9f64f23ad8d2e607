//! The scripts that store, and their arguments in the order in which the scripts take them.
//!
//! Used by the writer, and by the queries for the rows of incidents.

use std::sync::LazyLock;

use redis::Script;

use super::link::Link;
use super::script::{Arguments, constants, script};
use super::seen::Seen;
use crate::alert::{Id, Level, Topic};
use crate::engine::publish::Owner;
use crate::engine::{Publish, Retention};
use crate::text::hex;

script!(STORE, "change.lua", "record.lua", "store.lua");
script!(SETTLE, "change.lua", "incident.lua", "settle.lua");
script!(LOOK, "incident.lua", "look.lua");
script!(RETRACTABLE, "incident.lua", "fate.lua", "retractable.lua");
script!(COMMIT, "change.lua", "incident.lua", "fate.lua", "record.lua", "commit.lua");
script!(INCIDENTS, "incident.lua", "incidents.lua");
script!(RESCORE, "incident.lua", "rescore.lua");

/// `groups` are alerts with the time on the server's clock after which they are refused.
pub(super) fn store(
    link: &Link,
    time: String,
    epoch: &str,
    seen: &Seen,
    announce: bool,
    retention: &Retention,
    groups: &[(u64, &[Publish])],
) -> Arguments {
    let mut call = Arguments::new(&STORE, link, time).arg(epoch).seen(seen);
    call = call.arg(u8::from(announce)).retention(retention).arg(groups.len());
    for (deadline_ms, alerts) in groups {
        call = call.arg(*deadline_ms).arg(alerts.len());
        for publish in *alerts {
            call.topic(link, publish.draft.topic());
            call = call
                .arg(publish.draft.topic().as_str())
                .arg(publish.draft.level() as u8)
                .arg(publish.draft.json_between(None))
                .arg(&*publish.user)
                .idempotency(link, publish);
        }
    }
    call
}

/// A record that was stored and is not visible yet.
pub(super) struct Unsettled {
    pub(super) id: Id,
    /// The hash of its idempotency key.
    pub(super) key: Option<[u8; 32]>,
    /// None if no incident is involved.
    pub(super) undo: Option<Undo>,
}

/// What is undone with a record that the replicas do not confirm.
pub(super) struct Undo {
    pub(super) kind: UndoKind,
    /// The incident that was changed, or empty.
    pub(super) field: String,
    /// Its row as the record left it, and before.
    pub(super) written: Vec<u8>,
    pub(super) before: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(super) enum UndoKind {
    Record,
    /// Only the row was changed; the id is that of an earlier alert.
    Count,
    /// Nothing was stored; the id is that of a record of an earlier call.
    Check,
}

impl UndoKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Count => "count",
            Self::Check => "check",
        }
    }
}

pub(super) fn settle(
    link: &Link,
    time: String,
    epoch: &str,
    confirmed: bool,
    newest: Id,
    retention: &Retention,
    stored: &[Unsettled],
) -> Arguments {
    let mut call = Arguments::new(&SETTLE, link, time).arg(epoch).arg(u8::from(confirmed)).arg(newest.to_string());
    call = call.retention(retention);
    let has_incidents = stored.iter().any(|stored| stored.undo.is_some());
    call = if has_incidents { call.arg("6").with_incidents(link) } else { call.arg("2") };
    for Unsettled { id, key, undo } in stored {
        call = call.arg(id.to_string()).arg(key.as_ref().map_or_else(String::new, |key| hex(key)));
        call = match undo {
            _ if !has_incidents => call,
            None => call.arg(UndoKind::Record.name()).arg("").arg("").arg(""),
            Some(undo) => {
                call = call.arg(undo.kind.name()).arg(&undo.field);
                // Nothing of what is confirmed is undone.
                let rows: [&[u8]; 2] = if confirmed { [b"", b""] } else { [&undo.written, &undo.before] };
                call.arg(rows[0]).arg(rows[1])
            }
        };
    }
    call
}

/// What decides about incidents.
#[derive(Default)]
pub(super) struct Questions {
    /// Hashes of idempotency keys.
    pub(super) keys: Vec<[u8; 32]>,
    /// The fields of incidents.
    pub(super) fields: Vec<String>,
    pub(super) users: Vec<Owner>,
}

pub(super) fn look(link: &Link, time: String, questions: &Questions) -> Arguments {
    let Questions { keys, fields, users } = questions;
    let mut call = Arguments::new(&LOOK, link, time).with_incidents(link).arg(keys.len());
    call = keys.iter().fold(call, |call, key| call.arg(hex(key))).arg(fields.len());
    call = fields.iter().fold(call, |call, field| call.arg(field));
    users.iter().fold(call, |call, user| call.arg(hex(user)))
}

/// What decides about taking an alert back, with its reminders after `from`.
pub(super) fn retractable(link: &Link, time: String, id: Id, from: Id) -> Arguments {
    Arguments::new(&RETRACTABLE, link, time).with_incidents(link).arg(id.to_string()).arg(from.to_string())
}

/// What was read, and must still be so.
pub(super) enum Read<'a> {
    Key(&'a [u8; 32], &'a [u8]),
    Row(&'a str, &'a [u8]),
    /// An alert that is to be taken back.
    Fate(Id, &'a [u8]),
}

/// The last alert of an incident after a step.
#[derive(Clone, Copy)]
pub(super) enum LastAlert {
    /// As before the step.
    Same,
    /// The record of the step.
    Own,
    /// Another one, or none.
    Other(Option<Id>),
}

/// A step of `commit.lua`.
pub(super) struct Step<'a> {
    pub(super) kind: &'static str,
    /// Topic, level and JSON between id and time of a record.
    pub(super) record: Option<(Topic, Level, Vec<u8>)>,
    /// The alert that a retraction takes back.
    pub(super) of: Option<Id>,
    /// The alert whose user is stored, and whose idempotency key is remembered.
    pub(super) publish: Option<&'a Publish>,
    /// The field of an incident, or empty.
    pub(super) field: &'a str,
    pub(super) last: LastAlert,
    /// The row without the ids at its beginning.
    pub(super) row: &'a [u8],
}

/// The part of a commit that is the same for all its steps.
pub(super) struct Commit<'a> {
    pub(super) epoch: &'a str,
    pub(super) seen: &'a Seen,
    pub(super) announce: bool,
    pub(super) retention: &'a Retention,
    /// On the server's clock.
    pub(super) deadline_ms: u64,
}

/// `time` is that which was read.
pub(super) fn commit<'a>(
    link: &Link,
    time: u64,
    commit: &Commit<'_>,
    read: &[Read<'_>],
    steps: impl Iterator<Item = Step<'a>>,
) -> Arguments {
    let Commit { epoch, seen, announce, retention, deadline_ms } = commit;
    let mut call = Arguments::new(&COMMIT, link, time.to_string()).with_incidents(link).arg(*epoch).seen(seen);
    call = call.arg(u8::from(*announce)).retention(retention).arg(*deadline_ms).arg(read.len());
    for read in read {
        call = match read {
            Read::Key(key, stored) => call.arg("k").arg(hex(*key)).arg(*stored),
            Read::Row(field, row) => call.arg("i").arg(*field).arg(*row),
            Read::Fate(id, fate) => call.arg("r").arg(id.to_string()).arg(*fate),
        };
    }
    for Step { kind, record, of, publish, field, last, row } in steps {
        call = call.arg(kind);
        call = match record {
            Some((topic, level, json)) => {
                call.topic(link, &topic);
                call.arg(topic.as_str()).arg(level as u8).arg(json)
            }
            None => call.arg("").arg("").arg(""),
        };
        call = call.arg(publish.map_or("", |publish| &*publish.user));
        call = call.arg(of.map_or_else(String::new, |of| of.to_string()));
        call = match publish {
            Some(publish) => call.idempotency(link, publish),
            None => call.arg("").arg("").arg(""),
        };
        let last = match last {
            LastAlert::Same => "=".to_owned(),
            LastAlert::Own => "+".to_owned(),
            LastAlert::Other(id) => id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        };
        call = call.arg(field).arg(last).arg(row);
    }
    call
}

/// A page of incidents.
pub(super) fn incidents(
    link: &Link,
    time: String,
    wanted: char,
    before: Option<Id>,
    limit: usize,
    bytes: usize,
) -> Arguments {
    let before = before.map_or_else(String::new, |id| id.to_string());
    let call = Arguments::new(&INCIDENTS, link, time).with_incidents(link);
    call.arg(wanted.to_string()).arg(before).arg(limit).arg(bytes)
}

/// A step of making all unresolved incidents due, from `at` on.
pub(super) fn rescore(link: &Link, time: String, times: &str, at: &[u8], limit: usize) -> Arguments {
    Arguments::new(&RESCORE, link, time).with_incidents(link).arg(times).arg(at).arg(limit)
}
