//! The ends of streams: by the server with a word, by the reader without one, and back to a task.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::net::{Shutdown, shutdown};

use super::super::subscribers::{ListKind, State};
use super::{Fanout, WRITES_PER_SLICE};
use crate::chunked;
use crate::service::{StreamEnd, Transport};
use crate::sse::Bye;

impl Fanout {
    /// Ends some streams of a group that is to end.
    pub(super) fn end_slice(&mut self) {
        let Some((number, serial, bye)) = self.endings.pop_front() else { return };
        for _ in 0..WRITES_PER_SLICE {
            let group = self.ring_queues.group(number).filter(|group| group.serial == serial);
            let Some(first) = group.and_then(|group| group.members.first()) else { return };
            self.finish(first, bye);
        }
        self.endings.push_back((number, serial, bye));
    }

    /// Says why the stream ends, where its socket takes it, and closes it.
    pub(super) fn finish(&mut self, number: u32, bye: Bye) {
        let Some(subscriber) = self.subscribers.get(number) else { return };
        let (group, retry_ms) = (subscriber.group, subscriber.retry_ms);
        let Some(format) = self.ring_queues.group(group).map(|group| group.context.format()) else { return };
        self.detach(number);
        self.broadcast.service.counters().stream_ended(StreamEnd::Bye(bye));
        let unsent = self.subscribers.unsent(number).cloned();
        if bye == Bye::Slow && unsent.is_some() {
            // It takes nothing, and a word inside a chunk would be part of it.
            return self.close(number);
        }
        let last = chunked::chunk(&format.bye(bye, retry_ms.into()));
        let last = [&unsent.unwrap_or_default()[..], &last, chunked::END].concat();
        self.subscribers.set_unsent(number, last.into());
        if let Some(subscriber) = self.subscribers.get(number) {
            (subscriber.state, subscriber.last_write_ms) = (State::Ending, self.now as u32);
        }
        self.resume(number);
        if bye == Bye::Slow {
            self.close(number);
        }
    }

    /// Takes a subscriber out of its queue and group.
    pub(super) fn detach(&mut self, number: u32) {
        let Some(subscriber) = self.subscribers.get(number) else { return };
        let (state, group_number) = (subscriber.state, subscriber.group);
        let Some(group) = self.ring_queues.group(group_number) else { return };
        self.subscribers.unlink(&mut group.members, ListKind::KeyGroup, number);
        let queue = group.queue;
        if state == State::Ready
            && let Some(queue) = self.ring_queues.queue(queue)
        {
            self.subscribers.unlink(&mut queue.ready, ListKind::Ready, number);
        }
        self.ring_queues.leave(group_number, &self.mailbox);
        self.batch.clear();
        self.heartbeat = None;
    }

    /// Lets go of a stream whose reader is gone.
    pub(super) fn drop_gone(&mut self, number: u32, end: StreamEnd) {
        let Some(subscriber) = self.subscribers.get(number) else { return };
        if subscriber.state != State::Ending {
            self.detach(number);
            self.broadcast.service.counters().stream_ended(end);
        }
        drop(self.subscribers.remove(number));
        self.mailbox.left();
    }

    /// Closes a stream that has ended.
    pub(super) fn close(&mut self, number: u32) {
        if let Some((subscriber, _)) = self.subscribers.remove(number) {
            // The reader may be gone before us.
            let _ = shutdown(&subscriber.socket, Shutdown::Write);
            self.mailbox.left();
        }
    }

    /// Its ring no longer has what comes next: a task reads it from the engine, and brings the stream back.
    pub(super) fn hand_back(&mut self, number: u32) {
        let Some(subscriber) = self.subscribers.get(number) else { return };
        let Some(context) = self.ring_queues.group(subscriber.group).map(|group| Arc::clone(&group.context)) else {
            return;
        };
        self.detach(number);
        let Some((mut subscriber, unsent)) = self.subscribers.remove(number) else { return };
        subscriber.slot.set_transport(Transport::Task);
        let _ = epoll::delete(&self.epoll, &subscriber.socket);
        let lifetime = (subscriber.ends_at_s != u32::MAX)
            .then(|| (self.started + Duration::from_secs(subscriber.ends_at_s.into())).into());
        let stream = context.resume(subscriber.cursor, subscriber.retry_ms, lifetime, subscriber.slot);
        let broadcast = Arc::clone(&self.broadcast);
        let follow = async move {
            broadcast.follow(subscriber.socket, subscriber.guard, stream, unsent.unwrap_or_default()).await
        };
        self.broadcast.tasks.spawn_on(follow, &self.broadcast.runtime);
        self.mailbox.left();
    }
}
