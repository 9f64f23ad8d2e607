//! Management of keys, for the control socket and for keys with the scope `admin`.

use std::sync::Arc;

use super::actor::Actor;
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
        let (by, key) = (Actor::of(caller).await, &created.key);
        tracing::info!(
            message_id = %Event::KeyAdded,
            user = key.user,
            key = key.id,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "key {key} was added by {by}"
        );
        Ok(created)
    }

    /// Revokes a key, or all keys of a user, and ends their streams.
    ///
    /// # Errors
    /// Those of [`add_key`](Self::add_key), and [`Refusal::NotFound`].
    pub(crate) async fn revoke_key(&self, caller: &Caller, id_or_user: String) -> Result<Keys, Refusal> {
        let revoked = self.change(caller, move |keyring, now_ms| keyring.revoke(&id_or_user, now_ms)).await?;
        let by = Actor::of(caller).await;
        let unusable =
            revoked.unusable.iter().map(|entry| (&entry.id, None, format!("{}, which was unusable,", entry.id)));
        let keys = revoked.keys.iter().map(|key| (&key.id, Some(&key.user), key.to_string()));
        for (id, user, key) in unusable.chain(keys) {
            tracing::info!(
                message_id = %Event::KeyRevoked,
                user,
                key = id,
                by = by.id(),
                by_user = by.user(),
                by_uid = by.uid(),
                address = by.address(),
                "key {key} was revoked by {by}"
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
        let (by, key) = (Actor::of(caller).await, &created.key);
        let until =
            created.old_expires_at.as_deref().map_or(String::new(), |time| format!(", which expires at {time}"));
        tracing::info!(
            message_id = %Event::KeyRotated,
            user = key.user,
            key = key.id,
            old,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "key {key} was made by {by} from key {old}{until}"
        );
        Ok(created)
    }

    /// Imports the keys of the former alert server.
    ///
    /// # Errors
    /// Those of [`add_key`](Self::add_key).
    pub(crate) async fn import_keys(&self, caller: &Caller, file: bytes::Bytes) -> Result<Imported, Refusal> {
        let imported = self.change(caller, move |keyring, now_ms| keyring.import(&file, now_ms)).await?;
        let (by, Imported { added, skipped }) = (Actor::of(caller).await, &imported);
        tracing::info!(
            message_id = %Event::KeysImported,
            added,
            skipped,
            by = by.id(),
            by_user = by.user(),
            by_uid = by.uid(),
            address = by.address(),
            "{added} keys were imported by {by}, {skipped} were known already"
        );
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
            let by = Actor::of(caller).await;
            tracing::error!(
                message_id = %Event::KeysNotChanged,
                by = by.id(),
                by_user = by.user(),
                by_uid = by.uid(),
                address = by.address(),
                "a change of the keys by {by} failed: {detail}"
            );
        }
        Err(refused)
    }
}
