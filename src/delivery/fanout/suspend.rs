//! The end of a loop whose streams another process continues.

use std::time::Duration;

use bytes::Bytes;

use super::Fanout;
use super::ids::SubscriberId;
use super::invariant::present;
use super::mailbox::Command;
use super::subscribers::State;
use crate::alert::Start;
use crate::delivery::endings::StreamEnd;
use crate::delivery::sink::SLOW_READER_TIMEOUT;
use crate::delivery::takeover::CarriedStream;

impl Fanout {
    /// Stops writing and gives all streams away, including those in `waiting`. Streams that are writing their final
    /// bytes are cut off.
    pub(super) fn suspend(&mut self, waiting: impl IntoIterator<Item = Command>) {
        for command in waiting {
            if let Command::Add(stream) = command {
                self.shared.suspension.keep(stream.suspend());
                self.mailbox.stream_left();
            }
        }
        for id in (0..self.subscribers.end()).map(SubscriberId) {
            if self.subscribers.get(id).is_some() {
                if let Some(stream) = self.suspend_one(id) {
                    self.shared.suspension.keep(stream);
                }
                self.mailbox.stream_left();
            }
        }
    }

    fn suspend_one(&mut self, id: SubscriberId) -> Option<CarriedStream> {
        if self.holds_retracted(id) {
            self.shared.counters.stream_ended(StreamEnd::Retracted);
            return None;
        }
        let (subscriber, unsent) = present!(self.subscribers.take(id), "a subscriber to suspend");
        if subscriber.state == State::Ending {
            return None;
        }
        let group = present!(self.ring_queues.key_group(subscriber.group), "the key group of a subscriber");
        let context = std::sync::Arc::clone(&group.context);
        let queue = group.queue;
        let (end, head) = present!(self.ring_queues.queue(queue), "the ring queue of a key group").reader.end();
        // Up to the head nothing else passes its filter, so the next process has nothing to look up.
        let cursor = if subscriber.position < end { subscriber.cursor } else { subscriber.cursor.max(head) };
        let silent = Duration::from_millis((self.now_ms as u32).wrapping_sub(subscriber.last_write_ms).into());
        let patience = (subscriber.state == State::Blocked).then(|| SLOW_READER_TIMEOUT.saturating_sub(silent));
        let expires_at = self.expires_at(subscriber.expires_at_s);
        let unsent = unsent.map_or_else(Bytes::new, |unsent| unsent.bytes);
        let record = context.record(Start::After(cursor), subscriber.retry_ms, expires_at, unsent, patience);
        Some(CarriedStream { socket: subscriber.socket, record })
    }
}
