//! The loop that writes to the sockets of its seats.
//!
//! It runs on a thread of its own, and does a bounded amount of work before it looks at anything else: a slice of seats of
//! one row, then what sockets and other threads have to say, then the clock's hand moves on. A seat that is served gets
//! everything from its position to the ring's end in one write, so the busier the loop is, the more each write carries.
//! Between two slices it lets other threads run, which answer requests meanwhile; where seats with room in their sockets
//! have much left to get, it has publishers held back for a moment.

mod leave;
mod look;
mod serve;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::batch::Batch;
use super::hand::Hand;
use super::inbox::{Command, Inbox};
use super::rows::Rows;
use super::seats::{Chain, Seat, Seats, State};
use super::{Adoption, Broadcast};
use crate::alert::Id;
use crate::service::End;
use crate::sse::Bye;

/// Writes, and bytes, of one slice. The fewer, the sooner requests are answered under load, and the more each write carries.
const SLICE: usize = 64;
const SLICE_BYTES: usize = 4 << 20;
/// Bytes that a seat with room in its socket may have left to get before publishers are held back. With fewer a burst waits
/// more than it gains; as much as one write takes is never exceeded, so that nobody would be held.
const BEHIND: usize = 128 << 10;
/// Commands, and events of sockets, that are looked at between two slices.
const COMMANDS: usize = 64;
const EVENTS: usize = 256;
/// Stands for the inbox's bell among the events.
const BELL: u64 = u64::MAX;

pub(super) struct Fanout {
    broadcast: Arc<Broadcast>,
    inbox: Arc<Inbox>,
    epoll: OwnedFd,
    seats: Seats,
    rows: Rows,
    /// Rows with news that not all of their ready seats have had.
    queue: VecDeque<u32>,
    /// Groups whose streams are being ended, with their serial numbers.
    endings: VecDeque<(u32, u64, Bye)>,
    batch: Batch,
    hand: Hand,
    /// The sign of life for seats of this row that have had everything up to this id.
    sign: Option<(u32, Id, Bytes)>,
    started: Instant,
    /// Milliseconds since then, as of this turn of the loop.
    now: u64,
    /// Publishers are held back.
    behind: bool,
}

impl Fanout {
    pub(super) fn new(broadcast: Arc<Broadcast>, inbox: Arc<Inbox>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge-triggered: each ring of the bell is an event, so it never has to be read.
        epoll::add(&epoll, inbox.bell(), EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            broadcast,
            inbox,
            epoll,
            seats: Seats::default(),
            rows: Rows::default(),
            queue: VecDeque::new(),
            endings: VecDeque::new(),
            batch: Batch::default(),
            hand: Hand::default(),
            sign: None,
            started: Instant::now(),
            now: 0,
            behind: false,
        })
    }

    pub(super) fn run(mut self) {
        let (mut commands, mut news) = (VecDeque::new(), Vec::new());
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.inbox.take(&mut commands, &mut news);
            news.drain(..).for_each(|row| self.enqueue(row));
            for command in commands.drain(..COMMANDS.min(commands.len())) {
                match command {
                    Command::Adopt(adoption) => self.adopt(*adoption),
                    Command::End { group, serial, bye } if self.rows.close(group, serial) => {
                        self.endings.push_back((group, serial, bye));
                    }
                    Command::End { .. } => {}
                    Command::Quit => return,
                }
            }
            self.serve_slice();
            self.end_slice();
            let looking = self.look_slice();
            let busy = looking || !(self.queue.is_empty() && commands.is_empty() && self.endings.is_empty());
            self.wait(&mut events, busy);
            for event in events.drain(..) {
                self.hear(event);
            }
            self.count();
            if busy {
                std::thread::yield_now();
            }
        }
    }

    /// Waits for sockets, the bell or the clock; where there is work, only looks.
    fn wait(&self, events: &mut Vec<epoll::Event>, busy: bool) {
        let patience = if busy || !self.inbox.may_sleep() {
            Some(Duration::ZERO)
        } else {
            (!self.seats.is_empty()).then(|| self.hand.rest(self.now))
        };
        let timeout = patience.and_then(|patience| patience.try_into().ok());
        // It fails only where a signal comes in between: then the next turn looks again.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref());
        self.inbox.awake();
    }

    fn hear(&mut self, event: epoll::Event) {
        let Ok(number) = u32::try_from(event.data.u64()) else { return };
        let flags = event.flags;
        if flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            return self.forget(number, End::Gone);
        }
        if flags.contains(EventFlags::OUT) {
            self.resume(number);
        }
        if flags.contains(EventFlags::IN)
            && let Some(seat) = self.seats.get(number)
        {
            // Nobody asks anything on an open stream. What comes all the same stays in the kernel, which stops the
            // sender when its own buffer is full.
            seat.hears_room = true;
            let flags = EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            let _ = epoll::modify(&self.epoll, &seat.socket, EventData::new_u64(number.into()), flags);
        }
    }

    fn adopt(&mut self, adoption: Adoption) {
        let Adoption { socket, live, tenure } = adoption;
        let Some((group, position)) = self.rows.enter(&live, &self.inbox, &self.broadcast.runtime) else {
            return self.inbox.left();
        };
        let ends_at = live.lifetime.map_or(u32::MAX, |at| {
            let seconds = at.into_std().saturating_duration_since(self.started).as_secs();
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        let seat = Seat {
            socket,
            group,
            position,
            cursor: live.cursor,
            touched: self.now as u32,
            ends_at,
            retry_ms: live.retry_ms,
            state: State::Blocked,
            hears_room: false,
            links: Default::default(),
            place: live.place,
            tenure,
        };
        let number = self.seats.insert(seat);
        if let Some(group) = self.rows.group(group) {
            self.seats.push_last(&mut group.members, Chain::Group, number);
        }
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let added = self
            .seats
            .get(number)
            .map(|seat| epoll::add(&self.epoll, &seat.socket, EventData::new_u64(number.into()), flags));
        if added.is_some_and(|added| added.is_err()) {
            return self.forget(number, End::Gone);
        }
        // News may have come on the way.
        self.resume(number);
    }

    fn count(&mut self) {
        let mut delivered = self.batch.delivered().peekable();
        if delivered.peek().is_some() {
            let now_ms = self.broadcast.service.now_ms();
            for (received_ms, alerts) in delivered {
                self.broadcast.service.numbers().delivered(alerts, received_ms, now_ms);
            }
        }
    }
}
