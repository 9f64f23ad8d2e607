//! A broadcast loop: a thread that writes to the sockets of its subscribers.
//!
//! In each turn it does a bounded amount of each kind of work: it takes commands and news from its mailbox, writes to a
//! slice of the subscribers of one ring, ends a slice of a key group, checks the time limits of some subscribers, and
//! handles what epoll reports. A subscriber that is served gets everything from its position to the end of its ring in
//! one write, so the busier the loop is, the more each write carries. Between two turns it yields to other threads,
//! which answer requests; while subscribers with room in their sockets are far behind, it holds publishers back.
//!
//! | file | owns |
//! |---|---|
//! | [`loops`] | the set of all loops |
//! | [`mailbox`] | what other threads tell a loop |
//! | [`subscribers`] | the streams of a loop, and the lists they are in |
//! | [`ring_queues`] | their rings and keys |
//! | [`batch`] | what goes out in one write |
//! | [`mod@write`] | writes of news, and of what a socket left over |
//! | [`timers`], [`sweep`] | heartbeats and time limits, without a timer for each stream |
//! | [`leave`] | how a stream leaves its loop |
//! | [`suspend`] | how all streams leave it for another process |
//! | [`ids`], [`invariant`] | typed ids, and access to what must be there |

mod batch;
mod ids;
mod invariant;
mod leave;
mod loops;
mod mailbox;
mod ring_queues;
mod subscribers;
mod suspend;
mod sweep;
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
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::backpressure::Backpressure;
use super::counters::Counters;
use super::drain::Drain;
use super::endings::StreamEnd;
use super::stream::CaughtUp;
use super::takeover::Suspension;
use crate::alert::Id;
use crate::engine::Clock;
use crate::sse::Bye;
use batch::Batch;
use ids::{KeyGroupId, RingQueueId, SubscriberId};
use invariant::present;
pub(super) use loops::Loops;
use mailbox::{Command, Mailbox};
use ring_queues::RingQueues;
use subscribers::{ListKind, State, Subscriber, SubscriberSlab};
use sweep::Sweep;

/// Writes, and bytes, of one slice. The fewer, the sooner requests are answered under load, and the more each write carries.
const WRITES_PER_SLICE: usize = 64;
const BYTES_PER_SLICE: usize = 4 << 20;
/// Publishers are held back while a subscriber with room in its socket has more than this left to get. Lower values cost
/// burst latency; at or above the size of a batch the threshold could never be reached.
const BEHIND_BYTES: usize = 128 << 10;
const COMMANDS_PER_TURN: usize = 64;
const EVENTS_PER_TURN: usize = 256;
/// The epoll data of the mailbox's waker; all other data are subscriber ids.
const WAKER: u64 = u64::MAX;

/// What all loops share with the rest of delivery.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) loops: Arc<Loops>,
    pub(super) runtime: Handle,
    pub(super) counters: Arc<Counters>,
    pub(super) backpressure: Arc<Backpressure>,
    pub(super) clock: Clock,
    pub(super) drain: watch::Receiver<Drain>,
    pub(super) suspension: Arc<Suspension>,
}

pub(super) struct Fanout {
    shared: Shared,
    mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    subscribers: SubscriberSlab,
    ring_queues: RingQueues,
    /// Ring queues with news that not all of their ready subscribers were sent.
    pending: VecDeque<RingQueueId>,
    /// Key groups whose streams are being ended, with their serial numbers.
    ending_groups: VecDeque<(KeyGroupId, u64, Bye)>,
    batch: Batch,
    sweep: Sweep,
    /// The encoded heartbeat for subscribers of this ring queue that have everything up to this id, in this second.
    heartbeat: Option<((RingQueueId, Id, u64), Bytes)>,
    started: Instant,
    /// Milliseconds since `started`, as of this turn.
    now_ms: u64,
    /// Whether this loop holds publishers back.
    is_behind: bool,
}

impl Fanout {
    pub(super) fn new(shared: Shared, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge-triggered: each write to the waker is an event, so it never has to be read.
        epoll::add(&epoll, mailbox.waker(), EventData::new_u64(WAKER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            shared,
            mailbox,
            epoll,
            subscribers: SubscriberSlab::default(),
            ring_queues: RingQueues::default(),
            pending: VecDeque::new(),
            ending_groups: VecDeque::new(),
            batch: Batch::default(),
            sweep: Sweep::default(),
            heartbeat: None,
            started: Instant::now(),
            now_ms: 0,
            is_behind: false,
        })
    }

