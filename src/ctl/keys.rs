//! Operations on keys, at the daemon or, if no daemon runs, in the file of keys.
//!
//! Each operation is one request. Only if there is no socket, or nobody listens on it, is the file opened instead: the
//! request cannot have reached a daemon then, and the lock of the file keeps a starting daemon out.

use bytes::Bytes;
use hyper::Method;
use serde::Serialize;

use super::client::{Client, ClientError, Request, encoded};
use super::exit::Failure;
use super::output::note;
use crate::account::Account;
use crate::api::{CreatedKey, Keys, NewKey, Rotate};
use crate::keyring::{Imported, Keyring, KeyringError, Settings};
use crate::log::{self, Event};

/// Finds the settings of the file of keys. Only called if it is needed.
pub(crate) type FindSettings = Box<dyn Fn() -> Result<Settings, Failure> + Send + Sync>;

pub(crate) struct Store {
    client: Client,
    file: Option<FindSettings>,
}

impl Store {
    /// Without `file`, the keys are only reachable through the daemon.
    #[must_use]
    pub(crate) const fn new(client: Client, file: Option<FindSettings>) -> Self {
        Self { client, file }
    }

    pub(crate) async fn list(&self) -> Result<Keys, Failure> {
        let daemon = async { self.client.send(Request::get("/keys")).await?.json().await };
        self.either(daemon, Keyring::list, |_, _| {}).await
    }

    pub(crate) async fn add(&self, new: NewKey) -> Result<CreatedKey, Failure> {
        let request = json(Method::POST, "/keys", &new)?;
        let daemon = async { self.client.send(request).await?.json().await };
        let added = |CreatedKey { key, .. }: &CreatedKey, by: &Account| {
            tracing::info!(
                message_id = %Event::KeyAdded,
                user = key.user,
                key = key.id,
                by_user = by.name.as_deref(),
                by_uid = by.uid,
                "key {key} was added by {by} in the file of keys"
            );
        };
        self.either(daemon, |keyring| keyring.add(new, now_ms()), added).await
    }

    /// Revokes a key, or all keys of a user, and returns them.
    pub(crate) async fn revoke(&self, id_or_user: &str) -> Result<Keys, Failure> {
        let request = Request::new(Method::DELETE, format!("/keys/{}", encoded(id_or_user)));
        let daemon = async { self.client.send(request).await?.json().await };
        let revoked = |revoked: &Keys, by: &Account| {
            let unusable = revoked.unusable.iter().map(|entry| (&entry.id, entry.id.clone()));
            for (id, key) in revoked.keys.iter().map(|key| (&key.id, key.to_string())).chain(unusable) {
                tracing::info!(
                    message_id = %Event::KeyRevoked,
                    key = id,
                    by_user = by.name.as_deref(),
                    by_uid = by.uid,
                    "key {key} was revoked by {by} in the file of keys"
                );
            }
        };
        self.either(daemon, |keyring| keyring.revoke(id_or_user, now_ms()), revoked).await
    }

    /// Makes a copy of a key with a new secret; the old key keeps working for `overlap` seconds.
    pub(crate) async fn rotate(&self, id: &str, overlap: u64) -> Result<CreatedKey, Failure> {
        let body = Rotate { overlap: Some(overlap) };
        let request = json(Method::POST, &format!("/keys/{}/rotate", encoded(id)), &body)?;
        let daemon = async { self.client.send(request).await?.json().await };
        let rotated = |CreatedKey { key, .. }: &CreatedKey, by: &Account| {
            tracing::info!(
                message_id = %Event::KeyRotated,
                user = key.user,
                key = key.id,
                old = id,
                by_user = by.name.as_deref(),
                by_uid = by.uid,
                "key {key} was made by {by} from key {id} in the file of keys"
            );
        };
        self.either(daemon, |keyring| keyring.rotate(id, body.overlap, now_ms()), rotated).await
    }

    /// Imports the file of keys of the former alert server.
    pub(crate) async fn import(&self, file: Bytes) -> Result<Imported, Failure> {
        let request = Request::new(Method::POST, "/keys/import").body("application/json", file.clone());
        let daemon = async { self.client.send(request).await?.json().await };
        let imported = |Imported { added, skipped }: &Imported, by: &Account| {
            tracing::info!(
                message_id = %Event::KeysImported,
                added,
                skipped,
                by_user = by.name.as_deref(),
                by_uid = by.uid,
                "{added} keys were imported by {by} into the file of keys, {skipped} were known already"
            );
        };
        self.either(daemon, |keyring| keyring.import(&file, now_ms()), imported).await
    }

