//! Whether streams go on, leave one after the other, or all end.
//!
//! Owned by [`Delivery`](super::Delivery); every stream and every broadcast loop watches it. Always: streams that leave do so
//! evenly over the time that the operator chose, whatever carries them, and the end of the process ends them all.

use std::time::Duration;

use tokio::time::Instant;

use crate::sse::Bye;

/// The longest time over which streams leave.
pub(crate) const MAX_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// What becomes of the streams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Drain {
    /// Streams open and go on.
    Off,
    /// An operator has them leave over this time, and no new ones open.
    Leaving { since: Instant, over: Duration },
    /// The process ends, and all streams with it.
    Ending(Bye),
}

impl Drain {
    /// When a stream leaves that has this place, from 0 to 1, among all.
    pub(super) fn leaves_at(self, place: f64) -> Option<Instant> {
        match self {
            Self::Leaving { since, over } => Some(since + over.mul_f64(place)),
            Self::Off | Self::Ending(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_evenly_over_the_time() {
        let (since, over) = (Instant::now(), Duration::from_secs(40));
        let drain = Drain::Leaving { since, over };
        for (place, seconds) in [(0.0, 0), (0.25, 10), (1.0, 40)] {
            assert_eq!(drain.leaves_at(place), Some(since + Duration::from_secs(seconds)));
        }
        assert_eq!((Drain::Off.leaves_at(0.0), Drain::Ending(Bye::Stop).leaves_at(0.0)), (None, None));
    }
}
