//! Requests as typed values: bodies within their limits, and the headers that go with them.

use std::future::poll_fn;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Request;
use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use tokio::time::timeout;

use super::BODY_TIMEOUT;
use super::error::{BodyLimit, HttpError};
use super::query::Parameters;
use super::request_body::RequestBody;
use super::stopping::{Stop, too_late};
use crate::alert::json_body::NO_INCIDENT;
use crate::alert::{self, Every, IncidentFields, IncidentReport, Unreadable};
use crate::text;

/// The longest `Idempotency-Key`, in characters.
const MAX_IDEMPOTENCY_KEY: usize = 255;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static EXPECT_WITHIN: Source = Source::new("expect_within", "Expect-Within", HeaderName::from_static("expect-within"));
static INCIDENT: Source = Source::new("incident", "Incident", HeaderName::from_static("incident"));
static STATUS: Source = Source::new("status", "Incident-Status", HeaderName::from_static("incident-status"));
static TTL: Source = Source::new("ttl", "Incident-Ttl", HeaderName::from_static("incident-ttl"));

/// A parameter of the query, and the header that may have its value instead.
struct Source {
    parameter: &'static str,
    /// The header as people write it.
    header: &'static str,
    name: HeaderName,
}

impl Source {
    const fn new(parameter: &'static str, header: &'static str, name: HeaderName) -> Self {
        Self { parameter, header, name }
    }

    fn read<T: FromStr<Err: ToString>>(
        &self,
        headers: &HeaderMap,
        parameters: &mut Parameters,
    ) -> Result<Option<T>, HttpError> {
        let invalid = |name, error: T::Err| HttpError::invalid(name, error.to_string());
        if let Some(text) = parameters.one(self.parameter)? {
            return text.parse().map(Some).map_err(|error| invalid(self.parameter, error));
        }
        let Some(value) = headers.get(&self.name) else { return Ok(None) };
        let text = text::header(value.as_bytes());
        text.trim().parse().map(Some).map_err(|error| invalid(self.header, error))
    }
}

/// Reads a whole body, and gives back the head of its request.
///
/// # Errors
/// [`HttpError::TooLarge`], [`HttpError::Timeout`], [`HttpError::ContentEncoding`] for a compressed body,
/// [`HttpError::Malformed`] if it ends early, or [`HttpError::stopping`] if the server stops before its end.
pub(crate) fn body(
    request: Request<RequestBody>,
    limit: BodyLimit,
) -> impl Future<Output = Result<(Parts, Bytes), HttpError>> + Send {
    // Before the future is made, so that it has no room for the request as well.
    let (head, incoming) = request.into_parts();
    async move {
        let mut codings = head.headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
        if let Some(coding) = codings.find(|coding| is_coded(coding)) {
            let shown = String::from_utf8_lossy(coding).chars().take(HttpError::SHOWN_PATH).collect();
            return Err(HttpError::ContentEncoding(shown));
        }
        // Before the first byte is read, if the client names the length.
        if hyper::body::Body::size_hint(&incoming).lower() > limit.bytes as u64 {
            return Err(HttpError::TooLarge(limit));
        }
        let stop = Arc::clone(incoming.stop());
        let mut body = pin!(Limited::new(incoming, limit.bytes).collect());
        // Most bodies have come with their head. For the others the wait is boxed, because a task is as large as its largest
        // branch.
        let read = match poll_fn(|cx| Poll::Ready(body.as_mut().poll(cx))).await {
            Poll::Ready(read) => read,
            Poll::Pending => Box::pin(in_time(body, &stop)).await?,
        };
        match read {
            Ok(body) => Ok((head, body.to_bytes())),
            Err(e) if e.is::<LengthLimitError>() => Err(HttpError::TooLarge(limit)),
            Err(_) => Err(HttpError::Malformed("the body ended early, or its framing is wrong".into())),
        }
    }
}

/// The output of `read`, unless it takes too long or the server stops.
async fn in_time<T>(read: impl Future<Output = T>, stop: &Stop) -> Result<T, HttpError> {
    tokio::select! {
        biased;
        read = timeout(BODY_TIMEOUT, read) => read.map_err(|_| HttpError::Timeout(BODY_TIMEOUT)),
        () = too_late(stop) => Err(HttpError::stopping()),
    }
}

/// Whether a `Content-Encoding` changes the body: not if it is empty, or names what is none. Scripts often put the charset
/// there.
fn is_coded(codings: &[u8]) -> bool {
    const NONE: [&[u8]; 4] = [b"", b"identity", b"utf-8", b"utf8"];
    let mut codings = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| !NONE.iter().any(|none| coding.eq_ignore_ascii_case(none)))
}

/// Reads a JSON body of one of the API's own types.
///
/// # Errors
/// [`HttpError::Malformed`] if it is not JSON, [`HttpError::Invalid`] if a field is wrong.
pub(crate) fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    alert::read(bytes).map_err(|error| match error {
        Unreadable::Malformed(reason) => HttpError::Malformed(reason),
        Unreadable::Field { field, reason } => {
            HttpError::Invalid { field: field.unwrap_or_else(|| "body".into()), reason }
        }
    })
}

/// Reads the `Idempotency-Key`, if there is one.
///
/// # Errors
/// [`HttpError::Invalid`] if it is empty, too long or given twice.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let invalid = |reason: &str| HttpError::invalid("Idempotency-Key", reason);
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("is given twice"));
    }
    checked_key(&String::from_utf8_lossy(value.as_bytes())).map(Some).map_err(invalid)
}

/// Reads `Expect-Within` or, if it is in the query, the parameter of that name.
///
/// # Errors
/// [`HttpError::Invalid`] if it is no such duration.
pub(crate) fn expect_within(headers: &HeaderMap, parameters: &mut Parameters) -> Result<Option<Every>, HttpError> {
    EXPECT_WITHIN.read(headers, parameters)
}

/// Reads what the query and the headers say about an incident: the parameters `incident`, `status` and `ttl`, or the headers
/// `Incident`, `Incident-Status` and `Incident-Ttl`.
///
/// # Errors
/// [`HttpError::Invalid`] with the name of the parameter or header.
pub(crate) fn incident(headers: &HeaderMap, parameters: &mut Parameters) -> Result<Option<IncidentReport>, HttpError> {
    let fields = IncidentFields {
        name: INCIDENT.read(headers, parameters)?,
        status: STATUS.read(headers, parameters)?,
        ttl: TTL.read(headers, parameters)?,
    };
    fields.report().map_err(|field| HttpError::invalid(field, NO_INCIDENT))
}

/// Takes a key that identifies the repeats of an alert.
///
/// # Errors
/// What the key must be.
pub(crate) fn checked_key(text: &str) -> Result<String, &'static str> {
    // Without a NUL in particular: it begins the keys that hooks make.
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Err("must be printable ASCII");
    }
    match text.len() {
        1..=MAX_IDEMPOTENCY_KEY => Ok(text.to_owned()),
        _ => Err("must have 1 to 255 characters"),
    }
}
