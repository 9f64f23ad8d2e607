//! Pauses between attempts.

use std::time::Duration;

/// Pauses that grow with each failure in a row. They are random, so that clients do not all reconnect at the same time after
/// an outage.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Limit of the pause that a server may ask for.
    const MAX_PAUSE: Duration = Duration::from_secs(600);

    /// The pause is about `base` after the first failure and doubles with each further one, up to `max`.
    #[must_use]
    pub(crate) const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// Sets the first pause to the `retry` of the server.
    pub(crate) fn set_base(&mut self, base: Duration) {
        self.base = base.clamp(Duration::from_millis(100), Self::MAX_PAUSE);
        self.max = self.max.max(self.base);
    }

    /// Resets the pause after a success.
    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure. `retry_after` is the server's `Retry-After`; `fraction` is random, from 0 to 1.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>, fraction: f64) -> Duration {
        let doubled = self.base.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let own = doubled.mul_f64(0.5 + fraction / 2.0);
        // Never earlier than the server asked, and spread out after that.
        retry_after.map_or(own, |asked| own.max(asked.min(Self::MAX_PAUSE).mul_f64(1.0 + fraction / 4.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_again_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 10);
        let pauses: Vec<u64> = (0..6).map(|_| backoff.next(None, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        backoff.succeeded();
        assert_eq!(backoff.next(None, 0.0), second / 2);
        for _ in 0..100 {
            assert!(backoff.next(None, 1.0) <= second * 10);
        }
    }

    #[test]
    fn the_pause_is_at_least_what_the_server_asked_but_bounded() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let asked = Duration::from_secs(20);
        assert_eq!(backoff.next(Some(asked), 0.0), asked);
        assert_eq!(backoff.next(Some(asked), 1.0), Duration::from_secs(25));
        assert!(backoff.next(Some(Duration::MAX), 1.0) <= Duration::from_secs(750));
        backoff.set_base(Duration::ZERO);
        backoff.succeeded();
        assert!(backoff.next(None, 0.0) >= Duration::from_millis(50));
    }
}
