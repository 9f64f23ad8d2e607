//! One line of a backup: its number, its checksum, and an item as JSON.

use std::borrow::Cow;
use std::io::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Extent, Part};
use crate::alert::{Id, IncidentName, Level, Record, RecordKind, Retraction, Topic};
use crate::incident::{Key, Row};
use crate::text::{hex, unhex};

/// In the first line.
const KIND: &str = "alertd backup";
/// Of the format that this version writes and reads.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    kind: String,
    pub(super) version: u32,
    /// The version of alertd that made the backup.
    pub(crate) alertd: String,
    /// The engine that the log comes from.
    pub(crate) engine: String,
    /// When it was begun, milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// About how many alerts follow, for the display of progress.
    pub(crate) alerts: u64,
    trim: Id,
    until: Id,
    clock_ms: u64,
    /// Identifies a log in Redis among those that the server has had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<String>,
}

impl Header {
    pub(crate) fn new(engine: &str, made_ms: u64, alerts: u64, extent: Extent) -> Self {
        Self {
            kind: KIND.into(),
            version: VERSION,
            alertd: env!("CARGO_PKG_VERSION").into(),
            engine: engine.into(),
            made_ms,
            alerts,
            trim: extent.trim,
            until: extent.until,
            clock_ms: extent.clock_ms,
            epoch: None,
        }
    }

    pub(crate) fn with_epoch(self, epoch: Option<String>) -> Self {
        Self { epoch, ..self }
    }

    pub(crate) const fn extent(&self) -> Extent {
        Extent { trim: self.trim, until: self.until, clock_ms: self.clock_ms }
    }
}

/// The last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) alerts: u64,
    pub(crate) keys: u64,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Header(Header),
    /// A key of a user, as the keyring stores it.
    UserKey {
        id: String,
        entry: String,
    },
    Part(Part),
    End(Totals),
    /// The backup was given up, for this reason.
    Failed(String),
}

/// An item as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored<'a> {
    Header(Header),
    UserKey {
        id: Cow<'a, str>,
        entry: Cow<'a, str>,
    },
    Alert {
        id: Id,
        topic: Topic,
        level: Level,
        received_ms: u64,
        #[serde(default)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        alert: &'a RawValue,
    },
    Transition {
        id: Id,
        topic: Topic,
        received_ms: u64,
        #[serde(default)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        transition: &'a RawValue,
    },
    Retraction {
        id: Id,
        topic: Topic,
        received_ms: u64,
        #[serde(default)]
        user: Cow<'a, str>,
        #[serde(borrow)]
        retraction: &'a RawValue,
    },
    Retired {
        id: Id,
    },
    Lost {
        after: Id,
        upto: Id,
    },
    TopicTrim {
        topic: Topic,
        upto: Id,
    },
    Incident {
        topic: Topic,
        name: IncidentName,
        row: Cow<'a, Box<Row>>,
    },
    Key {
        hash: String,
        fingerprint: String,
        id: Id,
        received_ms: u64,
    },
    End(Totals),
    Failed {
        reason: Cow<'a, str>,
    },
}

/// Numbers the lines.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    written: u64,
}

impl Writer {
    /// Appends the item's line.
    ///
    /// # Errors
    /// The alert of a record is not JSON, so alertd cannot have stored it.
    pub(crate) fn write(&mut self, item: &Item, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let text = serde_json::to_string(&stored(item)?)?;
        self.written += 1;
        let (number, crc) = (self.written, checksum(self.written, text.as_bytes()));
        // Writing to memory does not fail.
        let _ = writeln!(out, "{number} {crc:08x} {text}");
        Ok(())
    }
}

