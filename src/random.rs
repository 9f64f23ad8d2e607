//! Random spread: times at which many clients or nodes must not act together.

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
