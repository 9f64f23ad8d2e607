//! What must hold for any bytes in the place of a segment's records or of the small files beside it. Called by the
//! crate's `fuzzing`.

use std::collections::HashMap;

use super::frame::{Draft, Head, Kind, Mark, Salt};
use super::header::{Header, Previous, RECORDS, VERSION, seal};
use super::index::{Hole, Index};
use super::scan::{self, Outcome};
use super::sidecar;
use super::snapshot::{self, Place, State, stop};
use crate::alert::{Id, Topic};

const SALT: Salt = Salt(0x5eed);

/// Bytes off the front of an input; zeros at its end.
struct Choices<'i>(&'i [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % bound.max(1)
    }
}

/// The records of a segment as they were written, in memory.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// Where each batch ends.
    ends: Vec<u64>,
    /// Each alert's content by its id.
    contents: Vec<(Id, Vec<u8>)>,
    batch_start: usize,
    batch_crc: u32,
    last: Id,
}

impl Written {
    fn alert(&mut self, id: Id, content: &[u8]) {
        let (kind, before, topic_before) = (Kind::Alert, self.last, Id::ZERO);
        let draft = Draft { kind, flags: 0, user: "", id, before, topic_before, content: &[content] };
        let crc = draft.encode(&mut self.bytes, RECORDS, SALT);
        self.batch_crc = crc32c::crc32c_append(self.batch_crc, &crc.to_le_bytes());
        self.contents.push((id, content.to_vec()));
        self.last = id;
    }

    fn mark(&mut self) {
        let bytes = u32::try_from(self.bytes.len() - self.batch_start).expect("a short segment");
        let mark = Mark { last: self.last, bytes, crc: self.batch_crc, ..Mark::default() };
        mark.encode(&mut self.bytes, RECORDS, SALT);
        (self.batch_start, self.batch_crc) = (self.bytes.len(), 0);
        self.ends.push(RECORDS + self.bytes.len() as u64);
    }
}

/// How many batches and alerts are written, and then what is done to them.
pub(crate) fn segment(input: &[u8]) {
    let mut choices = Choices(input);
    let mut written = Written::default();
    for _ in 0..=choices.byte() % 6 {
        for _ in 0..choices.byte() % 5 {
            let step = u64::from(choices.byte() % 3);
            let id = written.last.next(written.last.ms + step);
            let content = vec![choices.byte(); usize::from(choices.byte())];
            written.alert(id, &content);
        }
        written.mark();
    }
    // Bytes that are vouched for end with a batch.
    let vouched = *written.ends.iter().rev().nth(usize::from(choices.byte()) % 4).unwrap_or(&RECORDS);
    let mut bytes = written.bytes.clone();
    let is_damaged = damage(&mut bytes, &mut choices);
    let mut accepted = Vec::new();
    let outcome = scan::accept(&bytes, SALT, vouched, Id::ZERO, |record| {
        accepted.push((record.head, record.content.map(|(_, content)| content.to_vec())));
    });
    check(&written, &accepted, &outcome);
    if written.ends.last() == Some(&vouched) {
        is_told(&written, &accepted, &outcome);
    }
    if !is_damaged {
        assert!(outcome.holes.is_empty() && outcome.damage.is_empty(), "{outcome:?}");
        assert_eq!(accepted.len(), written.contents.len());
    }
    assert_eq!(scan::vouched_by_marks(&bytes, SALT, 1), RECORDS, "no mark vouches for another segment");
}

/// Changes, zeros, moves or cuts off bytes. Returns whether anything is different.
fn damage(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) -> bool {
    let before = bytes.clone();
    while !choices.0.is_empty() && !bytes.is_empty() {
        let (what, at) = (choices.byte() % 4, choices.below(bytes.len()));
        let end = (at + choices.below(600)).min(bytes.len());
        match what {
            0 => bytes[at] ^= choices.byte(),
            1 => bytes[at..end].fill(0),
            2 => {
                let to = choices.below(bytes.len() - (end - at) + 1);
                bytes.copy_within(at..end, to);
            }
            _ => bytes.truncate(at),
        }
    }
    *bytes != before
}

/// A record as it was accepted.
type Accepted = (Head, Option<Vec<u8>>);

/// Nothing is served that was not written.
fn check(written: &Written, accepted: &[Accepted], outcome: &Outcome) {
    let contents: HashMap<Id, &Vec<u8>> = written.contents.iter().map(|(id, content)| (*id, content)).collect();
    let mut last = Id::ZERO;
    for (head, content) in accepted {
        assert!(head.id > last, "{} after {last}", head.id);
        last = head.id;
        assert!(contents.contains_key(&head.id), "{} was never written", head.id);
        assert!(content.as_ref().is_none_or(|content| content == contents[&head.id]), "{} is altered", head.id);
        assert!(content.is_some() || !outcome.damage.is_empty());
    }
    for pair in outcome.holes.windows(2) {
        assert!(pair[0].upto <= pair[1].after, "{:?}", outcome.holes);
    }
    assert!(outcome.holes.iter().all(|hole| hole.after < hole.upto));
}

