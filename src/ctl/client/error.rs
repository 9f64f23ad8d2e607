//! Errors of a request, and whether a retry may help. [`remedy`](super::remedy) turns them into the failure of a command.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use tokio::time::timeout;

use super::KeySource;
use super::service::Down;
use crate::api::{About, Problem};

/// Maximum size of the body that explains an error.
const MAX_PROBLEM: usize = 64 << 10;

/// Why a request got no answer, or no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("cannot reach alertd at {address}: {reason}")]
    Unreachable { address: String, reason: String, cause: Cause },
    /// The service behind the socket does not run.
    #[error("{address} does not answer: {service}")]
    Down { address: String, service: Down },
    /// The file permissions of the socket exclude this user.
    #[error("permission denied on the socket {address}")]
    Forbidden { address: String },
    /// The request cannot be written, because of the key or of a header.
    #[error("cannot send the request: {reason}")]
    Unsendable { reason: String },
    /// The connection broke, or the answer was late: the outcome of the request is unknown.
    #[error("{address} {reason}")]
    Broken { address: String, reason: String },
    /// The daemon answered with an error.
    #[error("{detail} ({address}, status {status})")]
    Refused {
        address: String,
        status: u16,
        detail: String,
        retry_after: Option<Duration>,
        about: Box<About>,
        /// Source of the key that was sent; `None` if none was sent.
        key: Option<KeySource>,
    },
    /// The peer is not alertd, or a version that this program does not understand.
    #[error("{address} does not answer like alertd: {reason}")]
    Foreign { address: String, reason: String },
}

/// Why no connection could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The socket does not exist, or no process listens on it: no daemon runs there.
    NoDaemon,
    /// The host refused the connection: no process listens on the port.
    NoListener,
    /// The host name cannot be resolved.
    NoHost,
    /// The certificate, or another part of the TLS handshake.
    Tls,
    /// What answers does not speak TLS.
    NoTls,
    /// The certificate of the peer is that of an authority, which must not be a server's.
    IsAuthority,
    /// Any other error of a local socket.
    Socket,
    /// Any other network error.
    Network,
}

impl ClientError {
    /// Whether the same request may succeed later, without any change by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Down { service, .. } => service.is_restarting(),
            Self::Forbidden { .. } | Self::Foreign { .. } | Self::Unsendable { .. } => false,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
        }
    }

    /// The pause that the daemon asked for.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether no daemon runs at a local address.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } => *cause == Cause::NoDaemon,
            Self::Down { service, .. } => !service.is_restarting(),
            _ => false,
        }
    }

    /// Whether nobody answered, so that systemd may know why.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }
}

/// The error for an answer with a status other than 2xx.
pub(super) async fn refusal(
    address: String,
    key: Option<KeySource>,
    response: hyper::Response<Incoming>,
    limit: Duration,
) -> ClientError {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = timeout(limit, Limited::new(response.into_body(), MAX_PROBLEM).collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (detail, about) = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => (problem.detail, problem.about),
        // A proxy's answer has no problem document.
        Err(_) => (status.canonical_reason().unwrap_or("refused without a reason").to_owned(), About::default()),
    };
    let retry_after = seconds.map(Duration::from_secs);
    ClientError::Refused { address, status: status.as_u16(), detail, retry_after, about: Box::new(about), key }
}
