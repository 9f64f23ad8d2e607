//! The description of each route; the rows of the table of routes name them.

use serde_json::{Value, json};

use super::operation::{Answer, Link, Operation, Parameter, Request};
use crate::alert::Filter;
use crate::http::query::{FALSE, TRUE};

/// The groups of routes, in the order of the document.
pub(crate) const TAGS: &[(&str, &str)] = &[
    ("alerts", "Publish alerts, follow streams of them, and read stored ones."),
    (
        "hooks",
        "Take payloads of other tools. All alerts of a payload are stored, or none; `hooks.md` says what becomes of each field.",
    ),
    ("incidents", "What alerts report together under a name: open, acknowledged or resolved."),
    ("expectations", "What is expected on topics. If it does not come, alertd publishes an alert."),
    ("ntfy", "ntfy's protocol, for its apps and libraries. Errors have ntfy's form."),
    ("state", "Health, status and metrics."),
    ("keys", "Manage keys and what they permit."),
    ("pages", "Pages for a browser."),
];

pub(super) const JSON: &str = "application/json";

/// One description for all ways to publish. Not a parameter of both names: generators give them one.
pub(super) const EXPECT_WITHIN: &str = "How long the topic may then be silent before alertd publishes an alert about it. \
     The parameter `expect_within` is the same, and wins over the header.";

/// What a client sends that has no cursor, as the query is read.
const NO_CURSOR: &str = r#"^[\s"'()<>]*(undefined|null|nil|nan|false)?[\s"'()<>]*$"#;

