//! Secrets that the configuration names: files, and credentials that systemd passed.
//!
//! Read at the start, and again at a reload where it may change then. A secret is never part of the configuration, and no error repeats one.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::config::Inputs;

/// The longest secret; a larger file is a mistake.
const LONGEST: u64 = 4096;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "{key}: systemd passed no credential {name}; put the secret into /etc/credstore/{name}, or name a file by its whole path"
    )]
    NoCredential { key: &'static str, name: String },
    #[error("{key}: {path} cannot be read: {error}; alertd alone should be able to")]
    Unreadable { key: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{key}: {path} holds {what}; put the secret into it, alone, as one line of text")]
    NoSecret { key: &'static str, path: PathBuf, what: &'static str },
}

/// The secret that a key's value names: none for an empty value, else a file by its whole path or a credential.
pub(super) fn read(key: &'static str, value: &str, inputs: &Inputs) -> Result<Option<Zeroizing<String>>, SecretError> {
    if value.is_empty() {
        return Ok(None);
    }
    let path = if value.starts_with('/') {
        PathBuf::from(value)
    } else {
        let none = || SecretError::NoCredential { key, name: value.to_owned() };
        let path = inputs.credentials().ok_or_else(none)?.join(value);
        // systemd passes over a credential whose file is not there.
        if path.exists() { path } else { return Err(none()) }
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(SecretError::Unreadable { key, path, error });
    }
    let no_secret = |what| Err(SecretError::NoSecret { key, path: path.clone(), what });
    if bytes.len() as u64 > LONGEST {
        return no_secret("more than 4 KiB");
    }
    match std::str::from_utf8(&bytes).map(str::trim_end) {
        Err(_) => no_secret("no text"),
        Ok("") => no_secret("nothing"),
        Ok(text) if text.contains('\n') => no_secret("several lines"),
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_a_line_of_a_file_or_credential_and_never_in_an_error() {
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
        for value in ["good", at("good").as_str()] {
            assert_eq!(read("k", value, &inputs).unwrap().unwrap().as_str(), "hunter2");
        }
        assert!(read("k", "", &inputs).unwrap().is_none());
        for (value, words) in [
            ("absent", "put the secret into /etc/credstore/absent"),
            (at("absent").as_str(), "cannot be read: No such file"),
            ("empty", "holds nothing"),
            ("two", "holds several lines"),
            ("long", "more than 4 KiB"),
            ("binary", "holds no text"),
        ] {
            let error = read("k", value, &inputs).unwrap_err().to_string();
            assert!(error.starts_with("k: ") && error.contains(words) && !error.contains("hunter"), "{error}");
        }
        assert!(read("k", "good", &Inputs::default()).is_err());
    }
}
