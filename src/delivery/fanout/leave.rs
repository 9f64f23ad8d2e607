//! How streams leave a loop: ended by the server with a `bye`, by the client without one, or handed back to a task.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::epoll;
use rustix::net::{Shutdown, shutdown};
use tokio::time::Instant;

use super::ids::{KeyGroupId, SubscriberId};
use super::invariant::present;
use super::subscribers::{ListKind, State, Unsent};
use super::{Fanout, WRITES_PER_SLICE};
use crate::chunked;
use crate::delivery::endings::StreamEnd;
use crate::delivery::socket_sink::SocketSink;
use crate::delivery::stream::Stream;
use crate::hub::Held;
use crate::sse::Bye;

impl Fanout {
    /// Schedules the end of a key group, and closes it to new streams.
    pub(super) fn end_group(&mut self, group: KeyGroupId, serial: u64, bye: Bye) {
        if self.ring_queues.close(group, serial) {
            self.ending_groups.push_back((group, serial, bye));
        }
    }

    /// Ends some streams of a key group whose end is scheduled.
    pub(super) fn end_slice(&mut self) {
        let Some((id, serial, bye)) = self.ending_groups.pop_front() else { return };
        for _ in 0..WRITES_PER_SLICE {
            let group = self.ring_queues.key_group(id).filter(|group| group.serial == serial);
            let Some(first) = group.and_then(|group| group.members.first()) else { return };
            self.finish(first, bye);
        }
        self.ending_groups.push_back((id, serial, bye));
    }

    /// Ends a stream with a `bye`, and closes it once its socket has taken that.
    pub(super) fn finish(&mut self, id: SubscriberId, bye: Bye) {
        let subscriber = present!(self.subscribers.get(id), "a subscriber to end");
        let (group, retry_ms) = (subscriber.group, subscriber.retry_ms);
        let group = present!(self.ring_queues.key_group(group), "the key group of a subscriber");
        let last = chunked::last(&group.context.format.bye(bye, retry_ms.into()));
        let is_retracted = self.holds_retracted(id);
        self.leave_lists(id);
        self.shared.counters.stream_ended(StreamEnd::Bye(bye));
        let unsent = self.subscribers.unsent(id);
        if unsent.is_some() && (bye == Bye::Slow || is_retracted) {
            // The socket took part of a chunk, so the client would read a bye as the rest of that chunk.
            return self.close(id);
        }
        let (rest, held) = unsent.map_or((&[][..], Held::NOTHING), |unsent| (&unsent.bytes, unsent.held));
        let bytes = [rest, &last].concat().into();
        self.subscribers.set_unsent(id, Unsent { bytes, held });
        let subscriber = present!(self.subscribers.get(id), "a subscriber to end");
        (subscriber.state, subscriber.last_write_ms) = (State::Ending, self.now_ms as u32);
        self.resume(id);
        if bye == Bye::Slow {
            self.close(id);
        }
    }

    /// Removes a subscriber from the lists of its ring queue and key group.
    fn leave_lists(&mut self, id: SubscriberId) {
        let subscriber = present!(self.subscribers.get(id), "a subscriber of a key group");
        let (state, group_id) = (subscriber.state, subscriber.group);
        let group = present!(self.ring_queues.key_group(group_id), "the key group of a subscriber");
        self.subscribers.unlink(&mut group.members, ListKind::KeyGroup, id);
        let queue_id = group.queue;
        if state == State::Ready {
            let queue = present!(self.ring_queues.queue(queue_id), "the ring queue of a key group");
            self.subscribers.unlink(&mut queue.ready, ListKind::Ready, id);
        }
        self.ring_queues.remove_if_empty(group_id, &self.mailbox);
        // The id of the ring queue may be reused for another ring.
        self.batch.clear();
        self.heartbeat = None;
    }

    /// Removes a stream whose socket can no longer be written to.
    pub(super) fn remove(&mut self, id: SubscriberId, end: StreamEnd) {
        if present!(self.subscribers.get(id), "a subscriber to remove").state != State::Ending {
            self.leave_lists(id);
            self.shared.counters.stream_ended(end);
        }
        drop(self.subscribers.remove(id));
        self.mailbox.stream_left();
    }

    /// Closes a stream that has ended, unless writing its final bytes has closed it already.
    pub(super) fn close(&mut self, id: SubscriberId) {
        if let Some((subscriber, _)) = self.subscribers.remove(id) {
            // This fails if the client has disconnected, which is as good.
            let _ = shutdown(&subscriber.socket, Shutdown::Write);
            self.mailbox.stream_left();
        }
    }

    /// Gives a stream whose ring no longer has its next frames to a task, which reads them from the log and brings
    /// the stream back.
    pub(super) fn hand_back(&mut self, id: SubscriberId) {
        let group = present!(self.subscribers.get(id), "a subscriber to hand back").group;
        let group = present!(self.ring_queues.key_group(group), "the key group of a subscriber");
        let context = Arc::clone(&group.context);
        self.leave_lists(id);
        let (subscriber, unsent) = present!(self.subscribers.remove(id), "a subscriber to hand back");
        let _ = epoll::delete(&self.epoll, &subscriber.socket);
        let (expires_at, unsent) =
            (self.expires_at(subscriber.expires_at_s), unsent.map_or_else(Bytes::new, |it| it.bytes));
        let stream = Stream::resume(context, subscriber.cursor, subscriber.retry_ms, expires_at, subscriber.slot);
        let sink = SocketSink::new(subscriber.socket, unsent, subscriber.connection);
        let (loops, task) = (Arc::clone(&self.shared.loops), self.shared.suspension.task());
        self.shared.runtime.spawn(async move {
            loops.carry(stream, sink).await;
            drop(task);
        });
        self.mailbox.stream_left();
    }

    /// When a subscriber reaches its maximum age.
    pub(super) fn expires_at(&self, expires_at_s: u32) -> Option<Instant> {
        (expires_at_s != u32::MAX).then(|| (self.started + Duration::from_secs(expires_at_s.into())).into())
    }
}
