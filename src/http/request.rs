//! Requests as typed values: bodies within their limits, and queries without unknown parameters.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};

use super::BODY_TIMEOUT;
use super::error::{BodyLimit, HttpError};
use crate::alert::{Filter, Level, Pattern, Start, Topic, fault};
use crate::service::Query;

/// The longest `Idempotency-Key`, in characters.
const MAX_IDEMPOTENCY_KEY: usize = 255;
/// Alerts in a page of history without `limit`.
const DEFAULT_PAGE_LENGTH: usize = 100;
const MAX_PAGE_LENGTH: usize = 1000;

/// Reads a whole body.
///
/// # Errors
/// [`HttpError::TooLarge`], [`HttpError::Timeout`], or [`HttpError::Malformed`] if the body ends early.
pub(crate) async fn body(incoming: Incoming, limit: BodyLimit) -> Result<Bytes, HttpError> {
    // Before the first byte is read, if the client names the length.
    if hyper::body::Body::size_hint(&incoming).lower() > limit.bytes as u64 {
        return Err(HttpError::TooLarge(limit));
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(incoming, limit.bytes).collect()).await {
        Err(_) => Err(HttpError::Timeout(BODY_TIMEOUT)),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(HttpError::TooLarge(limit)),
        Ok(Err(_)) => Err(HttpError::Malformed("the body ended early, or its framing is wrong".into())),
    }
}

/// Reads a JSON body of one of the API's own types.
///
/// # Errors
/// [`HttpError::Malformed`] if it is not JSON, [`HttpError::Invalid`] if a field is wrong.
pub(crate) fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => {
            let (field, reason) = fault(&e);
            HttpError::Invalid { field: field.unwrap_or_else(|| "body".into()), reason }
        }
        _ => HttpError::Malformed(format!("the body is not JSON: {e}")),
    })
}

/// Reads the `Idempotency-Key`, if there is one.
///
/// # Errors
/// [`HttpError::Invalid`] if it is empty, too long or given twice.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let invalid = |reason: &str| HttpError::invalid("Idempotency-Key", reason);
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("is given twice"));
    }
    let text = value.to_str().map_err(|_| invalid("must be printable ASCII"))?;
    match text.len() {
        1..=MAX_IDEMPOTENCY_KEY => Ok(Some(text.to_owned())),
        _ => Err(invalid("must have 1 to 255 characters")),
    }
}

/// The parameters of a query. Handlers take those that they know; [`finish`](Self::finish) refuses the rest.
#[derive(Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// # Errors
    /// [`HttpError::Malformed`] for a wrong percent-encoding.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, HttpError> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
        });
        Ok(Self(decoded.collect::<Result<_, HttpError>>()?))
    }

    /// Takes all values of a parameter.
    fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(other, _)| other == name).map(|(_, value)| value).collect()
    }

    /// Takes the value of a parameter that may be given once.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] if it is given more than once.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, HttpError> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(HttpError::invalid(name, "may be given once only")) }
    }

    /// Takes `level`.
    ///
    /// # Errors
    /// [`HttpError::Invalid`].
    pub(crate) fn level(&mut self) -> Result<Option<Level>, HttpError> {
        self.one("level")?.map(|text| text.parse().map_err(|e| HttpError::invalid("level", e))).transpose()
    }

    /// Refuses `topic` in the query of a publish, where it would only select what is read.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] with the right path.
    pub(crate) fn no_topic(&mut self) -> Result<(), HttpError> {
        let Some(text) = self.all("topic").pop() else { return Ok(()) };
        let topic = text.parse::<Topic>().map_or_else(|_| "TOPIC".to_owned(), |topic| topic.to_string());
        Err(HttpError::invalid("topic", format!("belongs in the path when publishing: POST /alerts/{topic}")))
    }

    /// Refuses parameters that were not taken: a mistyped `levl=error` would silently mean all levels.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] with the name of the first one.
    pub(crate) fn finish(self, known: &str) -> Result<(), HttpError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                Err(HttpError::invalid(&name, format!("is not a parameter of this path, which takes {known}")))
            }
        }
    }
}

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Plus,
    Space,
}

/// Decodes a segment of a path.
///
/// # Errors
/// [`HttpError::Malformed`] for a wrong escape and for bytes that are not UTF-8.
pub(crate) fn decode_path(text: &str) -> Result<String, HttpError> {
    decode(text, Plus::Plus)
}

