//! How far a long replay is: a line of standard error that replaces itself, where a person looks at it.
//!
//! Used by `tail` and `history` while they print nothing that this person would see. [`note`](super::output::note)
//! clears the line away before it writes.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::terminal;
use super::text::{cut, local};
use crate::alert::{Id, rfc3339};

/// What is done by then needs no words.
const SHOW_AFTER: Duration = Duration::from_millis(500);
/// Faster than this nobody reads.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Whether such a line stands there.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// How far it is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// None where nobody looks, or it is over.
    next: Option<Instant>,
    count: u64,
    most: Option<u64>,
}

impl Progress {
    /// Of a replay that begins now; of `most` alerts, if that is known. There is none where the alerts themselves are
    /// seen to come, or standard error is no terminal.
    #[must_use]
    pub(crate) fn begin(most: Option<u64>, is_seen: bool) -> Self {
        let visible = !is_seen && terminal::shows_notes();
        Self { next: visible.then(|| Instant::now() + SHOW_AFTER), count: 0, most }
    }

    /// So many more have come, the last of them this one.
    pub(crate) fn saw(&mut self, more: u64, last: Id) {
        self.count += more;
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + REDRAW_INTERVAL);
            let (columns, _) = terminal::size(std::io::stderr());
            IS_SHOWN.store(true, Ordering::Relaxed);
            write(&format!("\r\x1b[K{}\r", cut(&self.text(last), columns.saturating_sub(1))));
        }
    }

    /// It is over; nothing stays on the screen.
    pub(crate) fn end(&mut self) {
        if self.next.take().is_some() {
            erase();
        }
    }

    fn text(&self, last: Id) -> String {
        let of = self.most.map_or_else(String::new, |most| format!(" of {most}"));
        format!("alertctl: {}{of} alerts, the last of {}", self.count, local(&rfc3339(last.ms)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes the line away, if there is one.
pub(crate) fn erase() {
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        write("\r\x1b[K");
    }
}

fn write(text: &str) {
    // Where it cannot be written nobody misses it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_and_how_far() {
        let mut progress = Progress { next: None, count: 0, most: Some(5000) };
        progress.saw(1000, Id::at(1_795_455_190_123));
        progress.saw(1000, Id::at(1_795_455_190_123));
        assert!(
            progress
                .text(Id::at(1_795_455_190_123))
                .starts_with("alertctl: 2000 of 5000 alerts, the last of 2026-11-23 ")
        );
    }
}
