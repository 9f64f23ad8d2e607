//! The description of each route.

use serde_json::{Value, json};

use super::operation::{Access, Answer, Operation, Parameter, Request};
use crate::alert::Filter;
use crate::hooks::Sender;
use crate::http::route::Route;
use crate::key::Scope;

/// How routes are grouped, in the order of a reader.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("alerts", "Publish alerts, follow and read them."),
    ("hooks", "Payloads of other tools, stored whole or not at all; `hooks.md` has what becomes of each field."),
    ("state", "How alertd is."),
    ("keys", "Who may do what."),
    ("pages", "For a browser."),
];

const JSON: &str = "application/json";

/// What is said of a route.
pub(super) fn describe(route: Route) -> Operation {
    match route {
        Route::Publish => publish(),
        Route::Read => read(),
        Route::Topics => topics(),
        Route::Ticket => Operation {
            answers: vec![answer(201, "A ticket, for 30 seconds.", "Ticket")],
            problems: &[408, 413],
            ..plain("alerts", "Get a ticket for a stream", Access::Key(Scope::Subscribe))
        }
        .about("For browsers, whose EventSource cannot send a key. The stream lives and dies with the key. No body."),
        Route::Hook(sender) => hook(sender),
        Route::Health => Operation {
            answers: vec![answer(200, "The key works.", "Health")],
            ..plain("state", "Check a key", Access::AnyKey)
        },
        Route::Live => word("Whether alertd is alive", "`alive`; `stuck` with 503 only when a restart would help."),
        Route::Ready => word("Whether alertd is ready", "`ready`; `not ready` with 503 when publishing would fail."),
        Route::Status => Operation {
            answers: vec![answer(200, "The state in numbers.", "Status")],
            ..plain("state", "Get the status", Access::Key(Scope::Admin))
        },
        Route::Metrics => Operation {
            answers: vec![Answer {
                status: 200,
                about: "All measurements; `Accept` chooses between Prometheus's text and OpenMetrics.",
                content: vec![("text/plain", text()), ("application/openmetrics-text", text())],
            }],
            ..plain("state", "Get the metrics", Access::Key(Scope::Metrics))
        },
        Route::Reload => Operation {
            answers: vec![answer(200, "The configuration is in force.", "Reloaded")],
            ..plain("state", "Read configuration, keys and certificates again", Access::ControlSocket)
        },
        Route::ListKeys => Operation {
            answers: vec![answer(200, "All keys, never their secrets.", "Keys")],
            ..plain("keys", "List the keys", Access::Key(Scope::Admin))
        },
        Route::AddKey => Operation {
            request: Some(body(true, "NewKey")),
            answers: vec![answer(201, "The key, with its secret: the only time that it is shown.", "CreatedKey")],
            ..plain("keys", "Make a key", Access::Key(Scope::Admin))
        },
        Route::ImportKeys => Operation {
            request: Some(Request { required: true, content: vec![(JSON, json!({ "schema": { "type": "object" } }))] }),
            answers: vec![answer(200, "They work from now on.", "ImportedKeys")],
            ..plain("keys", "Take over keys", Access::Key(Scope::Admin))
        }
        .about("The key file of the former alert server: TinyDB's JSON, 16 MiB at the most."),
        Route::RevokeKey => Operation {
            argument: Some(("A key's id, or a user, whose keys all end.", text()["schema"].clone())),
            answers: vec![answer(200, "The keys that ended; their streams end within a second.", "Keys")],
            ..plain("keys", "Revoke keys", Access::Key(Scope::Admin))
        },
        Route::RotateKey => Operation {
            argument: Some(("A key's id.", text()["schema"].clone())),
            request: Some(body(false, "Rotate")),
            answers: vec![answer(201, "The successor, with its secret.", "CreatedKey")],
            ..plain("keys", "Make the successor of a key", Access::Key(Scope::Admin))
        }
        .about("The old key goes on for `overlap` seconds, a day where none is given."),
        Route::Page => page("Open the live page", "What the page consists of."),
        Route::Docs => page("Open the page of this description", "What the page consists of."),
        Route::OpenApi => Operation {
            answers: vec![Answer {
                status: 200,
                about: "OpenAPI 3.1.",
                content: vec![(JSON, json!({ "schema": { "type": "object" } }))],
            }],
            ..plain("pages", "Get this description", Access::Open)
        },
        // In no row of the table, which goes with all of them.
        Route::Options => plain("pages", "Get the methods of a path", Access::Open),
    }
}

fn publish() -> Operation {
    let text_body =
        json!({ "schema": { "type": "string", "minLength": 1, "maxLength": 4096 }, "example": "Disk is full" });
    let example = json!({ "message": "Deploy completed", "level": "info", "metadata": { "version": "1.2.3" } });
    let json_body = json!({ "schema": reference("NewAlert"), "example": example });
    Operation {
        argument: Some(("Where it goes.", reference("Topic"))),
        parameters: vec![
            query("level", "With a text: how serious it is.", reference("Level")),
            header(
                "Idempotency-Key",
                "Any name of your choice: the same one stores the alert once, however often it is sent within 24 hours.",
                json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
            ),
            header("Title", "With a text: becomes metadata.", json!({ "type": "string" })),
            header(
                "Priority",
                "With a text: 1 to 5, or a word of ntfy's; becomes level and metadata.",
                json!({ "type": "string", "enum": ["1", "2", "3", "4", "5", "min", "low", "default", "high", "max", "urgent"] }),
            ),
            header("Tags", "With a text: names separated by commas; become metadata.", json!({ "type": "string" })),
        ],
        request: Some(Request { required: true, content: vec![(JSON, json_body), ("text/plain", text_body)] }),
        answers: vec![answer(200, "Stored, as durably as `engine.durability` says.", "Published")],
        problems: &[409, 415],
        ..plain("alerts", "Publish an alert", Access::Key(Scope::Publish))
    }
    .about("With another content type or none, a body that begins with `{` is JSON, and any other is text.")
}

