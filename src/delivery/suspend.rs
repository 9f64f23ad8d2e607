//! Suspending a stream that a task carries: what another process needs to continue it.

use bytes::BytesMut;

use super::endings::StreamEnd;
use super::shared_pages::PAGE_BYTES;
use super::socket_sink::SocketSink;
use super::stream::{CaughtUp, Seam, Stream};
use super::takeover::{CarriedStream, StreamRecord};
use crate::alert::Start;
use crate::sse::Bye;

impl Stream {
    /// None if the socket is closed, and for a poll, which ends.
    pub(super) fn suspend(mut self, mut sink: SocketSink) -> Option<CarriedStream> {
        if self.ends_at_seam {
            // Its client asks again.
            self.context.counters.stream_ended(StreamEnd::Bye(Bye::Restart));
            return None;
        }
        // What a cursor cannot express is passed on as bytes.
        if let Some(opening) = self.opening.take().filter(|opening| !opening.is_empty()) {
            sink.put(opening);
        }
        let mut blocks = BytesMut::new();
        while let Some(alert) = self.backlog.pop_front() {
            if self.is_retracted(&alert) {
                continue;
            }
            self.context.format.alert(&mut blocks, &alert);
            if blocks.len() >= PAGE_BYTES {
                sink.put(blocks.split().freeze());
            }
        }
        if !blocks.is_empty() {
            sink.put(blocks.freeze());
        }
        let start = match self.start {
            // The client was promised everything from now on, not from the start of the next process.
            Start::Live if self.context.engine.head().is_some() => Start::After(self.subscription.joined()),
            start => start,
        };
        let (socket, unsent, patience) = sink.suspend()?;
        let record = self.context.record(start, self.retry_ms, self.expires_at, unsent, patience);
        let has_passed_seam = self.seam == Seam::Sent;
        let record = StreamRecord { latest_after_ms: self.latest_after_ms, has_passed_seam, ..record };
        Some(CarriedStream { socket, record })
    }
}

impl CaughtUp {
    pub(super) fn suspend(self) -> CarriedStream {
        let start = Start::After(self.cursor);
        let record = self.context.record(start, self.retry_ms, self.expires_at, Default::default(), None);
        CarriedStream { socket: self.socket, record }
    }
}
