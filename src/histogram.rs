//! Histograms of durations.
//!
//! Threads write and read them without a lock. All of one scale have the same bounds, so that durations of different parts can
//! be compared.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bound of each bucket except the last, which has none, in microseconds.
type Bounds = [u64; 18];

/// How long the durations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Those of machines: 50 microseconds to 30 seconds.
    #[default]
    Machine,
    /// Those of people: 10 seconds to 30 days.
    Human,
}

impl Scale {
    const fn bounds(self) -> &'static Bounds {
        const MACHINE: Bounds = [
            50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
            2_500_000, 5_000_000, 10_000_000, 30_000_000,
        ];
        const MINUTE: u64 = 60_000_000;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        const HUMAN: Bounds = [
            MINUTE / 6,
            MINUTE / 2,
            MINUTE,
            2 * MINUTE,
            5 * MINUTE,
            10 * MINUTE,
            15 * MINUTE,
            30 * MINUTE,
            HOUR,
            2 * HOUR,
            4 * HOUR,
            8 * HOUR,
            12 * HOUR,
            DAY,
            2 * DAY,
            3 * DAY,
            7 * DAY,
            30 * DAY,
        ];
        match self {
            Self::Machine => &MACHINE,
            Self::Human => &HUMAN,
        }
    }
}

const BUCKETS: usize = Scale::Machine.bounds().len() + 1;

/// The durations observed since the start.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    scale: Scale,
    buckets: [AtomicU64; BUCKETS],
    /// Microseconds.
    sum: AtomicU64,
}

/// A snapshot of a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    scale: Scale,
    /// Number of durations in each bucket.
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    pub(crate) fn of(scale: Scale) -> Self {
        Self { scale, ..Self::default() }
    }

    /// Counts `times` durations of length `each`.
    pub(crate) fn observe(&self, each: Duration, times: u64) {
        let micros = u64::try_from(each.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.scale.bounds().partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(micros.saturating_mul(times), Ordering::Relaxed);
    }

    /// A snapshot of the durations observed so far.
    #[must_use]
    pub(crate) fn read(&self) -> Distribution {
        let counts = std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed));
        Distribution { scale: self.scale, counts, sum: Duration::from_micros(self.sum.load(Ordering::Relaxed)) }
    }
}

impl Distribution {
    /// The upper bound of each bucket in seconds (infinite for the last) and the number of durations in it, not cumulated.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.scale.bounds().iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts)
    }

    /// The number of durations.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    #[must_use]
    pub(crate) const fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_in_the_first_bucket_that_is_long_enough() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read(), Distribution::default());
        for (micros, times) in [(0, 1), (50, 2), (51, 4), (30_000_000, 8), (30_000_001, 16), (u64::MAX / 64, 32)] {
            histogram.observe(Duration::from_micros(micros), times);
        }
        let seen = histogram.read();
        let filled: Vec<_> = seen.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.000_05, 3), (0.000_1, 4), (30.0, 8), (f64::INFINITY, 48)]);
        assert_eq!(seen.count(), 63);
        let other = Histogram::default();
        other.observe(Duration::from_millis(3), 1000);
        assert_eq!((other.read().count(), other.read().sum()), (1000, Duration::from_secs(3)));
    }

    #[test]
    fn what_people_take_is_told_apart_from_seconds_to_a_month() {
        let histogram = Histogram::of(Scale::Human);
        for (seconds, times) in [(1, 1), (11, 2), (3600, 4), (30 * 86_400, 8), (31 * 86_400, 16)] {
            histogram.observe(Duration::from_secs(seconds), times);
        }
        let seen = histogram.read();
        let filled: Vec<_> = seen.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(10.0, 1), (30.0, 2), (3600.0, 4), (2_592_000.0, 8), (f64::INFINITY, 16)]);
        for scale in [Scale::Machine, Scale::Human] {
            assert!(scale.bounds().is_sorted_by(|a, b| a < b));
        }
    }
}
