//! The body of a publish as an alert: JSON, a text or a form.
//!
//! JSON is complete by itself and refused if it is not valid, unless the query has `cut=1`. A text or a form comes from
//! a sender that cannot send JSON, so it is cut to what is allowed instead of being refused.

use hyper::header::HeaderMap;

use super::error::HttpError;
use super::media_type::{Kind, MediaType};
use super::query::Parameters;
use super::request;
use crate::alert::{Draft, Every, IncidentReport, Level, Topic};
use crate::hooks::form::Form;
use crate::hooks::ntfy;
use crate::text;

/// The query of a publish.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    level: Option<Level>,
    /// Whether JSON is cut to what is allowed instead of being refused.
    cut: bool,
    /// How long the topic may then be silent, if the query or a header says so.
    expect_within: Option<Every>,
    /// The incident that the query or the headers name.
    incident: Option<IncidentReport>,
}

impl Options {
    /// Reads the whole query, and the header that it may replace.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] with the parameter's name.
    pub(crate) fn read(mut parameters: Parameters, headers: &HeaderMap) -> Result<Self, HttpError> {
        let level = parameters.level()?;
        let cut = parameters.flag("cut")?;
        let expect_within = request::expect_within(headers, &mut parameters)?;
        let incident = request::incident(headers, &mut parameters)?;
        parameters.no_topic()?;
        parameters.finish("level, cut, expect_within, incident, status, ttl")?;
        Ok(Self { level, cut, expect_within, incident })
    }
}

/// Reads an alert. Without a type, or with the one that `curl -d` sends, a body that begins with `{` is JSON, one with a
/// field `message` a form, and any other a text. A type that is not listed (`application/yaml`, `utf-8`) says nothing if the
/// body is a text. The headers of ntfy's publishers may accompany a text or a form.
///
/// # Errors
/// As [`Draft::from_json`], and [`HttpError::MediaType`] for a type that cannot be an alert.
pub(crate) fn draft(
    headers: &HeaderMap,
    topic: Option<Topic>,
    options: Options,
    body: &[u8],
) -> Result<Draft, HttpError> {
    let draft = of_any_type(headers, topic, &options, body)?;
    // What the body says wins.
    let within = draft.expect_within().or(options.expect_within);
    let incident = draft.incident().cloned().or(options.incident);
    // The body alone fits into a frame; with a long name of an incident it may not.
    Ok(draft.expecting(within).reporting(incident).cut_to_frame())
}

fn of_any_type(headers: &HeaderMap, topic: Option<Topic>, options: &Options, body: &[u8]) -> Result<Draft, HttpError> {
    let media = MediaType::of(headers);
    let looks_like_json = || media.decoded(body).trim_ascii_start().starts_with('{');
    let kind = match media.kind() {
        Kind::Unknown | Kind::Form if looks_like_json() => Kind::Json,
        Kind::Other if !text::is_plain(&media.decoded(body)) => Kind::Media,
        Kind::Other if looks_like_json() => Kind::Json,
        Kind::Other => Kind::Unknown,
        kind => kind,
    };
    match kind {
        Kind::Json => json(&media, topic, options, body),
        Kind::Text | Kind::Form | Kind::Parts | Kind::Unknown => {
            let said = ntfy::read(|name| Some(text::header(headers.get(name)?.as_bytes())))?;
            if kind == Kind::Form
                && let Some(form) = Form::parse(body, media.charset())
            {
                return Ok(form.draft(topic, options.level, said)?);
            }
            if kind == Kind::Parts {
                let boundary = media.boundary().ok_or_else(|| HttpError::invalid("Content-Type", "has no boundary"))?;
                return Ok(Form::parse_parts(body, boundary, media.charset()).draft(topic, options.level, said)?);
            }
            let (priority, metadata) = said;
            let (topic, level) = (topic.unwrap_or_else(Topic::fallback), options.level.or(priority));
            Ok(Draft::cut(topic, &media.decoded(body), level.unwrap_or_default(), metadata)?)
        }
        Kind::Lines | Kind::Media | Kind::Other => {
            let sent = media.essence().into_owned();
            Err(HttpError::MediaType { wanted: "application/json, a text (text/*) or a form", sent })
        }
    }
}

