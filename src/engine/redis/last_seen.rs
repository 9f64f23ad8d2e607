//! What a node has seen of the log, kept in its state directory while it is stopped.
//!
//! Owned by the node's shared state, written by the follower. Without it, nobody would notice that Redis was restored from an
//! older state, or emptied, while all nodes were stopped. It is at most a second old after a crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::alert::Id;
use crate::record_file;

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
    /// None for a node that keeps nothing.
    path: Option<PathBuf>,
    log: String,
    /// The content at the start.
    pub(super) at_start: Option<SeenLog>,
    /// The content of the file. Locked during a write, on a blocking thread.
    saved: Mutex<Saved>,
}

struct Saved {
    seen: Option<SeenLog>,
    has_failed: bool,
}

impl LastSeen {
    /// Reads what was kept of this log. A file that cannot be used is named in the journal and ignored.
    pub(super) fn open(directory: Option<&Path>, log: String) -> Self {
        let path = directory.map(|directory| directory.join(FILE));
        let kept = path.as_deref().and_then(|path| {
            record_file::read::<SeenLog>(path).unwrap_or_else(|error| {
                tracing::warn!(
                    "{} cannot be used ({error}): if Redis has gone back since this node stopped, it does not notice",
                    path.display()
                );
                None
            })
        });
        let at_start = kept.filter(|seen| seen.log == log);
        Self { path, log, saved: Mutex::new(Saved { seen: at_start.clone(), has_failed: false }), at_start }
    }

    /// Keeps what was seen. The write runs on another thread and may be awaited.
    pub(super) fn keep(self: &Arc<Self>, epoch: &str, newest: Id) -> Option<JoinHandle<()>> {
        let path = self.path.clone()?;
        let seen = SeenLog { log: self.log.clone(), epoch: epoch.to_owned(), newest };
        let own = Arc::clone(self);
        Some(tokio::task::spawn_blocking(move || own.write(&path, seen)))
    }

    fn write(&self, path: &Path, seen: SeenLog) {
        let mut saved = self.saved.lock();
        if saved.seen.as_ref() == Some(&seen) {
            return;
        }
        let written = record_file::write(path, &seen);
        if let (Err(error), false) = (&written, saved.has_failed) {
            let reason = crate::disk::explained(path, error);
            tracing::warn!("{} cannot be written: {reason}", path.display());
        }
        saved.has_failed = written.is_err();
        if written.is_ok() {
            saved.seen = Some(seen);
        }
    }
}
