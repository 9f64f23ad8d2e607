//! Counters of the service: accepted alerts and authentication attempts, and the rates of the last minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::topic_classes::TopicClassCounters;
use crate::alert::Record;
use crate::api::TrafficStatus;
use crate::keyring::VerifyError;

/// Counters since the start of the process. Counting takes no lock.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: TopicClassCounters,
    /// Alerts that were sent again and recognised.
    pub(super) repeated: TopicClassCounters,
    pub(super) publish_failures: AtomicU64,
    /// Indexed like [`Attempt::ALL`].
    attempts: [AtomicU64; Attempt::ALL.len()],
    /// Numbers of accepted and delivered alerts at times of the last minute. Bounded, because older samples are removed.
    samples: Mutex<VecDeque<(Instant, u64, u64)>>,
}

/// The outcome of an attempt to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    /// A key that was verified before.
    Remembered,
    /// A key that had to be verified.
    Verified,
    Ticket,
    /// A ticket that is unknown, used or expired, or whose key has ended.
    BadTicket,
    /// A webhook body with GitHub's signature.
    Signed,
    /// A webhook body whose signature is wrong or missing, or that did not arrive.
    BadSignature,
    /// A request without a key.
    Missing,
    /// A key that was refused, or could not be verified.
    Refused(VerifyError),
    /// The address has too many failures.
    Limited,
}

impl Attempt {
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

    /// The value of the metric label `result`.
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

    /// Whether the client was told that its key is wrong.
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

    pub(super) fn accepted(&self, alert: &Record) {
        self.accepted.count(&alert.topic, alert.level);
    }

    /// Counts an alert that was in the log already.
    pub(super) fn repeated(&self, alert: &Record) {
        self.repeated.count(&alert.topic, alert.level);
    }

    /// Counts a publish whose outcome is unknown.
    pub(super) fn publish_failed(&self) {
        self.publish_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn attempt(&self, attempt: Attempt) {
        if let Some(index) = Attempt::ALL.iter().position(|other| *other == attempt) {
            self.attempts[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = (Attempt, u64)> {
        Attempt::ALL.into_iter().zip(&self.attempts).map(|(attempt, count)| (attempt, count.load(Ordering::Relaxed)))
    }

    /// Samples the counters, for the rates of the last minute. Called every few seconds; `delivered` is delivery's counter.
    pub(super) fn sample(&self, now: Instant, delivered: u64) {
        let mut samples = self.samples.lock();
        while samples.front().is_some_and(|(at, ..)| now.duration_since(*at) > Self::WINDOW) {
            samples.pop_front();
        }
        samples.push_back((now, self.accepted.total(), delivered));
    }

    /// The counters, and the rates since the oldest sample.
    pub(super) fn traffic(&self, now: Instant, delivered: u64) -> TrafficStatus {
        let published = self.accepted.total();
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
        counters.sample(start, 0);
        let record = Draft::new(Topic::fallback(), "m".into(), Level::Info, Metadata::default()).unwrap();
        let record = record.record(Id::at(1), 1);
        (0..100).for_each(|_| counters.accepted(&record));
        let traffic = counters.traffic(start + Duration::from_secs(10), 200);
        assert!((traffic.publish_rate - 10.0).abs() < 0.01 && (traffic.delivery_rate - 20.0).abs() < 0.01);
        counters.sample(start + Duration::from_secs(50), 200);
        counters.sample(start + Duration::from_secs(100), 200);
        let traffic = counters.traffic(start + Duration::from_secs(101), 200);
        assert!(traffic.publish_rate < 0.01 && traffic.delivery_rate < 0.01);
    }

    #[test]
    fn each_outcome_of_an_attempt_has_its_own_counter_and_name() {
        let counters = Counters::default();
        Attempt::ALL.into_iter().for_each(|attempt| counters.attempt(attempt));
        assert!(counters.attempts().all(|(_, count)| count == 1));
        // Valid keys do not count, nor keys that were not verified.
        assert_eq!(counters.traffic(Instant::now(), 0).auth_failures, 7);
        let names: std::collections::HashSet<_> = Attempt::ALL.map(Attempt::as_str).into();
        assert_eq!(names.len(), Attempt::ALL.len());
    }
}
