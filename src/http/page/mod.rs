//! The live page and the documentation page: static files in the binary. They need no key; their requests to the API do.
//!
//! Called by the handlers for `/` and `/page/…`, the live page, and for `/docs` and `/docs/…`, the documentation. No file
//! loads anything from another server or contains inline scripts or styles, and the content security policy forbids both.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::response::{self, Body};
use crate::alert::schema::pattern_regex;
use crate::text;

/// Allows files of this server only, and no conversion of text to markup, so that the content of alerts can never run as code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types alertd";

pub(crate) struct Site {
    /// Name below the path of the page, media type, content. The first is the page itself.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// The entity tag of each file, a hash of its content.
    tags: LazyLock<Vec<String>>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The live page: `/` and the files below `/page/`.
pub(crate) static LIVE: Site = Site {
    files: &[
        ("", HTML, include_str!("index.html")),
        ("page.css", CSS, include_str!("page.css")),
        ("main.js", SCRIPT, include_str!("main.js")),
        ("api.js", SCRIPT, include_str!("api.js")),
        ("share.js", SCRIPT, include_str!("share.js")),
        ("worker.js", SCRIPT, include_str!("worker.js")),
        ("stream.js", SCRIPT, include_str!("stream.js")),
        ("filter.js", SCRIPT, include_str!("filter.js")),
        ("list.js", SCRIPT, include_str!("list.js")),
        ("element.js", SCRIPT, include_str!("element.js")),
        ("topic.js", SCRIPT, concat!("export const TOPIC_PATTERN = /", pattern_regex!(), "/;\n")),
        ("version.js", SCRIPT, concat!("export const VERSION = \"", env!("CARGO_PKG_VERSION"), "\";\n")),
        ("attention.js", SCRIPT, include_str!("attention.js")),
        ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ],
    tags: LazyLock::new(|| LIVE.digests()),
};

/// The documentation: `/docs` and the files below it. It uses style sheet and icon of the live page.
pub(crate) static DOCS: Site = Site {
    files: &[
        ("", HTML, include_str!("docs/index.html")),
        ("docs.css", CSS, include_str!("docs/docs.css")),
        ("docs.js", SCRIPT, include_str!("docs/docs.js")),
        ("call.js", SCRIPT, include_str!("docs/call.js")),
        ("element.js", SCRIPT, include_str!("element.js")),
    ],
    tags: LazyLock::new(|| DOCS.digests()),
};

impl Site {
    fn digests(&self) -> Vec<String> {
        let digits = |content: &str| text::hex(&Sha256::digest(content)[..12]);
        self.files.iter().map(|(.., content)| format!("\"{}\"", digits(content))).collect()
    }

    /// The answer with the file of this name, if there is one. A browser that has its current version gets 304.
    #[must_use]
    pub(crate) fn answer(&self, name: &str, request: &HeaderMap) -> Option<Response<Body>> {
        let index = self.files.iter().position(|(known, ..)| *known == name)?;
        let ((_, content_type, content), tag) = (self.files[index], &self.tags[index]);
        let mut response = response::whole(StatusCode::OK, content_type, Bytes::from_static(content.as_bytes()));
        if has(request, tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
        }
        let headers = response.headers_mut();
        // Browsers ask again each time, so that after an upgrade all files are of the new version.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.extend(HeaderValue::from_str(tag).map(|tag| (ETAG, tag)));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let same_origin = HeaderValue::from_static("same-origin");
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), same_origin.clone());
        headers.insert(HeaderName::from_static("cross-origin-resource-policy"), same_origin);
        Some(response)
    }
}

/// Whether `If-None-Match` has this tag, or `*`.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let named = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Weak comparison, as RFC 9110 requires it for this header.
    named.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        LIVE.files.iter().chain(DOCS.files)
    }

    #[test]
    fn the_pages_load_nothing_from_other_servers() {
        for (name, _, content) in files() {
            // The name of an XML namespace is not loaded.
            let content = content.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for outside in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML", "style=", "onclick=\"", "eval("]
            {
                assert!(!content.contains(outside), "{name} has {outside}");
            }
            for (path, site) in [("\"page/", &LIVE), ("\"docs/", &DOCS), (" from \"./", &LIVE), (" from \"./", &DOCS)] {
                let is_import = path.starts_with(' ');
                if is_import && !site.files.iter().any(|(_, _, own)| *own == content) {
                    continue;
                }
                for part in content.split(path).skip(1) {
                    let named = &part[..part.find(['"', '\'', ' ']).unwrap()];
                    assert!(site.files.iter().any(|(known, ..)| *known == named), "{name} names {named}");
                }
            }
        }
    }

    #[test]
    fn a_browser_that_has_the_current_version_gets_304() {
        let status = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
            LIVE.answer("main.js", &headers).unwrap().status().as_u16()
        };
        let tag = &LIVE.tags[2];
        for has in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            assert_eq!(status(&has), 304, "{has}");
        }
        for other in [LIVE.tags[1].as_str(), "x", ""] {
            assert_eq!(status(other), 200, "{other}");
        }
        for site in [&LIVE, &DOCS] {
            assert!(site.answer("nothing.js", &HeaderMap::new()).is_none());
            assert!(site.answer("", &HeaderMap::new()).is_some());
        }
    }

    #[test]
    fn the_files_of_the_pages_are_short() {
        for (name, _, content) in files() {
            assert!(content.lines().count() < 400, "{name}");
        }
    }
}
