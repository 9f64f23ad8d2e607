//! State that the writer, the publishers and the status share: the retention, why publishing fails, the commits, and what
//! is expected on topics.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::expectations::ExpectationFile;
use crate::engine::{AppendError, Cause, Retention, Unavailable};
use crate::histogram::Histogram;

/// Shared by all users of one engine.
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    pub(super) retention: Mutex<Retention>,
    /// Why the writer cannot write; none if it can.
    trouble: Mutex<Option<Unavailable>>,
    /// The last publish whose deadline passed, and how many commits there were until then.
    overdue: Mutex<Option<(Unavailable, u64)>>,
    pub(super) is_closed: AtomicBool,
    /// The watchdog's marker that is waiting; 0 for none.
    pub(super) marker: AtomicU64,
    pub(super) commits: Histogram,
    /// When a scrub had checked the whole log, milliseconds since 1970; 0 for never.
    pub(super) scrubbed_ms: AtomicU64,
    /// Locked while it is written.
    pub(super) expectations: Arc<Mutex<ExpectationFile>>,
}

impl Shared {
    pub(super) fn new(directory: PathBuf, retention: Retention) -> Self {
        let expectations = Arc::new(Mutex::new(ExpectationFile::open(&directory)));
        Self {
            directory,
            retention: Mutex::new(retention),
            trouble: Mutex::default(),
            overdue: Mutex::default(),
            is_closed: AtomicBool::new(false),
            marker: AtomicU64::new(0),
            commits: Histogram::default(),
            scrubbed_ms: AtomicU64::new(0),
            expectations,
        }
    }

    pub(super) fn trouble(&self) -> Option<Unavailable> {
        self.trouble.lock().clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<Unavailable>) {
        *self.trouble.lock() = trouble;
    }

    pub(super) fn set_closed(&self) {
        self.set_trouble(Some(Unavailable::stopping()));
        self.is_closed.store(true, Ordering::Release);
    }

    /// Notes a publish whose deadline passed: a disk that hangs reports no error.
    pub(super) fn note_deadline(&self, error: &AppendError) {
        if let AppendError::Unknown(reason) = error
            && reason.cause == Cause::TimedOut
        {
            *self.overdue.lock() = Some((reason.clone(), self.commits.read().count()));
        }
    }

    /// Why publishing would fail: the writer cannot write, or a deadline passed and nothing was committed since.
    pub(super) fn health(&self) -> Option<Unavailable> {
        let is_overdue = |(_, before): &(Unavailable, u64)| *before == self.commits.read().count();
        let overdue = || self.overdue.lock().clone().filter(is_overdue).map(|(reason, _)| reason);
        self.trouble().or_else(overdue)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_that_passed_counts_until_the_next_commit() {
        let retention = Retention { age_ms: 0, count: 0, bytes: 0, topic_count: 0 };
        let shared = Shared::new(PathBuf::new(), retention);
        shared.commits.observe(Duration::ZERO, 1);
        let fails = |cause| AppendError::Unknown(Unavailable::new(cause, "the disk".to_owned()));
        shared.note_deadline(&fails(Cause::StoreFailing));
        assert!(shared.health().is_none(), "the writer reports errors of the store itself");
        shared.note_deadline(&fails(Cause::TimedOut));
        assert_eq!(shared.health().unwrap().cause, Cause::TimedOut);
        shared.commits.observe(Duration::ZERO, 1);
        assert!(shared.health().is_none());
    }
}
