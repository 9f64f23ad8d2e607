//! Segments that exports read: when they are dropped, their space is given back once the last export is through with them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Default)]
pub(super) struct Pins {
    /// How many exports read a segment, by its name.
    pinned: Mutex<HashMap<String, usize>>,
    /// Files of dropped segments whose space is still in use.
    waiting: Mutex<Vec<String>>,
    /// Held while the snapshot is replaced, and while an export begins with it.
    pub(super) snapshot: Mutex<()>,
}

/// As long as it lives, the content of a segment stays.
pub(super) struct Pin {
    pins: Arc<Pins>,
    name: String,
}

impl Pins {
    /// The caller holds the lock under which the segment would be dropped.
    pub(super) fn pin(self: &Arc<Self>, name: &str) -> Pin {
        *self.pinned.lock().entry(name.to_owned()).or_default() += 1;
        Pin { pins: Arc::clone(self), name: name.to_owned() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.pinned.lock().contains_key(name)
    }

    /// Puts the file of a pinned segment off.
    pub(super) fn wait(&self, file: String) {
        self.waiting.lock().push(file);
    }

    pub(super) fn take_waiting(&self) -> Vec<String> {
        std::mem::take(&mut self.waiting.lock())
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.lock().is_empty()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.pins.pinned.lock();
        let left = pinned.get_mut(&self.name).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            pinned.remove(&self.name);
        }
    }
}
