//! Fills a log in Redis from a backup, beside the one in use, and then puts it in its place.
//!
//! Called by `alertctl restore` on a blocking thread, while no node runs. Nothing of the log in use changes before the last
//! step, which one script does.

use std::mem;

use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;

use super::compare::random_epoch;
use super::link::Link;
use super::{Settings, codec, incident_row, script};
use crate::alert::{Id, Record, RecordKind};
use crate::backup::{Extent, Part};
use crate::engine::{Cause, Unavailable};
use crate::incident;
use crate::text::hex;

/// Values and bytes of one call, about. Redis serves nobody else meanwhile.
const BATCH: (usize, usize) = (4000, 1 << 20);

/// Whether a log that is there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Why a log could not be restored; the log in use is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("{server} is in use by {}: stop alertd and its sockets on every node (one that was killed counts for five more seconds)", nodes.join(", "))]
    InUse { server: String, nodes: Vec<String> },
    #[error(
        "{server} has {alerts} alerts and {keys} keys already: save them with `alertctl backup FILE`, and restore with --replace to replace them"
    )]
    Occupied { server: String, alerts: String, keys: String },
    #[error("{}", .0.detail)]
    Unavailable(#[from] Unavailable),
}

/// A log that is being filled.
pub(crate) struct Restore {
    runtime: Handle,
    link: Link,
    connection: MultiplexedConnection,
    existing: Existing,
    /// Whether the keys of users are replaced too.
    has_keys: bool,
    values: Vec<Vec<u8>>,
    bytes: usize,
    is_done: bool,
}

impl Restore {
    /// Begins a log. `epoch` is that of the log in the backup; another one is made up for a backup without.
    ///
    /// # Errors
    /// Nodes are running, there is a log already, or the server cannot be reached.
    pub(crate) fn begin(
        settings: &Settings,
        runtime: Handle,
        extent: Extent,
        epoch: Option<&str>,
        existing: Existing,
        has_keys: bool,
    ) -> Result<Self, RestoreError> {
        let link = Link::new(settings);
        let connection = runtime.block_on(async { link.connect_to(&link.server().await?).await });
        let connection = connection.map_err(Unavailable::from)?;
        let (values, bytes, is_done) = (Vec::new(), 0, false);
        let mut restore = Self { runtime, link, connection, existing, has_keys, values, bytes, is_done };
        restore.step("begin")?;
        let no_random = || Unavailable::new(Cause::StoreFailing, "the operating system gives no random numbers");
        let epoch = epoch.map(str::to_owned).or_else(random_epoch).ok_or_else(no_random)?;
        restore.value("s", [epoch, extent.trim.to_string(), extent.clock_ms.to_string()])?;
        Ok(restore)
    }

    /// Adds a part; parts with ids must come in the order of their ids.
    ///
    /// # Errors
    /// The server refuses it, or cannot be reached.
    pub(crate) fn add(&mut self, part: Part) -> Result<(), RestoreError> {
        match part {
            Part::Alert { record, user } => {
                let Record { id, kind, topic, level, received_ms, json } = record;
                let (kind, of) = match kind {
                    RecordKind::Alert => (&b"alert"[..], None),
                    RecordKind::Transition => (codec::TRANSITION, None),
                    RecordKind::Retraction(alert) => (codec::RETRACTION, Some(alert)),
                };
                let of_record = [id.to_string(), received_ms.to_string(), (level as u8).to_string(), topic.to_string()];
                self.values.push(b"a".to_vec());
                self.values.extend(of_record.map(String::into_bytes));
                self.bytes += json.len();
                let of = of.map_or_else(String::new, |of| of.to_string()).into_bytes();
                self.values.extend([json.to_vec(), user.into_bytes(), kind.to_vec(), of]);
                self.send_full()
            }
            Part::Incident(key, row) => {
                let [changed, alert] =
                    [row.changed, row.last.as_ref().and_then(|last| last.id)].map(|id| id.map(|id| id.to_string()));
                let (changed, alert) =
                    (changed.unwrap_or_else(|| "0-0".to_owned()), alert.unwrap_or_else(|| "-".to_owned()));
                // A node stores anew when something is due if its times of reminders are other ones.
                let rest = incident_row::rest(&row, &incident::Settings::default());
                let stored = incident_row::whole(changed.as_bytes(), alert.as_bytes(), &rest);
                self.bytes += stored.len();
                self.values.extend([b"i".to_vec(), incident_row::field(&key).into_bytes(), stored]);
                self.send_full()
            }
            Part::Retired(id) => self.value("r", [id.to_string()]),
            Part::Lost { upto, .. } => self.value("l", [upto.to_string()]),
            Part::TopicTrim(topic, upto) => self.value("t", [topic.to_string(), upto.to_string()]),
            Part::Key { hash, fingerprint, id, received_ms } => {
                self.value("k", [hex(&hash), hex(&fingerprint), id.to_string(), received_ms.to_string()])
            }
        }
    }

    /// Whether the keys of users are restored too.
    pub(crate) const fn has_keys(&self) -> bool {
        self.has_keys
    }

    /// Adds a key of a user in its stored form.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub(crate) fn add_key(&mut self, id: String, entry: String) -> Result<(), RestoreError> {
        self.value("u", [id, entry])
    }

    /// Puts the log in its place.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub(crate) fn finish(mut self, until: Id) -> Result<(), RestoreError> {
        self.value("e", [until.to_string()])?;
        self.send()?;
        self.step("end")?;
        self.is_done = true;
        Ok(())
    }

    fn value<const N: usize>(&mut self, kind: &str, values: [String; N]) -> Result<(), RestoreError> {
        self.values.push(kind.as_bytes().to_vec());
        self.values.extend(values.map(String::into_bytes));
        self.send_full()
    }

    fn send_full(&mut self) -> Result<(), RestoreError> {
        if self.values.len() >= BATCH.0 || self.bytes >= BATCH.1 { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), RestoreError> {
        self.bytes = 0;
        let call = mem::take(&mut self.values).into_iter().fold(script::import(&self.link), script::Arguments::arg);
        self.run(&call).map(drop)
    }

    fn run(&mut self, call: &script::Arguments) -> Result<Vec<Vec<u8>>, RestoreError> {
        let answer = self.runtime.block_on(call.run(&mut self.connection));
        Ok(answer.map_err(|error| self.link.failed(&error))?)
    }

    fn step(&mut self, step: &str) -> Result<(), RestoreError> {
        let call = script::replace(&self.link, step, self.existing == Existing::Replace, self.has_keys);
        let answer: Vec<String> =
            self.run(&call)?.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
        let server = self.link.topology().to_string();
        match answer.as_slice() {
            [word, nodes @ ..] if word == "nodes" => Err(RestoreError::InUse { server, nodes: nodes.to_vec() }),
            [word, alerts, keys] if word == "occupied" => {
                Err(RestoreError::Occupied { server, alerts: alerts.clone(), keys: keys.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Restore {
    /// Removes what was added, if it is not to be used. What remains after a failure here the next restore removes.
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.step("discard");
        }
    }
}
