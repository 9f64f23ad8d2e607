//! HTTP/1.1 and HTTP/2: listening sockets, connections, requests and answers.
//!
//! | file | owns |
//! |---|---|
//! | [`listen`] | listening sockets, bound or inherited |
//! | [`serve`] | accepting connections, and waiting for their end |
//! | [`socket`] | the socket of a connection, watched by the runtime only if it has to wait |
//! | [`connection`] | one connection, driven through hyper |
//! | [`head_timer`] | the time that the head of a request may take, without a timer for each request |
//! | [`stopping`] | the time that clients have left once the server stops |
//! | [`tls`] | certificates that a reload can replace |
//! | [`block_writer`] | the sending half of a connection that has left hyper |
//! | [`websocket`] | streams over WebSocket |
//! | [`detach`] | how a stream leaves hyper for delivery |
//! | [`progress`] | ends connections whose peer reads nothing |
//! | [`rewind`] | a connection whose first bytes were read already |
//! | [`dispatch`] | one request from its arrival to its answer |
//! | [`route`] | the table of routes |
//! | [`auth`] | the caller of a request, and the access that a route requires |
//! | [`forwarded`] | the address of a client behind proxies |
//! | [`handlers`] | what each route does |
//! | [`query`] | queries and segments of paths as typed values |
//! | [`request`] | bodies and headers as typed values |
//! | [`request_body`] | a body that is still arriving |
//! | [`request_id`] | the id of a request |
//! | [`media_type`] | `Content-Type` |
//! | [`publish_body`] | the body of a publish as an alert |
//! | [`negotiate`] | `Accept` |
//! | [`cors`] | which web pages of other origins may read answers |
//! | [`response`] | bodies and common headers |
//! | [`error`] | errors as problems with a status |
//! | [`page`] | static files: the live page, and the page of the documentation |
//! | [`openapi`] | the document that describes all routes |
//!
//! Imports go one way: serve, dispatch, route, handlers, then everything else. What a caller may do is decided by the
//! service; `auth` only asks it before a body is read.

pub(crate) mod auth;
mod block_writer;
pub(crate) mod connection;
pub(crate) mod cors;
pub(crate) mod detach;
pub(crate) mod dispatch;
pub(crate) mod error;
pub(crate) mod forwarded;
pub(crate) mod handlers;
mod head_timer;
pub(crate) mod listen;
pub(crate) mod media_type;
pub(crate) mod negotiate;
pub(crate) mod openapi;
pub(crate) mod page;
pub(crate) mod progress;
pub(crate) mod publish_body;
pub(crate) mod publish_lines;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod request_body;
mod request_id;
pub(crate) mod response;
pub(crate) mod rewind;
pub(crate) mod route;
pub(crate) mod serve;
mod socket;
pub(crate) mod stopping;
pub(crate) mod tls;
mod tls_sink;
mod websocket;

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::net::Networks;
use crate::service::{Admission, ConnectionLimit, Connections};
use error::BodyLimit;

/// The settings that a reload may change.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `http.max_body`, in bytes.
    pub max_body: usize,
    /// `hooks.max_body`, in bytes; also for alerts as lines.
    pub max_hook_body: usize,
    /// Proxies whose `X-Forwarded-For` or `Forwarded` is believed.
    pub trusted_proxies: Networks,
    /// Whether a key may be sent as `?token=`.
    pub query_token: bool,
    /// Whether a name of ntfy's stands for the topics below it too.
    pub ntfy_below: bool,
    /// Origins whose pages may read answers; `*` stands for all.
    pub cors_origins: Vec<String>,
    /// How long browsers are to use TLS only; zero for not asking them.
    pub hsts: Duration,
    /// Whether `/docs` and `/openapi.json` are served.
    pub documentation: bool,
}

impl Settings {
    const fn body_limit(&self) -> BodyLimit {
        BodyLimit { bytes: self.max_body, set_by: "http.max_body" }
    }

    const fn hook_body_limit(&self) -> BodyLimit {
        BodyLimit { bytes: self.max_hook_body, set_by: "hooks.max_body" }
    }
}

/// Boxes a future in its place. `Box::pin` would make it on the stack first and then copy all of it, with the room for
/// everything that it will hold later.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

/// How long a request's head may take; it also ends idle keep-alive connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The kind of listener that accepted a connection; it decides what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// TCP, or a Unix socket behind a proxy of this machine: with keys.
    Http,
    /// The control socket: file permissions are the credential.
    Control,
    /// The publish socket: the same, for publishing only.
    Publish,
}

impl ListenerKind {
    /// The limit of its connections.
    const fn limit(self, connections: &Connections) -> &ConnectionLimit {
        match self {
            Self::Http => &connections.http,
            Self::Control => &connections.control,
            Self::Publish => &connections.publish,
        }
    }
}

/// The connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The listener that accepted it.
    pub listener: ListenerKind,
    /// The peer's address; none on a local socket.
    pub address: Option<IpAddr>,
    /// Whether alertd itself ended TLS.
    pub is_tls: bool,
    /// Whether the connection is within the limit.
    pub admission: Admission,
    /// The user on the other side of the control socket, if the system tells.
    pub uid: Option<u32>,
}
