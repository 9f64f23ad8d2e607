use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::alert::{Draft, Id, IncidentPlace, IncidentStatus, Level, Topic};
use crate::http::error::{Audience, HttpError};
use crate::http::response::Body;
use crate::incident::{Act, Acted, Action, Reported, Room};
use crate::key::Scope;
use crate::service::Refusal;
use crate::sse::{Bye, Format, Gap};

#[test]
fn each_kind_of_error_is_described_as_it_is_answered() {
    let topic = || Topic::fallback().as_str().parse().unwrap();
    let errors: Vec<HttpError> = vec![
        HttpError::Malformed(String::new()),
        HttpError::invalid("x", ""),
        HttpError::NotFound(String::new()),
        HttpError::NoDocumentation(String::new()),
        HttpError::Method { method: String::new(), allow: "GET" },
        HttpError::NotAcceptable(""),
        HttpError::MediaType { wanted: "", sent: String::new() },
        HttpError::TooLarge(crate::http::error::BodyLimit { bytes: 0, set_by: "" }),
        HttpError::Timeout(Duration::ZERO),
        Refusal::Unauthorized.into(),
        Refusal::Ticket.into(),
        Refusal::Signature.into(),
        Refusal::Scope(Scope::Admin).into(),
        Refusal::Topic(topic(), vec![topic()]).into(),
        Refusal::PublishOnly.into(),
        Refusal::KeyOnly.into(),
        Refusal::ControlOnly.into(),
        Refusal::Invalid { field: String::new(), reason: String::new() }.into(),
        Refusal::NotFound(String::new()).into(),
        Refusal::NotOwn.into(),
        Refusal::Conflict(String::new()).into(),
        Refusal::Gone(String::new()).into(),
        Refusal::TooMany { what: String::new(), retry_after: Duration::ZERO }.into(),
        Refusal::unavailable(String::new()).into(),
    ];
    let known: BTreeSet<_> = problems::PROBLEMS.iter().map(|(status, name, _)| (*status, (*name).to_owned())).collect();
    let answered = errors.iter().map(|error| {
        let response = error.response("x", Audience::Client);
        let Body::Whole(Some(body)) = response.body() else { panic!("no body: {error}") };
        let problem: api::Problem = serde_json::from_slice(body).unwrap();
        for (name, needed) in
            problems::responses()[&format!("Problem{}", problem.status)]["headers"].as_object().unwrap()
        {
            let is_there = response.headers().contains_key(name.as_str());
            assert!(is_there || needed.get("$ref").is_some(), "{error}: {name}");
        }
        (problem.status, problem.kind.strip_prefix("/problems/").unwrap().to_owned())
    });
    assert_eq!(answered.collect::<BTreeSet<_>>(), known);
}

#[test]
fn alerts_are_described_as_they_are_written_and_read() {
    let whole = api::NewAlert {
        topic: Some("ops.db".parse().unwrap()),
        message: "x".into(),
        level: Level::Warn,
        metadata: json!({ "k": [1] }).as_object().unwrap().clone(),
        expect_within: Some("25h".parse().unwrap()),
        incident: Some("disk".parse().unwrap()),
        status: Some(IncidentStatus::Open),
        ttl: Some("10m".parse().unwrap()),
    };
    let draft = Draft::from_json(None, &serde_json::to_vec(&whole).unwrap()).unwrap();
    let place = IncidentPlace { occurrence: 1, count: 2 };
    let written: Value = serde_json::from_slice(&draft.placed_record(Id::at(5), 5, Some(place)).json).unwrap();
    // No field is missing and none is unknown.
    let read: api::Alert = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
    let refused = Draft::from_json(None, b"{\"x\":1}").unwrap_err().to_string();
    let (_, taken) = refused.split_once("expected one of ").unwrap();
    let taken: BTreeSet<_> = taken.split(", ").map(str::to_owned).collect();
    let schemas = schemas();
    let described = schemas["NewAlert"]["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(described, taken);
    assert_eq!(schemas["NewAlert"]["required"], json!(["message"]));
    assert_eq!(schemas["NewAlert"]["properties"]["message"]["maxLength"], Draft::MAX_MESSAGE);
    let always: Value =
        serde_json::from_slice(&Draft::from_json(None, PLAIN).unwrap().record(Id::at(5), 5).json).unwrap();
    assert_eq!(schemas["Alert"]["required"].as_array().unwrap().len(), always.as_object().unwrap().len());
}

const PLAIN: &[u8] = br#"{"message":"x"}"#;

/// An acknowledgement, as a record of the log.
fn transition() -> crate::alert::Record {
    let draft = Draft::from_json(None, br#"{"message":"x","level":"warn","incident":"disk"}"#).unwrap();
    let settings = crate::incident::Settings::default();
    let report = crate::incident::report::report;
    let reported = report(None, &draft, draft.incident().unwrap(), "alice", 5, &settings, || Room::Some);
    let Reported::Stored(row, _) = reported else { panic!("{reported:?}") };
    let key = crate::incident::Key::of(&draft).unwrap();
    let act = Act { key, action: Action::Acknowledge, by: "bob".into(), note: None };
    let Acted { row, record } = act.apply(Some(&row), 6, || Room::Some).unwrap().unwrap();
    record.record(&row, Id::at(6), 6)
}

#[test]
fn what_a_stream_says_is_described_as_it_is_written() {
    let gap = Gap { requested: "x".into(), oldest: None, head: Id::at(7) };
    let record = |record: crate::alert::Record| {
        let mut line = bytes::BytesMut::new();
        Format::Ndjson.alert(&mut line, &record);
        line.freeze()
    };
    for line in [
        record(transition()),
        record(crate::alert::Retraction::new(Topic::fallback(), Id::at(5), "bob").record(Id::at(6), 6)),
        Format::Ndjson.cursor(Some(Id::at(7)), 0),
        Format::Ndjson.cursor(None, 0),
        Format::Ndjson.gap(&gap, Id::ZERO, 0),
        Format::Ndjson.bye(Bye::Slow, 1500),
    ] {
        let written: Value = serde_json::from_slice(&line).unwrap();
        let read: api::StreamEvent = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
}
