//! The listening sockets: those that systemd passed, or those that alertd binds itself.

use std::path::PathBuf;
use std::sync::Arc;

use super::Failure;
use crate::api::Listening;
use crate::config::{Resolved, Source};
use crate::http::ListenerKind;
use crate::http::listen::{self, Listener};
use crate::http::serve::Server;
use crate::systemd::{self, Inherited};

/// All listening sockets, bound and not yet accepting.
pub(super) struct Listeners {
    http: Vec<Listener>,
    http_unix: Vec<Listener>,
    control: Listener,
    publish: Listener,
    /// Paths of sockets that alertd bound itself, and removes when it stops.
    bound: Vec<PathBuf>,
    /// What set the addresses of `http`.
    source: String,
}

impl Listeners {
    pub(super) fn open(resolved: &Resolved, inherited: Inherited) -> Result<Self, Failure> {
        let config = &resolved.config;
        let source = match &resolved.file {
            _ if !inherited.has_http() => "http.listen".to_owned(),
            Some(file) => systemd::unit_name(file, "socket").unwrap_or_else(|| "systemd".to_owned()),
            None => "alertd.socket".to_owned(),
        };
        let http = if inherited.has_http() {
            inherited.http.into_iter().map(listen::adopt_tcp).collect::<Result<Vec<_>, _>>()?
        } else {
            config.http.listen.iter().map(|address| listen::tcp(*address)).collect::<Result<Vec<_>, _>>()?
        };
        let http_unix = inherited.http_unix.into_iter().map(listen::adopt_unix).collect::<Result<Vec<_>, _>>()?;
        let mut bound = Vec::new();
        let mut unix = |inherited, path: &PathBuf| match inherited {
            Some(listener) => Ok::<_, Failure>(listen::adopt_unix(listener)?),
            None => {
                bound.push(path.clone());
                Ok(listen::unix(path)?)
            }
        };
        let control = unix(inherited.control, &config.control_socket)?;
        let publish = unix(inherited.publish, &config.publish_socket)?;
        let listeners = Self { http, http_unix, control, publish, bound, source };
        let configured = &config.http.listen;
        let passed: Vec<_> = listeners.http.iter().filter_map(|listener| listener.address()?.as_socket()).collect();
        if resolved.source("http.listen").is_some_and(|source| *source != Source::Default)
            && !configured.iter().all(|address| passed.contains(address) || address.port() == 0)
        {
            tracing::warn!(
                ?configured,
                ?passed,
                "http.listen is ignored, because systemd passed other sockets: set ListenStream= in alertd.socket instead"
            );
        }
        Ok(listeners)
    }

    /// The sockets for requests with keys: `127.0.0.1:8080`, `unix:/run/alertd.sock`.
    pub(super) fn listening(&self) -> Listening {
        let tcp = self.http.iter().filter_map(|listener| Some(listener.address()?.as_socket()?.to_string()));
        let unix = self
            .http_unix
            .iter()
            .filter_map(|listener| Some(format!("unix:{}", listener.address()?.as_pathname()?.display())));
        Listening { addresses: tcp.chain(unix).collect(), source: self.source.clone() }
    }

    /// The name of this node in a fleet: host and port, which no two nodes share.
    pub(super) fn node(&self) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let port = self.http.first().and_then(|listener| Some(listener.address()?.as_socket()?.port()));
        port.map_or_else(|| host.trim().to_owned(), |port| format!("{}:{port}", host.trim()))
    }

    /// Starts accepting connections. Returns the paths to remove when the daemon stops.
    pub(super) fn serve(self, server: &Arc<Server>) -> Vec<PathBuf> {
        for listener in self.http {
            server.serve_tcp(listener);
        }
        for listener in self.http_unix {
            server.serve_unix(listener, ListenerKind::Http);
        }
        server.serve_unix(self.control, ListenerKind::Control);
        server.serve_unix(self.publish, ListenerKind::Publish);
        self.bound
    }
}
