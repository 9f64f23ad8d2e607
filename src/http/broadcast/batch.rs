//! What goes out in one write: everything from a position of a ring to its end, as one contiguous piece.
//!
//! Owned by a loop, which builds it once for all seats that stand at the same place, so nothing is allocated or copied for
//! each of them.

use bytes::Bytes;

use crate::alert::Id;
use crate::hub::{Chunk, Found, Reader};

/// About so many bytes are offered to a socket at once; more than it takes would be gathered in vain.
const MOST: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Batch {
    /// Of which row, from which position to which.
    of: Option<(u32, u64, u64)>,
    chunks: Vec<Chunk>,
    /// Several chunks in a row; a lone one goes out as it is.
    joined: Vec<u8>,
    alerts: u64,
    /// The ring has more, which is too much for one write.
    full: bool,
}

impl Batch {
    /// Makes this the batch for a seat at `position`, up to `end` or as much as one write may be.
    pub(super) fn fill(&mut self, row: u32, reader: &Reader, position: u64, end: u64) -> Found {
        if let Some((of, from, to)) = self.of
            && (of, from) == (row, position)
            && (to >= end || self.full)
        {
            return Found::Chunks;
        }
        self.clear();
        let found = reader.read(position, MOST, &mut self.chunks);
        if found == Found::Chunks {
            if self.chunks.len() > 1 {
                self.chunks.iter().for_each(|chunk| self.joined.extend_from_slice(&chunk.wire));
            }
            self.alerts = self.chunks.iter().map(|chunk| chunk.alerts).sum();
            let to = position + self.chunks.len() as u64;
            self.full = to < end;
            self.of = Some((row, position, to));
        }
        found
    }

    /// Forgets everything: a row's number may come to stand for another ring.
    pub(super) fn clear(&mut self) {
        self.of = None;
        self.chunks.clear();
        self.joined.clear();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.chunks[..] {
            [only] => &only.wire,
            _ => &self.joined,
        }
    }

    /// How many alerts it holds.
    pub(super) const fn alerts(&self) -> u64 {
        self.alerts
    }

    /// The position behind it.
    pub(super) fn to(&self) -> u64 {
        self.of.map_or(0, |(_, _, to)| to)
    }

    /// The id of its last alert.
    pub(super) fn last(&self) -> Id {
        self.chunks.last().map_or(Id::ZERO, |chunk| chunk.last)
    }

    /// Where a socket stands that took `sent` bytes, and what is left of the chunk that it took in part: the position
    /// behind that chunk, the id up to which it then has everything, the rest, and the alerts up to there.
    pub(super) fn cut(&self, mut sent: usize) -> Option<(u64, Id, Bytes, u64)> {
        let (_, from, _) = self.of?;
        let (mut position, mut alerts, mut last) = (from, 0, None);
        for chunk in &self.chunks {
            if sent == 0 {
                break;
            }
            (position, alerts, last) = (position + 1, alerts + chunk.alerts, Some(chunk.last));
            match sent.checked_sub(chunk.wire.len()) {
                Some(behind) => sent = behind,
                None => return Some((position, chunk.last, chunk.wire.slice(sent..), alerts)),
            }
        }
        last.map(|last| (position, last, Bytes::new(), alerts))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::{Draft, Filter, Level, Metadata, Topic};
    use crate::hub::{Hub, Listener, Settings};
    use crate::sse::Format;

    struct Deaf;

    impl Listener for Deaf {
        fn news(&self, _: u32) {}
    }

    #[test]
    fn a_batch_that_is_full_serves_all_seats_at_its_place() {
        let settings = Settings { memory: 4 << 20, max_subscriptions: 1, max_subscriptions_per_key: 1 };
        let hub = Hub::new(settings, Id::ZERO);
        let subscription = hub.subscribe(&Filter::new(["*".parse().unwrap()], Level::Info), Format::Sse, "k");
        let reader = subscription.reader(Arc::new(Deaf), 0).unwrap();
        let feed = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                let message = "m".repeat(4000);
                let draft = Draft::new(Topic::fallback(), message, Level::Info, Metadata::default()).unwrap();
                hub.deliver(&[draft.record(Id::at(number), number)]);
            }
        };
        feed(1..201);
        let (end, _) = reader.end();
        let mut batch = Batch::default();
        assert_eq!(batch.fill(0, &reader, 0, end), Found::Chunks);
        let (bytes, to) = (batch.bytes().len(), batch.to());
        assert!(bytes <= MOST && bytes > MOST - 5000 && to < end, "{bytes} bytes up to {to} of {end}");
        // The ring moves on, but what was gathered is still there for the next seat.
        hub.configure(Settings { memory: 1 << 20, ..settings });
        feed(201..301);
        assert_eq!(reader.read(0, MOST, &mut Vec::new()), Found::Overwritten);
        assert_eq!(batch.fill(0, &reader, 0, end), Found::Chunks);
        assert_eq!((batch.bytes().len(), batch.to()), (bytes, to));
        assert_eq!(batch.fill(0, &reader, to, end), Found::Overwritten);
    }
}
