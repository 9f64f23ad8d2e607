//! The description of a publish, which takes bodies of several types.

use serde_json::json;

use super::catalogue::{flag, header, plain, query, reference};
use super::operation::{Answer, Operation, Request};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const LINES: &str = "application/x-ndjson";

pub(crate) fn publish() -> Operation {
    let text_body = json!({ "schema": { "type": "string", "minLength": 1 }, "example": "Disk is full" });
    // No field is required, because a form without a message is read as text.
    let form_body = json!({
        "schema": {
            "type": "object",
            "properties": { "message": { "type": "string", "minLength": 1 }, "level": { "type": "string" }, "topic": reference("Topic") },
            "additionalProperties": { "type": "string" }
        },
        "example": { "message": "Disk is full", "level": "warn" }
    });
    let example = json!({ "message": "Deploy completed", "level": "info", "metadata": { "version": "1.2.3" } });
    let json_body = json!({ "schema": reference("NewAlert"), "example": example });
    // OpenAPI cannot describe a sequence of lines; this is the schema of one.
    let line = json!({ "type": "string", "contentMediaType": JSON, "contentSchema": reference("NewAlertLine") });
    let lines_body =
        json!({ "schema": line, "example": "{\"message\":\"One\"}\n{\"message\":\"Two\",\"level\":\"warn\"}\n" });
    let answers = json!({ "schema": { "anyOf": [reference("Published"), reference("AllStored")] } });
    Operation {
        argument: Some(("Where it goes.", reference("Topic"))),
        parameters: vec![
            query("level", "With a text or form: the level.", reference("Level")),
            query(
                "cut",
                "If true, JSON is cut to what is allowed instead of being refused; texts and forms always are.",
                flag(),
            ),
            header(
                "Idempotency-Key",
                "Any name of your choice: an alert that is sent again with the same one within 24 hours is stored once.",
                json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
            ),
            header("Title", "With a text or form: becomes metadata.", json!({ "type": "string" })),
            header(
                "Priority",
                "With a text or form: 1 to 5, a word of ntfy's, or any severity; becomes level and metadata.",
                json!({ "type": "string" }),
            ),
            header("Tags", "With a text or form: names separated by commas; become metadata.", json!({ "type": "string" })),
        ],
        request: Some(Request {
            required: true,
            content: vec![(JSON, json_body), ("text/plain", text_body), (FORM, form_body), (LINES, lines_body)],
        }),
        answers: vec![Answer {
            status: 200,
            about: "Stored, with the durability that `engine.durability` sets; `AllStored` answers lines.",
            content: vec![(JSON, answers)],
        }],
        problems: &[409, 415],
        ..plain("alerts", "Publish an alert")
    }
    .about(
        "Every `+json` is JSON, and every `text/*` a text. Without a content type, with one that is not listed, or with a form's and \
         no field `message`, a body that begins with `{` is JSON, and any other is text. A form may also be `multipart/form-data`. \
         A text or form over 4,096 bytes is cut and ends in `…`. Lines (`application/x-ndjson`), at most 2,048, are stored in this \
         order, together or not at all; each may have an `idempotency_key`.",
    )
}