/// Nothing that is known to be on the disk is missing without a word.
fn is_told(written: &Written, accepted: &[Accepted], outcome: &Outcome) {
    let is_in_hole = |id: Id| outcome.holes.iter().any(|hole: &Hole| hole.after < id && id <= hole.upto);
    let is_there = |id: Id| accepted.iter().any(|(head, _)| head.id == id);
    for (id, _) in &written.contents {
        // The records behind the last one that is left are covered by the place where the log is known to end.
        let is_behind = *id > outcome.last && !outcome.damage.is_empty();
        assert!(is_there(*id) || is_in_hole(*id) || is_behind, "{id} is missing: {outcome:?}");
    }
}

/// Which small file it is, and its content behind the checksum.
pub(crate) fn state(input: &[u8]) {
    let Some((which, content)) = input.split_first() else { return };
    match which {
        b'0' => check_snapshot(&resealed(&snapshot::encode(&Place::default(), &State::default()), content)),
        b'1' => {
            if let Ok(place) = stop::decode(&resealed(&stop::encode(&Place::default()), content)) {
                assert_eq!(stop::decode(&stop::encode(&place)), Ok(place));
            }
        }
        b'2' => {
            let mut content = content.to_vec();
            content.resize(1024, 0);
            let header = Header::read(&resealed(&header().encode(), &content)).expect("any content is a header");
            assert_eq!(Header::read(&header.encode()), Ok(header));
            assert_eq!(super::header::number_of(&header.name()), Some(header.number));
        }
        _ => check_sidecar(content),
    }
}

/// A file of the same kind and version as `like`, with this content and its checksum.
fn resealed(like: &[u8], content: &[u8]) -> Vec<u8> {
    let (kind, rest) = like.split_first_chunk().expect("a kind");
    let version = u32::from_le_bytes(*rest.first_chunk().expect("a version"));
    seal(*kind, version, content)
}

fn header() -> Header {
    Header {
        version: VERSION,
        identity: [7; 16],
        salt: SALT,
        number: 3,
        first: Id::ZERO,
        previous: Previous::default(),
        trim: Id::ZERO,
        clock_ms: 0,
        reserved_ms: 0,
    }
}

fn check_snapshot(file: &[u8]) {
    let Ok((place, state)) = snapshot::decode(file) else { return };
    let (place_again, again) = snapshot::decode(&snapshot::encode(&place, &state)).expect("what was encoded");
    assert_eq!((place_again, &again.topic_trims), (place, &state.topic_trims));
    assert_eq!((&again.erasures, &again.dropped), (&state.erasures, &state.dropped));
    assert!(again.keys.iter().eq(state.keys.iter()));
    assert_eq!(again.incidents.len(), state.incidents.len());
    assert!(state.incidents.iter().all(|incident| again.incidents.get(&incident.key) == Some(&incident.row)));
}

fn check_sidecar(content: &[u8]) {
    let header = header();
    let empty = sidecar::encode(&header, &Index::new(Id::ZERO), |_| None).expect("an empty index");
    // Identity, salt and number, or the file would belong to another segment.
    let content = [&empty[24..24 + 28], content].concat();
    let mut topics: Vec<Topic> = Vec::new();
    let decoded = sidecar::decode(&resealed(&empty, &content), &header, |topic| number(&mut topics, topic));
    let Ok(mut index) = decoded else { return };
    for ordinal in (0..index.count.min(300)).chain([index.count.saturating_sub(1), index.count, u32::MAX]) {
        let _ = (index.offset(ordinal), index.span(ordinal), index.level(ordinal), index.topic_of(ordinal));
    }
    for id in [Id::ZERO, Id::at(1_795_455_190_123), Id::MAX] {
        let (from, to) = index.block_behind(id);
        assert!(from <= to && to <= index.count);
    }
    for topic in index.topics() {
        let Some(list) = index.posting(topic) else { continue };
        let all = list.from(0, usize::MAX);
        assert!(all.len() <= list.count() as usize && list.before(u32::MAX, usize::MAX).len() <= all.len());
    }
    let again = sidecar::encode(&header, &index, |topic| topics.get(topic as usize).cloned()).expect("the same index");
    let mut same = topics.clone();
    let again = sidecar::decode(&again, &header, |topic| number(&mut same, topic)).expect("what was encoded");
    assert_eq!((again.count, again.end, again.last), (index.count, index.end, index.last));
    assert_eq!((&again.offsets, &again.deltas, &again.ids), (&index.offsets, &index.deltas, &index.ids));
    index.thaw();
    index.freeze();
}

fn number(topics: &mut Vec<Topic>, topic: &Topic) -> u32 {
    let at = topics.iter().position(|known| known == topic).unwrap_or_else(|| {
        topics.push(topic.clone());
        topics.len() - 1
    });
    u32::try_from(at).expect("few topics")
}
