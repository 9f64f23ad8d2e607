//! An alert as a message of ntfy: title, priority, tags and links come from where its publishers put them into metadata.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::{Id, Level, Record};
use crate::hooks::severity;
use crate::text::truncate;

/// The longest title and tag in bytes, and the most tags: phones show less.
const MAX_TITLE: usize = 1024;
const MAX_TAG: usize = 128;
const MAX_TAGS: usize = 32;
/// The longest URL. A longer one is left out, because a part of it leads somewhere else.
const MAX_URL: usize = 2048;

/// What a message says, read once for all subscriptions that get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(super) message: String,
    pub(super) title: Option<String>,
    /// None for the default one.
    pub(super) priority: Option<u8>,
    pub(super) tags: Vec<String>,
    click: Option<String>,
    icon: Option<String>,
    attachment: Option<Attachment>,
    is_markdown: bool,
}

/// A file that is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(super) name: String,
    pub(super) url: String,
}

/// A message or an event as a line of JSON.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    id: String,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    event: &'static str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    click: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<&'a Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
}

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    metadata: Details,
}

/// Of any type, because metadata is the sender's own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    title: Value,
    priority: Value,
    tags: Value,
    click: Value,
    icon: Value,
    attachment: Value,
    markdown: Value,
}

impl Content {
    /// What an alert says.
    #[must_use]
    pub(crate) fn of(record: &Record) -> Self {
        // A stored alert is always readable; an empty message would only be shown as such.
        let stored = serde_json::from_slice::<Stored<'_>>(&record.json);
        let (message, details) =
            stored.map(|stored| (stored.message.into_owned(), stored.metadata)).unwrap_or_default();
        let text = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let url = |value: &Value| text(value).filter(|url| url.len() <= MAX_URL);
        let tags = details.tags.as_array().into_iter().flatten().filter_map(Value::as_str).take(MAX_TAGS);
        let attachment = Attachment::deserialize(&details.attachment).ok();
        Self {
            message,
            title: text(&details.title).map(|title| truncate(&title, MAX_TITLE).into_owned()),
            priority: priority(record.level, &details.priority),
            tags: tags.map(|tag| truncate(tag, MAX_TAG).into_owned()).collect(),
            click: url(&details.click),
            icon: url(&details.icon),
            attachment: attachment.filter(|it| it.url.len() <= MAX_URL && it.name.len() <= MAX_TITLE),
            is_markdown: details.markdown == Value::Bool(true),
        }
    }

    pub(super) fn priority(&self) -> u8 {
        self.priority.unwrap_or(DEFAULT)
    }

    /// The message under the name that its client asked for.
    pub(super) fn line<'a>(&'a self, record: &Record, topic: &'a str, retained_s: Option<u64>) -> Line<'a> {
        let time = record.received_ms / 1000;
        Line {
            expires: retained_s.map(|retained| time.saturating_add(retained)),
            title: self.title.as_deref(),
            message: Some(&self.message),
            priority: self.priority,
            tags: &self.tags,
            click: self.click.as_deref(),
            icon: self.icon.as_deref(),
            attachment: self.attachment.as_ref(),
            content_type: self.is_markdown.then_some("text/markdown"),
            ..Line::event("message", record.id, time, topic)
        }
    }
}

impl<'a> Line<'a> {
    /// An event without content.
    pub(super) const fn plain(event: &'static str, id: String, time: u64, topic: &'a str) -> Self {
        Self {
            id,
            time,
            expires: None,
            event,
            topic,
            title: None,
            message: None,
            priority: None,
            tags: &[],
            click: None,
            icon: None,
            attachment: None,
            content_type: None,
        }
    }

    pub(super) fn event(event: &'static str, id: Id, time: u64, topic: &'a str) -> Self {
        Self::plain(event, id.to_string(), time, topic)
    }

    /// A message of alertd itself.
    pub(super) fn own(id: Id, time: u64, topic: &'a str, message: &'a str) -> Self {
        Self { title: Some("alertd"), message: Some(message), ..Self::event("message", id, time, topic) }
    }
}

/// The priority of a message that names none.
const DEFAULT: u8 = 3;

/// That of its publisher, unless the number means something else there, as in an incident with the priority 1; otherwise
/// that of the level.
fn priority(level: Level, said: &Value) -> Option<u8> {
    let said = said.as_u64().and_then(|number| u8::try_from(number).ok()).filter(|number| (1..=5).contains(number));
    match (said, level) {
        (Some(number), level) if severity::of_ntfy_priority(number) == level => Some(number),
        (_, Level::Error) => Some(5),
        (_, Level::Warn) => Some(4),
        (_, Level::Info) => None,
    }
}
