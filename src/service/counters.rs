//! Counters of what went through, and the rates of the last minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::sink::StreamEnd;
use super::topic_classes::TopicClassCounters;
use crate::alert::Record;
use crate::api::TrafficStatus;
use crate::histogram::Histogram;
use crate::keyring::VerifyError;
use crate::log::Event;
use crate::sse::Bye;
use parking_lot::Mutex;

/// Counters since start; written by all without a lock, read by the status and the metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: TopicClassCounters,
    pub(super) publish_failures: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) latency: Histogram,
    pub(super) gaps: AtomicU64,
    pub(super) overtaken: AtomicU64,
    /// By [`StreamEnd::ALL`].
    ended: [AtomicU64; StreamEnd::ALL.len()],
    /// By [`Attempt::ALL`].
    attempts: [AtomicU64; Attempt::ALL.len()],
    /// Published and delivered at some moments of the last minute.
    samples: Mutex<VecDeque<(Instant, u64, u64)>>,
}

/// What became of an attempt to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A key that was verified before.
    Remembered,
    /// A key that was verified now.
    Verified,
    /// A good ticket.
    Ticket,
    /// A ticket that is unknown, used or expired, or whose key has ended.
    BadTicket,
    /// A body that GitHub signed.
    Signed,
    /// A body whose signature is wrong or missing, or that did not come.
    BadSignature,
    /// No key at all.
    Missing,
    /// A key that was refused, or could not be looked at.
    Refused(VerifyError),
    /// The address has too many failures.
    Limited,
}

impl Attempt {
    /// All of them.
    pub(super) const ALL: [Self; 14] = [
        Self::Remembered,
        Self::Verified,
        Self::Ticket,
        Self::BadTicket,
        Self::Signed,
        Self::BadSignature,
        Self::Missing,
        Self::Refused(VerifyError::Malformed),
        Self::Refused(VerifyError::Unknown),
        Self::Refused(VerifyError::Expired),
        Self::Refused(VerifyError::Wrong),
        Self::Refused(VerifyError::Busy),
        Self::Refused(VerifyError::Away),
        Self::Limited,
    ];

    /// One word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Remembered => "remembered",
            Self::Verified => "verified",
            Self::Ticket => "ticket",
            Self::BadTicket => "bad_ticket",
            Self::Signed => "signed",
            Self::BadSignature => "bad_signature",
            Self::Missing => "missing",
            Self::Refused(VerifyError::Malformed) => "malformed",
            Self::Refused(VerifyError::Unknown) => "unknown",
            Self::Refused(VerifyError::Expired) => "expired",
            Self::Refused(VerifyError::Wrong) => "wrong",
            Self::Refused(VerifyError::Busy) => "busy",
            Self::Refused(VerifyError::Away) => "away",
            Self::Limited => "limited",
        }
    }

    /// Whether it was answered as a wrong key.
    const fn is_failure(self) -> bool {
        match self {
            Self::BadTicket | Self::BadSignature | Self::Missing => true,
            Self::Refused(reason) => !matches!(reason, VerifyError::Busy | VerifyError::Away),
            _ => false,
        }
    }
}

impl Counters {
    const WINDOW: Duration = Duration::from_secs(60);

    /// Notes an alert that is in the log.
    pub(super) fn accepted(&self, alert: &Record) {
        self.accepted.count(&alert.topic, alert.level);
    }

