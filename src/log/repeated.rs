//! A line that could be logged very often, and is logged once a minute with the number of those that were left out.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const MINUTE: Duration = Duration::from_secs(60);

/// When the line was logged last, and how many were left out since.
#[derive(Debug, Default)]
pub(crate) struct Repeated(Mutex<Option<(Instant, u64)>>);

impl Repeated {
    /// Notes an occasion for the line. If it is to be logged now: how many were left out before it.
    pub(crate) fn note(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock();
        match &mut *last {
            Some((logged, left_out)) if now.duration_since(*logged) < MINUTE => {
                *left_out += 1;
                None
            }
            _ => Some(last.replace((now, 0)).map_or(0, |(_, left_out)| left_out)),
        }
    }

    /// How many were left out in a minute that has ended, if any were.
    pub(crate) fn settle(&self, now: Instant) -> Option<u64> {
        let last = self.0.lock().take_if(|(logged, _)| now.duration_since(*logged) >= MINUTE);
        last.map(|(_, left_out)| left_out).filter(|left_out| *left_out > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_logged_once_a_minute_and_the_others_are_counted() {
        let (line, start) = (Repeated::default(), Instant::now());
        assert_eq!((line.note(start), line.note(start), line.note(start + MINUTE / 2)), (Some(0), None, None));
        assert_eq!(line.settle(start + MINUTE / 2), None);
        assert_eq!((line.settle(start + MINUTE), line.settle(start + MINUTE)), (Some(2), None));
        assert_eq!((line.note(start + MINUTE), line.note(start + MINUTE)), (Some(0), None));
        assert_eq!(line.note(start + 2 * MINUTE), Some(1));
    }
}
