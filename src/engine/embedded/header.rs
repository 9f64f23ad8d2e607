//! The first 4 KiB of a segment, its name, and the common form of the small files beside it.
//!
//! Everything that is stored begins with its kind and a version. An unknown version is refused by name; a damaged header
//! has a second copy of itself.

use std::ops::RangeInclusive;

use super::codec::{Damaged, Reader, Writer};
use super::frame::Salt;
use crate::alert::Id;

/// Where the records of a segment begin.
pub(super) const RECORDS: u64 = 4096;
const COPY: usize = 2048;
/// How a segment's name ends.
pub(super) const SUFFIX: &str = ".seg";
const SEGMENT_KIND: [u8; 16] = *b"alertd segment\n\0";
/// Version 2 adds records of dropped segments to version 1, version 3 those of incidents, and version 4 retractions.
pub(super) const VERSION: u32 = 4;
const OLDEST_VERSION: u32 = 1;

/// Why a header or a small file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is damaged")]
    Damaged,
    #[error("it has format {0}, which this alertd does not know")]
    Version(u32),
}

impl From<Damaged> for Unreadable {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// A whole small file: kind, version, checksum, content.
pub(super) fn seal(kind: [u8; 16], version: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(24 + content.len()));
    out.bytes(&kind);
    out.u32(version);
    out.u32(checksum(version, content));
    out.bytes(content);
    out.0
}

/// The content of what [`seal`] made.
pub(super) fn unseal(kind: [u8; 16], version: u32, bytes: &[u8]) -> Result<&[u8], Unreadable> {
    unseal_any(kind, version..=version, bytes).map(|(_, content)| content)
}

fn unseal_any(kind: [u8; 16], known: RangeInclusive<u32>, bytes: &[u8]) -> Result<(u32, &[u8]), Unreadable> {
    let mut reader = Reader(bytes);
    if reader.array()? != kind {
        return Err(Unreadable::Damaged);
    }
    let (found, crc) = (reader.u32()?, reader.u32()?);
    // Every version has its checksum here, so that damage is not mistaken for a later version.
    if checksum(found, reader.0) != crc {
        return Err(Unreadable::Damaged);
    }
    if !known.contains(&found) {
        return Err(Unreadable::Version(found));
    }
    Ok((found, reader.0))
}

fn checksum(version: u32, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), content)
}

/// Where the previous segment ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Previous {
    /// Its number; 0 if there was none.
    pub(super) number: u32,
    pub(super) end: u64,
    /// The newest id in the log before this segment.
    pub(super) last: Id,
}

/// The description of a segment, written and synced before its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The version of the segment's format.
    pub(super) version: u32,
    /// Identifies the log.
    pub(super) identity: [u8; 16],
    pub(super) salt: Salt,
    /// Rises by one from segment to segment, and skips segments that could not be made.
    pub(super) number: u32,
    /// At most the first id in it.
    pub(super) first: Id,
    pub(super) previous: Previous,
    /// The trim when the segment was made, needed until the segment has its first mark.
    pub(super) trim: Id,
    pub(super) clock_ms: u64,
    pub(super) reserved_ms: u64,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut content = Writer::default();
        content.bytes(&self.identity);
        content.u64(self.salt.0);
        content.u32(self.number);
        content.id(self.first);
        content.u32(self.previous.number);
        content.u64(self.previous.end);
        content.id(self.previous.last);
        content.id(self.trim);
        content.u64(self.clock_ms);
        content.u64(self.reserved_ms);
        content.0.resize(COPY / 2, 0);
        let mut copy = seal(SEGMENT_KIND, self.version, &content.0);
        copy.resize(COPY, 0);
        copy.repeat(2)
    }

    fn copy(bytes: &[u8]) -> Result<Self, Unreadable> {
        let copy = bytes.get(..24 + COPY / 2).ok_or(Unreadable::Damaged)?;
        let (version, content) = unseal_any(SEGMENT_KIND, OLDEST_VERSION..=VERSION, copy)?;
        let mut reader = Reader(content);
        let (identity, salt) = (reader.array()?, Salt(reader.u64()?));
        let (number, first) = (reader.u32()?, reader.id()?);
        let previous = Previous { number: reader.u32()?, end: reader.u64()?, last: reader.id()? };
        let (trim, clock_ms, reserved_ms) = (reader.id()?, reader.u64()?, reader.u64()?);
        Ok(Self { version, identity, salt, number, first, previous, trim, clock_ms, reserved_ms })
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let second = bytes.get(COPY..).unwrap_or_default();
        match (Self::copy(bytes), Self::copy(second)) {
            (Ok(header), _) | (_, Ok(header)) => Ok(header),
            (Err(Unreadable::Version(version)), _) | (_, Err(Unreadable::Version(version))) => {
                Err(Unreadable::Version(version))
            }
            _ => Err(Unreadable::Damaged),
        }
    }

    /// The name of its file: with the id, so that a listing is in order, and the number, so that names are unique.
    pub(super) fn name(&self) -> String {
        format!("{:020}-{}.{:010}{SUFFIX}", self.first.ms, self.first.seq, self.number)
    }
}

/// The number in a segment's name, if it is one.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let (_, number) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    number.parse().ok()
}

/// The name of the file that goes with a segment.
pub(super) fn sidecar_name(segment: &str) -> String {
    format!("{}.idx", segment.strip_suffix(SUFFIX).unwrap_or(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_damage_of_either_copy_and_names_an_unknown_version() {
        let previous = Previous { number: 6, end: 4400, last: Id::at(5) };
        let (first, trim) = (Id { ms: 5, seq: 1 }, Id::at(2));
        let header = Header {
            version: VERSION,
            identity: [3; 16],
            salt: Salt(9),
            number: 7,
            first,
            previous,
            trim,
            clock_ms: 1,
            reserved_ms: 4,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, RECORDS);
        assert_eq!(Header::read(&bytes), Ok(header));
        for at in (0..COPY).step_by(7) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert_eq!(Header::read(&bad), Ok(header));
            bad[COPY + at] ^= 0x10;
            assert!(at >= 24 + COPY / 2 || Header::read(&bad).is_err(), "{at}");
        }
        let mut later = seal(SEGMENT_KIND, 9, &[0; COPY / 2]);
        later.resize(COPY, 0);
        assert_eq!(Header::read(&later.repeat(2)), Err(Unreadable::Version(9)));
        assert_eq!(Header::read(&bytes[..100]), Err(Unreadable::Damaged));
        assert_eq!(number_of(&header.name()), Some(7));
        assert_eq!((number_of("7.seg"), number_of("stop")), (None, None));
    }
}
