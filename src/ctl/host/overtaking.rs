//! Urgent entries that are published before older ones.
//!
//! Usually all entries are published in the order of the journal. If the oldest that is not published yet was written some
//! seconds ago, because of a flood or of a daemon that was away, a second `journalctl` reads the urgent ones (emerg, alert,
//! crit) from there on; the journal's index finds them at once. They are published first, and named in a file beside the
//! position until the others have come that far, so that none is published twice, whatever is killed in between.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::entry::Entry;
use super::journal_alert::{is_own, written};
use super::reader::{self, Reader};
use crate::ctl::exit::Failure;
use crate::ctl::state;

/// The age of the oldest entry from which urgent ones overtake it.
const BEHIND: SignedDuration = SignedDuration::from_secs(3);
/// The age below which they no longer do.
const CAUGHT_UP: SignedDuration = SignedDuration::from_secs(1);
/// How long to wait for the entries whose turn it is before urgent ones are looked for again, and how often.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_WAITS: u32 = 30;
/// Urgent entries that are named as published; beyond that they wait for their turn. All of them fit into the file.
const MAX_NAMED: usize = 256;
/// Urgent entries that had their turn and are still known, in case the second `journalctl` comes to them later.
const MAX_PASSED: usize = 1024;
/// How much older than the position a name may be: the journal has dropped its entry.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Which urgent entries were published before their turn.
pub(super) struct Overtaking {
    /// Selects them; none if there is nothing that they could overtake.
    matches: Option<Vec<String>>,
    reader: Option<Reader>,
    /// Cursors of those that were published before their turn, in the order of the journal.
    named: VecDeque<String>,
    /// Cursors of those that had their turn since the reader was started.
    passed: VecDeque<String>,
    file: PathBuf,
    is_changed: bool,
    /// How often nothing came since the last entries.
    waits: u32,
}

impl Overtaking {
    /// Reads the names from the file beside the position.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, or holds anything but cursors.
    pub(super) fn open(matches: Option<Vec<String>>, position: &Path) -> Result<Self, Failure> {
        let mut file = position.to_owned().into_os_string();
        file.push(".overtaken");
        let file = PathBuf::from(file);
        let named: VecDeque<String> =
            state::read(&file)?.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
        if !named.iter().all(|name| name.starts_with("s=")) {
            return Err(state::foreign(&file));
        }
        Ok(Self { matches, reader: None, named, passed: VecDeque::new(), file, is_changed: false, waits: 0 })
    }

    /// Begins or ends to look for urgent entries. `entries` are those whose turn it is, and `position` is before them.
    pub(super) fn look(&mut self, entries: &[Entry], position: Option<&str>) -> Result<(), Failure> {
        self.waits = 0;
        let Some(matches) = &self.matches else { return Ok(()) };
        let Some(oldest) = entries.iter().find_map(Entry::written) else { return Ok(()) };
        let age = Timestamp::now().duration_since(oldest);
        match self.reader {
            None if age > BEHIND => {
                self.passed = position.map(str::to_owned).into_iter().collect();
                self.reader = Some(Reader::start(&reader::from("--follow", position, matches))?);
            }
            Some(_) if age < CAUGHT_UP => self.reader = None,
            _ => {}
        }
        Ok(())
    }

    /// How long the entries whose turn it is may take before urgent ones are looked for; none if no urgent ones are read.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.reader.is_some().then_some(PATIENCE)
    }

    /// Notes that none came in that time. After many of them there is nothing left to overtake.
    pub(super) fn wait_once_more(&mut self) {
        self.waits += 1;
        if self.waits >= MAX_WAITS {
            self.reader = None;
        }
    }

    /// The next urgent entry to publish before its turn. It counts as published.
    pub(super) fn next(&mut self) -> Option<(Entry, String)> {
        while self.named.len() < MAX_NAMED
            && let Some(entry) = self.reader.as_mut()?.ready()
        {
            if let Some(cursor) = entry.cursor()
                && !self.passed.contains(&cursor)
                && !self.named.contains(&cursor)
                && !is_own(&entry)
            {
                self.named.push_back(cursor.clone());
                self.is_changed = true;
                return Some((entry, cursor));
            }
        }
        None
    }

    /// Notes that it is the turn of this entry, and says whether it was published before.
    pub(super) fn passes(&mut self, entry: &Entry, cursor: &str) -> bool {
        if self.reader.is_some() && entry.is_urgent() {
            self.passed.push_back(cursor.to_owned());
            if self.passed.len() > MAX_PASSED {
                self.passed.pop_front();
            }
        }
        if self.named.is_empty() {
            return false;
        }
        let before = self.named.len();
        let is_left = |name: &String| name != cursor && !is_dropped(name, entry);
        let was_published = self.named.iter().any(|name| name == cursor);
        self.named.retain(is_left);
        self.is_changed |= self.named.len() != before;
        was_published
    }

    /// Saves the names, if they have changed.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be written.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        if self.is_changed {
            let names: Vec<&str> = self.named.iter().map(String::as_str).collect();
            state::write(&self.file, &names.join(" "))?;
            self.is_changed = false;
        }
        Ok(())
    }
}

/// Whether the journal has come so far past the entry of this name that it can no longer have it.
fn is_dropped(name: &str, entry: &Entry) -> bool {
    let times = written(name).zip(entry.written());
    times.is_some_and(|(named, now)| now.duration_since(named) > MAX_AGE)
}
