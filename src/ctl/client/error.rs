//! What can go wrong with a request, and whether waiting cures it; how the command ends if not is in [`remedy`](super::remedy).

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use tokio::time::timeout;

use super::KeySource;
use crate::api::{About, Problem};

/// The explanation of an error is at most so large.
const MAX_PROBLEM: usize = 64 << 10;

/// Why there is no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection came about.
    #[error("cannot reach alertd at {address}: {reason}")]
    Unreachable {
        /// DaemonOptions.
        address: String,
        /// Why not.
        reason: String,
        /// What that points to.
        cause: Cause,
    },
    /// The file permissions of the socket keep this user out.
    #[error("may not use the socket {address}")]
    Forbidden {
        /// The socket.
        address: String,
    },
    /// The connection stood but broke, or the answer did not come in time: what became of the request is unknown.
    #[error("{address} {reason}")]
    Broken {
        /// DaemonOptions.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The daemon said no.
    #[error("{detail} ({address}, status {status})")]
    Refused {
        /// DaemonOptions.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The daemon's own words.
        detail: String,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
        /// What it named.
        about: Box<About>,
        /// Where the key came from that it was shown, if it was shown one.
        key: Option<KeySource>,
    },
    /// What answers there is not alertd, or not a version that this program knows.
    #[error("{address} does not answer as alertd does: {reason}")]
    Foreign {
        /// DaemonOptions.
        address: String,
        /// What is strange.
        reason: String,
    },
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no socket, or no process behind it: no daemon runs there.
    NoDaemon,
    /// The host refused the connection: nobody listens on the port.
    NoListener,
    /// The name of the host means nothing.
    NoHost,
    /// Its certificate, or what else TLS asks for.
    Tls,
    /// Anything else on the way.
    Network,
}

impl ClientError {
    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Forbidden { .. } | Self::Foreign { .. } => false,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
        }
    }

    /// When the daemon asked to come back.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether no daemon runs there at all.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Unreachable { cause: Cause::NoDaemon, .. })
    }
}

/// Takes an answer apart that is no success.
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
        Err(_) => (words(status).to_owned(), About::default()),
    };
    let retry_after = seconds.map(Duration::from_secs);
    ClientError::Refused { address, status: status.as_u16(), detail, retry_after, about: Box::new(about), key }
}

/// For an answer that has no explanation, as a proxy in between gives it.
fn words(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("refused without a reason")
}