    async fn either<T>(
        &self,
        daemon: impl Future<Output = Result<T, ClientError>>,
        in_file: impl FnOnce(&Keyring) -> Result<T, KeyringError>,
        log_done: impl FnOnce(&T, &Account),
    ) -> Result<T, Failure> {
        match (daemon.await, &self.file) {
            (Err(error), Some(settings)) if error.is_absent() => {
                let done = in_file(&open(&error, &settings()?)?).map_err(refused)?;
                // No daemon does it, and a machine without a journal has no other place for it.
                log::to_journal("alertctl", || log_done(&done, &Account::own()));
                Ok(done)
            }
            (done, _) => Ok(done?),
        }
    }
}

fn open(error: &ClientError, settings: &Settings) -> Result<Keyring, Failure> {
    let shown = settings.directory.display();
    let keyring = Keyring::open(settings).map_err(|e| match e {
        KeyringError::Locked(_) => Failure::Unavailable(format!(
            "{error}, and another process holds the keys in {shown}; wait for it, or name the daemon's socket with --socket"
        )),
        other => refused(other),
    })?;
    note(&format!("no daemon runs ({error}): working on the keys in {shown} directly"));
    Ok(keyring)
}

fn refused(error: KeyringError) -> Failure {
    let text = error.to_string();
    match error {
        KeyringError::Invalid { .. } | KeyringError::Rotated { .. } => Failure::Usage(text),
        KeyringError::Locked(_) => Failure::Unavailable(text),
        KeyringError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::NotPermitted(format!("{text}; use sudo"))
        }
        _ => Failure::Failed(text),
    }
}

fn json(method: Method, path: &str, body: &impl Serialize) -> Result<Request, Failure> {
    let text = serde_json::to_string(body).map_err(|e| Failure::Failed(format!("cannot write the request: {e}")))?;
    Ok(Request::new(method, path).body("application/json", text))
}

/// The current time. The keyring itself has no clock.
pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::client::address::Address;
    use crate::ctl::testing::{Reply, Server};
    use std::path::Path;

    fn settings(directory: &Path) -> Settings {
        Settings { directory: directory.join("keys"), iterations: 1000, workers: 1 }
    }

    fn store(address: Address, directory: Option<&Path>) -> Store {
        let directory = directory.map(Path::to_owned);
        let file = directory.map(|directory| Box::new(move || Ok(settings(&directory))) as FindSettings);
        Store::new(Client::new(address, None), file)
    }

    #[tokio::test]
    async fn the_file_is_opened_only_if_no_daemon_runs() {
        let dir = tempfile::tempdir().unwrap();
        for reply in [Reply::json(200, r#"{"keys":[]}"#), Reply::problem(503, "stuck"), Reply::Close] {
            let server = Server::always(reply).await;
            let _ = store(server.address(), Some(dir.path())).list().await;
            assert_eq!(server.requests().len(), 1);
            assert!(!dir.path().join("keys").exists());
        }
        let missing = Address::Socket(dir.path().join("control.sock"));
        let stale = Address::Socket(dir.path().join("stale.sock"));
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("stale.sock")).unwrap());
        assert_eq!(store(missing.clone(), None).list().await.unwrap_err().code(), 69);
        assert!(!dir.path().join("keys").exists());
        for address in [missing, stale] {
            assert!(store(address, Some(dir.path())).list().await.unwrap().keys.is_empty());
        }
    }

    #[tokio::test]
    async fn a_file_locked_by_another_process_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let _locked = Keyring::open(&settings(dir.path())).unwrap();
        let failure = store(Address::Socket(dir.path().join("none")), Some(dir.path())).list().await.unwrap_err();
        assert!(failure.code() == 69 && failure.to_string().contains("holds the keys"), "{failure}");
    }

    #[tokio::test]
    async fn every_operation_is_one_request() {
        let key = r#"{"id":"k1","user":"a b","scopes":["publish"],"topics":["*"],"label":null,"created_at":"x","expires_at":null,"imported":false}"#;
        let server = Server::start([
            Reply::json(200, &format!(r#"{{"keys":[{key}]}}"#)),
            Reply::json(201, &format!(r#"{{"key":{key},"secret":"s","old_expires_at":null}}"#)),
            Reply::json(200, r#"{"added":2,"skipped":1}"#),
            Reply::problem(404, "no key and no user is named x"),
        ])
        .await;
        let store = store(server.address(), None);
        assert_eq!(store.revoke("a b/c").await.unwrap().keys[0].id, "k1");
        assert_eq!(&*store.rotate("k1", 60).await.unwrap().secret, "s");
        assert_eq!(store.import(Bytes::from_static(b"{}")).await.unwrap(), Imported { added: 2, skipped: 1 });
        assert_eq!(store.revoke("x").await.unwrap_err().code(), 1);
        let seen: Vec<String> =
            server.requests().iter().map(|r| format!("{} {} {}", r.method, r.target, r.body)).collect();
        assert_eq!(seen[..2], ["DELETE /keys/a%20b%2Fc ", r#"POST /keys/k1/rotate {"overlap":60}"#]);
        assert_eq!(seen[2], "POST /keys/import {}");
    }
}
