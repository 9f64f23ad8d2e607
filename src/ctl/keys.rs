//! The keys, wherever they can be reached: at the daemon, or in their file while no daemon runs.

use bytes::Bytes;
use hyper::Method;
use serde::Serialize;

use super::client::{Ask, Client, Trouble, encoded};
use super::exit::Failure;
use super::output::note;
use crate::api::{CreatedKey, KeyInfo, Keys, NewKey, Rotate};
use crate::keyring::{Imported, Keyring, KeyringError, Settings};

/// One way to the keys.
pub(crate) enum Store {
    /// Through the daemon.
    Daemon(Client),
    /// In the file, whose lock is ours.
    File(Keyring),
}

impl Store {
    /// Finds out which way is open. The file, which `settings` finds, is touched only where no daemon runs, and that is
    /// said. Without `settings` it is never touched.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] where there is no daemon and somebody else holds the file, or as the daemon has it.
    pub(crate) async fn reach(
        client: Client,
        settings: Option<impl FnOnce() -> Result<Settings, Failure>>,
    ) -> Result<Self, Failure> {
        match (client.ask(Ask::get("/livez")).await, settings) {
            (Err(trouble), Some(settings)) if trouble.is_absent() => open(&trouble, &settings()?).map(Self::File),
            // Whatever else is wrong is told by the request itself.
            _ => Ok(Self::Daemon(client)),
        }
    }

    /// All keys.
    ///
    /// # Errors
    /// As the daemon or the keyring has it.
    pub(crate) async fn list(&self) -> Result<Vec<KeyInfo>, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.ask(Ask::get("/keys")).await?.json::<Keys>().await?.keys),
            Self::File(keyring) => keyring.list().map_err(refused),
        }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As the daemon or the keyring has it.
    pub(crate) async fn add(&self, new: NewKey) -> Result<CreatedKey, Failure> {
        match self {
            Self::Daemon(client) => Ok(client.ask(json(Method::POST, "/keys", &new)?).await?.json().await?),
            Self::File(keyring) => keyring.add(new, now_ms()).map_err(refused),
        }
    }

    /// Ends a key, or all of a user, and returns which.
    ///
    /// # Errors
    /// As the daemon or the keyring has it.
    pub(crate) async fn revoke(&self, id_or_user: &str) -> Result<Vec<KeyInfo>, Failure> {
        match self {
            Self::Daemon(client) => {
                let ask = Ask::new(Method::DELETE, format!("/keys/{}", encoded(id_or_user)));
                Ok(client.ask(ask).await?.json::<Keys>().await?.keys)
            }
            Self::File(keyring) => keyring.revoke(id_or_user, now_ms()).map_err(refused),
        }
    }

    /// Makes a key like this one, which goes on working for `overlap` seconds.
    ///
    /// # Errors
    /// As the daemon or the keyring has it.
    pub(crate) async fn rotate(&self, id: &str, overlap: u64) -> Result<CreatedKey, Failure> {
        let wish = Rotate { overlap: Some(overlap) };
        match self {
            Self::Daemon(client) => {
                let path = format!("/keys/{}/rotate", encoded(id));
                Ok(client.ask(json(Method::POST, &path, &wish)?).await?.json().await?)
            }
            Self::File(keyring) => keyring.rotate(id, wish.overlap, now_ms()).map_err(refused),
        }
    }

    /// Takes over the keys of the service before.
    ///
    /// # Errors
    /// As the daemon or the keyring has it.
    pub(crate) async fn import(&self, file: Bytes) -> Result<Imported, Failure> {
        match self {
            Self::Daemon(client) => {
                let ask = Ask::new(Method::POST, "/keys/import").body("application/json", file);
                Ok(client.ask(ask).await?.json().await?)
            }
            Self::File(keyring) => keyring.import(&file, now_ms()).map_err(refused),
        }
    }
}

