//! The pages: static files in the binary, for anybody; what they show needs a key, which the page sends itself.
//!
//! Called by the handlers for `/` and `/page/…`, the live page, and `/docs` and `/docs/…`, where the API can be read and
//! tried. Always: no file asks for anything beyond this server, none holds inline
//! scripts or styles, and the policy that goes with each forbids browsers both.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::response::{self, Body};
use crate::text;

/// Nothing but our own files, and no text that becomes markup: what alerts hold cannot run whatever the page does with it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// A page with its files.
pub(crate) struct Site {
    /// Name below the page's path, type, content; the first is the page itself.
    files: &'static [(&'static str, &'static str, &'static str)],
    /// The tag of each file, by its content.
    tags: LazyLock<Vec<String>>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// `/`, and what lies below `/page/`.
pub(crate) static LIVE: Site = Site {
    files: &[
        ("", HTML, include_str!("index.html")),
        ("page.css", CSS, include_str!("page.css")),
        ("main.js", SCRIPT, include_str!("main.js")),
        ("api.js", SCRIPT, include_str!("api.js")),
        ("stream.js", SCRIPT, include_str!("stream.js")),
        ("list.js", SCRIPT, include_str!("list.js")),
        ("element.js", SCRIPT, include_str!("element.js")),
        ("attention.js", SCRIPT, include_str!("attention.js")),
        ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ],
    tags: LazyLock::new(|| LIVE.digests()),
};

/// `/docs`, and what lies below it; it takes colours and icon from the live page.
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

    /// The answer with the file of this name, if there is one; browsers that have it already get its head alone.
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
        // Asked again each time, so that an upgrade is in force at the next visit, and all files are of one version.
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

/// Whether the request names this tag, or any, as one that it has.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let named = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Weak and strong tags are compared alike here.
    named.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        LIVE.files.iter().chain(DOCS.files)
    }

    #[test]
    fn the_pages_ask_for_nothing_that_is_not_here() {
        for (name, _, content) in files() {
            // The names of XML's own spaces are no addresses.
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
    fn a_browser_that_has_a_file_gets_its_head_alone() {
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
    fn a_file_of_the_page_is_one_idea() {
        for (name, _, content) in files() {
            assert!(content.lines().count() < 400, "{name}");
        }
    }
}
