//! Random spread: times at which many clients or nodes must not act together, and ids. And the random numbers of tests.
//!
//! Each process takes a random number from the operating system once, and every other one follows from it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that this process has not used before. The first is random, and an odd constant that changes all digits leads to
/// the next: the golden ratio, with which any number of them are spread evenly.
#[must_use]
pub(crate) fn number() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Without randomness each process uses the same numbers, which spreads nodes less evenly and makes logs harder to
        // read.
        let _ = getrandom::fill(&mut bytes);
        AtomicU64::new(u64::from_le_bytes(bytes))
    });
    NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
}

/// A number from 0 to 1.
#[must_use]
pub(crate) fn fraction() -> f64 {
    number() as f64 / u64::MAX as f64
}

/// A time from `least` to `most`.
#[must_use]
pub(crate) fn between(least: Duration, most: Duration) -> Duration {
    least + most.saturating_sub(least).mul_f64(fraction())
}

/// Small deterministic random numbers (xorshift), so that a failing seed can be run again.
#[cfg(test)]
pub(crate) struct Random(pub(crate) u64);

#[cfg(test)]
impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }

    /// The position of one of so many things.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_within_their_bounds() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(2));
        let times: std::collections::BTreeSet<_> = (0..100).map(|_| between(least, most)).collect();
        assert!(times.len() > 90 && times.iter().all(|time| (least..=most).contains(time)));
        assert_eq!(between(most, least), most);
    }
}
