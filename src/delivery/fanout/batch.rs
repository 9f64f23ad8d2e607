//! What goes out in one write: everything from a position of a ring to its end, as one contiguous piece.
//!
//! Owned by a loop, which builds it once for all subscribers at the same position, so nothing is allocated or copied for
//! each of them.

use super::ids::RingQueueId;
use super::subscribers::Unsent;
use crate::alert::Id;
use crate::hub::{Chunk, Held, ReadOutcome, RingReader};

/// The approximate size of one write. Beyond it the socket would rarely accept what was gathered.
const MAX_BATCH_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Batch {
    /// The ring queue, and the positions from which and up to which the batch goes.
    of: Option<(RingQueueId, u64, u64)>,
    chunks: Vec<Chunk>,
    /// The bytes of several chunks; a single one is sent as it is.
    joined: Vec<u8>,
    /// Subscribers that were sent the whole batch and are not yet in the tally.
    taken: u64,
    /// What was delivered since it was last counted: the time of receipt, and the number of alerts.
    tally: Vec<(u64, u64)>,
    /// The ring has more, but that is too much for one write.
    full: bool,
    /// How many alerts had been retracted before it was filled.
    since: u64,
}

impl Batch {
    /// Makes this the batch for a subscriber at `position`: up to `end`, or as much as one write may be.
    pub(super) fn fill(&mut self, queue: RingQueueId, reader: &RingReader, position: u64, end: u64) -> ReadOutcome {
        let since = reader.retractions();
        if let Some((of, from, to)) = self.of
            && (of, from, since) == (queue, position, self.since)
            && (to >= end || self.full)
        {
            return ReadOutcome::Chunks;
        }
        self.clear();
        self.since = since;
        let outcome = reader.read(position, MAX_BATCH_BYTES, &mut self.chunks);
        if outcome == ReadOutcome::Chunks {
            if self.chunks.len() > 1 {
                self.chunks.iter().for_each(|chunk| self.joined.extend_from_slice(&chunk.wire));
            }
            let to = position + self.chunks.len() as u64;
            self.full = to < end;
            self.of = Some((queue, position, to));
        }
        outcome
    }

    /// Empties the batch. Required when a ring queue is removed, because its id may be reused for another ring.
    pub(super) fn clear(&mut self) {
        self.settle();
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

    /// Counts a subscriber that was sent the whole batch.
    pub(super) const fn sent(&mut self) {
        self.taken += 1;
    }

    /// What was delivered since the last call: the time of receipt, and the number of alerts.
    pub(super) fn delivered(&mut self) -> std::vec::Drain<'_, (u64, u64)> {
        self.settle();
        self.tally.drain(..)
    }

    /// Adds the batch to the tally once for all subscribers that were sent it, so that each of them costs only an
    /// addition.
    fn settle(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            self.chunks.iter().for_each(|chunk| count(&mut self.tally, chunk, taken));
        }
    }

    /// The position after the batch.
    pub(super) fn to(&self) -> u64 {
        self.of.map_or(0, |(_, _, to)| to)
    }

    /// The id of the last alert.
    pub(super) fn last(&self) -> Id {
        self.chunks.last().map_or(Id::ZERO, |chunk| chunk.last)
    }

    /// Counts a subscriber whose socket took only the first `sent` bytes. A partly sent chunk counts as delivered: the
    /// result is the position after it, the id of its last alert, and the rest of its bytes, if any. None if nothing was
    /// sent.
    pub(super) fn sent_part(&mut self, mut sent: usize) -> Option<(u64, Id, Option<Unsent>)> {
        let (_, from, _) = self.of?;
        let (mut position, mut last) = (from, None);
        for chunk in &self.chunks {
            if sent == 0 {
                break;
            }
            (position, last) = (position + 1, Some(chunk.last));
            count(&mut self.tally, chunk, 1);
            match sent.checked_sub(chunk.wire.len()) {
                Some(behind) => sent = behind,
                None => {
                    let held = Held { since: self.since, after: chunk.first.predecessor(), upto: chunk.last };
                    return Some((position, chunk.last, Some(Unsent { bytes: chunk.wire.slice(sent..), held })));
                }
            }
        }
        last.map(|last| (position, last, None))
    }
}

/// Adds a chunk that was sent to `subscribers`. Alerts of one commit have one time of receipt, so the tally stays short.
fn count(tally: &mut Vec<(u64, u64)>, chunk: &Chunk, subscribers: u64) {
    let alerts = chunk.alerts * subscribers;
    match tally.last_mut() {
        Some((received_ms, number)) if *received_ms == chunk.received_ms => *number += alerts,
        _ => tally.push((chunk.received_ms, alerts)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::{Draft, Filter, Level, Metadata, Topic};
    use crate::hub::{Hub, RingListener, RingTag, Settings};
    use crate::sse::Format;

    struct Silent;

    impl RingListener for Silent {
        fn news(&self, _: RingTag) {}
    }

    #[test]
    fn a_batch_that_is_full_serves_all_subscribers_at_its_position() {
        let settings = Settings { memory: 4 << 20, max_subscriptions: 1, max_subscriptions_per_key: 1 };
        let hub = Hub::new(settings, Id::ZERO);
        let filter = Arc::new(Filter::new(["*".parse().unwrap()], Level::Info));
        let subscription = hub.subscribe(&filter, &Format::Sse, "k");
        let reader = subscription.reader(Arc::new(Silent), RingTag(0)).unwrap();
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
        assert_eq!(batch.fill(RingQueueId(0), &reader, 0, end), ReadOutcome::Chunks);
        let (bytes, to) = (batch.bytes().len(), batch.to());
        assert!(
            bytes <= MAX_BATCH_BYTES && bytes > MAX_BATCH_BYTES - 5000 && to < end,
            "{bytes} bytes up to {to} of {end}"
        );
        // The ring moves on, but what was gathered is still there for the next subscriber.
        hub.configure(Settings { memory: 1 << 20, ..settings });
        feed(201..301);
        assert_eq!(reader.read(0, MAX_BATCH_BYTES, &mut Vec::new()), ReadOutcome::Overwritten);
        assert_eq!(batch.fill(RingQueueId(0), &reader, 0, end), ReadOutcome::Chunks);
        assert_eq!((batch.bytes().len(), batch.to()), (bytes, to));
        // Two subscribers are sent all of it, a third one up to the middle of its second chunk.
        let alerts: u64 = batch.chunks.iter().map(|chunk| chunk.alerts).sum();
        let first = batch.chunks[0].wire.len();
        batch.sent();
        batch.sent();
        let (position, _, unsent) = batch.sent_part(first + 1).unwrap();
        assert_eq!((position, unsent.unwrap().bytes.len()), (2, batch.chunks[1].wire.len() - 1));
        assert_eq!(batch.fill(RingQueueId(0), &reader, to, end), ReadOutcome::Overwritten);
        let delivered: Vec<_> = batch.delivered().collect();
        assert_eq!(delivered.iter().map(|(_, alerts)| alerts).sum::<u64>(), 2 * alerts + 2);
        assert!(
            delivered.iter().filter(|(received_ms, _)| *received_ms == 1).all(|(_, alerts)| [1, 2].contains(alerts))
        );
        assert!(batch.delivered().next().is_none());
    }
}
