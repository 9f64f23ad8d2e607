use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::alert::{Draft, Id, Level, Topic};
use crate::http::error::HttpError;
use crate::key::Scope;
use crate::service::Refusal;
use crate::sse::{Bye, Format, Gap};

/// The names after each `$ref` that lead nowhere.
fn dangling<'v>(value: &'v Value, whole: &Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(name)) = members.get("$ref")
                && whole.pointer(name.strip_prefix('#').unwrap_or("/nowhere")).is_none()
            {
                found.push(name);
            }
            members.values().for_each(|member| dangling(member, whole, found));
        }
        Value::Array(items) => items.iter().for_each(|item| dangling(item, whole, found)),
        _ => {}
    }
}

#[test]
fn each_route_is_in_it_and_nothing_else() {
    let document = document();
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let real: BTreeSet<_> = route::all()
        .flat_map(|(path, methods)| {
            methods.iter().map(move |(method, _)| format!("{} {path}", method.as_str().to_ascii_lowercase()))
        })
        .collect();
    assert_eq!(described, real);
}

#[test]
fn all_references_lead_somewhere_and_names_are_given_once() {
    let document = document();
    let mut wrong = Vec::new();
    dangling(&document, &document, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let names: Vec<_> = operations.clone().map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for operation in operations {
        let tag = operation["tags"][0].as_str().unwrap();
        assert!(catalogue::TAGS.iter().any(|(known, _)| *known == tag), "{tag}");
        let has_good = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
        assert!(has_good, "{operation}");
    }
}

#[test]
fn its_words_are_for_people_who_have_no_source() {
    let text = document().to_string();
    for inside in ["crate::", "[`", "Self::", "self::"] {
        assert!(!text.contains(inside), "{inside}");
    }
}

#[test]
fn the_variable_part_of_a_path_is_described() {
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap();
            let described = parameters.iter().any(|one| one["in"] == "path");
            assert_eq!(described, path.contains('{'), "{method} {path}");
        }
    }
}

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
        HttpError::TooLarge { limit: 0, key: "" },
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
        Refusal::Conflict(String::new()).into(),
        Refusal::TooMany { what: String::new(), retry_after: Duration::ZERO }.into(),
        Refusal::Unavailable(String::new()).into(),
    ];
    let known: BTreeSet<_> = problems::PROBLEMS.iter().map(|(status, name, _)| (*status, (*name).to_owned())).collect();
    let answered = errors.iter().map(|error| {
        let response = error.response("x");
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
    };
    let draft = Draft::from_json(None, &serde_json::to_vec(&whole).unwrap()).unwrap();
    let written: Value = serde_json::from_slice(&draft.record(Id::at(5), 5).json).unwrap();
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
    assert_eq!(schemas["Alert"]["required"].as_array().unwrap().len(), written.as_object().unwrap().len());
}

#[test]
fn what_a_stream_says_is_described_as_it_is_written() {
    let gap = Gap { requested: "x".into(), oldest: None, head: Id::at(7) };
    for line in [
        Format::Ndjson.cursor(Some(Id::at(7))),
        Format::Ndjson.cursor(None),
        Format::Ndjson.gap(&gap),
        Format::Ndjson.bye(Bye::Slow, 1500),
    ] {
        let written: Value = serde_json::from_slice(&line).unwrap();
        let read: api::StreamEvent = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
}
