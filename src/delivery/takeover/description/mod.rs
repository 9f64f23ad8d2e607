//! The description of the streams that one process leaves to the next: a text of lines, each with a checksum.
//!
//! ```text
//! alertd takeover 1
//! 1c2f03a7 {"header":{"stored_ms":8120301,"streams":2}}
//! 90be7d51 {"subscription":{"number":0,"key":"k3x9","format":"sse","level":"info","topics":["ops.*"]}}
//! 5527ac0e {"stream":{"cookie":4711,"subscription":0,"start":"after 1795455190123-0","retry_ms":2000,…}}
//! 66a1b0d2 {"stream":{…}}
//! 0d4c2f11 {"end":{"checksum":3405691582}}
//! ```
//!
//! Pure: bytes to values and back. Always: a line that does not match its checksum is passed over, so damage ends only the
//! streams concerned; fields and kinds of lines that are unknown are ignored; an unknown version is refused.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::record::{StreamRecord, SubscriptionRecord};
use crate::alert::{Filter, Level, Pattern, Start};
use crate::ntfy::View;
use crate::sse::Format;

/// The first line, up to the version.
const KIND: &str = "alertd takeover ";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// All that could be read of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// When it was written, in milliseconds since the machine was booted.
    pub stored_ms: u64,
    /// Each with the cookie of its socket: the kernel's number for it, unique since the machine was booted. If streams
    /// were matched by position, one could be continued on another client's socket.
    pub streams: Vec<(u64, StreamRecord)>,
}

/// Why nothing of a description can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DescriptionError {
    #[error("it does not begin with \"alertd takeover\"")]
    Kind,
    #[error("it has version {0}, and this alertd knows only version 1")]
    Version(String),
    #[error("its header is damaged")]
    Header,
}

/// One line. A kind of line that is unknown has no known member and is ignored.
#[derive(Default, Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription: Option<Subscription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    stored_ms: u64,
    /// Only for people who read a description.
    streams: usize,
}

#[derive(Serialize, Deserialize)]
struct Subscription {
    number: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    format: String,
    level: Level,
    topics: Vec<Pattern>,
    /// With the format `ntfy`: what its client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ntfy: Option<View>,
}

#[derive(Serialize, Deserialize)]
struct Stream {
    cookie: u64,
    subscription: usize,
    start: String,
    #[serde(default)]
    latest_after_ms: u64,
    #[serde(default)]
    has_passed_seam: bool,
    retry_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unsent: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    /// Of all lines before this one.
    checksum: u32,
}

impl Description {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = format!("{KIND}{VERSION}\n");
        let header = Header { stored_ms: self.stored_ms, streams: self.streams.len() };
        push(&mut text, &Line { header: Some(header), ..Line::default() });
        let mut numbers: HashMap<&SubscriptionRecord, usize> = HashMap::new();
        for (cookie, record) in &self.streams {
            let next = numbers.len();
            let number = *numbers.entry(&record.subscription).or_insert(next);
            if number == next {
                let subscription = Subscription::of(number, &record.subscription);
                push(&mut text, &Line { subscription: Some(subscription), ..Line::default() });
            }
            push(&mut text, &Line { stream: Some(Stream::of(*cookie, number, record)), ..Line::default() });
        }
        let end = End { checksum: crc32c::crc32c(text.as_bytes()) };
        push(&mut text, &Line { end: Some(end), ..Line::default() });
        text.into_bytes()
    }

    /// Reads what is undamaged, and says whether that is all of it.
    ///
    /// # Errors
    /// [`DescriptionError`] if nothing can be used.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, bool), DescriptionError> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let version = first.strip_prefix(KIND.as_bytes()).ok_or(DescriptionError::Kind)?;
        if version != format!("{VERSION}\n").as_bytes() {
            let version = String::from_utf8_lossy(version.get(..version.len().min(20)).unwrap_or_default());
            return Err(DescriptionError::Version(version.trim_end().escape_default().to_string()));
        }
        let (mut header, mut streams, mut is_whole) = (None, Vec::new(), false);
        let mut subscriptions = HashMap::new();
        let mut read = first.len();
        for text in lines {
            match parse(text) {
                Some(Line { header: Some(it), .. }) => header = header.or(Some(it)),
                Some(Line { subscription: Some(it), .. }) => {
                    subscriptions.extend(it.record().map(|record| (it.number, record)));
                }
                Some(Line { stream: Some(it), .. }) => streams.extend(it.record(&subscriptions)),
                Some(Line { end: Some(end), .. }) => {
                    is_whole = read + text.len() == bytes.len() && end.checksum == crc32c::crc32c(&bytes[..read]);
                }
                Some(_) | None => {}
            }
            read += text.len();
        }
        let stored_ms = header.ok_or(DescriptionError::Header)?.stored_ms;
        Ok((Self { stored_ms, streams }, is_whole))
    }
}

