//! Parsers of addresses: hosts, networks, origins, sockets and credentials.
//!
//! As in [`value`](super::value), an error comes with its remedy. A value that may contain a password is not repeated.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::value::{Parsed, Raw};
use crate::alert::Pattern;
use crate::net::{Network, Networks};

/// The longest path in the address of a Unix socket, without its final NUL.
const MAX_SOCKET_PATH_BYTES: usize = 107;

impl Raw {
    /// At least one address with its port, without duplicates.
    pub(super) fn addresses(&self) -> Parsed<Vec<SocketAddr>> {
        const REMEDY: &str = "write one such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
        let list = self
            .each(|item| item.parse::<SocketAddr>().map_err(|_| format!("is not an address with a port; {REMEDY}")))?;
        if list.is_empty() {
            return Err(format!("has no address; {REMEDY}"));
        }
        let twice = list.iter().enumerate().find(|(at, item)| item.port() != 0 && list[..*at].contains(item));
        twice.map_or(Ok(()), |(_, item)| Err(format!("\"{item}\" is listed twice; list it once")))?;
        Ok(list)
    }

    pub(super) fn networks(&self) -> Parsed<Networks> {
        self.each(|item| item.parse::<Network>().map_err(|wrong| wrong.to_string())).map(Networks::from)
    }

    /// Origins in the form in which browsers send them, or `*`.
    pub(super) fn origins(&self) -> Parsed<Vec<String>> {
        self.each(|item| {
            let host = item.strip_prefix("https://").or_else(|| item.strip_prefix("http://"));
            let is_origin = host.is_some_and(|host| {
                !host.is_empty()
                    && !host.contains(|c: char| matches!(c, '/' | '?' | '#' | '@' | '*') || c.is_whitespace())
            });
            match () {
                () if item != "*" && !is_origin => {
                    Err("is not an origin; write only scheme and host, such as \"https://dash.example.org\", or \"*\""
                        .into())
                }
                // Origins are compared byte by byte.
                () if item.bytes().any(|b| b.is_ascii_uppercase()) => {
                    Err("never matches, because browsers send lower case; write it in lower case".into())
                }
                () => Ok(item.to_owned()),
            }
        })
    }

    /// At least one topic or pattern.
    pub(super) fn patterns(&self) -> Parsed<Vec<Pattern>> {
        let list = self.each(|item| item.parse::<Pattern>().map_err(|wrong| format!("is not a topic; {wrong}")))?;
        if list.is_empty() { Err("has no topic; write \"*\" for all topics".into()) } else { Ok(list) }
    }

    /// A path that fits into the address of a Unix socket.
    pub(super) fn socket(&self) -> Parsed<PathBuf> {
        let path = self.path()?;
        let bytes = path.as_os_str().len();
        if bytes > MAX_SOCKET_PATH_BYTES {
            return Err(format!(
                "{} has {bytes} bytes; choose a path of at most {MAX_SOCKET_PATH_BYTES} bytes, the limit of Unix sockets",
                self.brief()
            ));
        }
        Ok(path)
    }

    /// A host name or address, or nothing. Anything else is not repeated, because it may contain a password.
    pub(super) fn host(&self) -> Parsed<String> {
        let host = self.text()?;
        if host.contains(|c: char| matches!(c, '/' | '@') || c.is_whitespace()) {
            return Err("is not just a host; write only a name or an address".into());
        }
        Ok(host)
    }

    /// A path, the name of a systemd credential, or nothing. Not repeated, because it may be the secret itself.
    pub(super) fn credential(&self) -> Parsed<String> {
        let name =
            self.text().map_err(|_| "is not text; write a path or the name of a credential in quotes".to_owned())?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if is_name || name.starts_with('/') {
            Ok(name)
        } else {
            Err("is neither an absolute path nor the name of a systemd credential; never write the secret itself"
                .into())
        }
    }

    /// The same for files that are no secrets, such as certificates; none if it is empty.
    pub(super) fn path_or_credential(&self) -> Parsed<Option<PathBuf>> {
        let name = self.text()?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if is_name || name.starts_with('/') {
            return Ok((!name.is_empty()).then(|| name.into()));
        }
        Err(format!(
            "{} is neither an absolute path nor the name of a systemd credential; write one of them",
            self.brief()
        ))
    }

    /// Hosts with their ports. An IPv6 address is written in brackets and returned without them.
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
            "has an entry that is not a host with a port; write each like \"redis-1.example:6379\"".to_owned()
        })
    }

    /// The prefix of all keys in Redis. Braces are refused, because they would select the slot in a Cluster.
    pub(super) fn key_prefix(&self) -> Parsed<String> {
        let prefix = self.text()?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if (1..=64).contains(&prefix.len()) && prefix.bytes().all(is_plain) {
            Ok(prefix)
        } else {
            Err(format!(
                "{} is not a valid prefix; write 1 to 64 of A-Z, a-z, 0-9, '.', '_', ':' and '-'",
                self.brief()
            ))
        }
    }
}
