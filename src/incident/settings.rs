//! The settings of incidents.

use crate::alert::Level;

/// `[incidents]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// An equal alert within this time of the last one that was broadcast is only counted; 0 if none is. Milliseconds.
    pub repeat_interval_ms: u64,
    /// How long an incident waits for an acknowledgement until it is announced again; 0 if it is not. Milliseconds.
    pub remind_after_ms: u64,
    /// The lowest level that is announced again.
    pub remind_level: Level,
    /// Unresolved incidents of all users.
    pub max_open: usize,
    /// Unresolved incidents that the alerts of one user opened.
    pub max_open_per_user: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repeat_interval_ms: 0,
            remind_after_ms: 0,
            remind_level: Level::Error,
            max_open: 10_000,
            max_open_per_user: 2_500,
        }
    }
}

/// Resolved incidents that stay readable: as long as their last alerts, and at most so many.
pub(crate) const MAX_RESOLVED: usize = 10_000;
