//! The shared keys as a node last knew them, kept in its directory while it is stopped.
//!
//! Owned by the store of the keys. Without it, a key that was revoked would work again if Redis was restored from an older
//! state while all nodes were stopped. The file has what Redis has of the keys: no secrets.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::record_file::RecordFile;

const FILE: &str = "fleet-keys";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The keys of another store are not compared.
    store: String,
    revision: u64,
    keys: BTreeMap<String, String>,
}

pub(super) struct LastKnown {
    file: RecordFile,
    store: String,
    /// The revision in the file.
    revision: u64,
}

impl LastKnown {
    /// Reads what was kept of this store. A file that cannot be used is named in the journal and ignored. Also returns
    /// the revision, 0 if nothing is known, and the keys.
    pub(super) fn open(directory: &Path, store: String) -> (Self, u64, BTreeMap<String, String>) {
        let file = RecordFile::new(directory.join(FILE));
        let consequence = "if Redis has gone back since this node stopped, a revoked key may work again";
        let kept = file.read::<Kept>(consequence);
        let kept = kept.filter(|kept| kept.store == store);
        let (revision, keys) = kept.map_or_else(Default::default, |kept| (kept.revision, kept.keys));
        (Self { file, store, revision }, revision, keys)
    }

    /// Keeps these keys, if they are not kept already. After a failure the next change tries again.
    pub(super) fn keep(&mut self, revision: u64, keys: &BTreeMap<String, String>) {
        if revision == self.revision {
            return;
        }
        if self.file.write(&Kept { store: self.store.clone(), revision, keys: keys.clone() }) {
            self.revision = revision;
        }
    }
}
