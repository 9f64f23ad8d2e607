//! Reads the records in the bytes of a segment, and tells a torn tail from damage.
//!
//! Bytes that were known to be on the disk are vouched for: by a later mark, by the next segment, or by the record of a
//! clean stop. An invalid place among them is damage: it is skipped, what follows is valid, and nothing is cut off. At
//! an invalid place beyond them the last writes did not reach the disk: the log ends at the last whole batch before it.

use super::frame::{ALIGN, Head, Kind, Mark, Salt};
use super::header::RECORDS;
use super::index::Hole;
use crate::alert::Id;

/// The content of a segment, in order.
pub(super) enum Item<'a> {
    /// A valid head; the content is none if it is damaged or cut off.
    Record { offset: u64, head: Head, content: Option<(&'a [u8], &'a [u8])> },
    /// Bytes that are not a record.
    Bad { from: u64 },
}

/// Calls `visit` with everything in `bytes`, which begin at `base`.
pub(super) fn walk<'a>(bytes: &'a [u8], base: u64, salt: Salt, mut visit: impl FnMut(Item<'a>)) {
    let (mut at, mut bad) = (0, None);
    while at < bytes.len() {
        let offset = base + at as u64;
        match Head::read(&bytes[at..], offset, salt) {
            Some(head) => {
                if let Some(from) = bad.take() {
                    visit(Item::Bad { from });
                }
                visit(Item::Record { offset, head, content: head.content(&bytes[at..], offset, salt) });
                at += head.size();
            }
            None => {
                bad.get_or_insert(offset);
                at += ALIGN as usize;
            }
        }
    }
    if let Some(from) = bad {
        visit(Item::Bad { from });
    }
}

/// A record that is part of the log.
pub(super) struct Accepted<'a> {
    pub(super) offset: u64,
    pub(super) head: Head,
    /// The user, and the content after it; none if it is damaged.
    pub(super) content: Option<(&'a [u8], &'a [u8])>,
}

/// What was found in a segment.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The last whole mark.
    pub(super) mark: Option<Mark>,
    /// Where the log ends in this segment.
    pub(super) end: u64,
    pub(super) last: Id,
    pub(super) holes: Vec<Hole>,
    /// Damaged places, by offset.
    pub(super) damage: Vec<u64>,
    /// The segment is sealed, so a later one was made.
    pub(super) is_sealed: bool,
}

/// How far the marks among these bytes vouch for segment `number`.
pub(super) fn vouched_by_marks(bytes: &[u8], salt: Salt, number: u32) -> u64 {
    let mut vouched = RECORDS;
    walk(bytes, RECORDS, salt, |item| {
        if let Item::Record { head, content: Some((_, content)), .. } = item
            && head.kind == Kind::Mark
            && let Some(mark) = Mark::read(&head, content)
            && mark.synced.0 == u64::from(number)
        {
            vouched = vouched.max(mark.synced.1);
        }
    });
    vouched
}

/// State of [`accept`].
struct Acceptor<'a, F> {
    outcome: Outcome,
    vouched: u64,
    /// Records of the batch that has no mark yet.
    open: Vec<Accepted<'a>>,
    batch_start: u64,
    batch_crc: u32,
    /// Whether an invalid place follows the last valid record with an id.
    is_broken: bool,
    is_over: bool,
    take: F,
}

/// Reads the records of a segment whose first ones follow `last`, and calls `take` with each that is part of the log.
pub(super) fn accept<'a>(
    bytes: &'a [u8],
    salt: Salt,
    vouched: u64,
    last: Id,
    take: impl FnMut(Accepted<'a>),
) -> Outcome {
    let outcome = Outcome { end: RECORDS, last, ..Outcome::default() };
    let mut acceptor = Acceptor {
        outcome,
        vouched,
        open: Vec::new(),
        batch_start: RECORDS,
        batch_crc: 0,
        is_broken: false,
        is_over: false,
        take,
    };
    walk(bytes, RECORDS, salt, |item| acceptor.visit(item));
    let reached = RECORDS + bytes.len() as u64;
    acceptor.finish(reached)
}

