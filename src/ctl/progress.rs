//! A progress line for a long replay, on standard error if that is a terminal.
//!
//! `tail` and `history` show it while the user does not see the alerts themselves. [`note`](super::output::note) erases
//! the line before it writes.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::terminal;
use super::text::{cut, local};
use crate::alert::{Id, rfc3339};

/// A shorter replay needs no progress line.
const SHOW_AFTER: Duration = Duration::from_millis(500);
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Whether the terminal shows a progress line.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// The progress of one replay.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The time of the next redraw; `None` if the line is not shown.
    next: Option<Instant>,
    count: u64,
    total: Option<u64>,
}

impl Progress {
    /// Starts a progress line. It is not shown if the output itself `is_visible`, or if standard error is not a terminal.
    #[must_use]
    pub(crate) fn begin(total: Option<u64>, is_visible: bool) -> Self {
        let is_shown = !is_visible && terminal::shows_notes();
        Self { next: is_shown.then(|| Instant::now() + SHOW_AFTER), count: 0, total }
    }

    /// The total is known only now.
    pub(crate) const fn set_total(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// Counts `count` more alerts, the last of which is `last`.
    pub(crate) fn add(&mut self, count: u64, last: Id) {
        self.count += count;
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + REDRAW_INTERVAL);
            let (columns, _) = terminal::size(std::io::stderr());
            IS_SHOWN.store(true, Ordering::Relaxed);
            write(&format!("\r\x1b[K{}\r", cut(&self.text(last), columns.saturating_sub(1))));
        }
    }

    /// Erases the line for good.
    pub(crate) fn end(&mut self) {
        if self.next.take().is_some() {
            erase();
        }
    }

    fn text(&self, last: Id) -> String {
        let of = self.total.map_or_else(String::new, |total| format!(" of {total}"));
        format!("alertctl: {}{of} alerts, the last of {}", self.count, local(&rfc3339(last.ms)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Erases the line, if one is shown.
pub(crate) fn erase() {
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        write("\r\x1b[K");
    }
}

fn write(text: &str) {
    // A progress line that cannot be written is no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_count_the_total_and_the_time() {
        let mut progress = Progress { next: None, count: 0, total: Some(5000) };
        progress.add(1000, Id::at(1_795_455_190_123));
        progress.add(1000, Id::at(1_795_455_190_123));
        assert!(
            progress
                .text(Id::at(1_795_455_190_123))
                .starts_with("alertctl: 2000 of 5000 alerts, the last of 2026-11-23 ")
        );
    }
}
