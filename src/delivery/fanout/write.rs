//! Writes to subscribers: new frames of their ring, and bytes that their socket has not accepted yet.

use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::ids::{RingQueueId, SubscriberId};
use super::invariant::present;
use super::subscribers::{ListKind, State};
use super::{BEHIND_BYTES, BYTES_PER_SLICE, Fanout, WRITES_PER_SLICE};
use crate::delivery::endings::StreamEnd;
use crate::hub::ReadOutcome;

impl Fanout {
    /// Schedules a ring queue with news to be served. Its ring may have been removed since.
    pub(super) fn enqueue(&mut self, id: RingQueueId) {
        if let Some(queue) = self.ring_queues.queue(id)
            && !std::mem::replace(&mut queue.is_pending, true)
        {
            self.pending.push_back(id);
        }
    }

    /// Serves some subscribers of one ring queue that has news.
    pub(super) fn serve_slice(&mut self) {
        let next = self.pending.pop_front();
        let is_behind = next.is_some_and(|queue| self.serve_queue(queue) > BEHIND_BYTES);
        if is_behind != self.is_behind {
            self.is_behind = is_behind;
            if is_behind {
                self.shared.backpressure.loop_fell_behind();
            } else {
                self.shared.backpressure.loop_caught_up();
            }
        }
    }

    /// Returns how many bytes the last of the served subscribers was behind; 0 if all subscribers have everything.
    fn serve_queue(&mut self, id: RingQueueId) -> usize {
        let Some(queue) = self.ring_queues.queue(id) else { return 0 };
        queue.is_pending = false;
        let (end, _) = queue.reader.end();
        let (mut last, mut total) = (0, 0);
        for _ in 0..WRITES_PER_SLICE {
            // Serving a subscriber may remove it, and its ring queue with it.
            let Some(queue) = self.ring_queues.queue(id) else { return 0 };
            let Some(first) = queue.ready.first() else { return 0 };
            if total >= BYTES_PER_SLICE {
                break;
            }
            if present!(self.subscribers.get(first), "a ready subscriber").position >= end {
                return 0;
            }
            self.subscribers.unlink(&mut queue.ready, ListKind::Ready, first);
            self.serve(first, id, end);
            last = self.batch.bytes().len();
            total += last;
        }
        self.enqueue(id);
        last
    }

    /// Writes new frames to a subscriber that is in no ready list, and puts it into the list for its new state.
    fn serve(&mut self, id: SubscriberId, queue_id: RingQueueId, end: u64) {
        let queue = present!(self.ring_queues.queue(queue_id), "the ring queue of a subscriber");
        let subscriber = present!(self.subscribers.get(id), "a subscriber to serve");
        match self.batch.fill(queue_id, &queue.reader, subscriber.position, end) {
            ReadOutcome::Chunks => {}
            ReadOutcome::Nothing => {
                subscriber.state = State::Ready;
                return self.subscribers.push_last(&mut queue.ready, ListKind::Ready, id);
            }
            outcome @ (ReadOutcome::Overwritten | ReadOutcome::Retracted) => {
                subscriber.state = State::Blocked;
                if outcome == ReadOutcome::Overwritten {
                    self.shared.counters.stream_overtaken();
                }
                return self.hand_back(id);
            }
        }
        let bytes = self.batch.bytes();
        match write(&subscriber.socket, bytes) {
            Ok(sent) if sent == bytes.len() => {
                (subscriber.position, subscriber.cursor) = (self.batch.to(), self.batch.last());
                (subscriber.last_write_ms, subscriber.state) = (self.now_ms as u32, State::Ready);
                self.batch.sent();
                if subscriber.position >= end {
                    self.subscribers.push_last(&mut queue.ready, ListKind::Ready, id);
                } else {
                    // It stays the first, because it is the furthest behind.
                    self.subscribers.push_first(&mut queue.ready, ListKind::Ready, id);
                    self.enqueue(queue_id);
                }
            }
            Ok(sent) => {
                (subscriber.last_write_ms, subscriber.state) = (self.now_ms as u32, State::Blocked);
                if let Some((position, cursor, unsent)) = self.batch.sent_part(sent) {
                    (subscriber.position, subscriber.cursor) = (position, cursor);
                    if let Some(unsent) = unsent {
                        self.subscribers.set_unsent(id, unsent);
                    }
                }
                self.poll_writable(id);
            }
            Err(_) => {
                subscriber.state = State::Blocked;
                self.remove(id, StreamEnd::Gone);
            }
        }
    }

    /// Writes to a subscriber that waited for room: first its unsent bytes, then new frames.
    pub(super) fn resume(&mut self, id: SubscriberId) {
        let subscriber = present!(self.subscribers.get(id), "a subscriber to resume");
        let (state, group) = (subscriber.state, subscriber.group);
        if state == State::Ready || !self.write_unsent(id) {
            return;
        }
        if state == State::Ending {
            return self.close(id);
        }
        let queue_id = present!(self.ring_queues.key_group(group), "the key group of a subscriber").queue;
        let (end, _) = present!(self.ring_queues.queue(queue_id), "the ring queue of a key group").reader.end();
        self.serve(id, queue_id, end);
    }

    /// Makes epoll report when the socket has room, which it does at once if there is room already.
    pub(super) fn poll_writable(&mut self, id: SubscriberId) {
        let subscriber = present!(self.subscribers.get(id), "a subscriber that is blocked");
        if !std::mem::replace(&mut subscriber.polls_writable, true) {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            // This fails only if the kernel has no memory; the stream then ends as a slow one.
            let _ = epoll::modify(&self.epoll, &subscriber.socket, EventData::new_u64(id.0.into()), flags);
        }
    }

    /// Whether the unsent bytes of a subscriber may have an alert that was retracted.
    pub(super) fn holds_retracted(&mut self, id: SubscriberId) -> bool {
        let Some(held) = self.subscribers.unsent(id).map(|unsent| unsent.held) else { return false };
        let group = present!(self.subscribers.get(id), "a subscriber with unsent bytes").group;
        // One that is ending is in no group any more.
        let group = self.ring_queues.key_group(group);
        group.is_some_and(|group| group.context.has_retracted(&held))
    }

    /// Writes the unsent bytes. True if none are left.
    fn write_unsent(&mut self, id: SubscriberId) -> bool {
        if self.holds_retracted(id) {
            // The client would take anything else for the rest of the chunk.
            self.remove(id, StreamEnd::Retracted);
            return false;
        }
        let Some(unsent) = self.subscribers.unsent(id).map(|unsent| unsent.bytes.clone()) else { return true };
        let subscriber = present!(self.subscribers.get(id), "a subscriber with unsent bytes");
        match write(&subscriber.socket, &unsent) {
            Ok(sent) => {
                if sent > 0 {
                    subscriber.last_write_ms = self.now_ms as u32;
                    self.subscribers.sent(id, sent);
                }
                if sent < unsent.len() {
                    self.poll_writable(id);
                }
                sent == unsent.len()
            }
            Err(_) => {
                self.remove(id, StreamEnd::Gone);
                false
            }
        }
    }
}

/// The number of bytes that the socket took; 0 if it is full.
pub(super) fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}
