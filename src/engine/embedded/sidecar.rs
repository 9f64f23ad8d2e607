//! The index of a sealed segment as a file beside it, so that a start need not read the segment.
//!
//! Derived data: a sidecar that is missing, damaged, of another version or of another segment is rebuilt.

use super::codec::{Damaged, Reader, Writer};
use super::header::{Header, Unreadable, seal, unseal};
use super::index::{Hole, Index, Postings};
use super::postings::View;
use crate::alert::Topic;

const KIND: [u8; 16] = *b"alertd index\n\0\0\0";
const VERSION: u32 = 1;

/// The content of the sidecar. `name` gives the topic of a number.
pub(super) fn encode(header: &Header, index: &Index, name: impl Fn(u32) -> Option<Topic>) -> Option<Vec<u8>> {
    let mut out = Writer(Vec::with_capacity(index.deltas.len() * 4 + 4096));
    out.bytes(&header.identity);
    out.u64(header.salt.0);
    out.u32(header.number);
    out.id(index.last);
    for number in [index.end, index.alerts, index.bytes, index.last_offset] {
        out.u64(number);
    }
    out.u32(index.count);
    out.u32(u32::try_from(index.offsets.len()).ok()?);
    for (units, at) in &index.offsets {
        out.u32(*units);
        out.u32(*at);
    }
    out.sized(&index.deltas);
    out.sized(&index.levels);
    out.u32(u32::try_from(index.ids.len()).ok()?);
    index.ids.iter().for_each(|id| out.id(*id));
    out.u32(u32::try_from(index.holes.len()).ok()?);
    for hole in &index.holes {
        out.id(hole.after);
        out.id(hole.upto);
    }
    let topics = index.topics();
    out.u32(u32::try_from(topics.len()).ok()?);
    for topic in topics {
        out.topic(&name(topic)?);
        index.posting(topic)?.thaw().freeze(&mut out.0);
    }
    Some(seal(KIND, VERSION, &out.0))
}

/// The frozen index in a sidecar, if it belongs to this segment. `intern` gives a topic its number.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    mut intern: impl FnMut(&Topic) -> u32,
) -> Result<Index, Unreadable> {
    let mut reader = Reader(unseal(KIND, VERSION, bytes)?);
    let is_own = reader.array()? == header.identity && reader.u64()? == header.salt.0;
    if !is_own || reader.u32()? != header.number {
        return Err(Unreadable::Damaged);
    }
    let mut index = Index::new(reader.id()?);
    (index.end, index.alerts, index.bytes, index.last_offset) =
        (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
    index.count = reader.u32()?;
    for _ in 0..reader.u32()? {
        index.offsets.push((reader.u32()?, reader.u32()?));
    }
    index.deltas = reader.sized()?.to_vec();
    index.levels = reader.sized()?.to_vec();
    for _ in 0..reader.u32()? {
        index.ids.push(reader.id()?);
    }
    if !index.is_consistent() {
        return Err(Unreadable::Damaged);
    }
    for _ in 0..reader.u32()? {
        index.holes.push(Hole { after: reader.id()?, upto: reader.id()? });
    }
    let mut lists = Vec::new();
    for _ in 0..reader.u32()? {
        let number = intern(&reader.topic()?);
        let before = reader.0;
        let (_, rest) = View::frozen(before).ok_or(Damaged)?;
        reader.0 = rest;
        lists.push((number, &before[..before.len() - rest.len()]));
    }
    lists.sort_unstable_by_key(|list| list.0);
    let (mut directory, mut data) = (Vec::with_capacity(lists.len()), Vec::new());
    for (number, list) in lists {
        directory.push((number, u32::try_from(data.len()).map_err(|_| Damaged)?));
        data.extend_from_slice(list);
    }
    index.postings = Postings::Frozen(directory.into(), data.into());
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::super::frame::Salt;
    use super::super::header::Previous;
    use super::*;
    use crate::alert::{Id, Level};

    fn index() -> Index {
        let mut index = Index::new(Id::ZERO);
        for i in 0..300 {
            let alert = Some((i % 7, Level::Warn));
            index.push(Id::at(u64::from(i) + 1), 4096 + 80 * u64::from(i), 80, alert);
        }
        index.end = 4096 + 80 * 300;
        index
    }

    #[test]
    fn a_sidecar_reads_back_for_its_own_segment_only_and_no_byte_of_it_may_change() {
        let (salt, first, previous, trim) = (Salt(2), Id::ZERO, Previous::default(), Id::ZERO);
        let (version, identity) = (super::super::header::VERSION, [1; 16]);
        let header = Header { version, identity, salt, number: 3, first, previous, trim, clock_ms: 0, reserved_ms: 0 };
        let index = index();
        let name = |number: u32| format!("t{number}").parse::<Topic>().ok();
        let bytes = encode(&header, &index, name).unwrap();
        // Topics have other numbers in another process.
        let intern = |topic: &Topic| 100 - topic.as_str()[1..].parse::<u32>().unwrap();
        let back = decode(&bytes, &header, intern).unwrap();
        assert_eq!((back.count, back.end, back.last, back.alerts), (300, index.end, index.last, 300));
        for i in 0..300 {
            assert_eq!((back.span(i), back.level(i)), (index.span(i), Some(Level::Warn)));
            assert_eq!(back.topic_of(i), Some(100 - i % 7));
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(decode(&bad, &header, intern).is_err(), "{at}");
        }
        assert!(decode(&bytes, &Header { salt: Salt(3), ..header }, intern).is_err());
        // Its checksum is right, and its parts do not fit to each other.
        for count in [0, 1, 301, u32::MAX] {
            let wrong = encode(&header, &Index { count, ..self::index() }, name).unwrap();
            assert_eq!(decode(&wrong, &header, intern).err(), Some(Unreadable::Damaged), "{count}");
        }
    }
}
