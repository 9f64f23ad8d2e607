//! The address of the daemon: a local socket or a URL.
//!
//! Flags override environment variables, which override the configuration. A secret in a URL is refused, because URLs
//! end up in process lists and logs.

use std::fmt;
use std::path::{Path, PathBuf};

use hyper::Uri;

use crate::ctl::exit::Failure;
use crate::ctl::instance::Instance;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket; file permissions are the credential.
    Socket(PathBuf),
    /// HTTP over TCP.
    Remote(Remote),
}

/// An `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Whether it is `https`.
    pub tls: bool,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port; 80 or 443 if the URL has none.
    pub port: u16,
    /// Host and port as sent in the `Host` header.
    pub authority: String,
    /// Prepended to each path; empty, or begins with `/` and does not end with one.
    pub prefix: String,
}

/// Environment variables that select a daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `ALERTCTL_URL`.
    pub url: Option<String>,
    /// `ALERTCTL_SOCKET`.
    pub socket: Option<PathBuf>,
}

impl Address {
    /// The address from flags and environment; `None` if they name none.
    ///
    /// # Errors
    /// [`Failure::Usage`] if two of them contradict each other, or if the URL is invalid.
    pub(crate) fn chosen(
        url: Option<&str>,
        socket: Option<&Path>,
        instance: Option<&Instance>,
        environment: &Environment,
    ) -> Result<Option<Self>, Failure> {
        match (url, socket, instance) {
            (None, None, None) => {}
            (Some(url), None, None) => return Self::url(url).map(Some),
            (None, Some(path), None) => return Ok(Some(Self::Socket(path.to_owned()))),
            (None, None, Some(instance)) => return Ok(Some(Self::Socket(instance.socket("control.sock")))),
            _ => {
                return Err(Failure::Usage(
                    "--url, --socket and --instance each name a daemon; give only one of them".into(),
                ));
            }
        }
        match (&environment.url, &environment.socket) {
            (None, None) => Ok(None),
            (Some(url), None) => Self::url(url).map(Some),
            (None, Some(path)) => Ok(Some(Self::Socket(path.clone()))),
            _ => Err(Failure::Usage("ALERTCTL_URL and ALERTCTL_SOCKET are both set; unset one of them".into())),
        }
    }

    /// The local daemon's socket `file`, if flags and environment name none.
    ///
    /// A path that is set in the configuration (`configured`, with true) is used unchanged. Otherwise it is the first of
    /// the default paths that exists; if none does, the first, which the error message then names.
    #[must_use]
    pub(crate) fn local(file: &str, configured: Option<(PathBuf, bool)>, runtime_dir: Option<&Path>) -> Self {
        let configured = match configured {
            Some((path, true)) => return Self::Socket(path),
            other => other.map(|(path, _)| path),
        };
        let usual = Path::new("/run/alertd").join(file);
        let own = runtime_dir.map(|dir| dir.join("alertd").join(file));
        let candidates: Vec<PathBuf> = configured.into_iter().chain([usual]).chain(own).collect();
        let found = candidates.iter().find(|path| path.exists()).or(candidates.first()).cloned();
        Self::Socket(found.unwrap_or_default())
    }

    fn url(text: &str) -> Result<Self, Failure> {
        // Without the URL itself, which may hold a secret.
        let refused = |why: &str| Failure::Usage(format!("the URL {why}; it must have the form https://host[:port]"));
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(refused("contains a user or password, which others can see: use ALERTCTL_KEY or --key-file"));
        }
        if rest.contains(['?', '#']) {
            return Err(refused("has a query or fragment, which would expose a key: use ALERTCTL_KEY or --key-file"));
        }
        let uri: Uri = text.parse().map_err(|e| refused(&format!("is invalid ({e})")))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("does not begin with http:// or https://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("has no host"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = match uri.port() {
            Some(port) => port.as_u16(),
            None if authority.ends_with(':') || !authority.ends_with(host) => {
                return Err(refused("has a port that is not a number up to 65535"));
            }
            None if tls => 443,
            None => 80,
        };
        Ok(Self::Remote(Remote {
            tls,
            host: bare.to_owned(),
            port,
            authority: authority.to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Remote(remote) => {
                write!(f, "http{}://{}{}", if remote.tls { "s" } else { "" }, remote.authority, remote.prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<Remote, String> {
        match Address::url(text) {
            Ok(Address::Remote(remote)) => Ok(remote),
            Ok(other) => panic!("{other}"),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn urls_are_split_into_their_parts() {
        let remote = url("https://alerts.example.org/base/").unwrap();
        assert!(remote.tls);
        assert_eq!((remote.host.as_str(), remote.port, remote.prefix.as_str()), ("alerts.example.org", 443, "/base"));
        let remote = url("http://[::1]:8080").unwrap();
        assert_eq!((remote.host.as_str(), remote.port, remote.authority.as_str()), ("::1", 8080, "[::1]:8080"));
        assert_eq!(Address::Remote(remote).to_string(), "http://[::1]:8080");
    }

    #[test]
    fn a_secret_in_a_url_is_refused_and_not_repeated() {
        for text in
            ["https://user:hunter2@host", "http://hunter2@host/", "https://host/?token=hunter2", "http://h#hunter2"]
        {
            let error = url(text).unwrap_err();
            assert!(error.contains("ALERTCTL_KEY") && !error.contains("hunter2"), "{text}: {error}");
        }
        for text in ["ftp://host", "host:8080", "http://", "http://host:99999", "http://host:", "https:///x", ""] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_override_the_environment_and_contradictions_are_errors() {
        let socket = |path: &str| Some(Address::Socket(path.into()));
        let environment = Environment { url: Some("http://h:1".into()), socket: None };
        let chosen = |url, path: Option<&str>, instance: Option<&Instance>, environment: &Environment| {
            Address::chosen(url, path.map(Path::new), instance, environment)
        };
        assert_eq!(chosen(None, Some("/x"), None, &environment).unwrap(), socket("/x"));
        let blue: Instance = "blue".parse().unwrap();
        assert_eq!(chosen(None, None, Some(&blue), &environment).unwrap(), socket("/run/alertd/blue/control.sock"));
        let both = chosen(Some("http://h"), None, Some(&blue), &environment);
        assert!(matches!(both, Err(Failure::Usage(_))));
        assert_eq!(chosen(None, None, None, &Environment::default()).unwrap(), None);
    }

    #[test]
    fn a_configured_socket_is_used_unchanged_and_otherwise_the_first_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("alertd")).unwrap();
        std::fs::write(dir.path().join("alertd/control.sock"), "").unwrap();
        let missing = PathBuf::from("/nonexistent/control.sock");
        assert_eq!(
            Address::local("control.sock", Some((missing.clone(), true)), Some(dir.path())),
            Address::Socket(missing.clone())
        );
        let found = Address::local("control.sock", Some((missing.clone(), false)), Some(dir.path()));
        if !Path::new("/run/alertd/control.sock").exists() {
            assert_eq!(found, Address::Socket(dir.path().join("alertd/control.sock")));
            assert_eq!(Address::local("control.sock", Some((missing.clone(), false)), None), Address::Socket(missing));
        }
    }
}
