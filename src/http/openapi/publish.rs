//! The description of a publish, which takes bodies of several types.

use serde_json::{Value, json};

use super::catalogue::{EXPECT_WITHIN, flag, header, plain, query, reference};
use super::operation::{Answer, Link, Operation, Parameter, Request};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const LINES: &str = "application/x-ndjson";

/// What a reader may ask for next.
const READ_ON: &[Link] = &[Link {
    name: "ReadOn",
    about: "Read what was published on the topic after this alert.",
    operation: "get_alerts_topic",
    parameters: &[("topic", "$response.body#/alert/topic"), ("since", "$response.body#/alert/id")],
}];

/// No field is required, and `topic` may be any text, because a form without a message is read as text as a whole.
fn form_body() -> Value {
    let topic = "A topic. It is not looked at if there is no `message`, because such a form is read as text.";
    json!({
        "schema": {
            "type": "object",
            "properties": {
                "message": { "type": "string", "minLength": 1 },
                "level": { "type": "string" },
                "topic": { "type": "string", "description": topic },
            },
            "additionalProperties": { "type": "string" }
        },
        "example": { "message": "Disk is full", "level": "warn" }
    })
}

pub(crate) fn publish() -> Operation {
    let text_body = json!({ "schema": { "type": "string", "minLength": 1 }, "example": "Disk is full" });
    let form_body = form_body();
    let example = json!({ "message": "Deploy completed", "level": "info", "metadata": { "version": "1.2.3" } });
    let json_body = json!({ "schema": reference("NewAlert"), "example": example });
    // OpenAPI cannot describe a sequence of lines; this is the schema of one.
    let line = json!({ "type": "string", "contentMediaType": JSON, "contentSchema": reference("NewAlertLine") });
    let lines_body =
        json!({ "schema": line, "example": "{\"message\":\"One\"}\n{\"message\":\"Two\",\"level\":\"warn\"}\n" });
    let answers = json!({ "schema": { "anyOf": [reference("Published"), reference("AllStored")] } });
    Operation {
        argument: Some(("The topic of the alert.", reference("Topic"))),
        parameters: parameters(),
        request: Some(Request {
            required: true,
            content: vec![(JSON, json_body), ("text/plain", text_body), (FORM, form_body), (LINES, lines_body)],
        }),
        answers: vec![Answer {
            status: 200,
            about: "The alert is stored, with the durability that `engine.durability` sets. The answer to several lines is `AllStored`.",
            content: vec![(JSON, answers)],
        }],
        problems: &[409, 415],
        links: READ_ON,
        ..plain("alerts", "Publish an alert")
    }
    .about(
        "Every type that ends in `+json` is JSON, and every `text/*` is a text. If a body has no content type, one that is not \
         listed, or that of a form but no field `message`, it is JSON if it begins with `{`, and otherwise text. A form may also be \
         `multipart/form-data`. A text or form over 4,096 bytes is cut and ends in `…`. Lines (`application/x-ndjson`), at most \
         2,048, are stored in their order, all or none; each may have an `idempotency_key`.",
    )
}

fn parameters() -> Vec<Parameter> {
    vec![
        query("level", "The level, for a text or form.", reference("Level")),
        query(
            "cut",
            "If true, JSON that is too long is cut instead of being refused. Texts and forms are always cut.",
            flag(),
        ),
        header(
            "Idempotency-Key",
            "Any value of your choice. An alert that is sent again with the same value within 24 hours is stored once.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        header("Expect-Within", EXPECT_WITHIN, reference("Every")),
        query(
            "incident",
            "Name of the incident that the alert reports; or the header `Incident`.",
            reference("IncidentName"),
        ),
        query("status", "Whether the incident goes on; or the header `Incident-Status`.", reference("IncidentStatus")),
        query(
            "ttl",
            "How long the incident lasts without a further alert; or the header `Incident-Ttl`.",
            reference("Ttl"),
        ),
        header("Title", "The title, for a text or form; becomes metadata.", json!({ "type": "string" })),
        header(
            "Priority",
            "The priority, for a text or form: 1 to 5, a word of ntfy's, or any severity; becomes level and metadata.",
            json!({ "type": "string" }),
        ),
        header(
            "Tags",
            "Names separated by commas, for a text or form; they become metadata.",
            json!({ "type": "string" }),
        ),
    ]
}