/// Strict, unlike the decoders of libraries, which let a wrong escape pass as it is.
fn decode(text: &str, plus: Plus) -> Result<String, HttpError> {
    let malformed = || HttpError::Malformed(format!("{text:?} in the URL is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if plus == Plus::Space => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(malformed);
                u8::try_from(digit()? * 16 + digit()?).map_err(|_| malformed())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

/// What a query of `/alerts` is for; history has parameters that streams lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    History,
    Stream,
}

/// Reads the query of a stream or a page of history.
///
/// # Errors
/// [`HttpError::Invalid`] with the parameter's name.
pub(crate) fn query(
    topic: Option<&str>,
    mut parameters: Parameters,
    headers: &HeaderMap,
    purpose: Purpose,
    now_ms: u64,
) -> Result<Query, HttpError> {
    let patterns = patterns(topic, parameters.all("topic"))?;
    let level = parameters.level()?.unwrap_or_default();
    let start = start(&mut parameters, headers, now_ms)?;
    let (mut before, mut limit) = (None, DEFAULT_PAGE_LENGTH);
    if purpose == Purpose::Stream {
        parameters.finish("topic, level, since, last_event_id (before and limit are for Accept: application/json)")?;
        return Ok(Query { patterns, level, start, before, limit });
    }
    if let Some(text) = parameters.one("before")? {
        before = Some(text.parse().map_err(|e| HttpError::invalid("before", e))?);
    }
    if let Some(text) = parameters.one("limit")? {
        let valid = text.parse().ok().filter(|n| (1..=MAX_PAGE_LENGTH).contains(n));
        limit = valid.ok_or_else(|| HttpError::invalid("limit", format!("takes 1 to {MAX_PAGE_LENGTH}")))?;
    }
    parameters.finish("topic, level, since, before, limit, last_event_id")?;
    Ok(Query { patterns, level, start, before, limit })
}

fn patterns(in_path: Option<&str>, in_query: Vec<String>) -> Result<Vec<Pattern>, HttpError> {
    if in_path.is_some() && !in_query.is_empty() {
        return Err(HttpError::invalid(
            "topic",
            "is in the path already: name topics there or in the query, not in both",
        ));
    }
    let texts = in_path.map(str::to_owned).into_iter().chain(in_query);
    let patterns = texts
        .map(|text| text.parse::<Pattern>().map_err(|e| HttpError::invalid("topic", format!("{text:?}: {e}"))))
        .collect::<Result<Vec<_>, _>>()?;
    if patterns.len() > Filter::MAX_PATTERNS {
        let most = Filter::MAX_PATTERNS;
        return Err(HttpError::invalid("topic", format!("may be given {most} times: use a pattern such as ops.*")));
    }
    Ok(if patterns.is_empty() { vec![Pattern::Exact(Topic::fallback())] } else { patterns })
}

/// The header `Last-Event-ID` wins over the parameter of that name, and both over `since`.
fn start(parameters: &mut Parameters, headers: &HeaderMap, now_ms: u64) -> Result<Option<Start>, HttpError> {
    let since = parameters.one("since")?;
    let since =
        since.map(|text| Start::since(&text, now_ms).map_err(|e| HttpError::invalid("since", e))).transpose()?;
    // Any text is taken, because an EventSource does not reconnect after an error. A client without an id sends an empty one.
    let header = headers.get(HeaderName::from_static("last-event-id")).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let cursor = header.map(String::from).or(parameters.one("last_event_id")?).filter(|text| !text.is_empty());
    Ok(cursor.map(|text| Start::cursor(&text)).or(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(topic: Option<&str>, text: &str, cursor: Option<&'static str>) -> Result<Query, String> {
        let mut headers = HeaderMap::new();
        if let Some(cursor) = cursor {
            headers.insert("last-event-id", hyper::header::HeaderValue::from_static(cursor));
        }
        let parameters = Parameters::parse(Some(text)).map_err(|e| e.to_string())?;
        query(topic, parameters, &headers, Purpose::Stream, 1_000_000).map_err(|e| e.to_string())
    }

    #[test]
    fn the_header_wins_over_the_parameter_and_both_over_since() {
        let start = |query: &str, header| read(None, query, header).unwrap().start;
        assert_eq!(start("since=all&last_event_id=5-0", Some("6-0")), Some(Start::cursor("6-0")));
        assert_eq!(start("since=all&last_event_id=5-0", None), Some(Start::cursor("5-0")));
        assert_eq!(start("since=all", Some("")), Some(Start::All));
        assert_eq!(start("", None), None);
        assert_eq!(start("last_event_id=x%20y", None), Some(Start::Unreadable("x y".into())));
    }

    #[test]
    fn a_typo_in_a_name_is_not_lost() {
        assert!(read(None, "levl=error", None).unwrap_err().starts_with("levl: is not a parameter"));
        assert!(read(None, "level=error&level=warn", None).unwrap_err().contains("once"));
        assert!(read(Some("a"), "topic=b", None).unwrap_err().contains("path already"));
        assert!(read(None, "topic=%zz", None).unwrap_err().contains("percent-encoded"));
        assert!(read(None, "limit=5", None).unwrap_err().contains("application/json"));
    }

    #[test]
    fn a_topic_in_the_query_of_a_publish_is_pointed_to_the_path() {
        let said = |query| Parameters::parse(Some(query)).unwrap().no_topic().map_err(|e| e.to_string());
        assert!(said("topic=ops").unwrap_err().ends_with("POST /alerts/ops"));
        assert!(said("topic=a%20b").unwrap_err().ends_with("POST /alerts/TOPIC"));
        assert_eq!(said("level=warn"), Ok(()));
    }

    #[test]
    fn no_topic_is_the_default_one() {
        assert_eq!(read(None, "", None).unwrap().patterns, ["default".parse().unwrap()]);
        assert_eq!(read(None, "topic=a&topic=b.*", None).unwrap().patterns.len(), 2);
    }
}
