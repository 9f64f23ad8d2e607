//! A stream between two processes: its socket and its record, and its end if it cannot go on.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::record::StreamRecord;
use crate::chunked;
use crate::delivery::sink::BYE_TIMEOUT;
use crate::sse::Bye;

pub(crate) struct CarriedStream {
    pub(crate) socket: OwnedFd,
    pub(crate) record: StreamRecord,
}

impl CarriedStream {
    /// What is left to send if the stream ends with this reason.
    fn final_bytes(&self, bye: Bye) -> Vec<u8> {
        let StreamRecord { unsent, subscription, retry_ms, .. } = &self.record;
        [&unsent[..], &chunked::last(&subscription.format.bye(bye, (*retry_ms).into()))].concat()
    }
}

/// Ends streams with a `bye`, all at the same time; what their clients do not take within [`BYE_TIMEOUT`] is cut off.
/// It blocks, so that a failed start, which has no runtime, can call it.
pub(crate) fn end_all(streams: impl IntoIterator<Item = (CarriedStream, Bye)>) {
    let deadline = Instant::now() + BYE_TIMEOUT;
    let mut rest: Vec<(OwnedFd, Vec<u8>)> =
        streams.into_iter().filter_map(|(stream, bye)| write(stream.final_bytes(bye), stream.socket)).collect();
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !wait_for_room(&rest, left) {
            break;
        }
        rest = rest.into_iter().filter_map(|(socket, bytes)| write(bytes, socket)).collect();
    }
}

/// Writes and, if that was all, closes. Returns what is left.
fn write(mut bytes: Vec<u8>, socket: OwnedFd) -> Option<(OwnedFd, Vec<u8>)> {
    let sent = match send(&socket, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(sent) => sent,
        Err(Errno::AGAIN | Errno::INTR) => 0,
        Err(_) => return None,
    };
    bytes.drain(..sent);
    if bytes.is_empty() {
        // This fails if the client has disconnected, which is as good.
        let _ = shutdown(&socket, Shutdown::Write);
        return None;
    }
    Some((socket, bytes))
}

fn wait_for_room(rest: &[(OwnedFd, Vec<u8>)], limit: Duration) -> bool {
    let mut watched: Vec<_> = rest.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::OUT)).collect();
    let limit = Timespec::try_from(limit).ok();
    matches!(poll(&mut watched, limit.as_ref()), Ok(1..) | Err(Errno::INTR))
}
