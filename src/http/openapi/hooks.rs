//! The description of the hooks.

use serde_json::json;

use super::catalogue::{EXPECT_WITHIN, JSON, answer, header, plain, query, reference};
use super::operation::{Operation, Request};
use crate::hooks::Sender;

pub(crate) fn hook(sender: Sender) -> Operation {
    let (summary, problems, schema): (_, &[u16], _) = match sender {
        Sender::Alertmanager => ("Take what Alertmanager sends", &[415], reference("NotificationGroup")),
        Sender::Grafana => ("Take what Grafana sends", &[415], reference("NotificationGroup")),
        Sender::Prometheus => (
            "Take what Prometheus sends without an Alertmanager",
            &[415],
            json!({ "type": "array", "items": reference("PrometheusAlert"), "maxItems": 2048 }),
        ),
        Sender::Json => {
            let object = json!({ "type": "object", "additionalProperties": true });
            let any = json!({ "anyOf": [object, { "type": "array", "items": object }] });
            ("Take any JSON object, list of objects or form", &[415], any)
        }
        // Each kind of event has a shape of its own, and few of its fields are read.
        Sender::GitHub => ("Take what GitHub sends", &[404, 415], json!({ "type": "object" })),
    };
    let mut parameters = vec![
        query("topic", "The topic of the alerts. If absent, it is `default`.", reference("Topic")),
        header("Expect-Within", EXPECT_WITHIN, reference("Every")),
    ];
    if sender == Sender::GitHub {
        parameters.extend([
            header("X-GitHub-Event", "The kind of the event.", json!({ "type": "string" })),
            header(
                "X-GitHub-Delivery",
                "Identifies the delivery. A delivery that is sent again is stored once.",
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
        argument: Some(("The topic of the alerts.", reference("Topic"))),
        parameters,
        request: Some(Request { required: true, content }),
        answers: vec![answer(200, "All alerts are stored.", "AllStored")],
        problems,
        ..plain("hooks", summary)
    }
}
