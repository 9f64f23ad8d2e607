//! Errors as HTTP answers: RFC 9457 problems with stable types. No other file gives an error its status.

use std::time::Duration;

use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::response::Body;
use crate::alert::DraftError;
use crate::api::{About, NtfyError, Problem};
use crate::random;
use crate::service::Refusal;

/// When a client that was refused because of the limit of connections is to come back.
const OVERLOAD_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// How large a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimit {
    pub bytes: usize,
    /// The setting with this limit, for the error.
    pub set_by: &'static str,
}

/// Who reads an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Any client: sees no path, host name or error text of a library.
    Client,
    /// A user of the control socket.
    Operator,
}

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Body, query or header cannot be parsed.
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A parameter or field is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        field: String,
        /// What is wrong, or what it must be.
        reason: String,
    },
    #[error("there is nothing at {0}: the API is described in the manual page alertd(8)")]
    NotFound(String),
    /// A page of the documentation in a stage that does not serve it.
    #[error("{0} is served only with stage = \"dev\" in the configuration: set that and reload, or read alertd(8)")]
    NoDocumentation(String),
    #[error("{method} does not work on this path, which takes {allow}")]
    Method { method: String, allow: &'static str },
    #[error("this path answers with {0}: name one of them, or */*, in Accept")]
    NotAcceptable(&'static str),
    /// The body is of a type that this path does not read.
    #[error("the body must be {wanted}, not {sent}")]
    MediaType { wanted: &'static str, sent: String },
    #[error("Content-Encoding: {0} is not supported: send the body as it is, without compression")]
    ContentEncoding(String),
    #[error("the body is over {bytes} bytes ({set_by})", bytes = .0.bytes, set_by = .0.set_by)]
    TooLarge(BodyLimit),
    /// The limit of connections is reached, and the path is not one of those that are served all the same.
    #[error("{0}")]
    Overloaded(String),
    /// A WebSocket is asked for in a way that cannot lead to one.
    #[error("this path is for WebSockets of version 13 over HTTP/1.1; /json at its end is the same as lines of JSON")]
    NoWebSocket,
    #[error("the body did not arrive within {} seconds: send it at once", .0.as_secs())]
    Timeout(Duration),
}

impl From<DraftError> for HttpError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::Malformed(reason) => Self::Malformed(reason),
            DraftError::Field { field, reason } => Self::Invalid { field, reason },
        }
    }
}

impl HttpError {
    /// Characters of a path in an error.
    pub(crate) const SHOWN_PATH: usize = 200;

    /// The error for a request that is not complete when the server stops.
    pub(crate) fn stopping() -> Self {
        Self::Refused(Refusal::unavailable("alertd is stopping and nothing was done: send the request again"))
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::NotFound(path.chars().take(Self::SHOWN_PATH).collect())
    }

