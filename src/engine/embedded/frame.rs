//! The stored form of a record: a head of 64 bytes and its content, each with a checksum, padded to 8 bytes.
//!
//! The checksums are seeded with the salt of the segment and the record's offset, so a record that was moved, is stale or
//! belongs to another file never fits. The head's does not cover the content's: damaged content is skipped exactly, and
//! an erase rewrites content, flags and their checksum while the head stays valid throughout.

use crate::alert::Id;

pub(super) const HEAD: usize = 64;
/// A length beyond this is damage: the largest body that can be configured, with room for the escapes of JSON.
pub(super) const MAX_CONTENT: usize = 128 << 20;
/// Every record begins at a multiple of this.
pub(super) const ALIGN: u64 = 8;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Alert = 1,
    /// The end of a batch; see [`Mark`].
    Mark = 2,
    /// An id whose alert is gone: it is still a valid cursor.
    Retired = 3,
    /// The limit of one topic removed its alerts up to an id.
    TopicTrim = 4,
    /// The content of an alert is to be erased; written before it is.
    Erase = 5,
    /// The segments within the log that are dropped: a complete list, written before a file is removed.
    Dropped = 6,
    /// A change of an incident that is not an alert.
    Transition = 7,
    /// An incident after the changes of its batch; the id is that of the alert whose text it has.
    Incident = 8,
    /// An idempotency key whose alert was only counted; the id is that of the alert that answers a repeat.
    Key = 9,
    /// An alert was taken back.
    Retraction = 10,
}

impl Kind {
    const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Alert,
            2 => Self::Mark,
            3 => Self::Retired,
            4 => Self::TopicTrim,
            5 => Self::Erase,
            6 => Self::Dropped,
            7 => Self::Transition,
            8 => Self::Incident,
            9 => Self::Key,
            10 => Self::Retraction,
            _ => return None,
        })
    }

    /// Whether its id is its place in the log, rather than that of another record.
    pub(super) const fn has_id(self) -> bool {
        matches!(self, Self::Alert | Self::Retired | Self::Transition | Self::Retraction)
    }

    /// Whether the readers of its topic get it.
    pub(super) const fn is_read(self) -> bool {
        matches!(self, Self::Alert | Self::Transition | Self::Retraction)
    }
}

/// The content holds an idempotency key.
pub(super) const KEYED: u8 = 1;
/// What may not stay of the content was erased.
pub(super) const ERASED: u8 = 2;
/// The idempotency key in the content names something with a state, and the fingerprint is that of the state.
pub(super) const STATED: u8 = 4;

/// The first 64 bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Bytes of the publishing user's name, the first of the content.
    pub(super) user: u16,
    /// Bytes of the content.
    pub(super) length: u32,
    pub(super) id: Id,
    /// The id of the previous record that has one.
    pub(super) before: Id,
    /// The id of the topic's previous alert, if it is known.
    pub(super) topic_before: Id,
    crc: u32,
    content_crc: u32,
}

/// Bytes of a record with a content of this length.
pub(super) const fn size(length: usize) -> usize {
    (HEAD + length).next_multiple_of(ALIGN as usize)
}

/// What the checksums of one segment are seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u64);

/// What both checksums of a record begin with.
#[derive(Clone, Copy)]
pub(super) struct Seed(u32);

impl Salt {
    /// The seed of the record at an offset.
    pub(super) fn seed(self, offset: u64) -> Seed {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].copy_from_slice(&offset.to_le_bytes());
        Seed(crc32c::crc32c(&bytes))
    }
}

impl Seed {
    fn head_crc(self, head: &[u8; HEAD]) -> u32 {
        let mut covered = *head;
        covered[4..12].fill(0);
        covered[13] = 0;
        crc32c::crc32c_append(self.0, &covered)
    }

    pub(super) fn content_crc(self, flags: u8, content: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &[flags]), content)
    }
}

