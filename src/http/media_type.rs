//! The type of a body, as `Content-Type` declares it.

use std::borrow::Cow;

use hyper::header::{CONTENT_TYPE, HeaderMap};

use crate::text;

/// Types that no alert has, whatever their bytes.
const MEDIA: [&str; 6] = ["image/", "audio/", "video/", "font/", "model/", "multipart/"];

/// What `Content-Type` says about a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/json`, `text/json` and every `+json`.
    Json,
    /// `application/x-ndjson`: one JSON object in each line.
    Lines,
    /// Any other `text/*`.
    Text,
    /// `application/x-www-form-urlencoded`, under which curl sends everything.
    Form,
    /// `multipart/form-data`.
    Parts,
    /// No type, or `application/octet-stream`.
    Unknown,
    /// A type that cannot be an alert, such as a picture.
    Media,
    /// Any other type.
    Other,
}

/// `Content-Type` as it was sent; empty if it was not. Every publish has one, so nothing of it is copied without need.
pub(crate) struct MediaType<'h>(Cow<'h, str>);

impl<'h> MediaType<'h> {
    #[must_use]
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        Self(headers.get(CONTENT_TYPE).map(|value| text::header(value.as_bytes())).unwrap_or_default())
    }

    fn parameter(&self, wanted: &str) -> Option<&str> {
        let mut pairs = self.0.split(';').filter_map(|part| part.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        Some(value.trim().trim_matches(['"', '\'']))
    }

    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match &*self.essence() {
            "" | "application/octet-stream" => Kind::Unknown,
            "application/x-www-form-urlencoded" => Kind::Form,
            "multipart/form-data" => Kind::Parts,
            "application/json" | "text/json" => Kind::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Kind::Lines,
            other if other.ends_with("+json") => Kind::Json,
            other if other.starts_with("text/") => Kind::Text,
            other if MEDIA.iter().any(|kind| other.starts_with(kind)) => Kind::Media,
            _ => Kind::Other,
        }
    }

    /// The type without its parameters, in lower case.
    #[must_use]
    pub(crate) fn essence(&self) -> Cow<'_, str> {
        let essence = self.0.split_once(';').map_or(&*self.0, |(essence, _)| essence).trim();
        if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(essence.to_ascii_lowercase());
        }
        Cow::Borrowed(essence)
    }

    #[must_use]
    pub(crate) fn charset(&self) -> Option<&str> {
        self.parameter("charset")
    }

    /// What separates the parts of a form.
    #[must_use]
    pub(crate) fn boundary(&self) -> Option<&str> {
        self.parameter("boundary").filter(|boundary| !boundary.is_empty())
    }

    /// The body as text, with U+FFFD for what cannot be decoded.
    #[must_use]
    pub(crate) fn decoded<'b>(&self, body: &'b [u8]) -> Cow<'b, str> {
        text::decoded(body, self.charset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(declared: &str) -> MediaType<'_> {
        MediaType(text::header(declared.as_bytes()))
    }

    #[test]
    fn parameters_and_case_do_not_change_the_kind() {
        for (declared, kind, charset) in [
            ("application/json", Kind::Json, None),
            ("Application/JSON; charset=UTF-8", Kind::Json, Some("UTF-8")),
            ("application/json;charset=\"utf-8\"", Kind::Json, Some("utf-8")),
            ("application/json ; Charset = iso-8859-1 ; odata=verbose", Kind::Json, Some("iso-8859-1")),
            ("application/json;", Kind::Json, None),
            ("text/json", Kind::Json, None),
            ("application/cloudevents+json; charset=utf-8", Kind::Json, Some("utf-8")),
            ("application/x-ndjson; charset=utf-8", Kind::Lines, Some("utf-8")),
            ("text/plain; format=flowed; charset=latin1", Kind::Text, Some("latin1")),
            ("text/markdown", Kind::Text, None),
            ("text/html", Kind::Text, None),
            ("application/x-www-form-urlencoded; charset=UTF-8", Kind::Form, Some("UTF-8")),
            ("", Kind::Unknown, None),
            ("application/octet-stream", Kind::Unknown, None),
            ("application/jsonx", Kind::Other, None),
            ("utf-8", Kind::Other, None),
            ("image/png", Kind::Media, None),
            ("multipart/mixed; boundary=x", Kind::Media, None),
            ("multipart/form-data; boundary=x", Kind::Parts, None),
        ] {
            let found = of(declared);
            assert_eq!((found.kind(), found.charset()), (kind, charset), "{declared}");
        }
        assert_eq!(MediaType::of(&HeaderMap::new()).kind(), Kind::Unknown);
        assert_eq!(of("multipart/form-data; charset=utf-8; Boundary=\"x y\"").boundary(), Some("x y"));
    }
}
