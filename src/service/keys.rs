//! Management of keys, for the control socket and for keys with the scope `admin`.

use std::sync::Arc;

use super::{Caller, Refusal, Service};
use crate::api::{CreatedKey, Keys, NewKey};
use crate::key::Scope;
use crate::keyring::{Imported, Keyring, KeyringError};
use crate::log::Event;

impl Service {
    /// # Errors
    /// [`Refusal::Scope`] without the scope `admin`, [`Refusal::Unavailable`] if the keys cannot be read.
    pub(crate) fn keys(&self, caller: &Caller) -> Result<Keys, Refusal> {
        caller.require(Scope::Admin)?;
        Ok(self.keyring.list()?)
    }

    /// Creates a key. Its secret is in the answer only, and is not stored.
    ///
    /// # Errors
    /// [`Refusal::Scope`] without the scope `admin`, [`Refusal::Invalid`] for an invalid field, [`Refusal::Unavailable`] if
    /// the keys cannot be written.
    pub(crate) async fn add_key(&self, caller: &Caller, new: NewKey) -> Result<CreatedKey, Refusal> {
        let created = self.change(caller, move |keyring, now_ms| keyring.add(new, now_ms)).await?;
        tracing::info!(user = created.key.user, key = created.key.id, by = caller.name(), "key added");
        Ok(created)
    }

    /// Revokes a key, or all keys of a user, and ends their streams.
    ///
    /// # Errors
    /// Those of [`add_key`](Self::add_key), and [`Refusal::NotFound`].
    pub(crate) async fn revoke_key(&self, caller: &Caller, id_or_user: String) -> Result<Keys, Refusal> {
        let revoked = self.change(caller, move |keyring, now_ms| keyring.revoke(&id_or_user, now_ms)).await?;
        for entry in &revoked.unusable {
            tracing::info!(key = entry.id, by = caller.name(), "unusable key removed");
        }
        for key in &revoked.keys {
            tracing::info!(
                message_id = %Event::KeyRevoked,
                user = key.user,
                key = key.id,
                by = caller.name(),
                "key revoked"
            );
        }
        Ok(revoked)
    }

    /// Creates a key with the rights of an existing one, which remains valid for `overlap` seconds.
    ///
    /// # Errors
    /// Those of [`revoke_key`](Self::revoke_key).
    pub(crate) async fn rotate_key(
        &self,
        caller: &Caller,
        id: String,
        overlap: Option<u64>,
    ) -> Result<CreatedKey, Refusal> {
        let old = id.clone();
        let created = self.change(caller, move |keyring, now_ms| keyring.rotate(&id, overlap, now_ms)).await?;
        tracing::info!(user = created.key.user, key = created.key.id, old, by = caller.name(), "key rotated");
        Ok(created)
    }

    /// Imports the keys of the former alert server.
    ///
    /// # Errors
    /// Those of [`add_key`](Self::add_key).
    pub(crate) async fn import_keys(&self, caller: &Caller, file: bytes::Bytes) -> Result<Imported, Refusal> {
        let imported = self.change(caller, move |keyring, now_ms| keyring.import(&file, now_ms)).await?;
        tracing::info!(added = imported.added, skipped = imported.skipped, by = caller.name(), "keys imported");
        Ok(imported)
    }

    /// Changes the keys on a blocking thread, because hashing and writing to disk take time.
    async fn change<T: Send + 'static>(
        &self,
        caller: &Caller,
        change: impl FnOnce(&Keyring, u64) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, Refusal> {
        caller.require(Scope::Admin)?;
        let (keyring, now_ms) = (Arc::clone(&self.keyring), self.now_ms());
        let done = tokio::task::spawn_blocking(move || change(&keyring, now_ms)).await;
        let refused = match done.map_err(|_| Refusal::unavailable("alertd is stopping"))? {
            Ok(changed) => return Ok(changed),
            Err(error) => Refusal::from(error),
        };
        if let Some(detail) = refused.detail() {
            tracing::error!(by = caller.name(), "the keys were not changed: {detail}");
        }
        Err(refused)
    }
}
