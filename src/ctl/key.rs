//! `alertctl key`: prints only the secret on standard output, and everything else on standard error.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::args::Key;
use super::exit::Failure;
use super::keys::Store;
use super::output::{Output, note};
use super::text::{escaped, local, local_day, table};
use crate::api::{CreatedKey, KeyInfo, Keys, NewKey, UnusableKey};

/// The daemon's limit for the file to import.
const MAX_IMPORT_FILE: u64 = 16 << 20;

/// # Errors
/// The refusal of the daemon, or of the keyring if no daemon runs.
pub(crate) async fn run(
    command: Key,
    store: &Store,
    input: impl AsyncRead + Unpin,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        Key::Add { user, scopes, topics, expires, label } => {
            let expires_in = expires.map(whole_seconds);
            let created = store.add(NewKey { user, scopes, topics, label, expires_in }).await?;
            show(&created, output).await
        }
        Key::Rotate { id, overlap } => {
            let created = store.rotate(&id, whole_seconds(overlap)).await?;
            show(&created, output).await?;
            match &created.old_expires_at {
                Some(time) => note(&format!("the key {id} remains valid until {}", local(time))),
                None => note(&format!("the key {id} is no longer valid")),
            }
            Ok(())
        }
        Key::Revoke { id_or_user } => {
            let Keys { keys, unusable } = store.revoke(&id_or_user).await?;
            for id in keys.iter().map(|key| &key.id).chain(unusable.iter().map(|key| &key.id)) {
                output.line(&format!("revoked {}", escaped(id))).await?;
            }
            Ok(())
        }
        Key::List { json } => {
            let Keys { keys, unusable } = store.list().await?;
            for UnusableKey { id, reason } in &unusable {
                note(&format!("the key {} is refused: {}", escaped(id), escaped(reason)));
            }
            list(&keys, json, output).await
        }
        Key::Import { file } => {
            let imported = store.import(read(&file, input).await?).await?;
            note(&format!("imported {} keys; {} existed already", imported.added, imported.skipped));
            Ok(())
        }
    }
}

/// Rounded up: a key must not expire before the time that the user asked for.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

async fn show(created: &CreatedKey, output: &mut Output) -> Result<(), Failure> {
    let key = &created.key;
    let written = async {
        output.line(&created.secret).await?;
        output.flush().await
    };
    if written.await.is_err() {
        // The secret cannot be shown again.
        return Err(Failure::Failed(format!(
            "created the key {}, but could not write its secret; revoke the key: alertctl key revoke {0}",
            key.id
        )));
    }
    let expiry = match key.expires_at.as_deref() {
        Some(time) => format!("expires {}", local(time)),
        None => "does not expire".to_owned(),
    };
    note(&format!("key {} of {}: {} on {}, {expiry}", key.id, key.user, joined(&key.scopes), joined(&key.topics)));
    note("the secret is not shown again");
    Ok(())
}

async fn list(keys: &[KeyInfo], json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        for key in keys {
            let line = serde_json::to_string(key).map_err(|e| Failure::Failed(format!("cannot print a key: {e}")))?;
            output.line(&line).await?;
        }
        return Ok(());
    }
    if keys.is_empty() {
        note("there are no keys; create one with: alertctl key add USER");
        return Ok(());
    }
    let heading = ["ID", "USER", "SCOPES", "TOPICS", "CREATED", "EXPIRES", "LABEL"].map(str::to_owned).to_vec();
    let row = |key: &KeyInfo| {
        let expires = key.expires_at.as_deref().map_or_else(|| "never".to_owned(), local_day);
        let label = key.label.as_deref().unwrap_or(if key.imported { "(imported)" } else { "" });
        vec![
            escaped(&key.id),
            escaped(&key.user),
            joined(&key.scopes),
            joined(&key.topics),
            local_day(&key.created_at),
            expires,
            escaped(label),
        ]
    };
    let rows: Vec<Vec<String>> = [heading].into_iter().chain(keys.iter().map(row)).collect();
    // A program that reads it finds each key on a line of its own.
    let width = output.size().map_or(usize::MAX, |(columns, _)| columns);
    for line in table(&rows, width) {
        output.line(&line).await?;
    }
    Ok(())
}

fn joined(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

async fn read(file: &Path, input: impl AsyncRead + Unpin) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let read = async {
        if file == Path::new("-") {
            input.take(MAX_IMPORT_FILE + 1).read_to_end(&mut bytes).await
        } else {
            tokio::fs::File::open(file).await?.take(MAX_IMPORT_FILE + 1).read_to_end(&mut bytes).await
        }
    };
    read.await.map_err(|e| Failure::Failed(format!("cannot read {}: {e}; check its name and mode", file.display())))?;
    if bytes.len() as u64 > MAX_IMPORT_FILE {
        return Err(Failure::Failed(format!("{} is larger than 16 MiB and cannot be a file of keys", file.display())));
    }
    let bytes = Bytes::from(bytes);
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    refuse_others(text, &file.display().to_string())?;
    Ok(bytes.slice_ref(text))
}