impl<'a, F: FnMut(Accepted<'a>)> Acceptor<'a, F> {
    fn visit(&mut self, item: Item<'a>) {
        if self.is_over {
            return;
        }
        let (Item::Bad { from: at } | Item::Record { offset: at, .. }) = item;
        if at >= self.vouched && self.batch_start < self.vouched {
            // The bytes that are vouched for end with a batch, so a new one begins here, whatever was lost before.
            self.release();
            (self.batch_start, self.batch_crc) = (self.vouched, 0);
        }
        match item {
            Item::Bad { from } => self.bad(from),
            Item::Record { offset, head, content } => {
                if content.is_none() && offset >= self.vouched {
                    self.is_over = true;
                } else if head.kind == Kind::Mark {
                    match content.and_then(|(_, content)| Mark::read(&head, content)) {
                        Some(mark) => self.mark(offset, &head, mark),
                        None => self.bad(offset),
                    }
                } else {
                    self.batch_crc = crc32c::crc32c_append(self.batch_crc, &head.crc().to_le_bytes());
                    self.open.push(Accepted { offset, head, content });
                }
            }
        }
    }

    fn bad(&mut self, from: u64) {
        if from >= self.vouched {
            self.is_over = true;
            return;
        }
        self.release();
        self.is_broken = true;
        self.outcome.damage.push(from);
    }

    fn mark(&mut self, offset: u64, head: &Head, mark: Mark) {
        let is_whole = u64::from(mark.bytes) == offset - self.batch_start && mark.crc == self.batch_crc;
        // After a damaged place the beginning of the batch is not known, but what was synced is complete.
        if !is_whole && offset >= self.vouched {
            self.is_over = true;
            return;
        }
        self.release();
        if mark.last > self.outcome.last {
            // The records before this mark are lost.
            self.hole(mark.last);
        }
        self.is_broken = false;
        self.outcome.is_sealed |= mark.is_seal;
        self.outcome.mark = Some(mark);
        self.outcome.end = offset + head.size() as u64;
        (self.batch_start, self.batch_crc) = (self.outcome.end, 0);
    }

    /// Accepts the records of the open batch as part of the log.
    fn release(&mut self) {
        for accepted in std::mem::take(&mut self.open) {
            let (head, last) = (accepted.head, self.outcome.last);
            if accepted.content.is_none() {
                self.outcome.damage.push(accepted.offset);
            }
            if head.kind.has_id() {
                if head.before > last {
                    self.hole(head.before);
                }
                if head.id <= self.outcome.last {
                    self.outcome.damage.push(accepted.offset);
                    continue;
                }
                self.outcome.last = head.id;
            }
            (self.take)(accepted);
        }
    }

    fn hole(&mut self, upto: Id) {
        self.outcome.holes.push(Hole { after: self.outcome.last, upto });
        self.outcome.last = upto;
    }

    fn finish(mut self, reached: u64) -> Outcome {
        self.open.retain(|record| record.offset < self.vouched);
        self.release();
        let outcome = &mut self.outcome;
        if outcome.end < self.vouched {
            if reached < self.vouched || self.is_broken || outcome.damage.is_empty() {
                // The last mark, or the end of the file, is missing.
                outcome.damage.push(outcome.end.max(reached.min(self.vouched)));
            }
            outcome.end = self.vouched;
        }
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Draft;
    use super::*;

    const SALT: Salt = Salt(5);

    /// Five batches of three records, each mark vouching for the batch before the one it ends.
    fn segment() -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut ends, mut last) = (Vec::new(), Vec::new(), Id::ZERO);
        for batch in 0..5_u64 {
            let (start, mut crc) = (bytes.len(), 0);
            for i in 1..4 {
                let id = Id::at(batch * 10 + i);
                let (kind, content) = (Kind::Alert, &[&[1; 20][..]][..]);
                let draft = Draft { kind, flags: 0, user: "", id, before: last, topic_before: Id::ZERO, content };
                let head = draft.encode(&mut bytes, RECORDS, SALT);
                crc = crc32c::crc32c_append(crc, &head.to_le_bytes());
                last = id;
            }
            let size = u32::try_from(bytes.len() - start).unwrap();
            let synced = (1, RECORDS + start as u64);
            Mark { last, synced, bytes: size, crc, ..Mark::default() }.encode(&mut bytes, RECORDS, SALT);
            ends.push(bytes.len() as u64 + RECORDS);
        }
        (bytes, ends)
    }

    fn read(bytes: &[u8]) -> (Vec<u64>, Outcome) {
        let mut ids = Vec::new();
        let vouched = vouched_by_marks(bytes, SALT, 1);
        let outcome = accept(bytes, SALT, vouched, Id::ZERO, |record| {
            if record.content.is_some() {
                ids.push(record.head.id.ms);
            }
        });
        (ids, outcome)
    }

    #[test]
    fn a_bad_byte_is_a_hole_where_a_later_mark_vouches_and_else_the_end() {
        let (bytes, ends) = segment();
        let (all, outcome) = read(&bytes);
        assert_eq!((all.len(), outcome.end, outcome.holes.len()), (15, ends[4], 0));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            let (ids, outcome) = read(&bad);
            let batch = ends.iter().position(|end| (at as u64) < end - RECORDS).unwrap();
            if batch == 4 {
                assert!(outcome.end == ends[3] && ids.len() == 12 && outcome.damage.is_empty() || ids == all, "{at}");
            } else {
                assert_eq!(outcome.end, ends[4], "{at}");
                assert!(ids.len() >= 14 && ids.iter().all(|id| all.contains(id)), "{at}");
            }
        }
    }

    #[test]
    fn a_cut_file_ends_at_a_whole_batch_or_tells_of_the_missing_end() {
        let (bytes, ends) = segment();
        for cut in 0..bytes.len() {
            let (ids, outcome) = read(&bytes[..cut]);
            let whole = ends.iter().filter(|end| **end <= RECORDS + cut as u64).count();
            assert_eq!((ids.len(), outcome.damage.len()), (3 * whole, 0), "{cut}");
            let outcome = accept(&bytes[..cut], SALT, ends[4], Id::ZERO, |_| ());
            assert!(outcome.end == ends[4] && !outcome.damage.is_empty(), "{cut}");
        }
    }

    #[test]
    fn arbitrary_bytes_are_walked_through_to_their_end() {
        let mut random = crate::random::Random::new(3);
        for length in 0..3000_u64 {
            let bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
            let mut bad = 0;
            walk(&bytes, RECORDS, SALT, |item| bad += u64::from(matches!(item, Item::Bad { from: RECORDS })));
            assert_eq!(bad, length.min(1));
        }
    }
}
