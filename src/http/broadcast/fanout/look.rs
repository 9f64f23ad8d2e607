//! What time asks for: signs of life, and the ends of streams that are too slow or old enough.

use std::time::Duration;

use bytes::Bytes;

use super::super::hand::Hand;
use super::super::seats::{Chain, State};
use super::serve::write;
use super::{Fanout, SLICE};
use crate::chunked;
use crate::service::{End, FAREWELL, STALL};
use crate::sse::Bye;

impl Fanout {
    /// Moves the clock's hand on over some seats; true where it is behind.
    pub(super) fn look_slice(&mut self) -> bool {
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
    pub(super) fn look(&mut self, number: u32) -> bool {
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
    pub(super) fn beat(&mut self, number: u32, row_number: u32) -> bool {
        let (Some(row), Some(seat)) = (self.rows.row(row_number), self.seats.get(number)) else { return false };
        let (end, head) = row.reader.end();
        // For a moment the head is behind what the ring has given out already.
        if seat.position < end || seat.cursor > head {
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
                    self.hear_room(number);
                }
                true
            }
            Err(_) => {
                self.forget(number, End::Gone);
                true
            }
        }
    }
}
