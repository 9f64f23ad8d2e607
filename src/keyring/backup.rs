//! The keys in a backup: all entries in their stored form, including unusable ones.
//!
//! Used by the service, and by `alertctl` when no daemon runs. The secrets themselves are in no backup, only their hashes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file_store::FileStore;
use super::stored::{Checksums, Entry, StoredKeys};
use super::{KEYS_OUT_OF_REACH, Keyring, KeyringError};

impl StoredKeys {
    /// Id and stored form of each entry.
    fn texts(&self) -> Result<Vec<(String, String)>, KeyringError> {
        let text = |record| serde_json::to_string(&Entry::new(record)?);
        let usable = self.usable.iter().map(|record| Ok((record.id.clone(), text(record)?)));
        let unusable = self.unusable.iter().map(|entry| Ok((entry.id.clone(), entry.text.clone())));
        let texts: serde_json::Result<_> = usable.chain(unusable).collect();
        texts.map_err(|error| KeyringError::Away(format!("a key cannot be written as JSON: {error}")))
    }
}

impl Keyring {
    /// Id and stored form of each key.
    ///
    /// # Errors
    /// [`KeyringError::Away`] if the keys are unknown.
    pub(crate) fn export(&self) -> Result<Vec<(String, String)>, KeyringError> {
        if self.has_no_keys() {
            return Err(KeyringError::Away(KEYS_OUT_OF_REACH.into()));
        }
        let mut texts = self.stored().texts()?;
        texts.sort_unstable();
        Ok(texts)
    }
}

/// The key file of a stopped alertd, whose keys are to be replaced.
pub(crate) struct KeyRestore(FileStore);

impl KeyRestore {
    /// Takes the lock of the key file.
    ///
    /// # Errors
    /// [`KeyringError`] if another process has it.
    pub(crate) fn begin(directory: &Path) -> Result<Self, KeyringError> {
        FileStore::open(directory).map(Self)
    }

    /// Writes the keys of a backup. Returns where the former file is kept, if there was one.
    ///
    /// # Errors
    /// [`KeyringError`] if the entries contradict each other, or the file cannot be written.
    pub(crate) fn finish(mut self, entries: Vec<(String, String)>) -> Result<Option<PathBuf>, KeyringError> {
        let path = self.0.path().to_owned();
        let keys = StoredKeys::read(entries.into_iter().map(|(id, text)| (Some(id), text)), Checksums::Optional);
        let keys = keys.map_err(|reason| KeyringError::Damaged { path: path.clone(), reason })?;
        let replaced = path.with_extension("json.replaced");
        let kept = match fs::rename(&path, &replaced) {
            Ok(()) => Some(replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(KeyringError::Io { path, source }),
        };
        self.0.save(&keys)?;
        Ok(kept)
    }
}

/// The entries of the key file of a stopped alertd, which stays as it is.
///
/// # Errors
/// [`KeyringError`] if the file is in use or cannot be read.
pub(crate) fn export_at_rest(directory: &Path) -> Result<Vec<(String, String)>, KeyringError> {
    if !directory.join("auth.json").exists() {
        return Ok(Vec::new());
    }
    FileStore::open(directory)?.load()?.texts()
}

/// Reads the key file of a stopped alertd. Returns how many keys can be used, and what is wrong with each other one.
///
/// # Errors
/// [`KeyringError`] if the file is in use or cannot be read at all.
pub(crate) fn check_at_rest(directory: &Path) -> Result<(usize, Vec<String>), KeyringError> {
    if !directory.join("auth.json").exists() {
        return Ok((0, Vec::new()));
    }
    let mut store = FileStore::open(directory)?;
    let (keys, path) = (store.load()?, store.path().display().to_string());
    let unusable = keys.unusable.iter().map(|entry| format!("{path}: the key {:?}: {}", entry.id, entry.reason));
    let loss = keys.loss().map(|loss| format!("{path} {loss}"));
    Ok((keys.usable.len(), unusable.chain(loss).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NewKey;
    use crate::keyring::Settings;

    const NOW: u64 = 1_795_455_190_123;

    fn open(directory: &Path) -> Keyring {
        Keyring::open(&Settings { directory: directory.to_owned(), iterations: 10_000, workers: 1 }).unwrap()
    }

    #[tokio::test]
    async fn keys_of_a_backup_work_again_and_the_former_file_is_kept() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let keyring = open(first.path());
        let made = keyring.add(NewKey { user: "alice".into(), ..NewKey::default() }, NOW).unwrap();
        let entries = keyring.export().unwrap();
        drop(keyring);
        assert_eq!(export_at_rest(first.path()).unwrap(), entries);
        open(second.path()).add(NewKey { user: "bob".into(), ..NewKey::default() }, NOW).unwrap();
        let kept = KeyRestore::begin(second.path()).unwrap().finish(entries).unwrap().unwrap();
        assert!(fs::read_to_string(kept).unwrap().contains("bob"));
        let restored = std::sync::Arc::new(open(second.path()));
        assert!(restored.verify(&made.secret, NOW).await.is_ok() && restored.len() == 1);
        assert!(matches!(KeyRestore::begin(second.path()), Err(KeyringError::Locked(_))));
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_in_a_backup_as_it_was_found() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(first.path()).add(NewKey { user: "alice".into(), ..NewKey::default() }, NOW).unwrap();
        let path = first.path().join("auth.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("alice", "alicf")).unwrap();
        let entries = export_at_rest(first.path()).unwrap();
        KeyRestore::begin(second.path()).unwrap().finish(entries.clone()).unwrap();
        assert_eq!(open(second.path()).unusable(), 1);
        assert_eq!(export_at_rest(second.path()).unwrap(), entries);
    }
}
