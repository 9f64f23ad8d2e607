//! Queries and path segments as typed values.
//!
//! Called by the dispatcher, which parses, and by the handlers, which take the parameters that they know. Always true:
//! an unknown parameter is refused, except on a stream, whose client often cannot remove what libraries and proxies add
//! to its URL.

pub(crate) mod incidents;

use hyper::header::{HeaderMap, HeaderName};

use super::error::HttpError;
use crate::alert::{Filter, Level, Pattern, Start, Topic};
use crate::service::Query;

/// Alerts in a page of history without `limit`.
const DEFAULT_PAGE_LENGTH: usize = 100;
const MAX_PAGE_LENGTH: usize = 1000;

/// How libraries write true, and below false. The OpenAPI document lists the same words.
pub(crate) const TRUE: &[&str] = &["1", "true", "True", "yes", "on"];
pub(crate) const FALSE: &[&str] = &["0", "false", "False", "no", "off"];

/// Of jQuery, Angular's service worker, Uptime Kuma and scripts.
const CACHE_BUSTERS: [&str; 7] =
    ["_", "ngsw-bypass", "ngsw-cache-bust", "uptime_kuma_cachebuster", "nocache", "cachebuster", "cache_bust"];

/// The parameters of a query. Handlers take those that they know; [`finish`](Self::finish) refuses the rest.
#[derive(Default)]
pub(crate) struct Parameters(Vec<Parameter>);

struct Parameter {
    name: String,
    /// As it is in the URL: a wrong encoding matters only if somebody takes the value.
    encoded: String,
}

impl Parameters {
    #[must_use]
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let parameter = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name, Plus::Space).unwrap_or_else(|_| name.to_owned());
            Parameter { name: decoded, encoded: value.to_owned() }
        };
        Self(pairs.map(parameter).collect())
    }

    /// Takes all values of the parameters with these names.
    ///
    /// # Errors
    /// [`HttpError::Malformed`] for a wrong percent-encoding.
    fn all_named(&mut self, is_named: impl Fn(&str) -> bool) -> Result<Vec<String>, HttpError> {
        let taken = self.0.extract_if(.., |parameter| is_named(&parameter.name));
        taken.map(|parameter| decode(&parameter.encoded, Plus::Space)).collect()
    }

    fn all(&mut self, name: &str) -> Result<Vec<String>, HttpError> {
        self.all_named(|other| other == name)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|parameter| parameter.name == name)
    }

    /// Takes the value of a parameter that may be given once.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] if it is given more than once, [`HttpError::Malformed`] for a wrong percent-encoding.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, HttpError> {
        let Some(at) = self.0.iter().position(|parameter| parameter.name == name) else { return Ok(None) };
        let value = decode(&self.0.remove(at).encoded, Plus::Space)?;
        if self.has(name) { Err(HttpError::invalid(name, "may be given once only")) } else { Ok(Some(value)) }
    }

    /// Takes the value of the first of these parameters that is given.
    ///
    /// # Errors
    /// [`HttpError::Malformed`] for a wrong percent-encoding.
    pub(crate) fn first(&mut self, names: &[&str]) -> Result<Option<String>, HttpError> {
        for name in names {
            if let Some(value) = self.all(name)?.into_iter().next() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// All parameters, with names in any order.
    ///
    /// # Errors
    /// [`HttpError::Malformed`] for a wrong percent-encoding.
    pub(crate) fn pairs(self) -> Result<Vec<(String, String)>, HttpError> {
        self.0.into_iter().map(|Parameter { name, encoded }| Ok((name, decode(&encoded, Plus::Space)?))).collect()
    }

    /// Takes a parameter that is true or false; without it, false.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] for any other word.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, HttpError> {
        match self.one(name)?.as_deref() {
            None => Ok(false),
            Some(word) if TRUE.contains(&word) => Ok(true),
            Some(word) if FALSE.contains(&word) => Ok(false),
            Some(_) => Err(HttpError::invalid(name, "takes 1, true, yes or on, or 0, false, no or off")),
        }
    }

    /// Takes `level`.
    ///
    /// # Errors
    /// [`HttpError::Invalid`].
    pub(crate) fn level(&mut self) -> Result<Option<Level>, HttpError> {
        self.one("level")?.map(|text| text.parse().map_err(|e| HttpError::invalid("level", e))).transpose()
    }

    /// Refuses `topic` in the query of a publish: only reads select topics there.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] with the right path.
    pub(crate) fn no_topic(&mut self) -> Result<(), HttpError> {
        let Some(text) = self.all("topic")?.pop() else { return Ok(()) };
        let topic = text.parse::<Topic>().map_or_else(|_| "TOPIC".to_owned(), |topic| topic.to_string());
        Err(HttpError::invalid("topic", format!("belongs in the path when publishing: POST /alerts/{topic}")))
    }

    /// Removes what libraries and monitors add to the URL of a read so that no cache answers it.
    pub(crate) fn ignore_cache_busters(&mut self) {
        self.0.retain(|parameter| !CACHE_BUSTERS.contains(&parameter.name.as_str()));
    }

    /// Refuses parameters that were not taken: if a mistyped one were ignored, the request would mean something else.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] with the name of the first one.
    pub(crate) fn finish(self, known: &str) -> Result<(), HttpError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some(Parameter { name, .. }) => {
                Err(HttpError::invalid(&name, format!("is not a parameter of this path, which takes {known}")))
            }
        }
    }
}