fn push(text: &mut String, line: &Line) {
    // Neither can fail: all keys of maps are strings, and a String accepts everything.
    let json = serde_json::to_string(line).unwrap_or_default();
    let _ = writeln!(text, "{:08x} {json}", crc32c::crc32c(json.as_bytes()));
}

/// A line that matches its checksum. JSON has no line breaks of its own, so damage never goes beyond two lines.
fn parse(text: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let (checksum, json) = text.split_once(' ')?;
    // Compared as text, since several texts stand for one number.
    (checksum == format!("{:08x}", crc32c::crc32c(json.as_bytes()))).then_some(())?;
    serde_json::from_str(json).ok()
}

impl Subscription {
    fn of(number: usize, record: &SubscriptionRecord) -> Self {
        Self {
            number,
            key: record.key.clone(),
            format: record.format.kind().as_str().to_owned(),
            level: record.filter.level(),
            topics: record.filter.patterns().to_vec(),
            ntfy: match &record.format {
                Format::Ntfy(view) => Some(View::clone(view)),
                _ => None,
            },
        }
    }

    /// None for a format that this version does not know.
    fn record(&self) -> Option<SubscriptionRecord> {
        let view = self.ntfy.clone().map(|view| Format::Ntfy(Arc::new(view)));
        let mut formats = [Format::Sse, Format::Ndjson].into_iter().chain(view);
        let format = formats.find(|format| format.kind().as_str() == self.format)?;
        let filter = Arc::new(Filter::new(self.topics.clone(), self.level));
        Some(SubscriptionRecord { key: self.key.clone(), filter, format })
    }
}

impl Stream {
    fn of(cookie: u64, subscription: usize, record: &StreamRecord) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            cookie,
            subscription,
            start: start_text(&record.start),
            latest_after_ms: record.latest_after_ms,
            has_passed_seam: record.has_passed_seam,
            retry_ms: record.retry_ms,
            lifetime_ms: record.lifetime.map(ms),
            patience_ms: record.patience.map(ms),
            unsent: STANDARD.encode(&record.unsent),
        }
    }

    /// None if its subscription is damaged or a value has no meaning to this version.
    fn record(self, subscriptions: &HashMap<usize, SubscriptionRecord>) -> Option<(u64, StreamRecord)> {
        let record = StreamRecord {
            subscription: subscriptions.get(&self.subscription)?.clone(),
            start: start(&self.start)?,
            latest_after_ms: self.latest_after_ms,
            has_passed_seam: self.has_passed_seam,
            retry_ms: self.retry_ms,
            lifetime: self.lifetime_ms.map(Duration::from_millis),
            patience: self.patience_ms.map(Duration::from_millis),
            unsent: STANDARD.decode(self.unsent).ok()?.into(),
        };
        Some((self.cookie, record))
    }
}

fn start_text(start: &Start) -> String {
    match start {
        Start::Latest => "latest".to_owned(),
        Start::Live => "live".to_owned(),
        Start::All => "all".to_owned(),
        Start::Time(ms) => format!("time {ms}"),
        Start::After(id) => format!("after {id}"),
        Start::Unreadable(text) => format!("unreadable {text}"),
    }
}

fn start(text: &str) -> Option<Start> {
    let (kind, value) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        "latest" => Some(Start::Latest),
        "live" => Some(Start::Live),
        "all" => Some(Start::All),
        "time" => value.parse().ok().map(Start::Time),
        "after" => value.parse().ok().map(Start::After),
        "unreadable" => Some(Start::Unreadable(value.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
