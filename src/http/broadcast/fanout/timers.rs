//! What time asks for: heartbeats, and the ends of streams that are too slow or old enough.

use std::time::Duration;

use bytes::Bytes;

use super::super::subscribers::{ListKind, State};
use super::super::sweep::Sweep;
use super::write::write;
use super::{Fanout, WRITES_PER_SLICE};
use crate::chunked;
use crate::service::{BYE_TIMEOUT, SLOW_READER_TIMEOUT, StreamEnd};
use crate::sse::Bye;

impl Fanout {
    /// Moves the clock's sweep on over some subscribers; true where it is behind.
    pub(super) fn sweep_slice(&mut self) -> bool {
        let mut writes = 0;
        self.sweep.advance(self.now, self.subscribers.end());
        while let Some(number) = self.sweep.next(self.subscribers.end()) {
            writes += usize::from(self.check_timers(number));
            if writes == WRITES_PER_SLICE {
                return true;
            }
        }
        false
    }

    /// Does what time asks for; true where that was a write.
    pub(super) fn check_timers(&mut self, number: u32) -> bool {
        let Some(subscriber) = self.subscribers.get(number) else { return false };
        let silent = Duration::from_millis((self.now as u32).wrapping_sub(subscriber.last_write_ms).into());
        let (state, group) = (subscriber.state, subscriber.group);
        if state == State::Ending {
            if silent > BYE_TIMEOUT {
                self.close(number);
            }
            return false;
        }
        if u64::from(subscriber.ends_at_s) <= self.now / 1000 {
            self.finish(number, Bye::Lifetime);
            return true;
        }
        if state == State::Blocked {
            if silent > SLOW_READER_TIMEOUT {
                self.finish(number, Bye::Slow);
            }
            return false;
        }
        let Some(group) = self.ring_queues.group(group) else { return false };
        let (heartbeat, queue) = (group.context.heartbeat(), group.queue);
        silent + Sweep::catch_up(number, heartbeat) >= heartbeat && self.send_heartbeat(number, queue)
    }

    /// A heartbeat of life for a subscriber that has had everything; true where it was sent.
    pub(super) fn send_heartbeat(&mut self, number: u32, queue_number: u32) -> bool {
        let (Some(queue), Some(subscriber)) = (self.ring_queues.queue(queue_number), self.subscribers.get(number))
        else {
            return false;
        };
        let (end, head) = queue.reader.end();
        // For a moment the head is behind what the ring has given out already.
        if subscriber.position < end || subscriber.cursor > head {
            return false;
        }
        let heartbeat = match &self.heartbeat {
            Some((of, id, heartbeat)) if (*of, *id) == (queue_number, head) => heartbeat,
            _ => {
                &self
                    .heartbeat
                    .insert((queue_number, head, chunked::chunk(&queue.reader.format().cursor(Some(head)))))
                    .2
            }
        };
        match write(&subscriber.socket, heartbeat) {
            Ok(sent) => {
                subscriber.cursor = subscriber.cursor.max(head);
                subscriber.last_write_ms = self.now as u32;
                if sent < heartbeat.len() {
                    let unsent = if sent == 0 { Bytes::new() } else { heartbeat.slice(sent..) };
                    subscriber.state = State::Blocked;
                    self.subscribers.unlink(&mut queue.ready, ListKind::Ready, number);
                    self.subscribers.set_unsent(number, unsent);
                    self.poll_writable(number);
                }
                true
            }
            Err(_) => {
                self.drop_gone(number, StreamEnd::Gone);
                true
            }
        }
    }
}
