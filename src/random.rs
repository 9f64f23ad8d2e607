//! Random spread: times at which many clients or nodes must not act together. And the random numbers of tests.

use std::time::Duration;

/// A number from 0 to 1. Without randomness from the operating system it is 0: only less even.
#[must_use]
pub(crate) fn fraction() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
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
