//! The description of what is expected on topics.

use super::catalogue::{answer, body, plain, query, reference};
use super::operation::{Answer, Operation, Parameter};

const TAG: &str = "expectations";

fn incident() -> Parameter {
    query("incident", "The incident, if the expectation is about one.", reference("IncidentName"))
}

pub(crate) fn list() -> Operation {
    Operation {
        answers: vec![answer(200, "What is expected on the topics that the key may read.", "Expectations")],
        ..plain(TAG, "List what is expected")
    }
}

pub(crate) fn show() -> Operation {
    Operation {
        argument: Some(("The topic.", reference("Topic"))),
        parameters: vec![incident()],
        answers: vec![answer(200, "What is expected.", "Expectation")],
        ..plain(TAG, "Get what is expected on a topic")
    }
}

pub(crate) fn put() -> Operation {
    Operation {
        argument: Some(("The topic.", reference("Topic"))),
        request: Some(body(true, "NewExpectation")),
        answers: vec![answer(200, "What is expected from now on.", "Expectation")],
        ..plain(TAG, "Expect something on a topic")
    }
    .about(
        "If nothing is published on the topic, or about the incident, for that long, alertd publishes an alert there, and \
         another one when the sender is back. At most 10,000 expectations, 2,500 of one user.",
    )
}

pub(crate) fn remove() -> Operation {
    Operation {
        argument: Some(("The topic.", reference("Topic"))),
        parameters: vec![incident()],
        answers: vec![Answer { status: 204, about: "Nothing is expected any more.", content: Vec::new() }],
        ..plain(TAG, "Expect nothing on a topic")
    }
}
