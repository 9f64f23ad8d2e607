//! The document at `/openapi.json`: OpenAPI 3.1, out of the table of routes and the types that the API reads and writes.
//!
//! | file | owns |
//! |---|---|
//! | [`operation`] | how a route is described, and how that becomes JSON |
//! | [`catalogue`] | the description of each route |
//! | [`problems`] | the errors, by status |
//!
//! Always: each path and method of the table is in it, because it is made by walking that table and matching on the route.
//! Only words are written by hand here, and which statuses a route may answer with, which a test asks a running alertd for.

mod catalogue;
mod operation;
mod problems;

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::CACHE_CONTROL;
use hyper::{Response, StatusCode};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use catalogue::reference;

use super::response::{self, Body};
use super::route;
use crate::api;

/// Where schemas are named.
const SCHEMAS: &str = "/components/schemas";

/// The answer to `GET /openapi.json`.
#[must_use]
pub(crate) fn answer() -> Response<Body> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(format!("{}\n", document())));
    let mut response = response::whole(StatusCode::OK, "application/json", TEXT.clone());
    response.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache"));
    response
}

/// The whole document.
fn document() -> Value {
    let mut paths = Map::new();
    for (path, methods) in route::all() {
        let operations = methods.iter().map(|(method, route)| {
            (method.as_str().to_ascii_lowercase(), catalogue::describe(*route).json(method, path))
        });
        paths.insert(path.to_owned(), operations.collect::<Map<_, _>>().into());
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "alertd",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Takes alerts over REST and broadcasts each one, in order and without loss, over Server-Sent Events",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        // Relative to this document: a proxy may serve alertd below a path of its own.
        "servers": [{ "url": "." }],
        "tags": catalogue::TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": problems::responses(),
            "headers": {
                "RequestId": { "description": "Names the request; the journal has the same.", "schema": { "type": "string" } },
                "RetryAfter": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } },
            },
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "A key, from `alertctl key add USER`." },
                "ticket": { "type": "apiKey", "in": "query", "name": "ticket", "description": "From `POST /tickets`; works once." },
                "signature": {
                    "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
                    "description": "GitHub's HMAC of the body, with the secret in `hooks.github_secret_file`.",
                },
            },
        },
    })
}

const ABOUT: &str = "Errors are `application/problem+json` (RFC 9457) with a stable `type`, and say what to do. Every answer \
    carries `X-Request-Id`. `HEAD` goes with `GET`; `OPTIONS` names the methods of a path; any other method is 405 with `Allow`. \
    A parameter or field that is not known is refused by name (422). On the sockets of the machine itself file permissions \
    are the credential, and no key is needed.";

/// The types that bodies consist of: what is written as it is written, what is read as it is read.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut written = SchemaGenerator::new(settings.clone().for_serialize());
    macro_rules! name {
        ($generator:ident: $($kind:ty),*) => {$( $generator.subschema_for::<$kind>(); )*};
    }
    name!(written: api::Published, api::HookStored, api::Health, api::ImportedKeys, api::History, api::Problem, api::KeyInfo);
    name!(written: api::CreatedKey, api::Ticket, api::Keys, api::Topics, api::Reloaded, api::Status, api::StreamEvent);
    let mut read = SchemaGenerator::new(settings.for_deserialize());
    name!(read: api::NewAlert, api::NewKey, api::Rotate, crate::alert::Pattern, crate::hooks::notification::Group);
    let mut all = read.take_definitions(true);
    all.extend(written.take_definitions(true));
    all.insert(
        "StreamLine".into(),
        json!({
            "description": "A line of a stream as JSON: an alert, or an event.",
            "anyOf": [reference("Alert"), reference("StreamEvent")],
        }),
    );
    all.insert("StreamBlock".into(), block());
    all
}

/// A block of a stream as Server-Sent Events, with its lines as members.
fn block() -> Value {
    let data =
        |schema: Value| json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": schema });
    json!({
        "description": "A block of a stream: an alert where there is no `event`. The first one has `retry` too.",
        "type": "object",
        "required": ["data"],
        "properties": {
            "id": reference("Id"),
            "retry": { "type": "integer", "minimum": 0, "description": "Milliseconds to wait before coming back." },
        },
        "oneOf": [
            { "required": ["id"], "properties": { "event": { "const": "message" }, "data": data(reference("Alert")) } },
            {
                "required": ["event"],
                "properties": {
                    "event": { "enum": ["cursor", "gap", "bye"] },
                    "data": data(json!({ "description": "As `StreamEvent`, without `event` and `retry`.", "type": "object" })),
                },
            },
        ],
    })
}

#[cfg(test)]
mod tests;