fn read() -> Operation {
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
            query("last_event_id", "As the header, which wins.", json!({ "type": "string" })),
            query("before", "History: the page before this id.", reference("Id")),
            query(
                "limit",
                "History: alerts of a page.",
                json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            ),
            header("Last-Event-ID", "Where to go on; wins over `since`.", json!({ "type": "string" })),
        ],
        answers: vec![Answer {
            status: 200,
            about: "A stream, or a page of history with `Accept: application/json`.",
            content: vec![
                // One of them each, of as many as come.
                ("text/event-stream", json!({ "schema": reference("StreamBlock") })),
                ("application/x-ndjson", json!({ "schema": reference("StreamLine") })),
                (JSON, json!({ "schema": reference("History") })),
            ],
        }],
        problems: &[406],
        ..plain("alerts", "Follow alerts, or read history", Access::KeyOrTicket)
    }
    .about(
        "As Server-Sent Events (also without `Accept`) or lines of JSON, without an end: each alert as it comes, and the events \
         of `StreamEvent`. As JSON a page of history, oldest first: page forward with `since=<next>`, back with `before=<next>`.",
    )
}

fn topics() -> Operation {
    let schema = json!({ "type": "string" });
    Operation {
        parameters: vec![query("prefix", "How their names begin.", schema)],
        answers: vec![answer(200, "In order, 1,000 at the most.", "Topics")],
        ..plain("alerts", "List the topics that have alerts", Access::Key(Scope::Subscribe))
    }
}

fn hook(sender: Sender) -> Operation {
    let key = Access::Key(Scope::Publish);
    let (summary, access, problems, schema): (_, _, &[u16], _) = match sender {
        Sender::Alertmanager => ("Take what Alertmanager sends", key, &[415], reference("NotificationGroup")),
        Sender::Grafana => ("Take what Grafana sends", key, &[415], reference("NotificationGroup")),
        // As many shapes as events, of which little is looked at.
        Sender::GitHub => ("Take what GitHub sends", Access::Signature, &[404, 415], json!({ "type": "object" })),
    };
    let mut parameters = vec![query("topic", "Where they go; without it to `default`.", reference("Topic"))];
    if sender == Sender::GitHub {
        parameters.extend([
            header("X-GitHub-Event", "The kind of event.", json!({ "type": "string" })),
            header("X-GitHub-Delivery", "Tells a delivery that is sent again.", json!({ "type": "string" })),
        ]);
    }
    Operation {
        argument: Some(("Where they go.", reference("Topic"))),
        parameters,
        request: Some(Request { required: true, content: vec![(JSON, json!({ "schema": schema }))] }),
        answers: vec![answer(200, "All of it is stored.", "HookStored")],
        problems,
        ..plain("hooks", summary, access)
    }
}

fn word(summary: &'static str, about: &'static str) -> Operation {
    let answer = |status| Answer { status, about, content: vec![("text/plain", text())] };
    Operation { answers: vec![answer(200), answer(503)], ..plain("state", summary, Access::Open) }
}

fn page(summary: &'static str, about: &'static str) -> Operation {
    let types = ["text/html", "text/css", "text/javascript", "image/svg+xml"];
    Operation {
        argument: Some(("A file of the page.", json!({ "type": "string" }))),
        answers: vec![
            Answer { status: 200, about, content: types.map(|name| (name, text())).into() },
            Answer { status: 304, about: "The browser has it already.", content: Vec::new() },
        ],
        ..plain("pages", summary, Access::Open)
    }
}

/// What most have: no parameters and no body.
fn plain(tag: &'static str, summary: &'static str, access: Access) -> Operation {
    Operation {
        tag,
        summary,
        about: "",
        access,
        argument: None,
        parameters: Vec::new(),
        request: None,
        answers: Vec::new(),
        problems: &[],
    }
}

impl Operation {
    fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }
}

fn answer(status: u16, about: &'static str, schema: &str) -> Answer {
    Answer { status, about, content: vec![(JSON, json!({ "schema": reference(schema) }))] }
}

fn body(required: bool, schema: &str) -> Request {
    Request { required, content: vec![(JSON, json!({ "schema": reference(schema) }))] }
}

fn query(name: &'static str, about: &'static str, schema: Value) -> Parameter {
    Parameter { place: "query", name, about, schema }
}

fn header(name: &'static str, about: &'static str, schema: Value) -> Parameter {
    Parameter { place: "header", name, about, schema }
}

fn text() -> Value {
    json!({ "schema": { "type": "string" } })
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#{}/{schema}", super::SCHEMAS) })
}
