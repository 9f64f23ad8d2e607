//! The ends of streams: by the server with a word, by the reader without one, and back to a task.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::net::{Shutdown, shutdown};

use super::super::seats::{Chain, State};
use super::{Fanout, SLICE};
use crate::chunked;
use crate::service::{End, Road};
use crate::sse::Bye;

impl Fanout {
    /// Ends some streams of a group that is to end.
    pub(super) fn end_slice(&mut self) {
        let Some((number, serial, bye)) = self.endings.pop_front() else { return };
        for _ in 0..SLICE {
            let group = self.rows.group(number).filter(|group| group.serial == serial);
            let Some(first) = group.and_then(|group| group.members.first()) else { return };
            self.finish(first, bye);
        }
        self.endings.push_back((number, serial, bye));
    }

    /// Says why the stream ends, where its socket takes it, and closes it.
    pub(super) fn finish(&mut self, number: u32, bye: Bye) {
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

    /// Takes a seat out of its row and group.
    pub(super) fn detach(&mut self, number: u32) {
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
    pub(super) fn forget(&mut self, number: u32, end: End) {
        let Some(seat) = self.seats.get(number) else { return };
        if seat.state != State::Ending {
            self.detach(number);
            self.broadcast.service.numbers().stream_ended(end);
        }
        drop(self.seats.remove(number));
        self.inbox.left();
    }

    /// Closes a stream that has ended.
    pub(super) fn close(&mut self, number: u32) {
        if let Some((seat, _)) = self.seats.remove(number) {
            // The reader may be gone before us.
            let _ = shutdown(&seat.socket, Shutdown::Write);
            self.inbox.left();
        }
    }

    /// Its ring no longer has what comes next: a task reads it from the engine, and brings the stream back.
    pub(super) fn give_back(&mut self, number: u32) {
        let Some(seat) = self.seats.get(number) else { return };
        let Some(cohort) = self.rows.group(seat.group).map(|group| Arc::clone(&group.cohort)) else { return };
        self.detach(number);
        let Some((mut seat, rest)) = self.seats.remove(number) else { return };
        seat.place.move_to(Road::Task);
        let _ = epoll::delete(&self.epoll, &seat.socket);
        let lifetime =
            (seat.ends_at != u32::MAX).then(|| (self.started + Duration::from_secs(seat.ends_at.into())).into());
        let stream = cohort.resume(seat.cursor, seat.retry_ms, lifetime, seat.place);
        let broadcast = Arc::clone(&self.broadcast);
        let follow = async move { broadcast.follow(seat.socket, seat.tenure, stream, rest.unwrap_or_default()).await };
        self.broadcast.tasks.spawn_on(follow, &self.broadcast.runtime);
        self.inbox.left();
    }
}
