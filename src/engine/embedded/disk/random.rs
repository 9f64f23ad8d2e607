//! Random numbers of the tests.

/// Small deterministic random numbers (xorshift), so that a failing seed can be run again.
pub(in super::super) struct Random(pub(in super::super) u64);

impl Random {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(in super::super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(in super::super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }

    pub(in super::super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
