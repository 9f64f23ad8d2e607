//! Payloads of other tools: a webhook's body becomes drafts of alerts, each with a key that identifies its repeats.
//!
//! | file | owns |
//! |---|---|
//! | [`notification`] | groups of alerts from Alertmanager and Grafana |
//! | [`github`] | GitHub's events |
//! | [`json`] | any JSON object or form |
//! | [`prometheus`] | alerts from Prometheus itself |
//! | [`labels`] | labels and annotations of alerts |
//! | [`signature`] | GitHub's signature |
//! | [`ntfy`] | the headers of ntfy's publishers |
//! | [`encoded_word`] | non-ASCII text in them |
//! | [`form`] | the fields of an HTML form |
//! | [`multipart`] | those of a form with parts |
//! | [`severity`] | the severities of all of them as levels |
//!
//! Called by the HTTP layer after authentication. Pure values: no clock, no I/O. Optional fields have defaults; an invalid
//! field is an error that names it, and the whole payload is rejected. Text of any length is cut to the bounds of a message.

pub(crate) mod encoded_word;
pub(crate) mod form;
pub(crate) mod github;
mod json;
mod labels;
pub(crate) mod multipart;
pub(crate) mod notification;
pub(crate) mod ntfy;
pub(crate) mod prometheus;
pub(crate) mod severity;
pub(crate) mod signature;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::alert::{self, Draft, DraftError, Level, Metadata, Topic, Unreadable};
use crate::text::truncate;

/// The most alerts in one payload: Redis stores this many in half the time limit of a publish.
pub(crate) const MAX_ALERTS: usize = 2048;

/// A tool whose webhook is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Prometheus Alertmanager's webhook.
    Alertmanager,
    /// Grafana's contact point of the type webhook.
    Grafana,
    /// A webhook of a GitHub repository, organisation or app.
    GitHub,
    /// Anything that sends a JSON object or a form.
    Json,
    /// Prometheus without an Alertmanager.
    Prometheus,
}

impl Sender {
    /// The name in the path and in metadata.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::GitHub => "github",
            Self::Json => "json",
            Self::Prometheus => "prometheus",
        }
    }

    /// The alerts of a payload, all for one topic. On an error, none of the payload is published.
    pub(crate) fn read<'h>(
        self,
        topic: &Topic,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &str,
        now_ms: u64,
    ) -> Result<Vec<Entry>, DraftError> {
        match self {
            Self::Alertmanager | Self::Grafana => notification::read(self, topic, body),
            Self::GitHub => github::read(topic, header, body),
            Self::Json => json::read(topic, body),
            Self::Prometheus => prometheus::read(topic, body, now_ms),
        }
    }
}

/// An alert of a payload.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub draft: Draft,
    /// None for an alert whose repeats cannot be told from new alerts.
    pub identity: Option<Identity>,
}

/// What identifies the repeats of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Identifies the subject of the alert. Never equal to a key that a publisher chooses.
    pub key: String,
    /// The state of the subject; an alert with the same key and state is a repeat.
    pub state: String,
}

impl Entry {
    fn new(sender: Sender, id: &str, state: String, draft: Draft) -> Self {
        let identity = Some(Identity::new(sender, draft.topic(), id, state));
        Self { draft, identity }
    }
}

impl Identity {
    fn new(sender: Sender, topic: &Topic, id: &str, state: String) -> Self {
        // A header cannot contain a NUL, so a publisher's own key cannot collide with this one.
        Self { key: format!("\0{}\0{topic}\0{id}", sender.as_str()), state }
    }
}

fn field(field: impl Into<String>, reason: impl ToString) -> DraftError {
    DraftError::Field { field: field.into(), reason: reason.to_string() }
}

/// Reads a payload. An error names the field by its path.
fn parse<T: DeserializeOwned>(body: &str) -> Result<T, DraftError> {
    alert::read(body.as_bytes()).map_err(unreadable)
}

/// The same for a payload that is a list of objects.
fn parse_list<T: DeserializeOwned>(body: &str) -> Result<Vec<T>, DraftError> {
    alert::read_list(body.as_bytes()).map_err(unreadable)
}

fn unreadable(error: Unreadable) -> DraftError {
    match error {
        Unreadable::Malformed(reason) => DraftError::Malformed(reason),
        Unreadable::Field { field: name, reason } => field(name.unwrap_or_else(|| "body".into()), reason),
    }
}

fn draft(topic: &Topic, message: &str, level: Level, metadata: &impl Serialize) -> Result<Draft, DraftError> {
    Draft::cut(topic.clone(), message, level, metadata_of(metadata)?)
}

fn metadata_of(members: &impl Serialize) -> Result<Metadata, DraftError> {
    Metadata::from_members(members).map_err(|reason| field("metadata", reason))
}

/// Cuts a text to the length of a message; a text that was cut ends in `…`.
fn short(text: &str) -> String {
    truncate(text, Draft::MAX_MESSAGE).into_owned()
}

/// The trimmed text, or `None` if nothing remains.
fn non_empty(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_marked() {
        assert_eq!(short("ä"), "ä");
        assert_eq!(short(&"x".repeat(4096)).len(), 4096);
        let cut = short(&"ä".repeat(3000));
        assert!(cut.len() <= 4096 && cut.len() > 4090 && cut.ends_with("ä…"), "{}", cut.len());
    }
}
