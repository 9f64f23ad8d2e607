//! What a panic of the storage leaves behind: a note, because of which the next start checks the whole log first.
//!
//! Everything that works on the log of a running engine holds a [`Suspicion`]. Always: after such a panic alertd serves
//! a log only if no part of it is damaged, or if somebody removed the note.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::at_rest::AtRest;
use super::location;
use super::open_error::OpenError;
use super::shared::Shared;
use crate::log::Event;
use crate::supervisor;

const TEXT: &[u8] = b"alertd panicked while it used the log beside this file; its next start checks the log\n";

/// Held while a worker uses the log.
pub(super) struct Suspicion {
    shared: Arc<Shared>,
    worker: &'static str,
}

impl Suspicion {
    pub(super) const fn new(shared: Arc<Shared>, worker: &'static str) -> Self {
        Self { shared, worker }
    }
}

impl Drop for Suspicion {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Without the note the next start opens the log as after any crash.
            let _ = fs::write(self.shared.directory.join(location::SUSPECT), TEXT);
            supervisor::panicked(self.worker);
        }
    }
}

/// Checks the log if there is a note, and removes the note if nothing is damaged. Needs the lock of the log.
pub(super) fn check(directory: &Path, log: &Path, now_ms: u64, progress: &dyn Fn(&str)) -> Result<(), OpenError> {
    let note = directory.join(location::SUSPECT);
    if !note.exists() {
        return Ok(());
    }
    progress("checking the whole log, because alertd panicked while it used it");
    let io = |source| OpenError::Io { path: log.to_owned(), source };
    let AtRest { mut export, mut damage, .. } = AtRest::read(log, None, now_ms)?;
    while !export.next().map_err(io)?.is_empty() {}
    damage.append(&mut export.damage);
    if let Some(first) = damage.first() {
        return Err(OpenError::Suspect { path: log.to_owned(), places: damage.len(), first: first.clone(), note });
    }
    location::clear_suspicion(directory).map_err(|source| OpenError::Io { path: note, source })?;
    tracing::info!(
        message_id = %Event::LogChecked,
        "alertd panicked while it used the log; all of the log in {} was checked, and nothing is damaged",
        log.display()
    );
    Ok(())
}
