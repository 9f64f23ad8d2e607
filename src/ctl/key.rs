//! `alertctl key`: through the daemon, or, where none runs and its lock is free, on the store itself.

use std::io::Read;
use std::path::Path;

use hyper::Method;
use serde_json::Value;

use super::args::{KeyCommand, TargetArgs};
use super::client::{Client, Trouble, escape};
use super::exit::{Code, Failure, file};
use super::output::{note, say, table};
use super::settings;
use crate::api::{CreatedKey, KeyInfo, Keys, NewKey, Rotate};
use crate::keyring::{Imported, Keyring, KeyringError, Settings};

/// What a command asks of the keys, and gets.
enum Wish {
    Add(NewKey),
    List,
    Revoke(String),
    Rotate(String, u64),
    Import(Vec<u8>),
}

enum Outcome {
    Created(CreatedKey),
    Listed(Vec<KeyInfo>),
    Revoked(Vec<KeyInfo>),
    Imported(Imported),
}

pub(super) async fn run(command: KeyCommand, client: &Client, args: &TargetArgs) -> Result<(), Failure> {
    let json = matches!(command, KeyCommand::List { json: true });
    let wish = match command {
        KeyCommand::Add { user, scopes, topics, expires, label } => {
            Wish::Add(NewKey { user, scopes, topics, label, expires_in: expires.map(|time| time.as_secs()) })
        }
        KeyCommand::List { .. } => Wish::List,
        KeyCommand::Revoke { id_or_user } => Wish::Revoke(id_or_user),
        KeyCommand::Rotate { id, overlap } => Wish::Rotate(id, overlap.as_secs()),
        KeyCommand::Import { file } => Wish::Import(contents(&file)?),
    };
    let outcome = match ask(client, &wish).await {
        Err(Trouble::NoDaemon(_, true)) => {
            let outcome = alone(wish, args)?;
            note("no alertd is running: the key store was used directly");
            outcome
        }
        other => other?,
    };
    tell(outcome, json)
}

fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| file(path, &error))
}

async fn ask(client: &Client, wish: &Wish) -> Result<Outcome, Trouble> {
    const NOTHING: Option<&Value> = None;
    Ok(match wish {
        Wish::Add(new) => Outcome::Created(client.json(Method::POST, "/keys", Some(new)).await?),
        Wish::List => Outcome::Listed(client.json::<Keys>(Method::GET, "/keys", NOTHING).await?.keys),
        Wish::Revoke(id) => {
            let path = format!("/keys/{}", escape(id));
            Outcome::Revoked(client.json::<Keys>(Method::DELETE, &path, NOTHING).await?.keys)
        }
        Wish::Rotate(id, overlap) => {
            let (path, wish) = (format!("/keys/{}/rotate", escape(id)), Rotate { overlap: Some(*overlap) });
            Outcome::Created(client.json(Method::POST, &path, Some(&wish)).await?)
        }
        Wish::Import(bytes) => {
            let parsed: Value = serde_json::from_slice(bytes).map_err(|e| {
                Trouble::Refused(hyper::StatusCode::UNPROCESSABLE_ENTITY, format!("the file is not JSON: {e}"), None)
            })?;
            Outcome::Imported(client.json(Method::POST, "/keys/import", Some(&parsed)).await?)
        }
    })
}

fn alone(wish: Wish, args: &TargetArgs) -> Result<Outcome, Failure> {
    let resolved = settings::load(args).map_err(|errors| Failure::new(Code::Config, errors.to_string()))?;
    let auth = &resolved.config.auth;
    let settings = Settings { directory: auth.store_dir.clone(), iterations: auth.iterations, workers: 1 };
    let failed = |error: KeyringError| {
        let code = match &error {
            KeyringError::Locked(_) => Code::Unavailable,
            KeyringError::Invalid { .. } => Code::Usage,
            KeyringError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Code::NotPermitted
            }
            _ => Code::Failed,
        };
        Failure::new(code, error.to_string())
    };
    let keyring = Keyring::open(&settings).map_err(failed)?;
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let done = match wish {
        Wish::Add(new) => keyring.add(new, now_ms).map(Outcome::Created),
        Wish::List => Ok(Outcome::Listed(keyring.list())),
        Wish::Revoke(id) => keyring.revoke(&id, now_ms).map(Outcome::Revoked),
        Wish::Rotate(id, overlap) => keyring.rotate(&id, Some(overlap), now_ms).map(Outcome::Created),
        Wish::Import(bytes) => keyring.import(&bytes, now_ms).map(Outcome::Imported),
    };
    done.map_err(failed)
}

fn tell(outcome: Outcome, json: bool) -> Result<(), Failure> {
    match outcome {
        Outcome::Created(created) => {
            note(&format!("key {} of {}: keep the secret, it is not shown again", created.key.id, created.key.user));
            if let Some(end) = &created.old_expires_at {
                note(&format!("the old key ends at {end}"));
            }
            say(&format!("{}\n", created.secret))
        }
        Outcome::Listed(keys) if json => keys.iter().try_for_each(|key| {
            let line = serde_json::to_string(key).map_err(|e| Failure::new(Code::Failed, e.to_string()))?;
            say(&format!("{line}\n"))
        }),
        Outcome::Listed(keys) => {
            let heading = ["ID", "USER", "SCOPES", "TOPICS", "CREATED", "EXPIRES", "LABEL"];
            let mut rows = vec![heading.map(ToOwned::to_owned).to_vec()];
            rows.extend(keys.into_iter().map(|key| {
                let scopes: Vec<_> = key.scopes.iter().map(ToString::to_string).collect();
                let topics: Vec<_> = key.topics.iter().map(ToString::to_string).collect();
                let never = || "never".to_owned();
                vec![
                    key.id,
                    key.user,
                    scopes.join(","),
                    topics.join(","),
                    key.created_at,
                    key.expires_at.unwrap_or_else(never),
                    key.label.unwrap_or_default(),
                ]
            }));
            say(&table(&rows))
        }
        Outcome::Revoked(keys) => keys.iter().try_for_each(|key| say(&format!("revoked {} of {}\n", key.id, key.user))),
        Outcome::Imported(imported) => {
            say(&format!("{} keys taken over, {} were there already\n", imported.added, imported.skipped))
        }
    }
}
