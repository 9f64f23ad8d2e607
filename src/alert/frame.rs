//! The bounds of a frame: what a reader gets of one alert is one line of at most [`MAX_FRAME`] bytes.
//!
//! Called by drafts, which check their size when they are published, and by all code that sends records. Always: no
//! alert stops a reader that can take a frame of [`MAX_FRAME`] bytes, and no character in it ends a line by any
//! reader's rules: some split lines as Unicode does.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::line_ends::escape_line_ends;
use super::{Draft, DraftError, IncidentPlace, Level, Metadata, Record, Topic, rfc3339};
use crate::text::truncate;

/// The largest frame, in bytes: one alert as a block of Server-Sent Events, the longest of the wire forms. Clients limit
/// the lines that they take, and would fail on each attempt to resume before a longer one.
pub const MAX_FRAME: usize = 64 << 10;

/// The longest id.
const ID: usize = 41;
/// `id: `, the id, `data: `, and the line breaks.
const AROUND: usize = 4 + ID + 7 + 2;

/// The JSON of a record as readers get it. Records that an earlier version stored may be longer than a frame; their
/// metadata is cut, with a mark.
#[must_use]
pub fn line(record: &Record) -> Cow<'_, [u8]> {
    let json = escape_line_ends(&record.json);
    if json.len() + AROUND <= MAX_FRAME { json } else { Cow::Owned(cut(record, &json)) }
}

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

