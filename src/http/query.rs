//! Queries and path segments as typed values.
//!
//! Called by the dispatcher, which parses, and by the handlers, which take the parameters that they know. Always true:
//! an unknown parameter is refused, except on a stream, whose client often cannot remove what libraries and proxies add
//! to its URL.

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
        let mut values = self.all(name)?;
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(HttpError::invalid(name, "may be given once only")) }
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
    let (mut before, mut limit) = (None, DEFAULT_PAGE_LENGTH);
    if purpose == Purpose::Stream {
        // All others are ignored: polyfills, service workers and cache busters add parameters that their users cannot
        // remove, and an EventSource does not reconnect after an error.
        if let Some(name) = ["before", "limit"].into_iter().find(|name| parameters.has(name)) {
            return Err(HttpError::invalid(name, "is for pages of history: send Accept: application/json with it"));
        }
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
mod tests {
    use super::*;

    fn stream(topic: Option<&str>, text: &str, cursor: Option<&'static str>) -> Result<Query, String> {
        let mut headers = HeaderMap::new();
        if let Some(cursor) = cursor {
            headers.insert("last-event-id", hyper::header::HeaderValue::from_static(cursor));
        }
        read(topic, Parameters::parse(Some(text)), &headers, Purpose::Stream, 1_000_000).map_err(|e| e.to_string())
    }

    #[test]
    fn the_header_wins_over_the_parameter_and_both_over_since() {
        let start = |query: &str, header| stream(None, query, header).unwrap().start;
        assert_eq!(start("since=all&last_event_id=5-0", Some("6-0")), Some(Start::cursor("6-0")));
        assert_eq!(start("since=all&last_event_id=5-0", None), Some(Start::cursor("5-0")));
        assert_eq!(start("since=all", Some("")), Some(Start::All));
        assert_eq!(start("", None), None);
        assert_eq!(start("last_event_id=x%20y", None), Some(Start::Unreadable("x y".into())));
    }

    #[test]
    fn the_parameter_is_known_in_every_spelling_and_the_last_one_counts() {
        for name in ["last_event_id", "lastEventId", "lastEventID", "last-event-id", "Last-Event-ID", "LASTEVENTID"] {
            let start = |query: String| stream(None, &query, None).unwrap().start;
            assert_eq!(start(format!("{name}=5-0&_=17")), Some(Start::cursor("5-0")), "{name}");
            assert_eq!(start(format!("last_event_id=4-0&{name}=5-0")), Some(Start::cursor("5-0")), "{name}");
            assert_eq!(start(format!("last_event_id=4-0&{name}=")), Some(Start::cursor("4-0")), "{name}");
        }
    }

    #[test]
    fn what_clients_without_a_cursor_send_is_none() {
        for nothing in
            ["", "undefined", "null", "Null", "None", " ", "NaN", "(null)", "<nil>", "\"\"", "[object Object]"]
        {
            assert_eq!(stream(None, "since=none", Some(nothing)).unwrap().start, Some(Start::Live), "{nothing:?}");
            let in_query = format!("lastEventId={}", nothing.replace(' ', "+"));
            assert_eq!(stream(None, &in_query, None).unwrap().start, None, "{nothing:?}");
            let since = stream(None, &in_query.replace("lastEventId", "since"), None).unwrap().start;
            assert_eq!(since, None, "{nothing:?}");
            assert_eq!(stream(None, "last_event_id=5-0", Some(nothing)).unwrap().start, Some(Start::cursor("5-0")));
        }
        assert_eq!(stream(None, "", Some("nullable")).unwrap().start, Some(Start::Unreadable("nullable".into())));
    }

    #[test]
    fn a_stream_ignores_what_libraries_add_and_takes_its_own_parameters_strictly() {
        for more in ["_=1795455190123", "ngsw-bypass", "stream=true", "levl=error", "a%zz=%e4", "token=x", "_=1&_=2"] {
            let query = stream(None, &format!("level=warn&{more}"), None).unwrap();
            assert_eq!(query.level, Level::Warn, "{more}");
        }
        assert!(stream(None, "level=error&level=warn", None).unwrap_err().contains("once"));
        assert!(stream(None, "level=loud", None).unwrap_err().starts_with("level: "));
        assert!(stream(Some("a"), "topic=b", None).unwrap_err().contains("path already"));
        assert!(stream(None, "topic=%zz", None).unwrap_err().contains("percent-encoded"));
        assert!(stream(None, "limit=5", None).unwrap_err().contains("application/json"));
    }

    #[test]
    fn a_typo_in_a_name_is_not_lost_on_a_page_of_history() {
        let page = |text| read(None, Parameters::parse(Some(text)), &HeaderMap::new(), Purpose::History, 0);
        let refused = |text| page(text).unwrap_err().to_string();
        assert!(refused("levl=error").starts_with("levl: is not a parameter"));
        let mut busted = Parameters::parse(Some("_=17&limit=7&uptime_kuma_cachebuster=0.5"));
        busted.ignore_cache_busters();
        assert_eq!(read(None, busted, &HeaderMap::new(), Purpose::History, 0).unwrap().limit, 7);
        assert_eq!(page("lastEventId=5-0&limit=7").unwrap().limit, 7);
    }

    #[test]
    fn a_topic_in_the_query_of_a_publish_is_pointed_to_the_path() {
        let said = |query| Parameters::parse(Some(query)).no_topic().map_err(|e| e.to_string());
        assert!(said("topic=ops").unwrap_err().ends_with("POST /alerts/ops"));
        assert!(said("topic=a%20b").unwrap_err().ends_with("POST /alerts/TOPIC"));
        assert_eq!(said("level=warn"), Ok(()));
    }

    #[test]
    fn no_topic_is_the_default_one() {
        assert_eq!(stream(None, "", None).unwrap().patterns, ["default".parse().unwrap()]);
        assert_eq!(stream(None, "topic=a&topic=b.*", None).unwrap().patterns.len(), 2);
    }
}
