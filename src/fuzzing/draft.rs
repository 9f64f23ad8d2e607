//! What holds for every alert that was accepted, whoever sent it and in whatever form.

use std::sync::Arc;

use bytes::BytesMut;
use serde_json::Value;

use crate::alert::frame::MAX_FRAME;
use crate::alert::{Draft, Id, Metadata, Record};
use crate::ntfy::{Names, Selection, Shape, View};
use crate::sse::{Event, Format, Parser};

/// Characters that end a line for some reader.
const LINE_ENDS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];

/// Checks an alert that is to be stored.
pub(super) fn is_sound(draft: &Draft) {
    assert!((1..=Draft::MAX_MESSAGE).contains(&draft.message().len()), "a message of {}", draft.message().len());
    assert!(draft.frame_size() <= MAX_FRAME, "a frame of {}", draft.frame_size());
    reads_back(draft);
    for id in [Id::at(1), Id::MAX] {
        let record = draft.record(id, 1_795_455_190_123);
        let json = std::str::from_utf8(&record.json).expect("JSON is UTF-8");
        assert!(!json.contains(LINE_ENDS), "an end of a line in {json}");
        let alert: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(alert["message"], draft.message());
        assert_eq!(alert["topic"], draft.topic().as_str());
        assert_eq!(alert["level"], draft.level().to_string());
        let metadata: Value = serde_json::from_str(draft.metadata().as_str()).expect("metadata is JSON");
        assert_eq!(alert["metadata"], metadata);
        assert_eq!(sent(&record), json);
        as_message(&record, draft.message());
    }
}

/// An alert survives the ways by which alertctl and other nodes pass it on.
fn reads_back(draft: &Draft) {
    let body = draft.publish_body();
    let again = Draft::from_json(None, body.as_bytes());
    assert_eq!(again.as_ref(), Ok(draft), "{body}");
    assert_eq!(again.map(|again| again.canonical()), Ok(draft.canonical()));
    let line = draft.publish_line("k\"1");
    assert_eq!(Draft::from_json_line(None, line.as_bytes()), Ok((draft.clone(), Some("k\"1".to_owned()))), "{line}");
    let metadata = serde_json::from_str(draft.metadata().as_str()).expect("metadata is JSON");
    assert_eq!(Metadata::new(metadata).as_ref(), Ok(draft.metadata()));
}

/// A client of ntfy gets one line, whatever an alert holds.
fn as_message(record: &Record, message: &str) {
    let names = Names::parse(record.topic.as_str(), false).expect("a topic is a name");
    let message_of = |shape| {
        let view = View { shape, names: names.clone(), selection: Selection::default(), retained_s: Some(1) };
        let mut line = BytesMut::new();
        assert!(Format::Ntfy(Arc::new(view)).alert(&mut line, record));
        assert!(line.len() <= MAX_FRAME, "a message of {} bytes", line.len());
        String::from_utf8(line.to_vec()).expect("a message is UTF-8")
    };
    let [line, text] = [Shape::Json, Shape::Raw].map(|shape| {
        let line = message_of(shape);
        let line = line.strip_suffix('\n').expect("a line ends");
        assert!(!line.contains(LINE_ENDS), "an end of a line in {line}");
        line.to_owned()
    });
    assert_eq!(text.chars().count(), message.chars().count());
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["message"], message);
    assert_eq!(line["id"], record.id.to_string());
}

/// The JSON that a reader of a stream gets of an alert, after checking that it is one event and one line.
pub(super) fn sent(record: &Record) -> String {
    let mut line = BytesMut::new();
    Format::Ndjson.alert(&mut line, record);
    let line = String::from_utf8(line.to_vec()).expect("a line is UTF-8");
    let json = line.strip_suffix('\n').expect("a line ends");
    assert!(!json.contains(LINE_ENDS), "an end of a line in {json}");
    let mut block = BytesMut::new();
    Format::Sse.alert(&mut block, record);
    assert!(block.len() <= MAX_FRAME, "a frame of {} bytes", block.len());
    let mut events = Vec::new();
    Parser::default().feed(&block, |event| events.push(event)).expect("a line is short");
    let event = Event { id: Some(record.id.to_string()), data: json.to_owned(), ..Event::default() };
    assert_eq!(events, [event]);
    json.to_owned()
}