fn open(trouble: &Trouble, settings: &Settings) -> Result<Keyring, Failure> {
    let shown = settings.directory.display();
    let keyring = Keyring::open(settings).map_err(|e| match e {
        KeyringError::Locked(_) => Failure::Unavailable(format!(
            "{trouble}, and another process holds the keys in {shown}; wait for it, or name the daemon's socket with --socket"
        )),
        other => refused(other),
    })?;
    note(&format!("no daemon runs ({trouble}): working on the keys in {shown} directly"));
    Ok(keyring)
}

fn refused(error: KeyringError) -> Failure {
    let text = error.to_string();
    match error {
        KeyringError::Invalid { .. } => Failure::Usage(text),
        KeyringError::Locked(_) => Failure::Unavailable(text),
        KeyringError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::NotPermitted(format!("{text}; use sudo"))
        }
        _ => Failure::Failed(text),
    }
}

fn json(method: Method, path: &str, body: &impl Serialize) -> Result<Ask, Failure> {
    let text = serde_json::to_string(body).map_err(|e| Failure::Failed(format!("cannot write the request: {e}")))?;
    Ok(Ask::new(method, path).body("application/json", text))
}

/// The edge at which time comes in.
fn now_ms() -> u64 {
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

    async fn reach(address: Address, directory: Option<&Path>) -> Result<Store, Failure> {
        Store::reach(Client::new(address, None), directory.map(|directory| || Ok(settings(directory)))).await
    }

    #[tokio::test]
    async fn the_file_is_touched_only_where_no_daemon_runs() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = Address::Socket(dir.path().join("control.sock"));
        let stale = Address::Socket(dir.path().join("stale.sock"));
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("stale.sock")).unwrap());
        for address in [nowhere.clone(), stale] {
            assert!(matches!(reach(address, Some(dir.path())).await, Ok(Store::File(_))));
        }
        let store = reach(nowhere, None).await.unwrap();
        assert_eq!(store.list().await.unwrap_err().code(), 69);
        for reply in [Reply::whole(200, "text/plain", "alive"), Reply::problem(503, "stuck"), Reply::Close] {
            let server = Server::always(reply).await;
            assert!(matches!(reach(server.address(), Some(dir.path())).await, Ok(Store::Daemon(_))));
        }
    }

    #[tokio::test]
    async fn a_store_that_somebody_holds_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Keyring::open(&settings(dir.path())).unwrap();
        let failure = reach(Address::Socket(dir.path().join("none")), Some(dir.path())).await.err().unwrap();
        assert!(failure.code() == 69 && failure.to_string().contains("holds the keys"), "{failure}");
    }

    #[tokio::test]
    async fn what_is_asked_of_the_daemon_is_what_the_store_would_do() {
        let key = r#"{"id":"k1","user":"a b","scopes":["publish"],"topics":["*"],"label":null,"created_at":"x","expires_at":null,"imported":false}"#;
        let server = Server::start([
            Reply::json(200, &format!(r#"{{"keys":[{key}]}}"#)),
            Reply::json(201, &format!(r#"{{"key":{key},"secret":"s","old_expires_at":null}}"#)),
            Reply::json(200, r#"{"added":2,"skipped":1}"#),
            Reply::problem(404, "no key and no user is named x"),
        ])
        .await;
        let store = Store::Daemon(Client::new(server.address(), None));
        assert_eq!(store.revoke("a b/c").await.unwrap()[0].id, "k1");
        assert_eq!(store.rotate("k1", 60).await.unwrap().secret, "s");
        assert_eq!(store.import(Bytes::from_static(b"{}")).await.unwrap(), Imported { added: 2, skipped: 1 });
        assert_eq!(store.revoke("x").await.unwrap_err().code(), 1);
        let seen: Vec<String> =
            server.requests().iter().map(|r| format!("{} {} {}", r.method, r.target, r.body)).collect();
        assert_eq!(seen[..2], ["DELETE /keys/a%20b%2Fc ", r#"POST /keys/k1/rotate {"overlap":60}"#]);
        assert_eq!(seen[2], "POST /keys/import {}");
    }
}
