//! Managing keys: for the control socket, and for keys with the scope `admin`.

use std::sync::Arc;

use super::{Caller, Refusal, Service};
use crate::api::{CreatedKey, Keys, NewKey};
use crate::key::Scope;
use crate::keyring::{Imported, Keyring, KeyringError};
use crate::log::Event;

impl Service {
    /// All keys.
    ///
    /// # Errors
    /// As the caller's key has it, [`Refusal::Unavailable`] where they are not known.
    pub(crate) fn keys(&self, caller: &Caller) -> Result<Keys, Refusal> {
        caller.require(Scope::Admin)?;
        Ok(self.keyring.list()?)
    }

    /// Makes a key; its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// As the caller's key has it, [`Refusal::Invalid`] for what a key cannot be, [`Refusal::Unavailable`] where the
    /// store cannot be written.
    pub(crate) async fn add_key(&self, caller: &Caller, new: NewKey) -> Result<CreatedKey, Refusal> {
        let created = self.change(caller, move |keyring, now_ms| keyring.add(new, now_ms)).await?;
        tracing::info!(user = created.key.user, key = created.key.id, by = caller.name(), "key added");
        Ok(created)
    }

    /// Ends a key, or all keys of a user, and their streams.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key), and [`Refusal::NotFound`].
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

    /// Makes a key like this one, which goes on working for `overlap` seconds.
    ///
    /// # Errors
    /// As [`revoke_key`](Self::revoke_key).
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

    /// Takes over the keys of the former service.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key).
    pub(crate) async fn import_keys(&self, caller: &Caller, file: bytes::Bytes) -> Result<Imported, Refusal> {
        let imported = self.change(caller, move |keyring, now_ms| keyring.import(&file, now_ms)).await?;
        tracing::info!(added = imported.added, skipped = imported.skipped, by = caller.name(), "keys imported");
        Ok(imported)
    }

    /// Hashing and the disk stay off the serving threads.
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
