//! Where the daemon is: a local socket, or a URL.
//!
//! A flag wins over the environment, the environment over the configuration. A secret in a URL is refused, because URLs
//! end up in process lists and logs.

use std::fmt;
use std::path::{Path, PathBuf};

use hyper::Uri;

use crate::ctl::exit::Failure;
use crate::ctl::instance::Instance;

/// Where the daemon is.
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
    /// The port; 80 or 443 where the URL has none.
    pub port: u16,
    /// As the `Host` header has it.
    pub authority: String,
    /// What goes before each path; empty, or `/` and more without a `/` at the end.
    pub prefix: String,
}

/// What the user said about the address, besides flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `ALERTCTL_URL`.
    pub url: Option<String>,
    /// `ALERTCTL_SOCKET`.
    pub socket: Option<PathBuf>,
}

impl Address {
    /// What flags and environment say; none means the local default.
    ///
    /// # Errors
    /// [`Failure::Usage`] where two of them contradict each other, or the URL is not one that can be used.
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
                    "--url, --socket and --instance each name a daemon; give one of them".into(),
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

    /// The local daemon's socket `file` where neither flag nor environment says so. One that somebody `chose` in the
    /// configuration is taken as it is; else it is the first of the usual places that exists, or else the first, which is
    /// the one to name in an error.
    #[must_use]
    pub(crate) fn local(file: &str, configured: Option<(PathBuf, bool)>, runtime_dir: Option<&Path>) -> Self {
        let configured = match configured {
            Some((path, true)) => return Self::Socket(path),
            other => other.map(|(path, _)| path),
        };
        let usual = Path::new("/run/alertd").join(file);
        let own = runtime_dir.map(|dir| dir.join("alertd").join(file));
        let places: Vec<PathBuf> = configured.into_iter().chain([usual]).chain(own).collect();
        let found = places.iter().find(|path| path.exists()).or(places.first()).cloned();
        Self::Socket(found.unwrap_or_default())
    }

    fn url(text: &str) -> Result<Self, Failure> {
        // Never with the text itself: it may hold what must not be shown.
        let refused = |why: &str| Failure::Usage(format!("the URL {why}; it has the form https://host[:port]"));
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(refused("holds a user or password, which others can see: use ALERTCTL_KEY or --key-file"));
        }
        if rest.contains(['?', '#']) {
            return Err(refused("has a query or fragment, where a key would be seen: use ALERTCTL_KEY or --key-file"));
        }
        let uri: Uri = text.parse().map_err(|e| refused(&format!("is not readable ({e})")))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("begins with neither http:// nor https://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("names no host"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = match uri.port() {
            Some(port) => port.as_u16(),
            None if authority.ends_with(':') || !authority.ends_with(host) => {
                return Err(refused("has a port that is no number up to 65535"));
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
    fn urls_are_taken_apart() {
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
    fn flags_win_over_the_environment_and_contradictions_are_said() {
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
    fn a_chosen_socket_is_kept_and_else_the_first_that_exists_is_taken() {
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