fn cut(record: &Record, json: &[u8]) -> Vec<u8> {
    let Record { id, topic, level, received_ms, .. } = record;
    let build = |message: &str, metadata: &str| {
        let received_at = rfc3339(*received_ms);
        format!(
            r#"{{"id":"{id}","topic":"{topic}","message":{message},"level":"{level}","metadata":{metadata},"received_at":"{received_at}"}}"#
        )
    };
    let parsed = serde_json::from_slice::<Stored<'_>>(json).ok();
    let parsed = parsed.and_then(|stored| Some((stored.message.get(), Metadata::new(stored.metadata).ok()?)));
    let Some((message, metadata)) = parsed else { return build(r#""…""#, "{}").into_bytes() };
    let room = MAX_FRAME.saturating_sub(AROUND + build(message, "").len());
    let whole = build(message, metadata.cut(room).as_str()).into_bytes();
    escape_line_ends(&whole).into_owned()
}

impl Draft {
    /// An alert with its message and metadata cut to what is allowed, each with a mark. Fails only if the message is empty.
    pub fn cut(topic: Topic, message: &str, level: Level, metadata: Metadata) -> Result<Self, DraftError> {
        let message = truncate(message, Self::MAX_MESSAGE).into_owned();
        Self::new(topic, message, level, metadata).map(Self::cut_to_frame)
    }

    /// Bytes of the largest frame that this alert can become, including escapes.
    #[must_use]
    pub fn frame_size(&self) -> usize {
        let place = self.incident().map(|_| IncidentPlace { occurrence: u64::MAX, count: u64::MAX });
        // `{"id":"`, the time, `"}`
        AROUND + 7 + ID + self.json_between(place).len() + 24 + 2
    }

    /// Whether this alert fits into a frame. Cheap for all but large ones.
    #[must_use]
    pub fn fits_frame(&self) -> bool {
        // A character takes at most six times its length when it is escaped. The rest of a frame is below
        // 4 KiB, most of it the name of an incident.
        self.size() * 6 + 4096 <= MAX_FRAME || self.frame_size() <= MAX_FRAME
    }

    /// The alert, if it fits into a frame.
    ///
    /// # Errors
    /// [`DraftError::Field`] with the size and the bound.
    pub fn within_frame(self) -> Result<Self, DraftError> {
        if self.fits_frame() {
            return Ok(self);
        }
        let size = self.frame_size();
        let reason = format!("makes the alert {size} bytes on a stream, {MAX_FRAME} are allowed: shorten it");
        Err(DraftError::Field { field: "metadata".into(), reason })
    }

    /// The alert with metadata that is cut, with a mark, so that it fits into a frame.
    #[must_use]
    pub fn cut_to_frame(self) -> Self {
        if self.fits_frame() {
            return self;
        }
        let excess = self.frame_size() - MAX_FRAME;
        let length = escape_line_ends(self.metadata().as_str().as_bytes()).len();
        let metadata = self.metadata().cut(length.saturating_sub(excess));
        self.with_metadata(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Id;
    use bytes::Bytes;

    fn draft(message: &str, metadata: &str) -> Draft {
        let metadata = Metadata::new(serde_json::from_str(metadata).unwrap()).unwrap();
        Draft::new("t".repeat(Topic::MAX).parse().unwrap(), message.into(), Level::Error, metadata).unwrap()
    }

    fn framed(record: &Record) -> usize {
        4 + record.id.to_string().len() + 7 + line(record).len() + 2
    }

    #[test]
    fn no_character_of_the_json_ends_a_line() {
        let text = "a\u{2028}b\u{2029}c\u{85}d\u{0b}\u{1c}ä€\u{2027}\u{202a}\u{86}";
        // JSON has no unescaped ASCII control characters.
        let metadata = format!(r#"{{"k\u2028":"{}"}}"#, text.replace(['\u{0b}', '\u{1c}'], ""));
        let record = draft(text, &metadata).record(Id::at(1), 0);
        let sent = line(&record);
        assert_eq!(sent, &record.json[..], "it is stored as it is sent");
        let sent = String::from_utf8(sent.into_owned()).unwrap();
        assert!(!sent.contains(['\u{2028}', '\u{2029}', '\u{85}', '\u{0b}', '\u{1c}']), "{sent}");
        assert!(sent.contains("ä€\u{2027}\u{202a}\u{86}"), "{sent}");
        let read: serde_json::Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(read["message"], text);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_sent_without_them() {
        let json = Bytes::from("{\"message\":\"a\u{2028}b\",\"metadata\":{}}");
        let record = Record { json, ..draft("x", "{}").record(Id::at(1), 0) };
        assert_eq!(line(&record), &br#"{"message":"a\u2028b","metadata":{}}"#[..]);
    }

    #[test]
    fn the_size_is_that_of_the_largest_frame() {
        for (message, metadata) in [
            ("x".to_owned(), "{}".to_owned()),
            ("\u{1}".repeat(4096), format!(r#"{{"k":"{}"}}"#, "\u{2028}".repeat(5000))),
            ("\"".repeat(4096), format!(r#"{{"k":"{}"}}"#, "x".repeat(50_000))),
        ] {
            let draft = draft(&message, &metadata);
            assert_eq!(draft.frame_size(), framed(&draft.record(Id::MAX, 0)), "{}", message.len());
        }
    }

    #[test]
    fn whatever_is_cut_fits_and_whatever_fits_is_not_cut() {
        for character in ["x", "ä", "\u{2028}", "\\u0001", "\\\""] {
            for times in [1000, 9000, 11_000, 20_000, 65_000, 300_000] {
                let whole = draft(&"\u{1}".repeat(4096), &format!(r#"{{"a":1,"k":"{}"}}"#, character.repeat(times)));
                let cut = whole.clone().cut_to_frame();
                assert!(cut.frame_size() <= MAX_FRAME && cut.fits_frame(), "{character} {times}");
                assert_eq!(whole.fits_frame(), whole == cut, "{character} {times}");
                assert_eq!(whole.frame_size() <= MAX_FRAME, whole.fits_frame());
                let old = whole.record(Id::MAX, 0);
                assert!(framed(&old) <= MAX_FRAME, "{character} {times}");
                let sent: serde_json::Value = serde_json::from_slice(&line(&old)).unwrap();
                assert_eq!(sent["metadata"]["a"], 1);
                assert_eq!(sent["metadata"].get(Metadata::CUT).is_some(), whole != cut, "{character} {times}");
                assert_eq!(sent["message"], "\u{1}".repeat(4096));
            }
        }
    }
}
