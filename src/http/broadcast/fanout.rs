//! The loop that writes to the sockets of its seats.
//!
//! It runs on a thread of its own, and does a bounded amount of work before it looks at anything else: a slice of seats of
//! one row, then what sockets and other threads have to say, then the clock's hand moves on. A seat that is served gets
//! everything from its position to the ring's end in one write, so the busier the loop is, the more each write carries.
//! Between two slices it lets other threads run, which answer requests meanwhile; where
//! seats with room in their sockets have much left to get, it has publishers held back for a moment.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::batch::Batch;
use super::hand::Hand;
use super::inbox::{Command, Inbox};
use super::rows::Rows;
use super::seats::{Chain, Seat, Seats, State};
use super::{Adoption, Broadcast};
use crate::alert::Id;
use crate::chunked;
use crate::hub::Found;
use crate::service::{End, FAREWELL, STALL};
use crate::sse::Bye;

/// Writes, and bytes, of one slice. The fewer, the sooner requests are answered under load, and the more each write carries.
const SLICE: usize = 64;
const SLICE_BYTES: usize = 4 << 20;
/// Bytes that a seat with room in its socket may have left to get before publishers are held back. More in one write would
/// make it no cheaper.
const BEHIND: usize = 64 << 10;
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
    /// Alerts that went out and are not counted yet.
    delivered: u64,
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
            delivered: 0,
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
            links: Default::default(),
            place: live.place,
            tenure,
        };
        let number = self.seats.insert(seat);
        if let Some(group) = self.rows.group(group) {
            self.seats.push_last(&mut group.members, Chain::Group, number);
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
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

    fn enqueue(&mut self, number: u32) {
        if let Some(row) = self.rows.row(number)
            && !std::mem::replace(&mut row.queued, true)
        {
            self.queue.push_back(number);
        }
    }

    /// Serves some seats of one row that has news.
    fn serve_slice(&mut self) {
        let number = self.queue.pop_front();
        let behind = number.is_some_and(|number| self.serve_row(number));
        if behind != self.behind {
            self.behind = behind;
            self.broadcast.service.pace().set_behind(behind);
        }
    }

    /// True where the last of the seats that were served had much left to get.
    fn serve_row(&mut self, number: u32) -> bool {
        let Some(row) = self.rows.row(number) else { return false };
        row.queued = false;
        let (end, _) = row.reader.end();
        let (mut behind, mut bytes) = (false, 0);
        for _ in 0..SLICE {
            let Some(row) = self.rows.row(number) else { return false };
            let Some(first) = row.ready.first() else { return false };
            if bytes >= SLICE_BYTES {
                break;
            }
            if self.seats.get(first).is_none_or(|seat| seat.position >= end) {
                return false;
            }
            self.seats.unlink(&mut row.ready, Chain::Ready, first);
            self.serve(first, number, end);
            behind = self.batch.size() > BEHIND;
            bytes += self.batch.size();
        }
        self.enqueue(number);
        behind
    }

    /// Writes what a seat that is in no ready list has not had, and puts it where it then belongs.
    fn serve(&mut self, number: u32, row_number: u32, end: u64) {
        let (Some(row), Some(seat)) = (self.rows.row(row_number), self.seats.get(number)) else { return };
        match self.batch.fill(row_number, &row.reader, seat.position, end) {
            Found::Chunks => {}
            Found::Nothing => {
                seat.state = State::Ready;
                return self.seats.push_last(&mut row.ready, Chain::Ready, number);
            }
            Found::Overwritten => {
                seat.state = State::Blocked;
                return self.give_back(number);
            }
        }
        let bytes = self.batch.bytes();
        match write(&seat.socket, bytes) {
            Ok(sent) if sent == bytes.len() => {
                (seat.position, seat.cursor) = (self.batch.to(), self.batch.last());
                (seat.touched, seat.state) = (self.now as u32, State::Ready);
                self.delivered += self.batch.alerts();
                if seat.position >= end {
                    self.seats.push_last(&mut row.ready, Chain::Ready, number);
                } else {
                    // The furthest behind stays the first.
                    self.seats.push_first(&mut row.ready, Chain::Ready, number);
                    self.enqueue(row_number);
                }
            }
            Ok(sent) => {
                (seat.touched, seat.state) = (self.now as u32, State::Blocked);
                if let Some((position, cursor, rest, alerts)) = self.batch.cut(sent) {
                    (seat.position, seat.cursor) = (position, cursor);
                    self.delivered += alerts;
                    self.seats.set_rest(number, rest);
                }
            }
            Err(_) => {
                seat.state = State::Blocked;
                self.forget(number, End::Gone);
            }
        }
    }

    /// The socket may have room: writes what is left, then what is new.
    fn resume(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number) else { return };
        let (state, group) = (seat.state, seat.group);
        if state == State::Ready || !self.write_rest(number) {
            return;
        }
        if state == State::Ending {
            return self.close(number);
        }
        let Some(row_number) = self.rows.group(group).map(|group| group.row) else { return };
        let Some(row) = self.rows.row(row_number) else { return };
        let (end, _) = row.reader.end();
        self.serve(number, row_number, end);
    }

    /// Whether nothing is left of what the socket took in part.
    fn write_rest(&mut self, number: u32) -> bool {
        let Some(rest) = self.seats.rest(number).cloned() else { return true };
        let Some(seat) = self.seats.get(number) else { return false };
        match write(&seat.socket, &rest) {
            Ok(0) => false,
            Ok(sent) => {
                seat.touched = self.now as u32;
                self.seats.set_rest(number, rest.slice(sent..));
                sent == rest.len()
            }
            Err(_) => {
                self.forget(number, End::Gone);
                false
            }
        }
    }

    /// Ends some streams of a group that is to end.
    fn end_slice(&mut self) {
        let Some((number, serial, bye)) = self.endings.pop_front() else { return };
        for _ in 0..SLICE {
            let group = self.rows.group(number).filter(|group| group.serial == serial);
            let Some(first) = group.and_then(|group| group.members.first()) else { return };
            self.finish(first, bye);
        }
        self.endings.push_back((number, serial, bye));
    }

    /// Says why the stream ends, where its socket takes it, and closes it.
    fn finish(&mut self, number: u32, bye: Bye) {
        let Some(seat) = self.seats.get(number) else { return };
        let (group, retry_ms) = (seat.group, seat.retry_ms);
        let Some(format) = self.rows.group(group).map(|group| group.cohort.format()) else { return };
        self.detach(number);
        self.broadcast.service.numbers().stream_ended(End::Bye(bye));
        let rest = self.seats.rest(number).cloned();
        if bye == Bye::Slow && rest.is_some() {
            // It takes nothing, and a word inside a chunk would be part of it.
            return self.close(number);
        }
        let last = chunked::chunk(&format.bye(bye, retry_ms.into()));
        let last = [&rest.unwrap_or_default()[..], &last, chunked::END].concat();
        self.seats.set_rest(number, last.into());
        if let Some(seat) = self.seats.get(number) {
            (seat.state, seat.touched) = (State::Ending, self.now as u32);
        }
        self.resume(number);
        if bye == Bye::Slow {
            self.close(number);
        }
    }

    /// Moves the clock's hand on over some seats; true where it is behind.
    fn look_slice(&mut self) -> bool {
        let mut writes = 0;
        self.hand.advance(self.now, self.seats.end());
        while let Some(number) = self.hand.next(self.seats.end()) {
            writes += usize::from(self.look(number));
            if writes == SLICE {
                return true;
            }
        }
        false
    }

    /// Does what time asks for; true where that was a write.
    fn look(&mut self, number: u32) -> bool {
        let Some(seat) = self.seats.get(number) else { return false };
        let silent = Duration::from_millis((self.now as u32).wrapping_sub(seat.touched).into());
        let (state, group) = (seat.state, seat.group);
        if state == State::Ending {
            if silent > FAREWELL {
                self.close(number);
            }
            return false;
        }
        if u64::from(seat.ends_at) <= self.now / 1000 {
            self.finish(number, Bye::Lifetime);
            return true;
        }
        if state == State::Blocked {
            if silent > STALL {
                self.finish(number, Bye::Slow);
            }
            return false;
        }
        let Some(group) = self.rows.group(group) else { return false };
        let (heartbeat, row) = (group.cohort.heartbeat(), group.row);
        silent + Hand::lead(number, heartbeat) >= heartbeat && self.beat(number, row)
    }

    /// A sign of life for a seat that has had everything; true where it was sent.
    fn beat(&mut self, number: u32, row_number: u32) -> bool {
        let (Some(row), Some(seat)) = (self.rows.row(row_number), self.seats.get(number)) else { return false };
        let (end, head) = row.reader.end();
        if seat.position < end {
            return false;
        }
        let sign = match &self.sign {
            Some((of, id, sign)) if (*of, *id) == (row_number, head) => sign,
            _ => &self.sign.insert((row_number, head, chunked::chunk(&row.reader.format().cursor(Some(head))))).2,
        };
        match write(&seat.socket, sign) {
            Ok(sent) => {
                seat.cursor = seat.cursor.max(head);
                seat.touched = self.now as u32;
                if sent < sign.len() {
                    let rest = if sent == 0 { Bytes::new() } else { sign.slice(sent..) };
                    seat.state = State::Blocked;
                    self.seats.unlink(&mut row.ready, Chain::Ready, number);
                    self.seats.set_rest(number, rest);
                }
                true
            }
            Err(_) => {
                self.forget(number, End::Gone);
                true
            }
        }
    }

    /// Takes a seat out of its row and group.
    fn detach(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number) else { return };
        let (state, group_number) = (seat.state, seat.group);
        let Some(group) = self.rows.group(group_number) else { return };
        self.seats.unlink(&mut group.members, Chain::Group, number);
        let row = group.row;
        if state == State::Ready
            && let Some(row) = self.rows.row(row)
        {
            self.seats.unlink(&mut row.ready, Chain::Ready, number);
        }
        self.rows.leave(group_number, &self.inbox);
        self.batch.clear();
        self.sign = None;
    }

    /// Lets go of a stream whose reader is gone.
    fn forget(&mut self, number: u32, end: End) {
        let Some(seat) = self.seats.get(number) else { return };
        if seat.state != State::Ending {
            self.detach(number);
            self.broadcast.service.numbers().stream_ended(end);
        }
        drop(self.seats.remove(number));
        self.inbox.left();
    }

    /// Closes a stream that has ended.
    fn close(&mut self, number: u32) {
        if let Some((seat, _)) = self.seats.remove(number) {
            // The reader may be gone before us.
            let _ = shutdown(&seat.socket, Shutdown::Write);
            self.inbox.left();
        }
    }

    /// Its ring no longer has what comes next: a task reads it from the engine, and brings the stream back.
    fn give_back(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number) else { return };
        let Some(cohort) = self.rows.group(seat.group).map(|group| Arc::clone(&group.cohort)) else { return };
        self.detach(number);
        let Some((seat, rest)) = self.seats.remove(number) else { return };
        let _ = epoll::delete(&self.epoll, &seat.socket);
        let lifetime =
            (seat.ends_at != u32::MAX).then(|| (self.started + Duration::from_secs(seat.ends_at.into())).into());
        let stream = cohort.resume(seat.cursor, seat.retry_ms, lifetime, seat.place);
        let broadcast = Arc::clone(&self.broadcast);
        let follow = async move { broadcast.follow(seat.socket, seat.tenure, stream, rest.unwrap_or_default()).await };
        self.broadcast.tasks.spawn_on(follow, &self.broadcast.runtime);
        self.inbox.left();
    }

    fn count(&mut self) {
        if self.delivered > 0 {
            self.broadcast.service.numbers().delivered(std::mem::take(&mut self.delivered));
        }
    }
}

/// What the socket took; nothing where it is full.
fn write(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}
