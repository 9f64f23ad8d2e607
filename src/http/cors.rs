//! Which pages of other origins may ask: exactly those in `http.cors_origins`, or all where it says `*`.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// Adds what the browser needs to see. Keys travel in a header of their own, never in cookies, so credentials are not
/// allowed and an origin gains nothing that its user did not type in.
pub(crate) fn apply(origins: &[String], request: Option<&HeaderValue>, preflight: bool, headers: &mut HeaderMap) {
    if origins.is_empty() {
        return;
    }
    headers.append(VARY, HeaderValue::from_name(ORIGIN));
    let Some(origin) = request.filter(|o| origins.iter().any(|own| own == "*" || own.as_bytes() == o.as_bytes()))
    else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-Request-Id, Retry-After"));
    if preflight {
        let methods = HeaderValue::from_static("GET, PUT, POST, DELETE");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = "Authorization, Content-Type, Last-Event-ID, Idempotency-Key, Cache-Control";
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}
