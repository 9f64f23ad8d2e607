//! The live page: static files in the binary, for anybody; what they show needs a key, which the page sends itself.
//!
//! Called by the handlers for `/` and `/page/…`. Always: no file asks for anything beyond this server, none holds inline
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

/// Nothing but our own files, and no text that becomes markup: what alerts hold cannot run whatever the page does with it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Name below `/page/`, type, content; the first is `/`.
const FILES: &[(&str, &str, &str)] = &[
    ("", "text/html; charset=utf-8", include_str!("index.html")),
    ("page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("main.js", "text/javascript; charset=utf-8", include_str!("main.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("api.js")),
    ("stream.js", "text/javascript; charset=utf-8", include_str!("stream.js")),
    ("list.js", "text/javascript; charset=utf-8", include_str!("list.js")),
    ("attention.js", "text/javascript; charset=utf-8", include_str!("attention.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// The tag of each file, by its content.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let digits =
        |content: &str| Sha256::digest(content).iter().take(12).map(|b| format!("{b:02x}")).collect::<String>();
    FILES.iter().map(|(.., content)| format!("\"{}\"", digits(content))).collect()
});

/// The answer with the file of this name, if there is one; browsers that have it already get its head alone.
#[must_use]
pub fn answer(name: &str, request: &HeaderMap) -> Option<Response<Body>> {
    let index = FILES.iter().position(|(known, ..)| *known == name)?;
    let ((_, content_type, content), tag) = (FILES[index], &TAGS[index]);
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

/// Whether the request names this tag, or any, as one that it has.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let named = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Weak and strong tags are compared alike here.
    named.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_that_is_not_here() {
        for (name, _, content) in FILES {
            // The names of XML's own spaces are no addresses.
            let content = content.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for outside in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML", "style=", "onclick=\"", "eval("]
            {
                assert!(!content.contains(outside), "{name} has {outside}");
            }
            for part in content.split("page/").skip(1) {
                let end = part.find(['"', '\'', ' ']).unwrap();
                assert!(FILES.iter().any(|(known, ..)| *known == &part[..end]), "{name} names {}", &part[..end]);
            }
            for part in content.split(" from \"./").skip(1) {
                let end = part.find('"').unwrap();
                assert!(FILES.iter().any(|(known, ..)| *known == &part[..end]), "{name} names {}", &part[..end]);
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_file_gets_its_head_alone() {
        let status = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
            answer("main.js", &headers).unwrap().status().as_u16()
        };
        let tag = &TAGS[2];
        for has in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            assert_eq!(status(&has), 304, "{has}");
        }
        for other in [TAGS[1].as_str(), "x", ""] {
            assert_eq!(status(other), 200, "{other}");
        }
        assert!(answer("nothing.js", &HeaderMap::new()).is_none() && answer("", &HeaderMap::new()).is_some());
    }

    #[test]
    fn a_file_of_the_page_is_one_idea() {
        for (name, _, content) in FILES {
            assert!(content.lines().count() < 400, "{name}");
        }
    }
}
