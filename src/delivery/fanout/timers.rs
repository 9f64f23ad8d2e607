//! Timers of a loop: heartbeats, and the end of streams whose client is too slow, that reach their maximum age, or whose
//! turn has come in a drain.

use std::time::Duration;

use tokio::time::Instant;

use super::ids::{RingQueueId, SubscriberId};
use super::invariant::present;
use super::subscribers::{ListKind, State, Unsent};
use super::sweep::Sweep;
use super::write::write;
use super::{Fanout, WRITES_PER_SLICE};
use crate::chunked;
use crate::delivery::drain::Drain;
use crate::delivery::endings::StreamEnd;
use crate::delivery::sink::{BYE_TIMEOUT, SLOW_READER_TIMEOUT};
use crate::hub::Held;
use crate::sse::Bye;

/// Whether a visit of the sweep wrote to the socket.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Visit {
    Wrote,
    #[default]
    Quiet,
}

impl Fanout {
    /// Visits the subscribers that are due. True if some are left for the next turn.
    pub(super) fn sweep_slice(&mut self) -> bool {
        let (mut writes, drain, now) = (0, *self.shared.drain.borrow(), Instant::now());
        self.sweep.advance(self.now_ms, self.subscribers.end());
        while let Some(id) = self.sweep.next(self.subscribers.end()) {
            writes += usize::from(self.visit(id, drain, now) == Visit::Wrote);
            if writes == WRITES_PER_SLICE {
                return true;
            }
        }
        false
    }

    fn visit(&mut self, id: SubscriberId, drain: Drain, now: Instant) -> Visit {
        let Some(subscriber) = self.subscribers.get(id) else { return Visit::Quiet };
        let silent = Duration::from_millis((self.now_ms as u32).wrapping_sub(subscriber.last_write_ms).into());
        let group = subscriber.group;
        match subscriber.state {
            State::Ending => {
                if silent > BYE_TIMEOUT {
                    self.close(id);
                }
                Visit::Quiet
            }
            _ if u64::from(subscriber.expires_at_s) <= self.now_ms / 1000 => {
                self.finish(id, Bye::Lifetime);
                Visit::Wrote
            }
            _ if drain.leaves_at(Sweep::place(id)).is_some_and(|at| at <= now) => {
                self.finish(id, Bye::Drain);
                Visit::Wrote
            }
            State::Blocked => {
                if silent > SLOW_READER_TIMEOUT {
                    self.finish(id, Bye::Slow);
                }
                Visit::Quiet
            }
            State::Ready => {
                let group = present!(self.ring_queues.key_group(group), "the key group of a subscriber");
                let (heartbeat, queue) = (group.context.heartbeat, group.queue);
                if silent + Sweep::heartbeat_lead(id, heartbeat) < heartbeat {
                    return Visit::Quiet;
                }
                self.send_heartbeat(id, queue)
            }
        }
    }

    /// Sends a heartbeat to a ready subscriber, unless frames wait for it.
    fn send_heartbeat(&mut self, id: SubscriberId, queue_id: RingQueueId) -> Visit {
        let queue = present!(self.ring_queues.queue(queue_id), "the ring queue of a key group");
        let subscriber = present!(self.subscribers.get(id), "a subscriber that is visited");
        let (end, head) = queue.reader.end();
        // The hub publishes its rings before its head, so the head may be behind what was already sent.
        if subscriber.position < end || subscriber.cursor > head {
            return Visit::Quiet;
        }
        let now_ms = (self.shared.clock)();
        let of = (queue_id, head, now_ms / 1000);
        let heartbeat = match &self.heartbeat {
            Some((known, heartbeat)) if *known == of => heartbeat,
            _ => {
                let heartbeat = chunked::chunk(&queue.reader.format().cursor(Some(head), now_ms));
                &self.heartbeat.insert((of, heartbeat)).1
            }
        };
        match write(&subscriber.socket, heartbeat) {
            Ok(sent) => {
                subscriber.cursor = subscriber.cursor.max(head);
                subscriber.last_write_ms = self.now_ms as u32;
                if sent < heartbeat.len() {
                    // A heartbeat of which nothing was sent is not needed any more.
                    let unsent = (sent > 0).then(|| heartbeat.slice(sent..));
                    subscriber.state = State::Blocked;
                    self.subscribers.unlink(&mut queue.ready, ListKind::Ready, id);
                    if let Some(bytes) = unsent {
                        self.subscribers.set_unsent(id, Unsent { bytes, held: Held::NOTHING });
                    }
                    self.poll_writable(id);
                }
            }
            Err(_) => self.remove(id, StreamEnd::Gone),
        }
        Visit::Wrote
    }
}
