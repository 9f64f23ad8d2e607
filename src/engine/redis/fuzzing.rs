//! What must hold for any answer and announcement of Redis. Called by the crate's `fuzzing`.

use super::codec::{self, Announcement};
use super::ticked::TickAnswer;
use crate::alert::{Id, Level, Record, RecordKind};

/// The bytes of an announcement, and the same as parts of an answer, separated by the unit separator.
pub(crate) fn replies(input: &[u8]) {
    announcement(input);
    let parts: Vec<Vec<u8>> = input.split(|byte| *byte == 0x1f).map(<[u8]>::to_vec).collect();
    if let Ok(read) = codec::page(&parts) {
        assert_eq!(read.page.damaged, read.damaged.iter().copied().max());
        let is_told = |id: &Id| *id <= read.page.trimmed;
        assert!(read.damaged.iter().all(is_told), "what cannot be decoded is no gap: {:?}", read.damaged);
        let mut again = parts[..4].to_vec();
        read.page.records.iter().for_each(|record| again.extend(fields(record)));
        let again = codec::page(&again).expect("a page that was read before");
        assert_eq!((again.visible, again.page.records), (read.visible, read.page.records));
        assert!(again.damaged.is_empty());
    }
    if let Ok(known) = codec::known(&parts) {
        assert_eq!(parts[0], known.head.to_string().as_bytes());
    }
    if let Ok(topics) = codec::topics(&parts) {
        assert!(topics.iter().zip(&parts).all(|(topic, part)| topic.as_str().as_bytes() == part));
    }
    if let Some(answer) = TickAnswer::parse(&parts) {
        assert_eq!(parts[2], answer.visible.to_string().as_bytes());
    }
    let Some((id, named)) = parts.split_first() else { return };
    let Ok(id) = std::str::from_utf8(id) else { return };
    if let Ok(record) = codec::entry(id, named) {
        assert_eq!(record.id.to_string(), id);
        let names = [&b"ms"[..], b"level", b"topic", b"alert"];
        let [_, values @ ..] = fields(&record);
        let mut again: Vec<_> = names.iter().zip(values).flat_map(|(name, value)| [name.to_vec(), value]).collect();
        match record.kind {
            RecordKind::Alert => {}
            RecordKind::Transition => again.extend([b"kind".to_vec(), codec::TRANSITION.to_vec()]),
            RecordKind::Retraction(_) => again.extend([b"kind".to_vec(), codec::RETRACTION.to_vec()]),
        }
        assert_eq!(codec::entry(id, &again).as_ref(), Ok(&record));
    }
    for level in [Level::Info, Level::Warn, Level::Error] {
        assert!(codec::at_level(id, named, level).is_none_or(|at| at.to_string() == id));
        let _ = codec::newest_of(id, level);
    }
    let _ = codec::info(id, "used_memory");
}

fn announcement(payload: &[u8]) {
    match Announcement::parse(payload) {
        Some(Announcement::Alerts { epoch, before, records }) => {
            let lines = records.iter().flat_map(|record| [b"\n".to_vec(), fields(record).join(&b' ')].concat());
            let again: Vec<u8> = format!("{epoch} {before}").into_bytes().into_iter().chain(lines).collect();
            let Some(Announcement::Alerts { epoch: same, before: at, records: alerts }) = Announcement::parse(&again)
            else {
                panic!("not read again: {}", String::from_utf8_lossy(&again));
            };
            assert_eq!((same, at, alerts), (epoch, before, records));
        }
        Some(Announcement::Probe { node, probe }) => {
            let again = Announcement::parse(format!("!{node} {probe}").as_bytes());
            assert!(matches!(again, Some(Announcement::Probe { node: same, probe: n }) if same == node && n == probe));
        }
        Some(Announcement::Unreadable) | None => {}
    }
}

/// A record in the order of the scripts: id, time, level, topic and JSON.
fn fields(record: &Record) -> [Vec<u8>; 5] {
    let Record { id, kind, received_ms, level, topic, json } = record;
    let text = |text: String| text.into_bytes();
    [
        text(id.to_string()),
        text(received_ms.to_string()),
        match kind {
            RecordKind::Alert => text((*level as u8).to_string()),
            RecordKind::Transition => [b"?", codec::TRANSITION].concat(),
            RecordKind::Retraction(_) => [b"?", codec::RETRACTION].concat(),
        },
        text(topic.to_string()),
        json.to_vec(),
    ]
}
