//! What a node has seen of the log, kept in its state directory while it is stopped.
//!
//! Owned by the node's shared state, written by the follower. Without it, nobody would notice that Redis was restored from an
//! older state, or emptied, while all nodes were stopped. It is at most a second old after a crash.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::alert::Id;
use crate::record_file::RecordFile;

const FILE: &str = "fleet-log";

/// The newest id that was seen, and the epoch of the log that it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenLog {
    /// The servers and the prefix of the keys: another log is not compared.
    log: String,
    pub(super) epoch: String,
    pub(super) newest: Id,
}

pub(super) struct LastSeen {
    log: String,
    /// The content at the start.
    pub(super) at_start: Option<SeenLog>,
    /// None for a node that keeps nothing. Locked during a write, on a blocking thread.
    saved: Option<Mutex<Saved>>,
}

struct Saved {
    file: RecordFile,
    /// Its content.
    seen: Option<SeenLog>,
}

impl LastSeen {
    /// Reads what was kept of this log. A file that cannot be used is named in the journal and ignored.
    pub(super) fn open(directory: Option<&Path>, log: String) -> Self {
        let file = directory.map(|directory| RecordFile::new(directory.join(FILE)));
        let consequence = "if Redis has gone back since this node stopped, it does not notice";
        let kept = file.as_ref().and_then(|file| file.read::<SeenLog>(consequence));
        let at_start = kept.filter(|seen| seen.log == log);
        let saved = file.map(|file| Mutex::new(Saved { file, seen: at_start.clone() }));
        Self { log, saved, at_start }
    }

    /// Keeps what was seen. The write runs on another thread and may be awaited.
    pub(super) fn keep(self: &Arc<Self>, epoch: &str, newest: Id) -> Option<JoinHandle<()>> {
        self.saved.as_ref()?;
        let seen = SeenLog { log: self.log.clone(), epoch: epoch.to_owned(), newest };
        let own = Arc::clone(self);
        Some(tokio::task::spawn_blocking(move || own.write(seen)))
    }

    fn write(&self, seen: SeenLog) {
        let Some(saved) = &self.saved else { return };
        let Saved { file, seen: kept } = &mut *saved.lock();
        if kept.as_ref() != Some(&seen) && file.write(&seen) {
            *kept = Some(seen);
        }
    }
}