fn stored(item: &Item) -> serde_json::Result<Stored<'_>> {
    Ok(match item {
        Item::Header(header) => Stored::Header(header.clone()),
        Item::UserKey { id, entry } => Stored::UserKey { id: id.into(), entry: entry.into() },
        Item::Part(Part::Alert { record, user }) => {
            let Record { id, kind, level, received_ms, .. } = *record;
            let (topic, user, json) = (record.topic.clone(), user.into(), serde_json::from_slice(&record.json)?);
            match kind {
                RecordKind::Alert => Stored::Alert { id, topic, level, received_ms, user, alert: json },
                RecordKind::Transition => Stored::Transition { id, topic, received_ms, user, transition: json },
                RecordKind::Retraction(_) => Stored::Retraction { id, topic, received_ms, user, retraction: json },
            }
        }
        Item::Part(Part::Retired(id)) => Stored::Retired { id: *id },
        Item::Part(Part::Lost { after, upto }) => Stored::Lost { after: *after, upto: *upto },
        Item::Part(Part::TopicTrim(topic, upto)) => Stored::TopicTrim { topic: topic.clone(), upto: *upto },
        Item::Part(Part::Incident(Key { topic, name }, row)) => {
            Stored::Incident { topic: topic.clone(), name: name.clone(), row: Cow::Borrowed(row) }
        }
        Item::Part(Part::Key { hash, fingerprint, id, received_ms }) => {
            Stored::Key { hash: hex(hash), fingerprint: hex(fingerprint), id: *id, received_ms: *received_ms }
        }
        Item::End(totals) => Stored::End(*totals),
        Item::Failed(reason) => Stored::Failed { reason: reason.into() },
    })
}

/// CRC32C of the number and the text.
fn checksum(number: u64, text: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), text)
}

/// The number and the item of a line, which comes without its line break.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<(u64, Item), String> {
    let damaged = || "its checksum does not match".to_owned();
    let text = std::str::from_utf8(line).map_err(|_| damaged())?;
    let (number, rest) = text.split_once(' ').ok_or_else(damaged)?;
    let (crc, json) = rest.split_once(' ').ok_or_else(damaged)?;
    let number = number.parse().map_err(|_| damaged())?;
    if u32::from_str_radix(crc, 16) != Ok(checksum(number, json.as_bytes())) {
        return Err(damaged());
    }
    // The checksum matches, so a line that cannot be decoded is from another version.
    let stored: Stored<'_> = serde_json::from_str(json).map_err(|error| {
        format!(
            "alertd {} does not know what it holds ({error}); use the version that wrote it",
            env!("CARGO_PKG_VERSION")
        )
    })?;
    Ok((number, item(stored)?))
}

fn copied(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}

fn part(record: Record, user: Cow<'_, str>) -> Item {
    Item::Part(Part::Alert { record, user: user.into() })
}

fn item(stored: Stored<'_>) -> Result<Item, String> {
    let hash = |text: &str| unhex::<32>(text).ok_or_else(|| "it holds no hash of 32 bytes".to_owned());
    Ok(match stored {
        Stored::Header(header) if header.kind != KIND => return Err("it is not the first line of a backup".into()),
        Stored::Header(header) if header.version != VERSION => {
            return Err(format!(
                "the backup has version {}, and alertd {} reads version {VERSION}; use the version that wrote it ({})",
                header.version,
                env!("CARGO_PKG_VERSION"),
                header.alertd
            ));
        }
        Stored::Header(header) => Item::Header(header),
        Stored::UserKey { id, entry } => Item::UserKey { id: id.into(), entry: entry.into() },
        Stored::Alert { id, topic, level, received_ms, user, alert } => {
            part(Record { id, kind: RecordKind::Alert, topic, level, received_ms, json: copied(alert) }, user)
        }
        Stored::Transition { id, topic, received_ms, user, transition } => {
            let (kind, level, json) = (RecordKind::Transition, Level::Error, copied(transition));
            part(Record { id, kind, topic, level, received_ms, json }, user)
        }
        Stored::Retraction { id, topic, received_ms, user, retraction } => {
            let json = copied(retraction);
            let alert = Retraction::alert_of(&json).ok_or_else(|| "it names no retracted alert".to_owned())?;
            let (kind, level) = (RecordKind::Retraction(alert), Level::Error);
            part(Record { id, kind, topic, level, received_ms, json }, user)
        }
        Stored::Retired { id } => Item::Part(Part::Retired(id)),
        Stored::Lost { after, upto } => Item::Part(Part::Lost { after, upto }),
        Stored::TopicTrim { topic, upto } => Item::Part(Part::TopicTrim(topic, upto)),
        Stored::Incident { topic, name, row } => Item::Part(Part::Incident(Key { topic, name }, row.into_owned())),
        Stored::Key { hash: of_key, fingerprint, id, received_ms } => {
            Item::Part(Part::Key { hash: hash(&of_key)?, fingerprint: hash(&fingerprint)?, id, received_ms })
        }
        Stored::End(totals) => Item::End(totals),
        Stored::Failed { reason } => Item::Failed(reason.into()),
    })
}