/// A record to be written.
pub(super) struct Draft<'a> {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) user: &'a str,
    pub(super) id: Id,
    pub(super) before: Id,
    pub(super) topic_before: Id,
    /// The parts of the content after the user.
    pub(super) content: &'a [&'a [u8]],
}

impl Draft<'_> {
    /// Appends the record to `out`, which will be written at `base`. Returns the checksum of its head.
    pub(super) fn encode(&self, out: &mut Vec<u8>, base: u64, salt: Salt) -> u32 {
        let start = out.len();
        let seed = salt.seed(base + start as u64);
        // A name longer than this is refused where keys are made.
        let user = &self.user.as_bytes()[..self.user.len().min(usize::from(u16::MAX))];
        out.resize(start + HEAD, 0);
        out.extend_from_slice(user);
        self.content.iter().for_each(|part| out.extend_from_slice(part));
        let length = out.len() - start - HEAD;
        out.resize(start + size(length), 0);
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        head[12] = self.kind as u8;
        head[13] = self.flags;
        head[14..16].copy_from_slice(&u16::try_from(user.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (id, at) in [(self.id, 16), (self.before, 32), (self.topic_before, 48)] {
            head[at..at + 16].copy_from_slice(&id.to_u128().to_le_bytes());
        }
        let crc = seed.head_crc(&head);
        let content = &out[start + HEAD..start + HEAD + length];
        let content_crc = seed.content_crc(self.flags, content);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        head[8..12].copy_from_slice(&content_crc.to_le_bytes());
        out[start..start + HEAD].copy_from_slice(&head);
        crc
    }
}

fn u32_at(bytes: &[u8; HEAD], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn id_at(bytes: &[u8; HEAD], at: usize) -> Id {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    Id::from_u128(u128::from_le_bytes(id))
}

impl Head {
    /// The head at `offset`, where `bytes` begin, if it is valid.
    pub(super) fn read(bytes: &[u8], offset: u64, salt: Salt) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        // Cheap checks first: the search after a damaged place tries every multiple of eight.
        let kind = Kind::from_u8(head[12])?;
        let length = u32_at(head, 0);
        if length as usize > MAX_CONTENT || u32_at(head, 4) != salt.seed(offset).head_crc(head) {
            return None;
        }
        let user = u16::from_le_bytes([head[14], head[15]]);
        Some(Self {
            kind,
            flags: head[13],
            user,
            length,
            id: id_at(head, 16),
            before: id_at(head, 32),
            topic_before: id_at(head, 48),
            crc: u32_at(head, 4),
            content_crc: u32_at(head, 8),
        })
    }

    /// Bytes of the whole record.
    pub(super) const fn size(&self) -> usize {
        size(self.length as usize)
    }

    pub(super) const fn crc(&self) -> u32 {
        self.crc
    }

    pub(super) const fn is_erased(&self) -> bool {
        self.flags & ERASED != 0
    }

    /// The user and the rest of the content of the record at the start of `bytes`, if it is whole and valid.
    pub(super) fn content<'a>(&self, bytes: &'a [u8], offset: u64, salt: Salt) -> Option<(&'a [u8], &'a [u8])> {
        // A record that was cut off within its padding is not whole either: the next one would begin beyond the end.
        let content = bytes.get(..self.size())?.get(HEAD..HEAD + self.length as usize)?;
        if salt.seed(offset).content_crc(self.flags, content) != self.content_crc {
            return None;
        }
        content.split_at_checked(self.user.into())
    }
}

/// The end of a batch, with the facts about the log as a whole at that point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The newest id in the log.
    pub(super) last: Id,
    /// Everything up to this id is removed.
    pub(super) trim: Id,
    /// How far the log was known to be on the disk when this was written: segment and offset.
    pub(super) synced: (u64, u64),
    /// Bytes of the batch before this record, and the checksum over the heads' checksums.
    pub(super) bytes: u32,
    pub(super) crc: u32,
    /// The time of retention.
    pub(super) clock_ms: u64,
    /// With durability `none`: ids up to this millisecond may have been given, whatever is on the disk.
    pub(super) reserved_ms: u64,
    /// The segment ends here and another one follows.
    pub(super) is_seal: bool,
}

