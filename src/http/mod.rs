//! HTTP/1.1 and HTTP/2: requests in, answers and streams out.
//!
//! | file | owns |
//! |---|---|
//! | [`listen`] | listening sockets, bound or inherited |
//! | [`serve`] | accepting, one task for each connection, drain under a deadline |
//! | [`tls`] | certificates that can be swapped |
//! | [`detach`] | how a stream leaves hyper |
//! | [`broadcast`] | streams on sockets of their own, one loop per core |
//! | [`progress`] | ends connections whose peer takes nothing |
//! | [`rewind`] | a connection whose first bytes were read already |
//! | [`route`] | the table of paths and methods |
//! | [`request`] | bodies, queries and headers become typed values |
//! | [`negotiate`] | which representation a reader wants |
//! | [`auth`] | who asks |
//! | [`cors`] | which pages of other origins may ask |
//! | [`response`] | bodies and common headers |
//! | [`error`] | the one place where errors become statuses |
//! | [`handlers`] | what each route does |
//! | [`page`] | static files: the live page, and the page of the documentation |
//! | [`openapi`] | the document that describes all routes |
//!
//! It authorises nothing itself: handlers hand typed requests and the caller to the service.

pub(crate) mod auth;
pub(crate) mod broadcast;
pub(crate) mod cors;
pub(crate) mod detach;
pub(crate) mod error;
pub(crate) mod handlers;
pub(crate) mod listen;
pub(crate) mod negotiate;
pub(crate) mod openapi;
pub(crate) mod page;
pub(crate) mod progress;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod rewind;
pub(crate) mod route;
pub(crate) mod serve;
pub(crate) mod tls;

use std::net::IpAddr;
use std::time::Duration;

/// Tells whether an address belongs to a proxy of ours.
pub(crate) type Trusted = std::sync::Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What may change at a reload.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Bytes of the body of a hook's request.
    pub max_hook_body: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxy: Trusted,
    /// Whether `?token=` is taken.
    pub query_token: bool,
    /// Origins whose pages may ask.
    pub cors_origins: Vec<String>,
    /// Whether `/docs` and `/openapi.json` are there.
    pub documentation: bool,
}

/// A request's head must be there within this time; it also ends idle keep-alive connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's body must be there within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// A TLS handshake must be done within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// By which door a connection came in; it decides what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// TCP, or a Unix socket behind a proxy of this machine: with keys.
    Http,
    /// The control socket: file permissions are the credential.
    Control,
    /// The publish socket: the same, for publishing only.
    Publish,
}

/// The connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Which door.
    pub door: Door,
    /// The peer's address; none on a local socket.
    pub address: Option<IpAddr>,
}
