//! The one place where errors become HTTP: RFC 9457 problems with stable types.

use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use super::response::Body;
use crate::alert::DraftError;
use crate::api::{About, Problem};
use crate::service::Refusal;

/// Why a request is not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Body, query or header is not readable.
    #[error("{0}")]
    Malformed(String),
    /// The service refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A parameter or field is not as it must be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The parameter.
        field: String,
        /// What it must be.
        reason: String,
    },
    /// No such path.
    #[error("there is nothing at {0}: the API is described in the manual page alertd(8)")]
    NotFound(String),
    /// The description of the API, which is not served now.
    #[error("{0} is served only with stage = \"dev\" in the configuration: set that and reload, or read alertd(8)")]
    NoDocumentation(String),
    /// The path does not take this method.
    #[error("{method} is not for this path, which takes {allow}")]
    Method {
        /// The request's.
        method: String,
        /// The path's.
        allow: &'static str,
    },
    /// No representation suits the Accept header.
    #[error("this path answers with {0}: name one of them, or */*, in Accept")]
    NotAcceptable(&'static str),
    /// The body's type is none that is read here.
    #[error("the body must be {wanted}, not {sent}")]
    MediaType {
        /// What is.
        wanted: &'static str,
        /// What came.
        sent: String,
    },
    /// The body is too large.
    #[error("the body is over {limit} bytes ({key})")]
    TooLarge {
        /// What is taken.
        limit: usize,
        /// The setting that says so.
        key: &'static str,
    },
    /// The body did not come in time.
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
    /// A parameter that is not as it must be.
    pub(crate) fn invalid(field: &str, reason: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), reason: reason.to_string() }
    }

    /// Status, stable name and title of each kind of error.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed", "The request is not readable"),
            Self::Refused(Refusal::Unauthorized | Refusal::Ticket | Refusal::Signature) => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "No or no valid key")
            }
            Self::Refused(
                Refusal::Scope(_) | Refusal::Topic(..) | Refusal::PublishOnly | Refusal::KeyOnly | Refusal::ControlOnly,
            ) => (StatusCode::FORBIDDEN, "not-permitted", "The key does not permit this"),
            Self::Refused(Refusal::NotFound(_)) | Self::NotFound(_) | Self::NoDocumentation(_) => {
                (StatusCode::NOT_FOUND, "not-found", "Not found")
            }
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Another method is needed"),
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No representation suits"),
            Self::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long"),
            Self::Refused(Refusal::Conflict(_)) => (StatusCode::CONFLICT, "conflict", "An earlier request contradicts"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::MediaType { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's type is not read here")
            }
            Self::Invalid { .. } | Self::Refused(Refusal::Invalid { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A field or parameter is not valid")
            }
            Self::Refused(Refusal::TooMany { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
            }
            Self::Refused(Refusal::Unavailable(_)) => {
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

    /// The answer.
    #[must_use]
    pub(crate) fn response(&self, request_id: &str) -> Response<Body> {
        let (status, kind, title) = self.kind();
        let problem = Problem {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
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
            Self::Refused(Refusal::TooMany { retry_after, .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs_f64().ceil().max(1.0) as u64));
            }
            Self::Refused(Refusal::Unavailable(_)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
