//! What can go wrong with a request, whether waiting cures it, and how the command ends if not.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use crate::api::Problem;
use crate::ctl::exit::Failure;

/// The explanation of an error is at most so large.
const MAX_PROBLEM: usize = 64 << 10;

/// Why there is no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there.
    #[error("cannot reach alertd at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
        /// Whether there is no socket, or no process behind it: no daemon runs there.
        absent: bool,
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
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The daemon said no.
    #[error("{detail} ({address}, status {status})")]
    Refused {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The daemon's own words.
        detail: String,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// What answers there is not alertd, or not a version that this program knows.
    #[error("{address} does not answer as alertd does: {reason}")]
    Foreign {
        /// Where.
        address: String,
        /// What is strange.
        reason: String,
    },
}

impl Trouble {
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
        matches!(self, Self::Unreachable { absent: true, .. })
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let text = trouble.to_string();
        match trouble {
            Trouble::Unreachable { absent: true, .. } => Self::Unavailable(format!(
                "{text}; start it (systemctl start alertd), or name another with --socket or --url"
            )),
            Trouble::Unreachable { .. } => Self::Unavailable(format!("{text}; check the address and the network")),
            Trouble::Forbidden { .. } => {
                Self::NotPermitted(format!("{text}; become a member of its group (alertd), or use sudo"))
            }
            Trouble::Broken { .. } => Self::Unavailable(format!("{text}; try again")),
            Trouble::Foreign { .. } => Self::Failed(format!("{text}; check the address")),
            Trouble::Refused { status: 401, .. } => {
                Self::NotPermitted(format!("{text}; set ALERTCTL_KEY or --key-file to a key that is valid"))
            }
            Trouble::Refused { status: 403, .. } => Self::NotPermitted(text),
            Trouble::Refused { status: 422, .. } => Self::Usage(text),
            Trouble::Refused { status: 408 | 425 | 429 | 500 | 502..=504, .. } => {
                Self::Unavailable(format!("{text}; try again later"))
            }
            Trouble::Refused { .. } => Self::Failed(text),
        }
    }
}

/// Takes an answer apart that is no success.
pub(super) async fn refusal(address: String, response: Response<Incoming>, patience: Duration) -> Trouble {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = timeout(patience, Limited::new(response.into_body(), MAX_PROBLEM).collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let detail = serde_json::from_slice::<Problem>(&body).map_or_else(|_| words(status).to_owned(), |p| p.detail);
    Trouble::Refused { address, status: status.as_u16(), detail, retry_after: seconds.map(Duration::from_secs) }
}

/// For an answer that has no explanation, as a proxy in between gives it.
fn words(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("refused without a reason")
}
