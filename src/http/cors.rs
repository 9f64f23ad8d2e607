//! Cross-origin requests: permits the origins in `http.cors_origins`, or all with `*`.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// Adds the CORS headers for the request's origin. Keys are sent in a header and never in cookies, so credentials are not
/// permitted, and an origin has no access without a key from its user.
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
        let allowed = "Authorization, Content-Type, Last-Event-ID, Idempotency-Key, Expect-Within, Incident, Incident-Status, Incident-Ttl, Cache-Control";
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}
