//! Writing to seats: what is new, and what a socket left over.

use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::super::seats::{Chain, State};
use super::{BEHIND, Fanout, SLICE, SLICE_BYTES};
use crate::hub::Found;
use crate::service::End;

impl Fanout {
    pub(super) fn enqueue(&mut self, number: u32) {
        if let Some(row) = self.rows.row(number)
            && !std::mem::replace(&mut row.queued, true)
        {
            self.queue.push_back(number);
        }
    }

    /// Serves some seats of one row that has news.
    pub(super) fn serve_slice(&mut self) {
        let number = self.queue.pop_front();
        let behind = number.is_some_and(|number| self.serve_row(number));
        if behind != self.behind {
            self.behind = behind;
            self.broadcast.service.pace().set_behind(behind);
        }
    }

    /// True where the last of the seats that were served had much left to get.
    pub(super) fn serve_row(&mut self, number: u32) -> bool {
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
            let served = self.batch.bytes().len();
            behind = served > BEHIND;
            bytes += served;
        }
        self.enqueue(number);
        behind
    }

    /// Writes what a seat that is in no ready list has not had, and puts it where it then belongs.
    pub(super) fn serve(&mut self, number: u32, row_number: u32, end: u64) {
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
                self.batch.take();
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
                if let Some((position, cursor, rest)) = self.batch.take_part(sent) {
                    (seat.position, seat.cursor) = (position, cursor);
                    self.seats.set_rest(number, rest);
                }
                self.hear_room(number);
            }
            Err(_) => {
                seat.state = State::Blocked;
                self.forget(number, End::Gone);
            }
        }
    }

    /// The socket may have room: writes what is left, then what is new.
    pub(super) fn resume(&mut self, number: u32) {
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

    /// Has the loop hear when the socket has room. It is told at once where that is so already.
    pub(super) fn hear_room(&mut self, number: u32) {
        if let Some(seat) = self.seats.get(number)
            && !std::mem::replace(&mut seat.hears_room, true)
        {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            // It fails only where the kernel has no memory; then the stream ends as one that takes nothing.
            let _ = epoll::modify(&self.epoll, &seat.socket, EventData::new_u64(number.into()), flags);
        }
    }

    /// Whether nothing is left of what the socket took in part.
    pub(super) fn write_rest(&mut self, number: u32) -> bool {
        let Some(rest) = self.seats.rest(number).cloned() else { return true };
        let Some(seat) = self.seats.get(number) else { return false };
        match write(&seat.socket, &rest) {
            Ok(sent) => {
                if sent > 0 {
                    seat.touched = self.now as u32;
                    self.seats.set_rest(number, rest.slice(sent..));
                }
                if sent < rest.len() {
                    self.hear_room(number);
                }
                sent == rest.len()
            }
            Err(_) => {
                self.forget(number, End::Gone);
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
