//! Readers of addresses: of hosts, networks, origins, sockets and credentials.
//!
//! As in [`value`](super::value), what is wrong comes with its remedy. What may hold a password is not repeated.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::value::{Parsed, Raw};
use crate::alert::Pattern;
use crate::net::{Network, Networks};

/// What a Unix socket's address holds, without its final NUL.
const SOCKET_PATH: usize = 107;

impl Raw {
    /// At least one address with its port, none twice.
    pub(super) fn addresses(&self) -> Parsed<Vec<SocketAddr>> {
        const REMEDY: &str = "write one such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
        let list =
            self.each(|item| item.parse::<SocketAddr>().map_err(|_| format!("is no address and port; {REMEDY}")))?;
        if list.is_empty() {
            return Err(format!("names no address; {REMEDY}"));
        }
        let twice = list.iter().enumerate().find(|(at, item)| item.port() != 0 && list[..*at].contains(item));
        twice.map_or(Ok(()), |(_, item)| Err(format!("\"{item}\" stands there twice; write it once")))?;
        Ok(list)
    }

    pub(super) fn networks(&self) -> Parsed<Networks> {
        self.each(|item| item.parse::<Network>().map_err(|wrong| wrong.to_string())).map(Networks::from)
    }

    /// Origins as browsers send them, or `*`.
    pub(super) fn origins(&self) -> Parsed<Vec<String>> {
        self.each(|item| {
            let host = item.strip_prefix("https://").or_else(|| item.strip_prefix("http://"));
            let is_origin = host.is_some_and(|host| {
                !host.is_empty()
                    && !host.contains(|c: char| matches!(c, '/' | '?' | '#' | '@' | '*') || c.is_whitespace())
            });
            match () {
                () if item != "*" && !is_origin => {
                    Err("is no origin; write scheme and host alone, such as \"https://dash.example.org\", or \"*\""
                        .into())
                }
                // Compared byte for byte, and browsers send lower case.
                () if item.bytes().any(|b| b.is_ascii_uppercase()) => {
                    Err("would match no browser; write it in lower case".into())
                }
                () => Ok(item.to_owned()),
            }
        })
    }

    /// At least one topic or pattern.
    pub(super) fn patterns(&self) -> Parsed<Vec<Pattern>> {
        let list = self.each(|item| item.parse::<Pattern>().map_err(|wrong| format!("is no topic; {wrong}")))?;
        if list.is_empty() { Err("names no topic; write \"*\" for all".into()) } else { Ok(list) }
    }

    /// A path that fits into a socket's address.
    pub(super) fn socket(&self) -> Parsed<PathBuf> {
        let path = self.path()?;
        let bytes = path.as_os_str().len();
        if bytes > SOCKET_PATH {
            return Err(format!(
                "{} has {bytes} bytes; choose a path of {SOCKET_PATH} at most, as sockets take no more",
                self.brief()
            ));
        }
        Ok(path)
    }

    /// A host name or address, or nothing. What looks like more is not repeated: it may hold a password.
    pub(super) fn host(&self) -> Parsed<String> {
        let host = self.text()?;
        if host.contains(|c: char| matches!(c, '/' | '@') || c.is_whitespace()) {
            return Err("is more than a host; write a name or address alone".into());
        }
        Ok(host)
    }

    /// A path, the name of a systemd credential, or nothing. Not repeated: it may be the secret itself.
    pub(super) fn credential(&self) -> Parsed<String> {
        let name = self.text().map_err(|_| "is no text; write a path or a credential's name in quotes".to_owned())?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if is_name || name.starts_with('/') {
            Ok(name)
        } else {
            Err("is neither an absolute path nor the name of a systemd credential; never write the secret itself"
                .into())
        }
    }

    /// Hosts with their ports; an IPv6 address stands in brackets, and is given without them.
    pub(super) fn endpoints(&self) -> Parsed<Vec<(String, u16)>> {
        let endpoint = |item: &String| {
            let (host, port) = item.rsplit_once(':')?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let is_host = !host.is_empty()
                && !host.contains(|c: char| matches!(c, '/' | '@') || c.is_whitespace())
                && (bare.is_some() || !host.contains(':'));
            let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
            is_host.then(|| (bare.unwrap_or(host).to_owned(), port))
        };
        self.list()?.iter().map(endpoint).collect::<Option<_>>().ok_or_else(|| {
            "names something else than a host and port; write each such as \"redis-1.example:6379\"".to_owned()
        })
    }

    /// What keys of Redis begin with: braces would choose another slot of a Cluster.
    pub(super) fn key_prefix(&self) -> Parsed<String> {
        let prefix = self.text()?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if (1..=64).contains(&prefix.len()) && prefix.bytes().all(is_plain) {
            Ok(prefix)
        } else {
            Err(format!("{} is no prefix; write 1 to 64 of A-Z, a-z, 0-9, '.', '_', ':' and '-'", self.brief()))
        }
    }
}
