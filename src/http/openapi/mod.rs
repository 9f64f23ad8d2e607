//! The document at `/openapi.json`: OpenAPI 3.1, made from the table of routes and the types that the API reads and writes.
//!
//! | file | owns |
//! |---|---|
//! | [`operation`] | how a route is described, and how that becomes JSON |
//! | [`catalogue`] | the description of each route |
//! | [`mod@publish`] | that of a publish |
//! | [`expectations`] | that of what is expected on topics |
//! | [`ntfy`] | that of ntfy's protocol |
//! | [`problems`] | the errors, by status |
//!
//! Called by [`route`](super::route) with the rows of the table, so each path and method is in the document, with the access
//! that is checked. The texts and the statuses of each route are written by hand; a test compares them with what a
//! running alertd answers.

pub(crate) mod catalogue;
pub(crate) mod expectations;
pub(crate) mod hooks;
pub(crate) mod incidents;
pub(crate) mod ntfy;
mod operation;
mod problems;
pub(crate) mod publish;

use hyper::Method;
use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use catalogue::reference;
pub(crate) use operation::Operation;

use super::auth::Access;
use crate::api;

/// The path of the schemas in the document.
const SCHEMAS: &str = "/components/schemas";

/// A path with one of its methods.
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    pub(crate) method: &'static Method,
    pub(crate) access: Access,
    pub(crate) operation: Operation,
}

pub(crate) fn document(entries: impl Iterator<Item = Entry>) -> Value {
    let mut paths = Map::new();
    for Entry { path, method, access, operation } in entries {
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[method.as_str().to_ascii_lowercase()] = operation.json(method, path, access);
    }
    let tags = catalogue::TAGS.iter().map(|(name, about)| json!({ "name": name, "description": about }));
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
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": problems::responses(),
            "headers": {
                "RequestId": { "description": "Identifies the request; the journal has the same id.", "schema": { "type": "string" } },
                "RetryAfter": { "description": "How many seconds to wait before the request is sent again.", "schema": { "type": "integer", "minimum": 0 } },
            },
            "securitySchemes": security_schemes(),
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "key": { "type": "http", "scheme": "bearer", "description": "A key, from `alertctl key add USER`." },
        "ticket": { "type": "apiKey", "in": "query", "name": "ticket", "description": "A ticket from `POST /tickets`; it works once." },
        "signature": {
            "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
            "description": "GitHub's HMAC of the body, with the secret in `hooks.github_secret_file`.",
        },
    })
}

const ABOUT: &str = "Errors are `application/problem+json` (RFC 9457) with a stable `type` and a `detail` that says what to do. Every answer \
    has `X-Request-Id`. `HEAD` works wherever `GET` does; `OPTIONS` names the methods of a path; any other method is answered with 405 \
    and `Allow`. An unknown parameter or field is refused by name (422). On local Unix sockets, file permissions are the \
    credential and no key is needed.";

/// The types of bodies. Types that are written and types that are read differ in which members are required, so each
/// group has its own generator.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
        settings.transforms.push(Box::new(RecursiveTransform(words_as_enum)));
        settings.transforms.push(Box::new(RecursiveTransform(default_in_words)));
    });
    let mut written = SchemaGenerator::new(settings.clone().for_serialize());
    macro_rules! name {
        ($generator:ident: $($kind:ty),*) => {$( $generator.subschema_for::<$kind>(); )*};
    }
    name!(written: api::Published, api::AllStored, api::Health, api::ImportedKeys, api::History, api::Problem, api::KeyInfo, api::NtfyError);
    name!(written: api::CreatedKey, api::Ticket, api::Keys, api::Topics, api::Expectation, api::Expectations, api::Incident, api::Incidents, api::Reloaded, api::Status, api::StreamEvent);
    let mut read = SchemaGenerator::new(settings.for_deserialize());
    name!(read: api::NewAlert, api::NewAlertLine, api::NewExpectation, api::NewNote, crate::alert::IncidentName, api::NewKey, api::Rotate, api::Drain, crate::alert::Pattern, crate::hooks::notification::Group, crate::hooks::prometheus::Alert);
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

/// Makes a type of a few words an `enum`, which generators of clients know, instead of a choice between constants. What
/// each word means moves to the description.
fn words_as_enum(schema: &mut Schema) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let word =
        |choice: &Value| Some((choice.get("const")?.as_str()?.to_owned(), choice["description"].as_str()?.to_owned()));
    let Some(words) = choices.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let meanings = words.iter().map(|(word, meaning)| format!("- `{word}`: {meaning}"));
    let about = [about.to_owned(), String::new()].into_iter().chain(meanings).collect::<Vec<_>>().join("\n");
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into_iter().map(|(word, _)| word).collect::<Vec<_>>().into());
    schema.insert("description".into(), about.trim().into());
}

/// Moves a default to the description: generators refuse one of a type that may be null, or take what has one for required.
fn default_in_words(schema: &mut Schema) {
    let Some(default) = schema.remove("default") else { return };
    if default.is_null() || [json!({}), json!([]), json!("")].contains(&default) {
        return;
    }
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let about =
        format!("{about} If absent, it is `{}`.", default.as_str().map_or_else(|| default.to_string(), str::to_owned));
    schema.insert("description".into(), about.trim().into());
}

/// A block of a stream of Server-Sent Events, with its fields as members.
fn block() -> Value {
    let data =
        |schema: Value| json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": schema });
    json!({
        "description": "A block of a stream. It is an alert if it has no `event`. The first block also has `retry`.",
        "type": "object",
        "required": ["data"],
        "properties": {
            "id": reference("Id"),
            "retry": { "type": "integer", "minimum": 0, "description": "Milliseconds to wait before reconnecting." },
        },
        "oneOf": [
            { "required": ["id"], "properties": { "event": { "const": "message" }, "data": data(reference("Alert")) } },
            {
                "required": ["event"],
                "properties": {
                    "event": { "enum": ["cursor", "gap", "incident", "bye"] },
                    "data": data(json!({ "description": "The same as `StreamEvent`, without `event` and `retry`.", "type": "object" })),
                },
            },
        ],
    })
}

#[cfg(test)]
mod tests;
