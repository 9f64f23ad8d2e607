//! The errors that routes share, each described once.

use serde_json::{Map, Value, json};

/// Status, the name at the end of its `type`, and when it is sent.
pub(super) const PROBLEMS: &[(u16, &str, &str)] = &[
    (400, "malformed", "The body, the query or a header cannot be parsed."),
    (401, "unauthorized", "There is no key, or it is not valid."),
    (
        403,
        "not-permitted",
        "The key lacks the scope or topic that `detail` names, or the request works only on the control socket.",
    ),
    (404, "not-found", "The path, or the thing that it names, does not exist."),
    (405, "method-not-allowed", "The path does not accept this method; `Allow` lists those that it accepts."),
    (406, "not-acceptable", "`Accept` excludes every representation of this path."),
    (408, "timeout", "The body did not arrive in time."),
    (409, "conflict", "The same `Idempotency-Key` came with another alert, or the key was rotated already."),
    (410, "gone", "The alert that the `Idempotency-Key` stands for was retracted."),
    (413, "too-large", "The body is larger than the configuration allows."),
    (415, "unsupported-media-type", "The path does not accept a body of this type or coding."),
    (422, "invalid", "A field or parameter is not valid; `field` names it."),
    (429, "too-many-requests", "A limit is reached; `detail` names it."),
    (
        503,
        "unavailable",
        "Temporarily unavailable. An alert may or may not have been stored: send it again with the same `Idempotency-Key`.",
    ),
];

/// How operations refer to a problem.
pub(super) fn reference(status: u16) -> Value {
    json!({ "$ref": format!("#/components/responses/Problem{status}") })
}

/// How operations of ntfy's protocol refer to an error.
pub(super) fn ntfy_reference() -> Value {
    json!({ "$ref": "#/components/responses/NtfyError" })
}

/// The responses that [`reference()`] and [`ntfy_reference()`] name.
pub(super) fn responses() -> Map<String, Value> {
    let own = PROBLEMS.iter().map(|(status, name, about)| (format!("Problem{status}"), response(*status, name, about)));
    let ntfy = json!({
        "description": "An error in ntfy's form.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/NtfyError" } } },
    });
    own.chain([("NtfyError".to_owned(), ntfy)]).collect()
}

fn response(status: u16, name: &str, about: &str) -> Value {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    match status {
        401 => headers["WWW-Authenticate"] = json!({ "required": true, "schema": { "type": "string" } }),
        405 => headers["Allow"] = json!({ "required": true, "schema": { "type": "string" } }),
        429 | 503 => headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
        _ => {}
    }
    // The plain type, or generated clients have a class for each status.
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let about = format!("`/problems/{name}`: {about}");
    json!({ "description": about, "headers": headers, "content": { "application/problem+json": { "schema": schema } } })
}