    pub(crate) fn invalid(field: &str, reason: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), reason: reason.to_string() }
    }

    /// Status, the stable name at the end of the type, and title.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(_) | Self::NoWebSocket => {
                (StatusCode::BAD_REQUEST, "malformed", "The request cannot be parsed")
            }
            Self::Refused(Refusal::Unauthorized | Refusal::Ticket | Refusal::Signature) => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "No valid key")
            }
            Self::Refused(
                Refusal::Scope(_)
                | Refusal::Topic(..)
                | Refusal::PublishOnly
                | Refusal::KeyOnly
                | Refusal::ControlOnly
                | Refusal::NotOwn,
            ) => (StatusCode::FORBIDDEN, "not-permitted", "The key does not permit this"),
            Self::Refused(Refusal::NotFound(_)) | Self::NotFound(_) | Self::NoDocumentation(_) => {
                (StatusCode::NOT_FOUND, "not-found", "Not found")
            }
            Self::Method { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method")
            }
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No representation is acceptable"),
            Self::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long"),
            Self::Refused(Refusal::Conflict(_)) => {
                (StatusCode::CONFLICT, "conflict", "The request contradicts an earlier one")
            }
            Self::Refused(Refusal::Gone(_)) => (StatusCode::GONE, "gone", "The alert was retracted"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::MediaType { .. } | Self::ContentEncoding(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The type or coding of the body is not supported",
            ),
            Self::Invalid { .. } | Self::Refused(Refusal::Invalid { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A field or parameter is not valid")
            }
            Self::Refused(Refusal::TooMany { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
            }
            Self::Refused(Refusal::Unavailable { .. } | Refusal::Draining { .. }) | Self::Overloaded(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now")
            }
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Refused(Refusal::Scope(scope)) => About { scope: Some(scope.to_string()), ..About::default() },
            Self::Refused(Refusal::Topic(topic, own)) => About {
                topic: Some(topic.to_string()),
                topics: Some(own.iter().map(ToString::to_string).collect()),
                ..About::default()
            },
            Self::Invalid { field, .. } | Self::Refused(Refusal::Invalid { field, .. }) => {
                About { field: Some(field.clone()), ..About::default() }
            }
            _ => About::default(),
        }
    }

    /// What only the operator may see.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.detail(),
            _ => None,
        }
    }

    /// The error as ntfy's clients read it: with these three members, as some fail on any other.
    #[must_use]
    pub(crate) fn ntfy_response(&self, request_id: &str, audience: Audience) -> Response<Body> {
        let own = self.response(request_id, audience);
        // ntfy answers 400 to everything that is wrong with a request, and its libraries know no other.
        let status = match own.status() {
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::BAD_REQUEST,
            status => status,
        };
        let text = match self.detail().filter(|_| audience == Audience::Operator) {
            Some(detail) => format!("{self}: {detail}"),
            None => self.to_string(),
        };
        let error = NtfyError { code: self.ntfy_code(status), http: status.as_u16(), error: text };
        let mut response = super::response::json(status, &error);
        for name in [WWW_AUTHENTICATE, ALLOW, ACCEPT_ENCODING, RETRY_AFTER] {
            response.headers_mut().extend(own.headers().get(&name).map(|value| (name, value.clone())));
        }
        response
    }

    /// ntfy's number for an error: its status and two digits more.
    fn ntfy_code(&self, status: StatusCode) -> u32 {
        let field = match self {
            Self::Invalid { field, .. } | Self::Refused(Refusal::Invalid { field, .. }) => field.as_str(),
            Self::NoWebSocket => return 40016,
            _ => return u32::from(status.as_u16()) * 100 + u32::from(status != StatusCode::BAD_REQUEST),
        };
        match field {
            "email" | "e-mail" | "mail" => 40001,
            "delay" | "at" | "in" => 40004,
            "call" => 40032,
            "priority" => 40007,
            "since" => 40008,
            "topic" => 40009,
            "filename" => 40014,
            "body" => 40017,
            _ => 40000,
        }
    }

    #[must_use]
    pub(crate) fn response(&self, request_id: &str, audience: Audience) -> Response<Body> {
        let (status, kind, title) = self.kind();
        let problem = Problem {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: match self.detail().filter(|_| audience == Audience::Operator) {
                Some(detail) => format!("{self}: {detail}"),
                None => self.to_string(),
            },
            request_id: request_id.to_owned(),
            about: self.about(),
        };
        let mut response = super::response::json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Refused(Refusal::Unauthorized | Refusal::Ticket | Refusal::Signature) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"alertd\""));
            }
            Self::Method { allow, .. } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::ContentEncoding(_) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::Refused(Refusal::TooMany { retry_after, .. } | Refusal::Draining { retry_after }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs_f64().ceil().max(1.0) as u64));
            }
            Self::Refused(Refusal::Unavailable { .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Overloaded(_) => {
                // So that the clients do not all come back at once.
                let seconds = random::between(OVERLOAD_RETRY.0, OVERLOAD_RETRY.1).as_secs();
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ => {}
        }
        response
    }
}
