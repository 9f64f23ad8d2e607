//! `/openapi.json` against the daemon: schemathesis makes requests from the document and compares the answers with it.

use std::process::Command;

use serde_json::json;

use crate::harness::{Daemon, Key, Request, python, told};

/// What must hold for each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance,allow_header_conformance,unsupported_method,negative_data_rejection,ignored_auth";

/// Those that need no judgement of what was sent. In a sequence it is made of earlier answers, so it differs from run to run.
const CHECKS_OF_SEQUENCES: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                                   response_schema_conformance,response_headers_conformance,ignored_auth";

/// Each draws other requests.
const SEEDS: [&str; 4] = ["1", "2", "3", "4"];

fn tested(more: &str) -> Daemon {
    // Wrong keys are part of it.
    Daemon::with(&format!("stage = \"dev\"\n[limits]\nfailed_auth_rate = 0\n{more}"))
}

/// A key that may do everything.
fn key(daemon: &Daemon) -> Key {
    daemon.key_with(&json!({"user": "tester", "scopes": ["publish", "subscribe", "metrics", "admin"]}))
}

/// Lets schemathesis check everything that the document says about these operations, and gives what it prints.
fn conforms(daemon: &Daemon, key: &Key, seed: &str, arguments: &[&str]) -> String {
    let is_sequence = arguments.contains(&"stateful");
    let checks = if is_sequence { CHECKS_OF_SEQUENCES } else { CHECKS };
    let mut command = Command::new(python("tools/schemathesis", &["schemathesis==4.32.5"]).join("schemathesis"));
    command.args(["run", &format!("http://{}/openapi.json", daemon.address)]);
    command.args(["-H", &format!("Authorization: Bearer {}", key.secret)]);
    // What a document cannot say is refused too, such as a level both in the body and in the query: so not positive_data_acceptance.
    command.args([
        "--checks",
        checks,
        "--seed",
        seed,
        "--no-shrink",
        "--continue-on-failure",
        "--request-timeout",
        "20",
    ]);
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/schemathesis");
    command.env("PYTHONPATH", hooks).env("SCHEMATHESIS_HOOKS", "hooks").env("OWN_KEY", &key.id);
    command.args(["--warnings", "off"]).args(arguments).current_dir(daemon.directory.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n--- the daemon's log\n{}", told(&output), daemon.log());
    // Or a filter that matches nothing would be a success.
    assert!(said.contains(" passed") && !said.contains(" 0 generated"), "{said}");
    said
}

/// Each seed draws requests; what does not depend on it runs once.
fn conforms_for_each_seed(daemon: &Daemon, examples: &str, arguments: &[&str]) {
    let key = key(daemon);
    let examples = ["--max-examples", examples];
    conforms(daemon, &key, SEEDS[0], &[&examples, arguments, &["--phases", "examples,coverage,fuzzing"]].concat());
    for seed in &SEEDS[1..] {
        conforms(daemon, &key, seed, &[&examples, arguments, &["--phases", "fuzzing"]].concat());
    }
}

#[test]
fn whatever_is_sent_is_answered_as_the_document_says() {
    // With the GitHub hook on, for its refusals.
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("github"), "a secret of some length").unwrap();
    let daemon = tested(&format!("[hooks]\ngithub_secret_file = \"{}/github\"\n", secrets.path().display()));
    conforms_for_each_seed(&daemon, "5", &["--exclude-path-regex", "^/(keys|alerts|ntfy/.*/(json|sse|raw|ws))"]);
}

#[test]
fn alerts_and_history_are_as_the_document_says() {
    let daemon = tested("");
    conforms_for_each_seed(&daemon, "10", &["-H", "Accept: application/json", "--include-path-regex", "^/alerts"]);
}

