//! The description of incidents and single alerts.

use serde_json::json;

use super::catalogue::{answer, body, plain, query, reference};
use super::operation::{Answer, Argument, Operation};

const TAG: &str = "incidents";

pub(crate) fn list() -> Operation {
    Operation {
        parameters: vec![
            query(
                "topic",
                "Topics and patterns. If absent, it is `*`.",
                json!({ "type": "array", "items": reference("Pattern"), "maxItems": crate::alert::Filter::MAX_PATTERNS }),
            ),
            query(
                "state",
                "The state. If absent, it is `unresolved`: open or acknowledged.",
                json!({ "enum": ["unresolved", "open", "acknowledged", "resolved", "all"] }),
            ),
            query("level", "Only this level and above.", reference("Level")),
            query(
                "limit",
                "The number of incidents in a page.",
                json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            ),
            query("after", "The `next` of the page before.", reference("Id")),
        ],
        answers: vec![answer(200, "Incidents, the one that changed last first.", "Incidents")],
        ..plain(TAG, "List incidents")
    }
    .about("Resolved incidents are listed as long as their last alert is kept, at most 10,000 of them.")
}

fn arguments() -> (Option<Argument>, Option<Argument>) {
    (Some(("The topic.", reference("Topic"))), Some(("The name of the incident.", reference("IncidentName"))))
}

pub(crate) fn show() -> Operation {
    let (argument, second) = arguments();
    Operation {
        argument,
        second,
        answers: vec![answer(200, "The incident.", "Incident")],
        ..plain(TAG, "Get an incident")
    }
}

fn act(summary: &'static str, about: &'static str) -> Operation {
    let (argument, second) = arguments();
    Operation {
        argument,
        second,
        request: Some(body(false, "NewNote")),
        answers: vec![answer(200, "The incident as it is then.", "Incident")],
        ..plain(TAG, summary)
    }
    .about(about)
}

pub(crate) fn acknowledge() -> Operation {
    let mut operation = act(
        "Acknowledge an incident",
        "Says that somebody takes care of it. The first acknowledgement counts, and repeating it changes nothing. A resolved \
         incident cannot be acknowledged.",
    );
    operation.problems = &[409];
    operation
}

pub(crate) fn resolve() -> Operation {
    act("Resolve an incident", "Says that it is over. Repeating it changes nothing.")
}

pub(crate) fn reopen() -> Operation {
    act(
        "Reopen an incident",
        "Makes a resolved incident open again, as the same occurrence, and takes an acknowledgement back.",
    )
}

pub(crate) fn retract() -> Operation {
    Operation {
        argument: Some(("The topic.", reference("Topic"))),
        second: Some(("The id of the alert.", reference("Id"))),
        answers: vec![Answer { status: 204, about: "The alert is retracted, now or before.", content: Vec::new() }],
        ..plain("alerts", "Retract an alert")
    }
    .about(
        "Removes the content of the alert; streams get a `retract` event. Without `admin`, the key must be one of the user who \
         published the alert.",
    )
}

pub(crate) fn alert() -> Operation {
    Operation {
        argument: Some(("The topic.", reference("Topic"))),
        second: Some(("The id of the alert.", reference("Id"))),
        answers: vec![answer(200, "The alert.", "Alert")],
        ..plain("alerts", "Get an alert")
    }
    .about("The last alert of an unresolved incident is kept as long as that, except for long metadata.")
}
