//! Secrets that the configuration refers to, in files or in credentials that systemd passes.
//!
//! Read at the start; those that a reload can change, also at a reload. A secret is never part of the configuration or of an
//! error message.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Config, Inputs};
use crate::systemd::Unit;
use crate::text::only_line;

/// The longest secret. A larger file is a mistake.
const MAX_SECRET_BYTES: u64 = 4096;

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "{key}: systemd passed no credential {name}; put the secret into /etc/credstore/{name}, or write the absolute path of a file"
    )]
    NoCredential { key: &'static str, name: String },
    #[error(
        "{key}: systemd passed no credential {name}; add LoadCredential={name}:/path/of/the/file to [Service] with `systemctl edit`, or write the absolute path of a file"
    )]
    NoCertificate { key: &'static str, name: String },
    #[error("{key}: {path} cannot be read: {error}; make it readable for alertd, and for no other user")]
    Unreadable { key: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{key}: {path} contains {what}; it must contain only the secret, as one line of text")]
    NoSecret { key: &'static str, path: PathBuf, what: &'static str },
}

/// The secret to which a setting refers, by the absolute path of a file or the name of a credential. `None` if the setting
/// is empty.
pub(super) fn read(key: &'static str, value: &str, inputs: &Inputs) -> Result<Option<Zeroizing<String>>, SecretError> {
    if value.is_empty() {
        return Ok(None);
    }
    let is_credential = !value.starts_with('/');
    let none = || SecretError::NoCredential { key, name: value.to_owned() };
    let path = if is_credential {
        let path = inputs.credentials().ok_or_else(none)?.join(value);
        // systemd ignores a credential whose file does not exist.
        if path.exists() { path } else { return Err(none()) }
    } else {
        PathBuf::from(value)
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(&path).and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(SecretError::Unreadable { key, path, error });
    }
    let no_secret = |what| Err(SecretError::NoSecret { key, path: path.clone(), what });
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return no_secret("more than 4 KiB");
    }
    match only_line(&bytes) {
        Ok(line) => Ok(Some(Zeroizing::new(line.to_owned()))),
        // The unit passes an empty line in the place of a file that does not exist.
        Err(_) if is_credential && bytes.iter().all(u8::is_ascii_whitespace) => Err(none()),
        Err(contents) => no_secret(contents),
    }
}

/// The files of `http.tls_cert` and `http.tls_key`, which may be credentials; none if TLS is off.
pub(super) fn certificate_files(
    config: &Config,
    inputs: &Inputs,
    unit: Option<&Unit>,
) -> Result<Option<(PathBuf, PathBuf)>, SecretError> {
    let Some((cert, key)) = config.http.tls() else { return Ok(None) };
    let file = |setting: &'static str, path: &Path| {
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        let name = path.display().to_string();
        // Outside the service, a credential is where systemd will take it from.
        let passed = inputs.credentials().map(|directory| directory.join(path)).filter(|file| file.exists());
        let found = passed.or_else(|| unit.and_then(|unit| unit.credential(&name)).filter(|file| file.exists()));
        found.ok_or(SecretError::NoCertificate { key: setting, name })
    };
    Ok(Some((file("http.tls_cert", cert)?, file("http.tls_key", key)?)))
}

/// The certificates of `engine.redis.tls_ca`.
pub(super) fn authorities(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |error| SecretError::Unreadable { key: "engine.redis.tls_ca", path: path.to_owned(), error };
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_one_line_of_a_file_or_credential_and_never_in_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let env = vec![("CREDENTIALS_DIRECTORY".into(), directory.path().into())];
        let inputs = Inputs { env, ..Inputs::default() };
        for (name, content) in
            [("good", "hunter2\n"), ("empty", "\n"), ("two", "hunter2\nhunter3"), ("long", &"x".repeat(5000))]
        {
            fs::write(at(name), content).unwrap();
        }
        fs::write(at("binary"), [0xff, 0xfe]).unwrap();
        fs::write(at("windows"), "\u{feff}hunter2\r\n").unwrap();
        for value in ["good", at("good").as_str(), "windows"] {
            assert_eq!(read("k", value, &inputs).unwrap().unwrap().as_str(), "hunter2");
        }
        assert!(read("k", "", &inputs).unwrap().is_none());
        for (value, words) in [
            ("absent", "put the secret into /etc/credstore/absent"),
            (at("absent").as_str(), "cannot be read: No such file"),
            ("empty", "put the secret into /etc/credstore/empty"),
            (at("empty").as_str(), "contains nothing"),
            ("two", "contains several lines"),
            ("long", "more than 4 KiB"),
            ("binary", "contains bytes that are not text"),
        ] {
            let error = read("k", value, &inputs).unwrap_err().to_string();
            assert!(error.starts_with("k: ") && error.contains(words) && !error.contains("hunter"), "{error}");
        }
        assert!(read("k", "good", &Inputs::default()).is_err());
    }
}
