//! The description of what alertd speaks of ntfy's protocol.

use serde_json::{Value, json};

use super::catalogue::{EXPECT_WITHIN, plain, query, reference};
use super::operation::{Answer, NTFY, Operation, Parameter, Request};

const JSON: &str = "application/json";

fn text() -> Value {
    json!({ "type": "string" })
}

fn names() -> (&'static str, Value) {
    (
        "Topics, separated by commas; `_` also stands for `.`.",
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_.,-]+$" }),
    )
}

pub(crate) fn stream(kind: &'static str) -> Operation {
    Operation {
        argument: Some(names()),
        parameters: reading(),
        answers: vec![Answer {
            status: 200,
            about: "Messages and events.",
            content: vec![(kind, json!({ "schema": text() }))],
        }],
        ..plain(NTFY, "Follow messages, or poll them")
    }
    .about("The key may also be the password of `Basic`, or the parameter `auth` if the setting `auth.query_token` permits that.")
}

pub(crate) fn websocket() -> Operation {
    Operation {
        argument: Some(names()),
        parameters: reading(),
        answers: vec![Answer {
            status: 101,
            about: "A WebSocket with one message or event in each text frame.",
            content: Vec::new(),
        }],
        problems: &[400],
        ..plain(NTFY, "Follow messages over WebSocket")
    }
}

fn reading() -> Vec<Parameter> {
    vec![
        query("poll", "If true, the answer ends with the newest message.", text()),
        query("since", "An id, a duration, seconds since 1970, `all`, `latest` or `none`.", text()),
        query("below", "If true, a name also stands for the topics below it.", text()),
        query("priority", "Only messages with one of these priorities, separated by commas.", text()),
        query("tags", "Only messages with all of these tags, separated by commas.", text()),
        query("title", "Only messages with this title.", text()),
        query("message", "Only messages with this text.", text()),
        query("id", "Only the message with this id.", text()),
    ]
}

pub(crate) fn auth() -> Operation {
    let success = json!({ "type": "object", "required": ["success"], "properties": { "success": { "const": true } } });
    Operation {
        argument: Some(names()),
        answers: vec![object(200, "The key may read these topics.", success)],
        ..plain(NTFY, "Check a key for topics")
    }
}

pub(crate) fn publish() -> Operation {
    Operation {
        argument: Some(("The topic of the message.", reference("Topic"))),
        parameters: writing(),
        request: Some(Request { required: false, content: vec![("text/plain", json!({ "schema": text() }))] }),
        answers: vec![message()],
        problems: &[409],
        ..plain(NTFY, "Publish a text")
    }
    .about("The parameters may also be headers. Files, calls, e-mail, delays and templates are refused.")
}

pub(crate) fn publish_by_get() -> Operation {
    Operation { request: None, problems: &[405, 408, 409, 413], ..publish() }
}

pub(crate) fn publish_json() -> Operation {
    let body = json!({
        "type": "object",
        "required": ["topic"],
        "properties": { "topic": reference("Topic") },
    });
    Operation {
        parameters: writing(),
        request: Some(Request { required: true, content: vec![(JSON, json!({ "schema": body }))] }),
        answers: vec![message()],
        problems: &[409],
        ..plain(NTFY, "Publish JSON that names its topic")
    }
    .about("The parameters may also be members of the object; null counts as absent.")
}

fn writing() -> Vec<Parameter> {
    vec![
        query("message", "The message, if there is no body.", text()),
        query("title", "Becomes metadata.", text()),
        query("priority", "1 to 5, or the name of one; 4 becomes `warn`, 5 becomes `error`.", text()),
        query("tags", "Names separated by commas; become metadata.", text()),
        query("click", "A URL; becomes metadata.", text()),
        query("icon", "A URL; becomes metadata.", text()),
        query("attach", "The URL of a file; becomes metadata.", text()),
        query("expect_within", EXPECT_WITHIN, reference("Every")),
    ]
}

fn message() -> Answer {
    let message = json!({
        "type": "object",
        "required": ["id", "time", "event", "topic", "message"],
        "properties": {
            "id": reference("Id"), "time": { "type": "integer" }, "expires": { "type": "integer" },
            "event": { "const": "message" }, "topic": text(), "title": text(), "message": text(),
            "priority": { "type": "integer", "minimum": 1, "maximum": 5 },
            "tags": { "type": "array", "items": text() },
        },
    });
    object(200, "The message as subscribers get it.", message)
}

pub(crate) fn health() -> Operation {
    let healthy =
        json!({ "type": "object", "required": ["healthy"], "properties": { "healthy": { "type": "boolean" } } });
    Operation {
        answers: vec![object(200, "Whether alerts can be published.", healthy)],
        ..plain(NTFY, "Get the health")
    }
}

pub(crate) fn version() -> Operation {
    Operation {
        answers: vec![object(200, "`version`, `commit` and `date`.", json!({ "type": "object" }))],
        ..plain(NTFY, "Get the version")
    }
}

pub(crate) fn account() -> Operation {
    let account = json!({
        "type": "object",
        "required": ["username", "role", "stats"],
        "properties": {
            "username": text(), "role": { "const": "user" },
            "stats": { "type": "object", "additionalProperties": { "const": 0 } },
        },
    });
    let about = "The user of the key. alertd counts nothing for a user, so all numbers are 0.";
    Operation { answers: vec![object(200, about, account)], ..plain(NTFY, "Get the user of the key") }
}

pub(crate) fn config() -> Operation {
    Operation {
        answers: vec![object(200, "The features that clients may offer.", json!({ "type": "object" }))],
        ..plain(NTFY, "Get the features")
    }
}

fn object(status: u16, about: &'static str, schema: Value) -> Answer {
    Answer { status, about, content: vec![(JSON, json!({ "schema": schema }))] }
}