/// What `+` means: itself, or a space as in forms.
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
pub(crate) fn read(
    topic: Option<&str>,
    mut parameters: Parameters,
    headers: &HeaderMap,
    purpose: Purpose,
    now_ms: u64,
) -> Result<Query, HttpError> {
    let patterns = patterns(topic, parameters.all("topic")?)?;
    let level = parameters.level()?.unwrap_or_default();
    let start = start(&mut parameters, headers, now_ms)?;
    let mut before = None;
    if purpose == Purpose::Stream {
        // All others are ignored: polyfills, service workers and cache busters add parameters that their users cannot
        // remove, and an EventSource does not reconnect after an error.
        if let Some(name) = ["before", "limit", "include"].into_iter().find(|name| parameters.has(name)) {
            return Err(HttpError::invalid(name, "is for pages of history: send Accept: application/json with it"));
        }
        return Ok(Query { patterns, level, start, before, limit: DEFAULT_PAGE_LENGTH, includes_incidents: true });
    }
    if let Some(text) = parameters.one("before")? {
        before = Some(text.parse().map_err(|e| HttpError::invalid("before", e))?);
    }
    let limit = limit(&mut parameters)?;
    let includes_incidents = match parameters.one("include")?.as_deref() {
        None => false,
        Some("incidents") => true,
        Some(_) => return Err(HttpError::invalid("include", "takes incidents")),
    };
    parameters.finish("topic, level, since, before, limit, include, last_event_id")?;
    Ok(Query { patterns, level, start, before, limit, includes_incidents })
}

fn limit(parameters: &mut Parameters) -> Result<usize, HttpError> {
    let Some(text) = parameters.one("limit")? else { return Ok(DEFAULT_PAGE_LENGTH) };
    let valid = text.parse().ok().filter(|n| (1..=MAX_PAGE_LENGTH).contains(n));
    valid.ok_or_else(|| HttpError::invalid("limit", format!("takes 1 to {MAX_PAGE_LENGTH}")))
}

fn patterns(in_path: Option<&str>, in_query: Vec<String>) -> Result<Vec<Pattern>, HttpError> {
    patterns_or(Pattern::Exact(Topic::fallback()), in_path, in_query)
}

/// The patterns, or the fallback if there are none.
fn patterns_or(fallback: Pattern, in_path: Option<&str>, in_query: Vec<String>) -> Result<Vec<Pattern>, HttpError> {
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
    Ok(if patterns.is_empty() { vec![fallback] } else { patterns })
}

/// The header `Last-Event-ID` wins over the parameter of that name, and both over `since`.
fn start(parameters: &mut Parameters, headers: &HeaderMap, now_ms: u64) -> Result<Option<Start>, HttpError> {
    let since = parameters.one("since")?.filter(|text| text == "none" || !is_no_cursor(text));
    let since =
        since.map(|text| Start::since(&text, now_ms).map_err(|e| HttpError::invalid("since", e))).transpose()?;
    // Any text is accepted, because an EventSource does not reconnect after an error.
    let header = headers.get(HeaderName::from_static("last-event-id")).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let header = header.map(String::from).filter(|text| !is_no_cursor(text));
    // The last one wins: a polyfill appends its own to what the page's URL has.
    let in_query = parameters.all_named(is_last_event_id)?.into_iter().rfind(|text| !is_no_cursor(text));
    Ok(header.or(in_query).map(|text| Start::cursor(&text)).or(since))
}

/// Whether a parameter is called like the header, in whatever spelling: `last_event_id`, `lastEventId`, `Last-Event-ID`.
fn is_last_event_id(name: &str) -> bool {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(*b"lasteventid")
}

/// Whether the client has no cursor and sends an empty one, or what its language prints for a missing value, such as
/// Swift's `(null)` and Go's `<nil>`. As an unknown cursor it would replay everything.
fn is_no_cursor(text: &str) -> bool {
    const WORDS: [&str; 9] =
        ["", "undefined", "null", "none", "nil", "nan", "false", "[object Object]", "[object Undefined]"];
    let is_bracket = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | '<' | '>');
    let text = text.trim_matches(is_bracket);
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
