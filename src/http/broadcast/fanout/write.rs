//! Writing to subscribers: what is new, and what a socket left over.

use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::super::subscribers::{ListKind, State};
use super::{BEHIND_BYTES, BYTES_PER_SLICE, Fanout, WRITES_PER_SLICE};
use crate::hub::ReadOutcome;
use crate::service::StreamEnd;

impl Fanout {
    pub(super) fn enqueue(&mut self, number: u32) {
        if let Some(queue) = self.ring_queues.queue(number)
            && !std::mem::replace(&mut queue.queued, true)
        {
            self.pending.push_back(number);
        }
    }

    /// Serves some subscribers of one queue that has news.
    pub(super) fn serve_slice(&mut self) {
        let number = self.pending.pop_front();
        let behind = number.is_some_and(|number| self.serve_queue(number));
        if behind != self.behind {
            self.behind = behind;
            self.broadcast.service.backpressure().set_behind(behind);
        }
    }

    /// True where the last of the subscribers that were served had much left to get.
    pub(super) fn serve_queue(&mut self, number: u32) -> bool {
        let Some(queue) = self.ring_queues.queue(number) else { return false };
        queue.queued = false;
        let (end, _) = queue.reader.end();
        let (mut behind, mut bytes) = (false, 0);
        for _ in 0..WRITES_PER_SLICE {
            let Some(queue) = self.ring_queues.queue(number) else { return false };
            let Some(first) = queue.ready.first() else { return false };
            if bytes >= BYTES_PER_SLICE {
                break;
            }
            if self.subscribers.get(first).is_none_or(|subscriber| subscriber.position >= end) {
                return false;
            }
            self.subscribers.unlink(&mut queue.ready, ListKind::Ready, first);
            self.serve(first, number, end);
            let served = self.batch.bytes().len();
            behind = served > BEHIND_BYTES;
            bytes += served;
        }
        self.enqueue(number);
        behind
    }

    /// Writes what a subscriber that is in no ready list has not had, and puts it where it then belongs.
    pub(super) fn serve(&mut self, number: u32, queue_number: u32, end: u64) {
        let (Some(queue), Some(subscriber)) = (self.ring_queues.queue(queue_number), self.subscribers.get(number))
        else {
            return;
        };
        match self.batch.fill(queue_number, &queue.reader, subscriber.position, end) {
            ReadOutcome::Chunks => {}
            ReadOutcome::Nothing => {
                subscriber.state = State::Ready;
                return self.subscribers.push_last(&mut queue.ready, ListKind::Ready, number);
            }
            ReadOutcome::Overwritten => {
                subscriber.state = State::Blocked;
                return self.hand_back(number);
            }
        }
        let bytes = self.batch.bytes();
        match write(&subscriber.socket, bytes) {
            Ok(sent) if sent == bytes.len() => {
                (subscriber.position, subscriber.cursor) = (self.batch.to(), self.batch.last());
                (subscriber.last_write_ms, subscriber.state) = (self.now as u32, State::Ready);
                self.batch.take();
                if subscriber.position >= end {
                    self.subscribers.push_last(&mut queue.ready, ListKind::Ready, number);
                } else {
                    // The furthest behind stays the first.
                    self.subscribers.push_first(&mut queue.ready, ListKind::Ready, number);
                    self.enqueue(queue_number);
                }
            }
            Ok(sent) => {
                (subscriber.last_write_ms, subscriber.state) = (self.now as u32, State::Blocked);
                if let Some((position, cursor, unsent)) = self.batch.take_part(sent) {
                    (subscriber.position, subscriber.cursor) = (position, cursor);
                    self.subscribers.set_unsent(number, unsent);
                }
                self.poll_writable(number);
            }
            Err(_) => {
                subscriber.state = State::Blocked;
                self.drop_gone(number, StreamEnd::Gone);
            }
        }
    }

    /// The socket may have room: writes what is left, then what is new.
    pub(super) fn resume(&mut self, number: u32) {
        let Some(subscriber) = self.subscribers.get(number) else { return };
        let (state, group) = (subscriber.state, subscriber.group);
        if state == State::Ready || !self.write_unsent(number) {
            return;
        }
        if state == State::Ending {
            return self.close(number);
        }
        let Some(queue_number) = self.ring_queues.group(group).map(|group| group.queue) else { return };
        let Some(queue) = self.ring_queues.queue(queue_number) else { return };
        let (end, _) = queue.reader.end();
        self.serve(number, queue_number, end);
    }

    /// Has the loop handle_event when the socket has room. It is told at once where that is so already.
    pub(super) fn poll_writable(&mut self, number: u32) {
        if let Some(subscriber) = self.subscribers.get(number)
            && !std::mem::replace(&mut subscriber.polls_writable, true)
        {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            // It fails only where the kernel has no memory; then the stream ends as one that takes nothing.
            let _ = epoll::modify(&self.epoll, &subscriber.socket, EventData::new_u64(number.into()), flags);
        }
    }

    /// Whether nothing is left of what the socket took in part.
    pub(super) fn write_unsent(&mut self, number: u32) -> bool {
        let Some(unsent) = self.subscribers.unsent(number).cloned() else { return true };
        let Some(subscriber) = self.subscribers.get(number) else { return false };
        match write(&subscriber.socket, &unsent) {
            Ok(sent) => {
                if sent > 0 {
                    subscriber.last_write_ms = self.now as u32;
                    self.subscribers.set_unsent(number, unsent.slice(sent..));
                }
                if sent < unsent.len() {
                    self.poll_writable(number);
                }
                sent == unsent.len()
            }
            Err(_) => {
                self.drop_gone(number, StreamEnd::Gone);
                false
            }
        }
    }
}

/// What the socket took; nothing where it is full.
pub(super) fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}
