//! The loop that writes to the sockets of its subscribers.
//!
//! It runs on a thread of its own, and does a bounded amount of work before it looks at anything else: a slice of subscribers of
//! one queue, then what sockets and other threads have to say, then the clock's sweep moves on. A subscriber that is served gets
//! everything from its position to the ring's end in one write, so the busier the loop is, the more each write carries.
//! Between two slices it lets other threads run, which answer requests meanwhile; where subscribers with room in their sockets
//! have much left to get, it has publishers held back for a moment.

mod leave;
mod timers;
mod write;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::batch::Batch;
use super::mailbox::{Command, Mailbox};
use super::ring_queues::RingQueues;
use super::subscribers::{ListKind, State, Subscriber, SubscriberSlab};
use super::sweep::Sweep;
use super::{Broadcast, Handover};
use crate::alert::Id;
use crate::service::StreamEnd;
use crate::sse::Bye;

/// Writes, and bytes, of one slice. The fewer, the sooner requests are answered under load, and the more each write carries.
const WRITES_PER_SLICE: usize = 64;
const BYTES_PER_SLICE: usize = 4 << 20;
/// Bytes that a subscriber with room in its socket may have left to get before publishers are held back. With fewer a burst waits
/// more than it gains; as much as one write takes is never exceeded, so that nobody would be held.
const BEHIND_BYTES: usize = 128 << 10;
/// Commands, and events of sockets, that are looked at between two slices.
const COMMANDS_PER_TURN: usize = 64;
const EVENTS_PER_TURN: usize = 256;
/// Stands for the mailbox's waker among the events.
const WAKER: u64 = u64::MAX;

pub(super) struct Fanout {
    broadcast: Arc<Broadcast>,
    mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    subscribers: SubscriberSlab,
    ring_queues: RingQueues,
    /// RingQueues with news that not all of their ready subscribers have had.
    pending: VecDeque<u32>,
    /// Groups whose streams are being ended, with their serial numbers.
    endings: VecDeque<(u32, u64, Bye)>,
    batch: Batch,
    sweep: Sweep,
    /// The heartbeat of life for subscribers of this queue that have had everything up to this id.
    heartbeat: Option<(u32, Id, Bytes)>,
    started: Instant,
    /// Milliseconds since then, as of this turn of the loop.
    now: u64,
    /// Publishers are held back.
    behind: bool,
}

impl Fanout {
    pub(super) fn new(broadcast: Arc<Broadcast>, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge-triggered: each ring of the waker is an event, so it never has to be read.
        epoll::add(&epoll, mailbox.waker(), EventData::new_u64(WAKER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            broadcast,
            mailbox,
            epoll,
            subscribers: SubscriberSlab::default(),
            ring_queues: RingQueues::default(),
            pending: VecDeque::new(),
            endings: VecDeque::new(),
            batch: Batch::default(),
            sweep: Sweep::default(),
            heartbeat: None,
            started: Instant::now(),
            now: 0,
            behind: false,
        })
    }

    pub(super) fn run(mut self) {
        let (mut commands, mut news) = (VecDeque::new(), Vec::new());
        let mut events = Vec::with_capacity(EVENTS_PER_TURN);
        loop {
            self.now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.mailbox.take(&mut commands, &mut news);
            news.drain(..).for_each(|queue| self.enqueue(queue));
            for command in commands.drain(..COMMANDS_PER_TURN.min(commands.len())) {
                match command {
                    Command::Add(handover) => self.add(*handover),
                    Command::StreamEnd { group, serial, bye } if self.ring_queues.close(group, serial) => {
                        self.endings.push_back((group, serial, bye));
                    }
                    Command::StreamEnd { .. } => {}
                    Command::Quit => return,
                }
            }
            self.serve_slice();
            self.end_slice();
            let looking = self.sweep_slice();
            let busy = looking || !(self.pending.is_empty() && commands.is_empty() && self.endings.is_empty());
            self.wait(&mut events, busy);
            for event in events.drain(..) {
                self.handle_event(event);
            }
            self.count();
            if busy {
                std::thread::yield_now();
            }
        }
    }

    /// Waits for sockets, the waker or the clock; where there is work, only looks.
    fn wait(&self, events: &mut Vec<epoll::Event>, busy: bool) {
        let patience = if busy || !self.mailbox.may_sleep() {
            Some(Duration::ZERO)
        } else {
            (!self.subscribers.is_empty()).then(|| self.sweep.unsent(self.now))
        };
        let timeout = patience.and_then(|patience| patience.try_into().ok());
        // It fails only where a signal comes in between: then the next turn looks again.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref());
        self.mailbox.awake();
    }

    fn handle_event(&mut self, event: epoll::Event) {
        let Ok(number) = u32::try_from(event.data.u64()) else { return };
        let flags = event.flags;
        if flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            return self.drop_gone(number, StreamEnd::Gone);
        }
        if flags.contains(EventFlags::OUT) {
            self.resume(number);
        }
        if flags.contains(EventFlags::IN)
            && let Some(subscriber) = self.subscribers.get(number)
        {
            // Nobody asks anything on an open stream. What comes all the same stays in the kernel, which stops the
            // sender when its own buffer is full.
            subscriber.polls_writable = true;
            let flags = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let _ = epoll::modify(&self.epoll, &subscriber.socket, EventData::new_u64(number.into()), flags);
        }
    }

    fn add(&mut self, handover: Handover) {
        let Handover { socket, caught_up, guard } = handover;
        let Some((group, position)) = self.ring_queues.enter(&caught_up, &self.mailbox, &self.broadcast.runtime) else {
            return self.mailbox.left();
        };
        let ends_at_s = caught_up.lifetime.map_or(u32::MAX, |at| {
            let seconds = at.into_std().saturating_duration_since(self.started).as_secs();
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        let subscriber = Subscriber {
            socket,
            group,
            position,
            cursor: caught_up.cursor,
            last_write_ms: self.now as u32,
            ends_at_s,
            retry_ms: caught_up.retry_ms,
            state: State::Blocked,
            polls_writable: false,
            links: Default::default(),
            slot: caught_up.slot,
            guard,
        };
        let number = self.subscribers.insert(subscriber);
        if let Some(group) = self.ring_queues.group(group) {
            self.subscribers.push_last(&mut group.members, ListKind::KeyGroup, number);
        }
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let added = self
            .subscribers
            .get(number)
            .map(|subscriber| epoll::add(&self.epoll, &subscriber.socket, EventData::new_u64(number.into()), flags));
        if added.is_some_and(|added| added.is_err()) {
            return self.drop_gone(number, StreamEnd::Gone);
        }
        // News may have come on the way.
        self.resume(number);
    }

    fn count(&mut self) {
        let mut delivered = self.batch.delivered().peekable();
        if delivered.peek().is_some() {
            let now_ms = self.broadcast.service.now_ms();
            for (received_ms, alerts) in delivered {
                self.broadcast.service.counters().delivered(alerts, received_ms, now_ms);
            }
        }
    }
}
