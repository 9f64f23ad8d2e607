//! Segments that exports read: if one is dropped, its space is freed only after the last export has read it.
//!
//! The space held is bounded by the size of the log when the export began, and is a metric. When the disk becomes full
//! it is freed at once, because storing alerts comes first.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct Pins {
    state: Mutex<State>,
    /// Held while the snapshot is replaced, and while an export begins with it.
    pub(super) snapshot: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// How many exports read a segment, by its name.
    pinned: HashMap<String, usize>,
    /// Files of dropped segments whose space is still in use, with their bytes.
    waiting: Vec<(String, u64)>,
    /// How often all pins were revoked.
    revoked: u64,
}

/// Keeps the content of a segment until it is dropped or revoked.
pub(super) struct Pin {
    pins: Arc<Pins>,
    name: String,
    /// The value of [`State::revoked`] when it was made.
    revoked: u64,
}

impl Pins {
    /// The caller holds the lock under which the segment would be dropped.
    pub(super) fn pin(self: &Arc<Self>, name: &str) -> Pin {
        let mut state = self.state.lock();
        *state.pinned.entry(name.to_owned()).or_default() += 1;
        Pin { pins: Arc::clone(self), name: name.to_owned(), revoked: state.revoked }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.state.lock().pinned.contains_key(name)
    }

    /// Postpones freeing the file of a pinned segment.
    pub(super) fn wait(&self, file: String, bytes: u64) {
        self.state.lock().waiting.push((file, bytes));
    }

    /// The postponed files, some of which may no longer be pinned.
    pub(super) fn take_waiting(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().waiting).into_iter().map(|(file, _)| file).collect()
    }

    /// Bytes of dropped segments that exports still read.
    pub(super) fn held_bytes(&self) -> u64 {
        self.state.lock().waiting.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Revokes all pins, which makes the exports fail. Returns whether there was one.
    pub(super) fn revoke(&self) -> bool {
        let mut state = self.state.lock();
        state.revoked += 1;
        !std::mem::take(&mut state.pinned).is_empty()
    }
}

impl Pin {
    pub(super) fn is_revoked(&self) -> bool {
        self.pins.state.lock().revoked != self.revoked
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        // A later export may have pinned the same segment.
        if state.revoked != self.revoked {
            return;
        }
        let left = state.pinned.get_mut(&self.name).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            state.pinned.remove(&self.name);
        }
    }
}