#[test]
fn streams_are_as_the_document_says() {
    // Each is read to its end.
    let daemon = tested("[http]\nstream_lifetime = \"1s\"\n");
    let key = key(&daemon);
    daemon.publish(&key, "default", "for all that ask for the newest");
    let streams = ["--include-operation-id", "get_alerts", "--include-operation-id", "get_alerts_topic"];
    let few = ["--phases", "fuzzing", "--max-examples", "4"];
    for (number, seed) in SEEDS.into_iter().enumerate() {
        let accept = ["Accept: text/event-stream", "Accept: application/x-ndjson"][number % 2];
        conforms(&daemon, &key, seed, &[&["-H", accept][..], &streams, &few].concat());
    }
}

#[test]
fn keys_are_managed_as_the_document_says() {
    let daemon = tested("");
    conforms_for_each_seed(&daemon, "5", &["--include-path-regex", "^/keys"]);
}

#[test]
fn sequences_of_requests_are_answered_as_the_document_says() {
    let daemon = tested("");
    let key = key(&daemon);
    // What a request makes, the next ones use: keys, alerts, cursors.
    let sequences = ["--phases", "stateful", "--max-examples", "10", "-H", "Accept: application/json"];
    let without_streams = ["--exclude-path-regex", "^/ntfy/.*/(json|sse|raw|ws)"];
    for seed in SEEDS {
        let said = conforms(&daemon, &key, seed, &[&sequences[..], &without_streams].concat());
        assert!(said.contains("API Links:") && said.contains("Stateful"), "{said}");
    }
    // It was good until the end, so the requests were not all refused.
    let keys = daemon.ctl(&["key", "list", "--json"]);
    assert!(String::from_utf8_lossy(&keys.stdout).contains(&key.id), "{}", told(&keys));
}

/// Seed 4 found that `since=` was answered, but the document had no such value.
#[test]
fn what_counts_as_no_since_is_in_the_document_and_nothing_else_is() {
    let daemon = tested("");
    let key = key(&daemon);
    let document = daemon.send(&Request::get("/openapi.json")).json();
    let parameters = document["paths"]["/alerts"]["get"]["parameters"].as_array().unwrap().clone();
    let since = parameters.into_iter().find(|one| one["name"] == "since").unwrap();
    let matches = "import json, re, sys\n\
                   choices = json.loads(sys.argv[1])\n\
                   print(any('pattern' in one and re.search(one['pattern'], sys.argv[2]) is not None for one in choices))";
    for (value, encoded, is_taken) in [
        ("", "", true),
        (" ", "%20", true),
        ("(null)", "(null)", true),
        ("<nil>", "%3Cnil%3E", true),
        ("\"undefined\"", "%22undefined%22", true),
        ("10m", "10m", true),
        ("nothing", "nothing", false),
        ("(", "(", true),
        ("x(null)", "x(null)", false),
    ] {
        let history = Request::get(&format!("/alerts?since={encoded}")).header("Accept", "application/json").key(&key);
        assert_eq!(daemon.send(&history).status, if is_taken { 200 } else { 422 }, "{value:?}");
        let choices = since["schema"]["anyOf"].to_string();
        let described = Command::new("python3").args(["-c", matches, &choices, value]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&described.stdout).trim() == "True",
            is_taken,
            "{value:?}: {}",
            told(&described)
        );
    }
}

/// A sequence of requests found that such a form was stored as text, and that the document asked for a topic in it.
#[test]
fn a_form_without_a_message_is_text_whatever_its_topic_and_the_document_says_so() {
    let daemon = tested("");
    let key = key(&daemon);
    let send = |body: &str| {
        let form = Request::post("/alerts").header("Content-Type", "application/x-www-form-urlencoded");
        daemon.send(&form.key(&key).body(body))
    };
    let stored = send("topic=not%20a%20topic");
    assert_eq!((stored.status, &stored.json()["alert"]["message"]), (200, &json!("topic=not%20a%20topic")));
    assert_eq!(send("message=x&topic=not%20a%20topic").status, 422);
    let document = daemon.send(&Request::get("/openapi.json")).json();
    let body = &document["paths"]["/alerts"]["post"]["requestBody"]["content"];
    let topic = &body["application/x-www-form-urlencoded"]["schema"]["properties"]["topic"];
    assert_eq!((&topic["type"], topic.get("pattern"), topic.get("$ref")), (&json!("string"), None, None), "{topic}");
}
