//! Streams from both ends: what alertctl reads of one, and the frames that alertd writes.

use serde_json::value::RawValue;

use super::draft::{is_sound, sent};
use super::first_line;
use super::read::for_gap;
use crate::alert::{Draft, Id, Level, Metadata, Topic};
use crate::sse::{Event, Gap, Parser};

/// How long the pieces are, and the bytes of an event stream.
pub(super) fn events(input: &[u8]) {
    let Some((length, stream)) = input.split_first() else { return };
    let whole = read([stream]);
    assert_eq!(read(stream.chunks(usize::from(*length) + 1)), whole, "pieces of {length} are read differently");
    for event in &whole {
        let Event { event: name, data, id, retry } = event;
        assert!(!name.contains(['\n', '\r']) && !data.contains('\r'));
        assert!(id.as_ref().is_none_or(|id| !id.contains(['\n', '\r', '\0'])));
        assert!(!data.is_empty() || id.is_some() || retry.is_some());
        assert_eq!(read([written(event).as_bytes()]), std::slice::from_ref(event));
        if let Ok(gap) = serde_json::from_str::<Gap>(data) {
            for_gap(&gap);
        }
    }
}

fn read<'s>(pieces: impl IntoIterator<Item = &'s [u8]>) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.feed(piece, |event| events.push(event)).expect("an input is shorter than the longest line");
    }
    events
}

fn written(event: &Event) -> String {
    let mut text = format!("event: {}\n", event.event);
    text.extend(event.id.iter().map(|id| format!("id: {id}\n")));
    text.extend(event.retry.iter().map(|ms| format!("retry: {ms}\n")));
    text.extend(event.data.split('\n').map(|line| format!("data: {line}\n")));
    text.push('\n');
    text
}

/// An alert as an earlier version may have stored it, when metadata had no bound: how long a member is, the
/// message, and on further lines the metadata.
pub(super) fn frame(input: &[u8]) {
    let Some((length, rest)) = input.split_first() else { return };
    let (message, metadata) = first_line(rest);
    let message: String = String::from_utf8_lossy(message).chars().cycle().take(message.len() * 16).collect();
    let member = format!("{{\"first\":\"{}\",\"rest\":", "\u{2028}".repeat(usize::from(*length) << 6));
    let metadata = [member.as_bytes(), metadata, b"}"].concat();
    let Ok(metadata) = serde_json::from_slice::<&RawValue>(&metadata) else { return };
    let Ok(metadata) = Metadata::new(metadata) else { return };
    if let Ok(draft) = Draft::cut(Topic::fallback(), &message, Level::Warn, metadata.clone()) {
        is_sound(&draft);
    }
    let Ok(stored) = Draft::new(Topic::fallback(), message, Level::Warn, metadata) else { return };
    for id in [Id::at(1), Id::MAX] {
        let record = stored.record(id, u64::MAX);
        let json: serde_json::Value = serde_json::from_str(&sent(&record)).expect("JSON");
        assert_eq!(json["message"], stored.message());
        let is_cut = json["metadata"].get(Metadata::CUT).is_some();
        assert!(is_cut || json["metadata"].get("rest").is_some(), "what was cut is not marked: {json}");
    }
}
