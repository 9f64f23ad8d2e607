//! What delivery counts. Written by tasks and broadcast loops without a lock, read by the status and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::endings::StreamEnd;
use crate::histogram::{Distribution, Histogram};
use crate::log::{Event, Repeated};
use crate::sse::Bye;

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    latency: Histogram,
    gaps: AtomicU64,
    /// Indexed by [`PageSource`].
    replay_pages: [AtomicU64; PageSource::ALL.len()],
    overtaken: AtomicU64,
    /// Indexed like [`StreamEnd::ALL`].
    ended: [AtomicU64; StreamEnd::ALL.len()],
    slow_line: Repeated,
    takeover: Mutex<Option<Takeover>>,
}

/// Where a replaying stream has a page of alerts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageSource {
    /// It read the log.
    Log,
    /// Another stream had read and encoded it.
    Stream,
}

impl PageSource {
    pub(crate) const ALL: [Self; 2] = [Self::Log, Self::Stream];

    /// The name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Stream => "stream",
        }
    }
}

/// What became of the streams of the previous process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// Streams that go on.
    pub taken: u64,
    /// Streams that ended because their key is no longer good, no longer covers them, or is not known.
    pub key: u64,
    /// Streams that were closed because their description or socket is damaged or missing.
    pub damaged: u64,
    /// Streams that ended because they had waited too long.
    pub late: u64,
    /// The time from when the previous process stopped them until all went on.
    pub pause: Duration,
}

impl Counters {
    /// Counts alerts that were read from the log and sent.
    pub(super) fn replayed(&self, alerts: u64) {
        self.delivered.fetch_add(alerts, Ordering::Relaxed);
    }

    /// Counts a page of the log that a stream replays.
    pub(super) fn replayed_page(&self, source: PageSource) {
        self.replay_pages[source as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts alerts that were accepted together and have just been sent live.
    pub(super) fn sent_live(&self, alerts: u64, received_ms: u64, now_ms: u64) {
        self.delivered.fetch_add(alerts, Ordering::Relaxed);
        self.latency.observe(Duration::from_millis(now_ms.saturating_sub(received_ms)), alerts);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream whose ring has overwritten what it had to send next.
    pub(super) fn stream_overtaken(&self) {
        self.overtaken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took_over(&self, takeover: Takeover) {
        *self.takeover.lock() = Some(takeover);
    }

    /// None if the previous process left no streams.
    pub(crate) fn takeover(&self) -> Option<Takeover> {
        *self.takeover.lock()
    }

    /// Counts streams that ended between two processes.
    pub(crate) fn streams_ended(&self, bye: Bye, number: u64) {
        if let Some(index) = StreamEnd::ALL.iter().position(|other| *other == StreamEnd::Bye(bye)) {
            self.ended[index].fetch_add(number, Ordering::Relaxed);
        }
    }

    pub(super) fn stream_ended(&self, end: StreamEnd) {
        if end == StreamEnd::Bye(Bye::Slow)
            && let Some(left_out) = self.slow_line.note(Instant::now())
        {
            tracing::info!(
                message_id = %Event::SlowStreamEnded,
                left_out,
                "a stream was ended because its client reads nothing"
            );
        }
        if let Some(index) = StreamEnd::ALL.iter().position(|other| *other == end) {
            self.ended[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs what was left out in a minute that has ended.
    pub(crate) fn settle(&self, now: Instant) {
        if let Some(count) = self.slow_line.settle(now) {
            tracing::info!(
                message_id = %Event::SlowStreamEnded,
                count,
                "{count} more streams were ended within a minute because their clients read nothing"
            );
        }
    }

    /// Alerts sent, replayed and live.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// From the receipt of an alert to its write to a socket; live ones only.
    pub(crate) fn latency(&self) -> Distribution {
        self.latency.read()
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// Pages of the log that streams replayed.
    pub(crate) fn replay_pages(&self) -> impl Iterator<Item = (PageSource, u64)> {
        PageSource::ALL.into_iter().map(|source| (source, self.replay_pages[source as usize].load(Ordering::Relaxed)))
    }

    pub(crate) fn overtaken(&self) -> u64 {
        self.overtaken.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> impl Iterator<Item = (StreamEnd, u64)> {
        StreamEnd::ALL.into_iter().zip(&self.ended).map(|(end, count)| (end, count.load(Ordering::Relaxed)))
    }

    /// Streams ended because their client read too slowly.
    #[must_use]
    pub(crate) fn ended_slow(&self) -> u64 {
        self.ended().find(|(end, _)| *end == StreamEnd::Bye(Bye::Slow)).map_or(0, |(_, count)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_end_a_stream_has_its_own_counter_and_name() {
        let counters = Counters::default();
        StreamEnd::ALL.into_iter().for_each(|end| counters.stream_ended(end));
        assert!(counters.ended().all(|(_, count)| count == 1));
        assert_eq!(counters.ended_slow(), 1);
        let names: std::collections::HashSet<_> = StreamEnd::ALL.map(StreamEnd::as_str).into();
        assert_eq!(names.len(), StreamEnd::ALL.len());
    }
}
