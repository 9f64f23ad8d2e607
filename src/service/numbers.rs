//! Counters of what went through, and the rates of the last minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::outlet::End;
use crate::api::TrafficStatus;
use crate::sse::Bye;

/// Counters since start; written by all, read by the status.
#[derive(Debug, Default)]
pub struct Numbers {
    published: AtomicU64,
    delivered: AtomicU64,
    auth_failures: AtomicU64,
    ended_slow: AtomicU64,
    /// Published and delivered at some moments of the last minute.
    samples: Mutex<VecDeque<(Instant, u64, u64)>>,
}

impl Numbers {
    const WINDOW: Duration = Duration::from_secs(60);

    pub(super) fn published(&self, alerts: u64) {
        self.published.fetch_add(alerts, Ordering::Relaxed);
    }

    /// Notes alerts that went out.
    pub fn delivered(&self, alerts: u64) {
        self.delivered.fetch_add(alerts, Ordering::Relaxed);
    }

    pub(super) fn auth_failure(&self) {
        self.auth_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the end of a stream.
    pub fn stream_ended(&self, end: End) {
        if end == End::Bye(Bye::Slow) {
            tracing::info!(message_id = "slow-stream-ended", "a stream is ended: its reader takes nothing");
            self.ended_slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Streams ended because their reader was too slow.
    #[must_use]
    pub fn ended_slow(&self) -> u64 {
        self.ended_slow.load(Ordering::Relaxed)
    }

    /// Notes where the counters stand; called every few seconds by the daemon.
    pub fn sample(&self, now: Instant) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        while samples.front().is_some_and(|(at, ..)| now.duration_since(*at) > Self::WINDOW) {
            samples.pop_front();
        }
        samples.push_back((now, self.published.load(Ordering::Relaxed), self.delivered.load(Ordering::Relaxed)));
    }

    /// The counters, and the rates since the oldest sample.
    #[must_use]
    pub fn traffic(&self, now: Instant) -> TrafficStatus {
        let (published, delivered) = (self.published.load(Ordering::Relaxed), self.delivered.load(Ordering::Relaxed));
        let oldest = self.samples.lock().unwrap_or_else(PoisonError::into_inner).front().copied();
        let rate = |count: u64, then: u64, seconds: f64| (count - then) as f64 / seconds.max(1.0);
        let (publish_rate, delivery_rate) = oldest.map_or((0.0, 0.0), |(at, p, d)| {
            let seconds = now.duration_since(at).as_secs_f64();
            (rate(published, p, seconds), rate(delivered, d, seconds))
        });
        TrafficStatus {
            published,
            delivered,
            auth_failures: self.auth_failures.load(Ordering::Relaxed),
            publish_rate,
            delivery_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let (numbers, start) = (Numbers::default(), Instant::now());
        numbers.sample(start);
        numbers.published(100);
        assert!((numbers.traffic(start + Duration::from_secs(10)).publish_rate - 10.0).abs() < 0.01);
        numbers.sample(start + Duration::from_secs(50));
        numbers.sample(start + Duration::from_secs(100));
        assert!(numbers.traffic(start + Duration::from_secs(101)).publish_rate < 0.01);
    }
}
