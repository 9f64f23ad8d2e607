//! The shared keys as a node last knew them, kept in its directory while it is stopped.
//!
//! Owned by the store of the keys. Without it, a key that was revoked would work again if Redis was restored from an older
//! state while all nodes were stopped. The file has what Redis has of the keys: no secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::record_file;

const FILE: &str = "fleet-keys";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The keys of another store are not compared.
    store: String,
    revision: u64,
    keys: BTreeMap<String, String>,
}

pub(super) struct LastKnown {
    path: PathBuf,
    store: String,
    /// The revision in the file.
    revision: u64,
    has_failed: bool,
}

impl LastKnown {
    /// Reads what was kept of this store. A file that cannot be used is named in the journal and ignored. Also returns
    /// the revision, 0 if nothing is known, and the keys.
    pub(super) fn open(directory: &Path, store: String) -> (Self, u64, BTreeMap<String, String>) {
        let path = directory.join(FILE);
        let kept = record_file::read::<Kept>(&path).unwrap_or_else(|error| {
            tracing::warn!(
                "{} cannot be used ({error}): if Redis has gone back since this node stopped, a revoked key may work again",
                path.display()
            );
            None
        });
        let kept = kept.filter(|kept| kept.store == store);
        let (revision, keys) = kept.map_or_else(Default::default, |kept| (kept.revision, kept.keys));
        (Self { path, store, revision, has_failed: false }, revision, keys)
    }

    /// Keeps these keys, if they are not kept already.
    pub(super) fn keep(&mut self, revision: u64, keys: &BTreeMap<String, String>) {
        if revision == self.revision {
            return;
        }
        match record_file::write(&self.path, &Kept { store: self.store.clone(), revision, keys: keys.clone() }) {
            Ok(()) => (self.revision, self.has_failed) = (revision, false),
            // Logged once; the next change tries again.
            Err(_) if self.has_failed => {}
            Err(error) => {
                self.has_failed = true;
                let reason = crate::disk::explained(&self.path, &error);
                tracing::warn!("{} cannot be written: {reason}", self.path.display());
            }
        }
    }
}
