//! The description of each route; the rows of the table of routes name them.

use serde_json::{Value, json};

use super::operation::{Answer, Operation, Parameter, Request};
use crate::alert::Filter;
use crate::hooks::Sender;
use crate::http::query::{FALSE, TRUE};

/// The groups of routes, in the order of the document.
pub(crate) const TAGS: &[(&str, &str)] = &[
    ("alerts", "Publish alerts, follow and read them."),
    ("hooks", "Payloads of other tools, stored whole or not at all; `hooks.md` says what becomes of each field."),
    ("ntfy", "ntfy's protocol, for its apps and libraries. Errors have its form."),
    ("state", "Health, status and metrics."),
    ("keys", "Manage keys and what they permit."),
    ("pages", "Pages for a browser."),
];

const JSON: &str = "application/json";

pub(crate) fn read() -> Operation {
    Operation {
        argument: Some(("A topic or pattern.", reference("Pattern"))),
        parameters: vec![
            query(
                "topic",
                "Topics and patterns; without any it is `default`.",
                json!({ "type": "array", "items": reference("Pattern"), "maxItems": Filter::MAX_PATTERNS }),
            ),
            query("level", "This level and above.", reference("Level")),
            query(
                "since",
                "`latest` (default of a stream), `none`, `all`, an id, a duration such as `10m`, or an RFC 3339 time.",
                json!({ "anyOf": [
                    { "enum": ["latest", "none", "all"] },
                    reference("Id"),
                    { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" },
                    { "type": "string", "format": "date-time" },
                ] }),
            ),
            query("last_event_id", "Like the header, which wins.", json!({ "type": "string" })),
            query("before", "History: the page before this id.", reference("Id")),
            query(
                "limit",
                "History: alerts in a page.",
                json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            ),
            header("Last-Event-ID", "The last id received; the stream goes on after it. Wins over `since`.", json!({ "type": "string" })),
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
        "A stream, as Server-Sent Events (the default) or lines of JSON, has each alert as it is stored, and the events \
         of `StreamEvent`. As JSON a page of history, oldest first: page forward with `since=<next>`, back with `before=<next>`.",
    )
}

pub(crate) fn topics() -> Operation {
    let schema = json!({ "type": "string" });
    Operation {
        parameters: vec![query("prefix", "How the names begin.", schema)],
        answers: vec![answer(200, "The topics in order, at most 1,000.", "Topics")],
        ..plain("alerts", "List the topics that have alerts")
    }
}

pub(crate) fn hook(sender: Sender) -> Operation {
    let (summary, problems, schema): (_, &[u16], _) = match sender {
        Sender::Alertmanager => ("Take what Alertmanager sends", &[415], reference("NotificationGroup")),
        Sender::Grafana => ("Take what Grafana sends", &[415], reference("NotificationGroup")),
        Sender::Json => {
            let object = json!({ "type": "object", "additionalProperties": true });
            let any = json!({ "anyOf": [object, { "type": "array", "items": object }] });
            ("Take any JSON object, list of objects or form", &[415], any)
        }
        // Each kind of event has a shape of its own, and few of its fields are read.
        Sender::GitHub => ("Take what GitHub sends", &[404, 415], json!({ "type": "object" })),
    };
    let mut parameters = vec![query("topic", "The topic of the alerts, by default `default`.", reference("Topic"))];
    if sender == Sender::GitHub {
        parameters.extend([
            header("X-GitHub-Event", "The kind of event.", json!({ "type": "string" })),
            header(
                "X-GitHub-Delivery",
                "Identifies the delivery, so that one that is sent again is stored once.",
                json!({ "type": "string" }),
            ),
        ]);
    }
    let mut content = vec![(JSON, json!({ "schema": schema }))];
    if sender == Sender::Json {
        let form = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        content.push(("application/x-www-form-urlencoded", json!({ "schema": form })));
    }
    Operation {
        argument: Some(("Where they go.", reference("Topic"))),
        parameters,
        request: Some(Request { required: true, content }),
        answers: vec![answer(200, "All alerts are stored.", "AllStored")],
        problems,
        ..plain("hooks", summary)
    }
}

pub(crate) fn ticket() -> Operation {
    Operation {
        answers: vec![answer(201, "A ticket, valid for 30 seconds.", "Ticket")],
        problems: &[408, 413],
        ..plain("alerts", "Get a ticket for a stream")
    }
    .about("For browsers, whose EventSource cannot send a key. The stream ends when the key does. No body.")
}

pub(crate) fn health() -> Operation {
    Operation { answers: vec![answer(200, "The key works.", "Health")], ..plain("state", "Check a key") }
}

pub(crate) fn live() -> Operation {
    probe("Whether alertd is alive", "`alive`; `stuck` with 503 only when a restart would help.")
}

pub(crate) fn ready() -> Operation {
    probe("Whether alertd is ready", "`ready`; `not ready` with 503 when publishing would fail.")
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
    .about("The log up to an id and all keys, as `alertctl backup` writes them; one at a time.")
}

pub(crate) fn reload() -> Operation {
    Operation {
        answers: vec![answer(200, "The configuration is in force.", "Reloaded")],
        ..plain("state", "Read configuration, keys and certificates again")
    }
}

pub(crate) fn drain() -> Operation {
    Operation {
        request: Some(body(false, "Drain")),
        answers: vec![answer(200, "Streams leave, and new ones are answered with 503.", "DrainStatus")],
        ..plain("state", "Have the streams leave")
    }
    .about("As `alertctl drain` does. Streams end evenly over the time with `bye` `drain`; everything else goes on. `/readyz` says no.")
}

pub(crate) fn undrain() -> Operation {
    Operation {
        answers: vec![answer(200, "Streams are opened again.", "DrainStatus")],
        ..plain("state", "End the drain")
    }
}

pub(crate) fn list_keys() -> Operation {
    Operation { answers: vec![answer(200, "All keys, never their secrets.", "Keys")], ..plain("keys", "List the keys") }
}

pub(crate) fn add_key() -> Operation {
    Operation {
        request: Some(body(true, "NewKey")),
        answers: vec![answer(201, "The key with its secret, which is shown only this once.", "CreatedKey")],
        ..plain("keys", "Make a key")
    }
}

pub(crate) fn import_keys() -> Operation {
    Operation {
        request: Some(Request { required: true, content: vec![(JSON, json!({ "schema": { "type": "object" } }))] }),
        answers: vec![answer(200, "The imported keys, which work at once.", "ImportedKeys")],
        ..plain("keys", "Import keys")
    }
    .about("The key file of the former alert server: TinyDB's JSON, at most 16 MiB.")
}

pub(crate) fn revoke_key() -> Operation {
    Operation {
        argument: Some(("A key's id, or a user, whose keys all are revoked.", text()["schema"].clone())),
        answers: vec![answer(200, "The revoked keys; their streams end within a second.", "Keys")],
        ..plain("keys", "Revoke keys")
    }
}

pub(crate) fn rotate_key() -> Operation {
    Operation {
        argument: Some(("A key's id.", text()["schema"].clone())),
        request: Some(body(false, "Rotate")),
        answers: vec![answer(201, "The new key, with its secret.", "CreatedKey")],
        problems: &[409],
        ..plain("keys", "Replace a key")
    }
    .about("The old key stays valid for `overlap` seconds, by default a day.")
}

pub(crate) fn document() -> Operation {
    Operation {
        answers: vec![Answer {
            status: 200,
            about: "OpenAPI 3.1.",
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
        parameters: Vec::new(),
        request: None,
        answers: Vec::new(),
        problems: &[],
    }
}

impl Operation {
    pub(super) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }
}

fn answer(status: u16, about: &'static str, schema: &str) -> Answer {
    Answer { status, about, content: vec![(JSON, json!({ "schema": reference(schema) }))] }
}

fn body(required: bool, schema: &str) -> Request {
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