fn json(media: &MediaType<'_>, topic: Option<Topic>, options: &Options, body: &[u8]) -> Result<Draft, HttpError> {
    if options.level.is_some() {
        return Err(HttpError::invalid("level", "belongs in the JSON body, not in the query"));
    }
    // Without another charset the bytes have to be UTF-8, which is checked below.
    let decoded;
    let body = match media.charset() {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => {
            decoded = media.decoded(body);
            decoded.as_bytes()
        }
        // PowerShell writes files in UTF-16, with a byte order mark.
        None if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") => {
            decoded = media.decoded(body);
            decoded.as_bytes()
        }
        _ => body,
    };
    Ok(if options.cut { Draft::from_json_cut(topic, body)? } else { Draft::from_json(topic, body)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::{FALSE, TRUE};
    use hyper::header::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &[u8])], query: &str, body: &[u8]) -> Result<String, String> {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
        let headers = pairs.collect();
        let options = Options::read(Parameters::parse(Some(query)), &headers).map_err(|e| e.to_string())?;
        draft(&headers, None, options, body).map(|d| d.canonical()).map_err(|e| e.to_string())
    }

    fn typed(kind: Option<&'static str>, body: &[u8]) -> Result<String, String> {
        let headers: Vec<_> = kind.into_iter().map(|kind| ("content-type", kind.as_bytes())).collect();
        read(&headers, "", body)
    }

    const X: &str = r#"["default","info","x"]{}"#;

    #[test]
    fn a_body_without_a_type_is_what_it_looks_like() {
        assert_eq!(typed(None, b" {\"message\":\"x\"}").as_deref(), Ok(X));
        assert_eq!(typed(None, b"x").as_deref(), Ok(X));
        assert_eq!(typed(Some("application/x-www-form-urlencoded"), b"x").as_deref(), Ok(X));
        assert_eq!(typed(Some("application/x-www-form-urlencoded"), b"{\"message\":\"x\"}").as_deref(), Ok(X));
        assert!(typed(Some("text/plain"), b"{").is_ok() && typed(Some("application/json"), b"{").is_err());
        assert!(typed(None, b"message=x").unwrap().contains("message=x"));
        for (kind, body) in [("image/png", &b"x"[..]), ("application/zip", b"PK\x03\x04"), ("application/x", b"\xff")] {
            assert!(typed(Some(kind), body).unwrap_err().contains(kind));
        }
        for kind in ["application/yaml", "utf-8", "application/json, text/plain", "*/*", "application/x-json"] {
            assert_eq!(typed(Some(kind), b"x").as_deref(), Ok(X), "{kind}");
            assert_eq!(typed(Some(kind), b"{\"message\":\"x\"}").as_deref(), Ok(X), "{kind}");
        }
    }

    #[test]
    fn a_form_of_parts_is_a_form() {
        let part =
            |head: &str, content: &str| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
        let whole = |parts: &[String]| format!("{}--B--\r\n", parts.concat());
        let read = |body: String| typed(Some("multipart/form-data; boundary=B"), body.as_bytes());
        let alert = [
            part("name=\"message\"", "x"),
            part("name=\"Level\"", "error"),
            part("name=\"log\"; filename=\"a.txt\"", "all of it"),
            part("name=\"core\"; filename=\"core\"", "\u{7f}ELF\0"),
        ];
        let expected = r#"["default","error","x"]{"core":"(a file of 5 bytes)","log":"all of it"}"#;
        assert_eq!(read(whole(&alert)).as_deref(), Ok(expected));
        assert!(read(whole(&alert[1..])).unwrap_err().starts_with("message: is missing"));
        assert!(typed(Some("multipart/form-data"), b"x").unwrap_err().contains("no boundary"));
    }

    #[test]
    fn every_type_of_json_and_text_is_read_in_its_charset() {
        for kind in ["application/json", "application/json; charset=utf-8", "text/json", "application/alert+json"] {
            assert_eq!(typed(Some(kind), b"{\"message\":\"x\"}").as_deref(), Ok(X), "{kind}");
            assert_eq!(typed(Some(kind), b"\xef\xbb\xbf{\"message\":\"x\"}").as_deref(), Ok(X), "{kind}");
        }
        assert_eq!(typed(None, b"\xef\xbb\xbf{\"message\":\"x\"}").as_deref(), Ok(X));
        for kind in ["text/plain", "text/markdown", "text/html", "text/plain; charset=utf-8"] {
            assert_eq!(typed(Some(kind), b"x").as_deref(), Ok(X), "{kind}");
        }
        let umlaut = r#"["default","info","ä"]{}"#;
        for is_little in [true, false] {
            let bytes = |text: &str| -> Vec<u8> {
                let order = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
                format!("\u{feff}{text}").encode_utf16().flat_map(order).collect()
            };
            for kind in [None, Some("application/json")] {
                assert_eq!(typed(kind, &bytes("{\"message\":\"ä\"}")).as_deref(), Ok(umlaut), "{kind:?}");
            }
            assert_eq!(typed(Some("text/plain"), &bytes("ä")).as_deref(), Ok(umlaut));
        }
        assert_eq!(typed(Some("text/plain; charset=iso-8859-1"), b"\xe4").as_deref(), Ok(umlaut));
        assert_eq!(typed(Some("application/json; charset=latin1"), b"{\"message\":\"\xe4\"}").as_deref(), Ok(umlaut));
        assert_eq!(typed(Some("text/plain"), b"\xe4").as_deref(), Ok("[\"default\",\"info\",\"\u{fffd}\"]{}"));
        assert!(typed(Some("application/json"), b"{\"message\":\"\xe4\"}").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn json_is_cut_where_the_query_asks_for_it() {
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(5000));
        let json: &[(&str, &[u8])] = &[("content-type", b"application/json")];
        assert!(read(json, "", long.as_bytes()).unwrap_err().contains("4096 are allowed"));
        for (off, on) in FALSE.iter().zip(TRUE) {
            assert!(read(json, &format!("cut={off}"), long.as_bytes()).unwrap_err().contains("4096"), "{off}");
            assert!(read(json, &format!("cut={on}"), long.as_bytes()).unwrap().contains("xx…"), "{on}");
        }
        for neither in ["cut=maybe", "cut=", "cut", "cut=2"] {
            assert!(read(json, neither, long.as_bytes()).unwrap_err().starts_with("cut: takes"), "{neither}");
        }
        assert!(read(json, "cut=1", b"{\"message\":5}").is_err());
    }

    #[test]
    fn a_form_has_the_headers_of_a_text_and_its_own_fields_win() {
        let form: &[(&str, &[u8])] =
            &[("content-type", b"application/x-www-form-urlencoded"), ("title", b"header"), ("priority", b"5")];
        let read = |query: &str, body: &[u8]| read(form, query, body).unwrap();
        assert_eq!(read("", b"message=x"), r#"["default","error","x"]{"priority":5,"title":"header"}"#);
        assert_eq!(read("", b"message=x&level=warn&title=t"), r#"["default","warn","x"]{"priority":5,"title":"t"}"#);
        assert_eq!(
            read("level=info", b"message=x&level=warn"),
            r#"["default","info","x"]{"priority":5,"title":"header"}"#
        );
    }
}
