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
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types alertd";

/// Name below the path of the page, media type, content.
type File = (&'static str, &'static str, &'static [u8]);

pub(crate) struct Site {
    /// The first is the page itself.
    files: &'static [File],
    /// The entity tag of each file, a hash of its content.
    tags: LazyLock<Vec<String>>,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const PNG: &str = "image/png";

/// The icon of a tab in which so many errors were not seen yet. They are files because the policy forbids made-up images.
macro_rules! icon {
    ($number:literal) => {
        concat!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#b3211a"/>"##,
            r##"<text x="16" y="24" font-family="sans-serif" font-size="23" font-weight="700" fill="#fff" text-anchor="middle">"##,
            $number,
            "</text></svg>",
        )
        .as_bytes()
    };
}

/// The live page: `/` and the files below `/page/`.
pub(crate) static LIVE: Site = Site {
    files: &[
        ("", HTML, include_bytes!("index.html")),
        ("page.css", CSS, include_bytes!("page.css")),
        ("row.css", CSS, include_bytes!("row.css")),
        ("incidents.css", CSS, include_bytes!("incidents.css")),
        ("media.css", CSS, include_bytes!("media.css")),
        ("main.js", SCRIPT, include_bytes!("main.js")),
        ("act.js", SCRIPT, include_bytes!("act.js")),
        ("address.js", SCRIPT, include_bytes!("address.js")),
        ("api.js", SCRIPT, include_bytes!("api.js")),
        ("attention.js", SCRIPT, include_bytes!("attention.js")),
        ("detail.js", SCRIPT, include_bytes!("detail.js")),
        ("element.js", SCRIPT, include_bytes!("element.js")),
        ("filter.js", SCRIPT, include_bytes!("filter.js")),
        ("folds.js", SCRIPT, include_bytes!("folds.js")),
        ("incident.js", SCRIPT, include_bytes!("incident.js")),
        ("incidentrow.js", SCRIPT, include_bytes!("incidentrow.js")),
        ("incidents.js", SCRIPT, include_bytes!("incidents.js")),
        ("keyboard.js", SCRIPT, include_bytes!("keyboard.js")),
        ("links.js", SCRIPT, include_bytes!("links.js")),
        ("list.js", SCRIPT, include_bytes!("list.js")),
        ("metadata.js", SCRIPT, include_bytes!("metadata.js")),
        ("overview.js", SCRIPT, include_bytes!("overview.js")),
        ("past.js", SCRIPT, include_bytes!("past.js")),
        ("publish.js", SCRIPT, include_bytes!("publish.js")),
        ("row.js", SCRIPT, include_bytes!("row.js")),
        ("scopes.js", SCRIPT, include_bytes!("scopes.js")),
        ("seen.js", SCRIPT, include_bytes!("seen.js")),
        ("share.js", SCRIPT, include_bytes!("share.js")),
        ("signin.js", SCRIPT, include_bytes!("signin.js")),
        ("state.js", SCRIPT, include_bytes!("state.js")),
        ("storage.js", SCRIPT, include_bytes!("storage.js")),
        ("stream.js", SCRIPT, include_bytes!("stream.js")),
        ("summary.js", SCRIPT, include_bytes!("summary.js")),
        ("tags.js", SCRIPT, include_bytes!("tags.js")),
        ("theme.js", SCRIPT, include_bytes!("theme.js")),
        ("time.js", SCRIPT, include_bytes!("time.js")),
        ("toast.js", SCRIPT, include_bytes!("toast.js")),
        ("unresolved.js", SCRIPT, include_bytes!("unresolved.js")),
        ("viewport.js", SCRIPT, include_bytes!("viewport.js")),
        ("waiting.js", SCRIPT, include_bytes!("waiting.js")),
        ("wall.js", SCRIPT, include_bytes!("wall.js")),
        ("worker.js", SCRIPT, include_bytes!("worker.js")),
        ("topic.js", SCRIPT, concat!("export const TOPIC_PATTERN = /", pattern_regex!(), "/;\n").as_bytes()),
        ("version.js", SCRIPT, concat!("export const VERSION = \"", env!("CARGO_PKG_VERSION"), "\";\n").as_bytes()),
        ("manifest.webmanifest", "application/manifest+json", include_bytes!("manifest.webmanifest")),
        ("icon.svg", SVG, include_bytes!("icon.svg")),
        ("icon-1.svg", SVG, icon!("1")),
        ("icon-2.svg", SVG, icon!("2")),
        ("icon-3.svg", SVG, icon!("3")),
        ("icon-4.svg", SVG, icon!("4")),
        ("icon-5.svg", SVG, icon!("5")),
        ("icon-6.svg", SVG, icon!("6")),
        ("icon-7.svg", SVG, icon!("7")),
        ("icon-8.svg", SVG, icon!("8")),
        ("icon-9.svg", SVG, icon!("9")),
        ("icon-more.svg", SVG, icon!("9+")),
        ("icon-192.png", PNG, include_bytes!("icon-192.png")),
        ("icon-512.png", PNG, include_bytes!("icon-512.png")),
        ("icon-maskable.png", PNG, include_bytes!("icon-maskable.png")),
    ],
    tags: LazyLock::new(|| LIVE.digests()),
};

/// The documentation: `/docs` and the files below it. It uses style sheets and icon of the live page.
pub(crate) static DOCS: Site = Site {
    files: &[
        ("", HTML, include_bytes!("docs/index.html")),
        ("docs.css", CSS, include_bytes!("docs/docs.css")),
        ("docs.js", SCRIPT, include_bytes!("docs/docs.js")),
        ("call.js", SCRIPT, include_bytes!("docs/call.js")),
        ("element.js", SCRIPT, include_bytes!("element.js")),
    ],
    tags: LazyLock::new(|| DOCS.digests()),
};

impl Site {
    fn digests(&self) -> Vec<String> {
        let digits = |content: &[u8]| text::hex(&Sha256::digest(content)[..12]);
        self.files.iter().map(|(.., content)| format!("\"{}\"", digits(content))).collect()
    }

    /// The answer with the file of this name, if there is one. A browser that has its current version gets 304.
    #[must_use]
    pub(crate) fn answer(&self, name: &str, request: &HeaderMap) -> Option<Response<Body>> {
        let index = self.files.iter().position(|(known, ..)| *known == name)?;
        let ((_, content_type, content), tag) = (self.files[index], &self.tags[index]);
        let mut response = response::whole(StatusCode::OK, content_type, Bytes::from_static(content));
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

    /// Name and content of all files that are text.
    fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
        let files = LIVE.files.iter().chain(DOCS.files).filter(|(_, content_type, _)| *content_type != PNG);
        files.map(|(name, _, content)| (*name, std::str::from_utf8(content).unwrap()))
    }

    #[test]
    fn the_pages_load_nothing_from_other_servers() {
        for (name, text) in files() {
            // The name of an XML namespace is not loaded.
            let content = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for outside in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML", "style=", "onclick=\"", "eval("]
            {
                assert!(!content.contains(outside), "{name} has {outside}");
            }
            for (path, site) in [("\"page/", &LIVE), ("\"docs/", &DOCS), (" from \"./", &LIVE), (" from \"./", &DOCS)] {
                let is_import = path.starts_with(' ');
                if is_import && !site.files.iter().any(|(_, _, own)| *own == text.as_bytes()) {
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
            LIVE.answer("page.css", &headers).unwrap().status().as_u16()
        };
        let tag = &LIVE.tags[1];
        for has in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            assert_eq!(status(&has), 304, "{has}");
        }
        for other in [LIVE.tags[2].as_str(), "x", ""] {
            assert_eq!(status(other), 200, "{other}");
        }
        for site in [&LIVE, &DOCS] {
            assert!(site.answer("nothing.js", &HeaderMap::new()).is_none());
            assert!(site.answer("", &HeaderMap::new()).is_some());
        }
    }

    #[test]
    fn the_files_of_the_pages_are_short() {
        for (name, content) in files() {
            assert!(content.lines().count() <= 350, "{name}");
        }
    }
}