/// Names the file and the remedy where the daemon could only say that it is not the right one.
fn refuse_others(text: &[u8], file: &str) -> Result<(), Failure> {
    let parsed: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(text).ok();
    match parsed {
        Some(members) if ["users", "alertd_keys"].iter().any(|table| members.contains_key(*table)) => Ok(()),
        _ => Err(Failure::Usage(format!(
            "{file} has no keys: name the auth.json of an alertd, or the key file of the former alert server, which is JSON \
             of TinyDB with a table \"users\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::{Command, Ctl};
    use crate::ctl::client::Client;
    use crate::ctl::client::address::Address;
    use crate::ctl::output::tests::Captured;
    use crate::keyring::Settings;
    use clap::Parser;

    fn store(dir: &Path) -> Store {
        let settings = Settings { directory: dir.join("keys"), iterations: 1000, workers: 1 };
        let client = Client::new(Address::Socket(dir.join("no-daemon.sock")), None);
        Store::new(client, Some(Box::new(move || Ok(settings.clone()))))
    }

    async fn key(line: &[&str], store: &Store, input: &[u8]) -> Result<String, Failure> {
        let line = ["alertctl", "key"].into_iter().chain(line.iter().copied());
        let Command::Key(command) = Ctl::try_parse_from(line).unwrap().command else { panic!() };
        let captured = Captured::default();
        let mut output = Output::to(captured.clone());
        run(command, store, input, &mut output).await?;
        output.flush().await?;
        Ok(captured.text())
    }

    #[tokio::test]
    async fn only_the_secret_is_on_standard_output_and_no_list_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let line = ["add", "alice", "--scope", "publish", "--topic", "ops.*", "--expires", "90d", "--label", "nightly"];
        let secret = key(&line, &store, b"").await.unwrap();
        assert_eq!((secret.lines().count(), secret.split_whitespace().count()), (1, 1));
        let listed = key(&["list"], &store, b"").await.unwrap();
        assert!(listed.contains("alice") && listed.contains("ops.*") && listed.contains("nightly"), "{listed}");
        let json = key(&["list", "--json"], &store, b"").await.unwrap();
        let parsed: KeyInfo = serde_json::from_str(json.trim()).unwrap();
        assert!(parsed.expires_at.is_some() && !listed.contains(secret.trim()) && !json.contains(secret.trim()));

        let second = key(&["rotate", &parsed.id], &store, b"").await.unwrap();
        assert!(second.lines().count() == 1 && second != secret);
        let revoked = key(&["revoke", "alice"], &store, b"").await.unwrap();
        assert_eq!(revoked.lines().count(), 2);
        assert_eq!(key(&["revoke", "alice"], &store, b"").await.unwrap_err().code(), 1);
        assert_eq!(key(&["add", "no name"], &store, b"").await.unwrap_err().code(), 2);
    }

    #[tokio::test]
    async fn the_list_fits_a_terminal_of_80_columns() {
        use crate::ctl::output::tests::shown;
        use crate::ctl::text::columns;
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        key(&["add", "alice"], &store, b"").await.unwrap();
        let listed = key(&["list"], &store, b"").await.unwrap();
        assert!(listed.lines().count() == 2 && listed.lines().all(|line| columns(line) <= 80), "{listed}");
        let label = "the server in the cellar that builds the packages at night";
        let line = ["add", "bob", "--topic", "ci.*,ops.*", "--expires", "90d", "--label", label];
        key(&line, &store, b"").await.unwrap();
        let listed = key(&["list"], &store, b"").await.unwrap();
        assert!(listed.lines().count() == 3 && listed.contains(label), "{listed}");
        let captured = Captured::default();
        let mut output = shown(captured.clone(), || (80, 24), false);
        run(Key::List { json: false }, &store, &b""[..], &mut output).await.unwrap();
        output.flush().await.unwrap();
        let text = captured.text();
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
        for word in ["bob", "ops.*", "subscribe", "cellar", "never"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_written_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut output = Output::to(tokio::fs::File::from_std(std::os::fd::OwnedFd::from(writer).into()));
        let Command::Key(command) = Ctl::try_parse_from(["alertctl", "key", "add", "alice"]).unwrap().command else {
            panic!()
        };
        let failure = run(command, &store(dir.path()), &b""[..], &mut output).await.unwrap_err();
        assert!(failure.code() == 1 && failure.to_string().contains("alertctl key revoke"), "{failure}");
    }

    #[tokio::test]
    async fn a_file_is_imported_from_a_path_or_from_standard_input() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let file = dir.path().join("users.json");
        std::fs::write(&file, r#"{"users":{}}"#).unwrap();
        assert!(key(&["import", file.to_str().unwrap()], &store, b"").await.is_ok());
        assert!(key(&["import", "-"], &store, br#"{"users":{}}"#).await.is_ok());
        assert!(key(&["import", "-"], &store, "\u{feff}{\"users\":{}}\r\n".as_bytes()).await.is_ok());
        let failure = key(&["import", "/nonexistent"], &store, b"").await.unwrap_err();
        assert!(failure.to_string().contains("/nonexistent"), "{failure}");
    }
}