    /// Notes a publish whose outcome is not known.
    pub(super) fn publish_failed(&self) {
        self.publish_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes alerts that went out of the log.
    pub(super) fn replayed(&self, alerts: u64) {
        self.delivered.fetch_add(alerts, Ordering::Relaxed);
    }

    /// Notes alerts that came in at the same time and went out live, by now.
    pub(crate) fn delivered(&self, alerts: u64, received_ms: u64, now_ms: u64) {
        self.delivered.fetch_add(alerts, Ordering::Relaxed);
        self.latency.observe(Duration::from_millis(now_ms.saturating_sub(received_ms)), alerts);
    }

    /// Notes that a reader was told of a gap.
    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a ring went on without one of its readers, who is served from the log.
    pub(super) fn overtaken(&self) {
        self.overtaken.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes an attempt to prove who one is.
    pub(super) fn attempt(&self, attempt: Attempt) {
        if let Some(index) = Attempt::ALL.iter().position(|other| *other == attempt) {
            self.attempts[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All attempts so far.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (Attempt, u64)> {
        Attempt::ALL.into_iter().zip(&self.attempts).map(|(attempt, count)| (attempt, count.load(Ordering::Relaxed)))
    }

    /// Notes the end of a stream.
    pub(crate) fn stream_ended(&self, end: StreamEnd) {
        if end == StreamEnd::Bye(Bye::Slow) {
            tracing::info!(message_id = %Event::SlowStreamEnded, "a stream is ended: its reader takes nothing");
        }
        if let Some(index) = StreamEnd::ALL.iter().position(|other| *other == end) {
            self.ended[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All ends of streams so far.
    pub(super) fn ended(&self) -> impl Iterator<Item = (StreamEnd, u64)> {
        StreamEnd::ALL.into_iter().zip(&self.ended).map(|(end, count)| (end, count.load(Ordering::Relaxed)))
    }

    /// Streams ended because their reader was too slow.
    #[must_use]
    pub(crate) fn ended_slow(&self) -> u64 {
        self.ended().find(|(end, _)| *end == StreamEnd::Bye(Bye::Slow)).map_or(0, |(_, count)| count)
    }

    /// Notes where the counters stand; called every few seconds by the daemon.
    pub(crate) fn sample(&self, now: Instant) {
        let mut samples = self.samples.lock();
        while samples.front().is_some_and(|(at, ..)| now.duration_since(*at) > Self::WINDOW) {
            samples.pop_front();
        }
        samples.push_back((now, self.accepted.total(), self.delivered.load(Ordering::Relaxed)));
    }

    /// The counters, and the rates since the oldest sample.
    #[must_use]
    pub(crate) fn traffic(&self, now: Instant) -> TrafficStatus {
        let (published, delivered) = (self.accepted.total(), self.delivered.load(Ordering::Relaxed));
        let oldest = self.samples.lock().front().copied();
        let rate = |count: u64, then: u64, seconds: f64| (count - then) as f64 / seconds.max(1.0);
        let (publish_rate, delivery_rate) = oldest.map_or((0.0, 0.0), |(at, p, d)| {
            let seconds = now.duration_since(at).as_secs_f64();
            (rate(published, p, seconds), rate(delivered, d, seconds))
        });
        TrafficStatus {
            published,
            delivered,
            auth_failures: self.attempts().filter(|(attempt, _)| attempt.is_failure()).map(|(_, count)| count).sum(),
            publish_rate,
            delivery_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Draft, Id, Level, Metadata, Topic};

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let (counters, start) = (Counters::default(), Instant::now());
        counters.sample(start);
        let record = Draft::new(Topic::fallback(), "m".into(), Level::Info, Metadata::default()).unwrap();
        let record = record.record(Id::at(1), 1);
        (0..100).for_each(|_| counters.accepted(&record));
        assert!((counters.traffic(start + Duration::from_secs(10)).publish_rate - 10.0).abs() < 0.01);
        counters.sample(start + Duration::from_secs(50));
        counters.sample(start + Duration::from_secs(100));
        assert!(counters.traffic(start + Duration::from_secs(101)).publish_rate < 0.01);
    }

    #[test]
    fn every_end_and_every_attempt_has_a_place_of_its_own() {
        let counters = Counters::default();
        for attempt in Attempt::ALL {
            counters.attempt(attempt);
        }
        for end in StreamEnd::ALL {
            counters.stream_ended(end);
        }
        assert!(counters.attempts().all(|(_, count)| count == 1) && counters.ended().all(|(_, count)| count == 1));
        // Neither good keys, nor those that nobody looked at.
        assert_eq!((counters.traffic(Instant::now()).auth_failures, counters.ended_slow()), (7, 1));
        let distinct = |words: &[&str]| words.iter().collect::<std::collections::HashSet<_>>().len() == words.len();
        assert!(distinct(&Attempt::ALL.map(Attempt::as_str)) && distinct(&StreamEnd::ALL.map(StreamEnd::as_str)));
    }
}