impl Mark {
    pub(super) fn encode(&self, out: &mut Vec<u8>, base: u64, salt: Salt) {
        let mut content = [0; 25];
        content[..4].copy_from_slice(&self.bytes.to_le_bytes());
        content[4..8].copy_from_slice(&self.crc.to_le_bytes());
        content[8..16].copy_from_slice(&self.clock_ms.to_le_bytes());
        content[16..24].copy_from_slice(&self.reserved_ms.to_le_bytes());
        content[24] = u8::from(self.is_seal);
        let synced = Id { ms: self.synced.0, seq: self.synced.1 };
        let (kind, content) = (Kind::Mark, &[&content[..]][..]);
        Draft { kind, flags: 0, user: "", id: self.last, before: self.trim, topic_before: synced, content }
            .encode(out, base, salt);
    }

    pub(super) fn read(head: &Head, content: &[u8]) -> Option<Self> {
        let content: &[u8; 25] = content.first_chunk()?;
        let u32_at = |at: usize| u32::from_le_bytes([content[at], content[at + 1], content[at + 2], content[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Some(Self {
            last: head.id,
            trim: head.before,
            synced: (head.topic_before.ms, head.topic_before.seq),
            bytes: u32_at(0),
            crc: u32_at(4),
            clock_ms: u64_at(8),
            reserved_ms: u64_at(16),
            is_seal: content[24] != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(7);

    fn record() -> Vec<u8> {
        let mut out = Vec::new();
        let (id, before, topic_before) = (Id { ms: 9, seq: 1 }, Id::at(9), Id::at(3));
        Draft { kind: Kind::Alert, flags: KEYED, user: "al", id, before, topic_before, content: &[b"con", b"tent"] }
            .encode(&mut out, 4096, SALT);
        out
    }

    #[test]
    fn a_record_reads_back_at_its_place_only_and_no_bit_of_it_may_change() {
        let bytes = record();
        assert_eq!(bytes.len() % 8, 0);
        let head = Head::read(&bytes, 4096, SALT).unwrap();
        assert_eq!((head.id, head.before, head.topic_before), (Id { ms: 9, seq: 1 }, Id::at(9), Id::at(3)));
        assert_eq!(head.content(&bytes, 4096, SALT), Some((&b"al"[..], &b"content"[..])));
        assert_eq!(Head::read(&bytes, 4104, SALT), None);
        assert_eq!(Head::read(&bytes, 4096, Salt(8)), None);
        for bit in 0..8 * (HEAD + 9) {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let intact = Head::read(&bad, 4096, SALT).is_some_and(|head| head.content(&bad, 4096, SALT).is_some());
            assert!(!intact, "bit {bit}");
        }
        for cut in 0..HEAD + 9 {
            let head = Head::read(&bytes[..cut], 4096, SALT);
            assert!(head.is_none_or(|head| head.content(&bytes[..cut], 4096, SALT).is_none()), "{cut}");
        }
    }

    #[test]
    fn a_mark_reads_back() {
        let mark = Mark { last: Id::at(5), trim: Id::at(2), synced: (3, 4096), bytes: 7, crc: 9, ..Mark::default() };
        let mark = Mark { clock_ms: 1 << 40, reserved_ms: 12, is_seal: true, ..mark };
        let mut out = Vec::new();
        mark.encode(&mut out, 0, SALT);
        assert_eq!(out.len(), size(25));
        let head = Head::read(&out, 0, SALT).unwrap();
        let (_, content) = head.content(&out, 0, SALT).unwrap();
        assert_eq!(Mark::read(&head, content), Some(mark));
    }
}
