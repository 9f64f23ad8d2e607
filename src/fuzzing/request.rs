//! Inputs that are written like an HTTP request, so that a recorded one can be used: a line with the target, headers, an
//! empty line, and the body.

use std::borrow::Cow;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use super::first_line;
use crate::alert::Topic;
use crate::http::query::{Parameters, decode_path};
use crate::text;

/// hyper takes no more.
const MAX_HEADERS: usize = 100;

/// A request as the handlers see it.
pub(super) struct Request<'i> {
    target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: &'i [u8],
}

impl<'i> Request<'i> {
    /// `None` where hyper would refuse it, apart from the method and the version, which do not matter here.
    pub(super) fn read(input: &'i [u8]) -> Option<Self> {
        let (line, mut rest) = first_line(input);
        let target = line.split(|byte| *byte == b' ').nth(1)?;
        let target = PathAndQuery::try_from(target).ok()?;
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let (line, behind) = first_line(rest);
            rest = behind;
            let line = line.trim_ascii();
            if line.is_empty() || headers.len() == MAX_HEADERS {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
        }
        Some(Self { target, headers, body: rest })
    }

    /// The segments of the path after the first, decoded.
    pub(super) fn segments(&self) -> Option<Vec<String>> {
        let segments = self.target.path().split('/').skip(2).filter(|segment| !segment.is_empty());
        segments.map(|segment| decode_path(segment).ok()).collect()
    }

    /// The topic in the last segment of the path, if there is one.
    pub(super) fn topic(&self) -> Option<Option<Topic>> {
        self.segments()?.pop().map(|segment| segment.parse().ok()).map_or(Some(None), |topic| topic.map(Some))
    }

    pub(super) fn parameters(&self) -> Parameters {
        Parameters::parse(self.target.query())
    }

    pub(super) fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(text::header(self.headers.get(name)?.as_bytes()))
    }
}
