//! The errors that routes share, each described once.

use serde_json::{Map, Value, json};

/// Status, the name at the end of its `type`, and when it comes.
pub(super) const PROBLEMS: &[(u16, &str, &str)] = &[
    (400, "malformed", "Body, query or header is not readable."),
    (401, "unauthorized", "No key, or none that works."),
    (
        403,
        "not-permitted",
        "The key lacks the scope or the topic, which is named; or only the control socket may do this.",
    ),
    (404, "not-found", "There is no such thing."),
    (405, "method-not-allowed", "The path does not take this method; `Allow` has those that it takes."),
    (406, "not-acceptable", "None of the representations suits `Accept`."),
    (408, "timeout", "The body did not arrive in time."),
    (409, "conflict", "The same `Idempotency-Key` came with another alert."),
    (413, "too-large", "The body is larger than the configuration allows."),
    (415, "unsupported-media-type", "The body's type is not read here."),
    (422, "invalid", "A field or parameter is not as it must be; `field` names it."),
    (429, "too-many-requests", "Too much of something; `detail` names the limit."),
    (
        503,
        "unavailable",
        "Not now. Whether an alert was stored is not known: send it again with the same `Idempotency-Key`.",
    ),
];

/// How operations refer to a problem.
pub(super) fn reference(status: u16) -> Value {
    json!({ "$ref": format!("#/components/responses/Problem{status}") })
}

/// The responses that [`reference()`] names.
pub(super) fn responses() -> Map<String, Value> {
    PROBLEMS.iter().map(|(status, name, about)| (format!("Problem{status}"), response(*status, name, about))).collect()
}

fn response(status: u16, name: &str, about: &str) -> Value {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    match status {
        401 => headers["WWW-Authenticate"] = json!({ "required": true, "schema": { "type": "string" } }),
        405 => headers["Allow"] = json!({ "required": true, "schema": { "type": "string" } }),
        429 | 503 => headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
        _ => {}
    }
    let schema = json!({
        "allOf": [
            { "$ref": "#/components/schemas/Problem" },
            { "properties": { "type": { "const": format!("/problems/{name}") }, "status": { "const": status } } },
        ]
    });
    json!({ "description": about, "headers": headers, "content": { "application/problem+json": { "schema": schema } } })
}