pub(crate) fn read() -> Operation {
    Operation {
        argument: Some(("A topic or pattern.", reference("Pattern"))),
        parameters: vec![
            query(
                "topic",
                "Topics and patterns to read. If absent, it is `default`.",
                json!({ "type": "array", "items": reference("Pattern"), "maxItems": Filter::MAX_PATTERNS }),
            ),
            query("level", "Only this level and above.", reference("Level")),
            query(
                "since",
                "`latest` (default of a stream), `none`, `all`, an id, a duration such as `10m`, or an RFC 3339 time. An empty \
                 value, or what a language prints for a missing one, counts as absent.",
                json!({ "anyOf": [
                    { "enum": ["latest", "none", "all"] },
                    reference("Id"),
                    { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" },
                    { "type": "string", "format": "date-time" },
                    { "type": "string", "pattern": NO_CURSOR },
                ] }),
            ),
            query("last_event_id", "The same as the header, which takes precedence.", json!({ "type": "string" })),
            query("before", "For history: read the page before this id.", reference("Id")),
            query("include", "For history: `incidents` adds the changes of incidents.", json!({ "enum": ["incidents"] })),
            query(
                "limit",
                "For history: the number of alerts in a page.",
                json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            ),
            header("Last-Event-ID", "The last id that the client received; the stream continues after it. Takes precedence over `since`.", json!({ "type": "string" })),
        ],
        answers: vec![Answer {
            status: 200,
            about: "A stream, or a page of history with `Accept: application/json`.",
            content: vec![
                // The schema is that of one block or line; OpenAPI cannot describe an endless sequence of them.
                ("text/event-stream", json!({ "schema": reference("StreamBlock") })),
                ("application/x-ndjson", json!({ "schema": reference("StreamLine") })),
                (JSON, json!({ "schema": reference("History") })),
            ],
        }],
        problems: &[406],
        ..plain("alerts", "Follow alerts, or read history")
    }
    .about(
        "`Accept` chooses the form. A stream, as Server-Sent Events (the default) or lines of JSON, has each alert as it is stored, \
         and the events of `StreamEvent`. `application/json` is a page of history, oldest first: page forward with `since=<next>`, \
         back with `before=<next>`.",
    )
}

pub(crate) fn topics() -> Operation {
    let schema = json!({ "type": "string" });
    Operation {
        parameters: vec![query("prefix", "Only topics that begin with this.", schema)],
        answers: vec![answer(200, "The topics in alphabetical order, at most 1,000.", "Topics")],
        ..plain("alerts", "List the topics that have alerts")
    }
}

pub(crate) fn ticket() -> Operation {
    Operation {
        answers: vec![answer(201, "A ticket, valid for 30 seconds.", "Ticket")],
        problems: &[408, 413],
        ..plain("alerts", "Get a ticket for a stream")
    }
    .about("For browsers, whose EventSource cannot send a key. A ticket opens one stream, which ends when the key does. Send no body.")
}

pub(crate) fn health() -> Operation {
    Operation { answers: vec![answer(200, "The key works.", "Health")], ..plain("state", "Check a key") }
}

pub(crate) fn live() -> Operation {
    probe(
        "Whether alertd is alive",
        "200 with `alive`, or 503 with `stuck` if alertd does not work any more and a restart would help.",
    )
}

pub(crate) fn ready() -> Operation {
    probe("Whether alertd is ready", "200 with `ready`, or 503 with `not ready` if publishing would fail.")
}

pub(crate) fn status() -> Operation {
    Operation {
        answers: vec![answer(200, "Counters and the state of each part.", "Status")],
        ..plain("state", "Get the status")
    }
}

pub(crate) fn metrics() -> Operation {
    Operation {
        answers: vec![Answer {
            status: 200,
            about: "All metrics; `Accept` chooses between Prometheus's text format and OpenMetrics.",
            content: vec![("text/plain", text()), ("application/openmetrics-text", text())],
        }],
        ..plain("state", "Get the metrics")
    }
}

pub(crate) fn backup() -> Operation {
    Operation {
        answers: vec![Answer {
            status: 200,
            about: "Lines of JSON, each with its number and a checksum; the last one is `end`, or the backup is incomplete.",
            content: vec![(crate::backup::MEDIA_TYPE, text())],
        }],
        ..plain("state", "Get a backup")
    }
    .about("The log up to an id, and all keys, as `alertctl backup` writes them. Only one backup runs at a time.")
}

pub(crate) fn reload() -> Operation {
    Operation {
        answers: vec![answer(200, "The new configuration is in use.", "Reloaded")],
        ..plain("state", "Read configuration, keys and certificates again")
    }
}

pub(crate) fn drain() -> Operation {
    Operation {
        request: Some(body(false, "Drain")),
        answers: vec![answer(200, "Open streams are being ended, and new ones are answered with 503.", "DrainStatus")],
        ..plain("state", "Drain: end all streams before maintenance")
    }
    .about("What `alertctl drain` does. Streams end evenly over the given time with `bye` `drain`; everything else continues. `/readyz` says no.")
}

pub(crate) fn undrain() -> Operation {
    Operation {
        answers: vec![answer(200, "New streams are accepted again.", "DrainStatus")],
        ..plain("state", "End the drain")
    }
}

/// What can be done with a new key.
const NEW_KEY: &[Link] = &[
    Link {
        name: "RotateKey",
        about: "Replace the new key.",
        operation: "post_keys_id_rotate",
        parameters: &[("id", "$response.body#/key/id")],
    },
    Link {
        name: "RevokeKey",
        about: "Revoke the new key.",
        operation: "delete_keys_id",
        parameters: &[("id", "$response.body#/key/id")],
    },
];

pub(crate) fn list_keys() -> Operation {
    Operation { answers: vec![answer(200, "All keys, never their secrets.", "Keys")], ..plain("keys", "List the keys") }
}

pub(crate) fn add_key() -> Operation {
    Operation {
        request: Some(body(true, "NewKey")),
        answers: vec![answer(201, "The key with its secret, which is shown only once.", "CreatedKey")],
        links: NEW_KEY,
        ..plain("keys", "Create a key")
    }
}

pub(crate) fn import_keys() -> Operation {
    Operation {
        request: Some(Request { required: true, content: vec![(JSON, json!({ "schema": { "type": "object" } }))] }),
        answers: vec![answer(200, "The imported keys, which work at once.", "ImportedKeys")],
        ..plain("keys", "Import keys")
    }
    .about("The body is the key file of the former alert server: JSON of TinyDB, at most 16 MiB.")
}

pub(crate) fn revoke_key() -> Operation {
    Operation {
        argument: Some(("The id of a key, or a user, all of whose keys are revoked.", text()["schema"].clone())),
        answers: vec![answer(200, "The revoked keys; their streams end within a second.", "Keys")],
        ..plain("keys", "Revoke keys")
    }
}

pub(crate) fn rotate_key() -> Operation {
    Operation {
        argument: Some(("The id of a key.", text()["schema"].clone())),
        request: Some(body(false, "Rotate")),
        answers: vec![answer(201, "The new key, with its secret.", "CreatedKey")],
        problems: &[409],
        links: NEW_KEY,
        ..plain("keys", "Replace a key")
    }
    .about("The old key stays valid for `overlap` seconds, by default a day.")
}

pub(crate) fn document() -> Operation {
    Operation {
        answers: vec![Answer {
            status: 200,
            about: "A document of OpenAPI 3.1.",
            content: vec![(JSON, json!({ "schema": { "type": "object" } }))],
        }],
        ..plain("pages", "Get this description")
    }
}

fn probe(summary: &'static str, about: &'static str) -> Operation {
    let answer = |status| Answer { status, about, content: vec![("text/plain", text())] };
    Operation { answers: vec![answer(200), answer(503)], ..plain("state", summary) }
}

pub(crate) fn page(summary: &'static str) -> Operation {
    let types = ["text/html", "text/css", "text/javascript", "image/svg+xml"];
    Operation {
        argument: Some(("A file of the page.", json!({ "type": "string" }))),
        answers: vec![
            Answer { status: 200, about: "A file of the page.", content: types.map(|name| (name, text())).into() },
            Answer { status: 304, about: "The browser has it already.", content: Vec::new() },
        ],
        ..plain("pages", summary)
    }
}

/// A description without parameters and bodies.
pub(super) fn plain(tag: &'static str, summary: &'static str) -> Operation {
    Operation {
        tag,
        summary,
        about: "",
        argument: None,
        second: None,
        parameters: Vec::new(),
        request: None,
        answers: Vec::new(),
        problems: &[],
        links: &[],
    }
}

impl Operation {
    pub(super) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }
}

pub(super) fn answer(status: u16, about: &'static str, schema: &str) -> Answer {
    Answer { status, about, content: vec![(JSON, json!({ "schema": reference(schema) }))] }
}

pub(super) fn body(required: bool, schema: &str) -> Request {
    Request { required, content: vec![(JSON, json!({ "schema": reference(schema) }))] }
}

pub(super) fn query(name: &'static str, about: &'static str, schema: Value) -> Parameter {
    Parameter { place: "query", name, about, schema }
}

/// A parameter that is true or false, in the spellings of many libraries; once each, because generators of clients give
/// them names without regard to case.
pub(super) fn flag() -> Value {
    let words: Vec<_> = [TRUE, FALSE].concat().into_iter().filter(|word| *word == word.to_lowercase()).collect();
    json!({ "type": "string", "enum": words })
}

pub(super) fn header(name: &'static str, about: &'static str, schema: Value) -> Parameter {
    Parameter { place: "header", name, about, schema }
}

fn text() -> Value {
    json!({ "schema": { "type": "string" } })
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#{}/{schema}", super::SCHEMAS) })
}