    pub(super) fn run(mut self) {
        let (mut commands, mut news) = (VecDeque::new(), Vec::new());
        let mut events = Vec::with_capacity(EVENTS_PER_TURN);
        loop {
            self.now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.mailbox.take(&mut commands, &mut news);
            news.drain(..).for_each(|queue| self.enqueue(queue));
            for _ in 0..COMMANDS_PER_TURN.min(commands.len()) {
                match commands.pop_front() {
                    Some(Command::Add(stream)) => self.add(*stream),
                    Some(Command::End { group, serial, bye }) => self.end_group(group, serial, bye),
                    Some(Command::Suspend) => return self.suspend(commands),
                    Some(Command::Quit) => return,
                    None => {}
                }
            }
            self.serve_slice();
            self.end_slice();
            let is_sweeping = self.sweep_slice();
            let is_busy =
                is_sweeping || !(self.pending.is_empty() && commands.is_empty() && self.ending_groups.is_empty());
            self.wait(&mut events, is_busy);
            for event in events.drain(..) {
                self.handle_event(event);
            }
            self.count_delivered();
            if is_busy {
                std::thread::yield_now();
            }
        }
    }

    /// Waits for sockets, the waker or the sweep. A busy loop only collects what is there.
    fn wait(&self, events: &mut Vec<epoll::Event>, is_busy: bool) {
        let limit = if is_busy || !self.mailbox.may_sleep() {
            Some(Duration::ZERO)
        } else {
            (!self.subscribers.is_empty()).then(|| self.sweep.wait(self.now_ms))
        };
        let timeout = limit.and_then(|limit| limit.try_into().ok());
        // Fails only if a signal interrupts it; the next turn then waits again.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref());
        self.mailbox.set_awake();
    }

    fn handle_event(&mut self, event: epoll::Event) {
        let Ok(id) = u32::try_from(event.data.u64()).map(SubscriberId) else { return };
        let Some(subscriber) = self.subscribers.get(id) else { return };
        let flags = event.flags;
        if flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            return self.remove(id, StreamEnd::Gone);
        }
        if flags.contains(EventFlags::IN) {
            // A client has nothing to send on an open stream. What it sends anyway stays in the kernel, which stops the
            // sender when its buffer is full; the loop need not learn of more.
            subscriber.polls_writable = true;
            let flags = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let _ = epoll::modify(&self.epoll, &subscriber.socket, EventData::new_u64(id.0.into()), flags);
        }
        if flags.contains(EventFlags::OUT) {
            self.resume(id);
        }
    }

    fn add(&mut self, stream: CaughtUp) {
        let Some((group, position)) = self.ring_queues.enter(&stream, &self.mailbox, &self.shared.runtime) else {
            debug_assert!(false, "a stream without a ring came to a broadcast loop");
            self.shared.counters.stream_ended(StreamEnd::Gone);
            return self.mailbox.stream_left();
        };
        let expires_at_s = stream.expires_at.map_or(u32::MAX, |at| {
            let seconds = at.into_std().saturating_duration_since(self.started).as_secs();
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        let id = self.subscribers.insert(Subscriber {
            socket: stream.socket,
            group,
            position,
            cursor: stream.cursor,
            last_write_ms: self.now_ms as u32,
            expires_at_s,
            retry_ms: stream.retry_ms,
            state: State::Blocked,
            polls_writable: false,
            links: Default::default(),
            slot: stream.slot,
            connection: stream.connection,
        });
        let group = present!(self.ring_queues.key_group(group), "the key group of a new subscriber");
        self.subscribers.push_last(&mut group.members, ListKind::KeyGroup, id);
        let subscriber = present!(self.subscribers.get(id), "a new subscriber");
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        if epoll::add(&self.epoll, &subscriber.socket, EventData::new_u64(id.0.into()), flags).is_err() {
            return self.remove(id, StreamEnd::Gone);
        }
        // There may be news since the stream caught up.
        self.resume(id);
    }

    fn count_delivered(&mut self) {
        let mut delivered = self.batch.delivered().peekable();
        if delivered.peek().is_some() {
            let now_ms = (self.shared.clock)();
            for (received_ms, alerts) in delivered {
                self.shared.counters.sent_live(alerts, received_ms, now_ms);
            }
        }
    }
}
