//! `/openapi.json` and `/docs` describe what alertd does.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Browser, Daemon, Look, Request, npm, python, told};

const DEV: &str = "stage = \"dev\"\n";

fn document(daemon: &Daemon) -> Value {
    let answer = daemon.send(&Request::get("/openapi.json"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    answer.json()
}

#[test]
fn the_documentation_is_for_stage_dev_alone_and_a_reload_decides() {
    let daemon = Daemon::start();
    let statuses = || {
        let asked = ["/docs", "/docs/docs.js", "/openapi.json"].map(|path| daemon.send(&Request::get(path)));
        asked.map(|answer| (answer.status, answer.header("content-type").unwrap().to_owned()))
    };
    let absent = || (404, "application/problem+json".to_owned());
    assert_eq!(statuses(), [absent(), absent(), absent()]);
    // By no method, and the setting is named.
    for method in ["GET", "PUT", "OPTIONS"] {
        let answer = daemon.send(&Request::new(method, "/docs"));
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("stage = \"dev\""), "{answer:?}");
    }
    daemon.configure(DEV);
    assert!(daemon.ctl(&["reload"]).status.success());
    let there = |kind: &str| (200, kind.to_owned());
    let wanted = ["text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/json"];
    assert_eq!(statuses(), wanted.map(there));
    daemon.configure("stage = \"prod\"\n");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(statuses(), [absent(), absent(), absent()]);
}

#[test]
fn each_path_takes_the_methods_that_the_document_has() {
    let daemon = Daemon::with(DEV);
    let document = document(&daemon);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "{}", paths.len());
    for (path, methods) in paths {
        let concrete = path.replace("{topic}", "x").replace("{id}", "x").replace("{file}", "x");
        let answer = daemon.send(&Request::new("OPTIONS", &concrete));
        let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
        let mut described: BTreeSet<_> = methods.as_object().unwrap().keys().cloned().collect();
        if described.contains("get") {
            described.insert("head".into());
        }
        described.insert("options".into());
        assert_eq!(allowed, described, "{path}");
    }
}

/// Hides what is open, opens a call, and gives how its form is found.
fn open_call(browser: &mut Browser, call: &str) -> String {
    browser.evaluate("document.querySelectorAll('details[open]').forEach((one) => { one.open = false; })");
    browser.click(&format!("#{call} > summary"));
    format!("#{call} form")
}

#[test]
fn in_a_browser_every_call_can_be_tried_streams_included() {
    let daemon = Daemon::with(DEV);
    let key = daemon.key("alice");
    let mut browser = Browser::open(&format!("http://{}/docs", daemon.address), &Look::default());
    browser.says("#calls", "Bodies");
    let calls = browser.evaluate("document.querySelectorAll('#calls details[id]:not([id^=schema])').length");
    let paths = document(&daemon);
    let described = paths["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
    assert_eq!(calls, described.sum::<usize>());

    browser.fill("#key", &key.secret);
    let stream = open_call(&mut browser, "get_alerts_topic");
    browser.fill(&format!("{stream} [name=topic]"), "ops.*");
    browser.click(&format!("{stream} [type=submit]"));
    browser.says(&format!("{stream} .state-line"), "200");
    browser.says(&format!("{stream} .output"), "event: cursor");
    daemon.has_streams(1);

    let publish = open_call(&mut browser, "post_alerts_topic");
    browser.fill(&format!("{publish} [name=topic]"), "ops.db");
    browser.fill(&format!("{publish} textarea"), &json!({"message": "<b>from</b> the page"}).to_string());
    browser.click(&format!("{publish} [type=submit]"));
    browser.says(&format!("{publish} .output"), "\"status\": \"alert stored\"");

    // The stream went on meanwhile.
    let shown = format!("document.querySelector('{stream} .output').textContent");
    browser.until(&format!("{shown}.includes('\"message\":\"<b>from</b> the page\"')"));
    browser.click("#get_alerts_topic > summary");
    browser.click(&format!("{stream} .actions button[type=button]"));
    browser.says(&format!("{stream} .state-line"), "stopped");
    daemon.has_streams(0);

    let lines = open_call(&mut browser, "get_alerts");
    browser.fill(&format!("{lines} [name=topic]"), "web, ops.*");
    browser.choose(&format!("{lines} .fields > select"), "application/json");
    browser.click(&format!("{lines} [type=submit]"));
    browser.says(&format!("{lines} .output"), "\"alerts\": [");

    let health = open_call(&mut browser, "get_health");
    browser.click(&format!("{health} [type=submit]"));
    browser.says(&format!("{health} .output"), "\"status\": \"ok\"");
    assert_eq!(browser.audit(), Vec::<String>::new());
    let (complaints, hosts) = browser.report();
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(hosts, [daemon.address.to_string()]);
}

#[test]
fn each_call_of_the_page_has_a_form_and_a_refusal_is_shown() {
    let daemon = Daemon::with(DEV);
    let mut browser =
        Browser::open(&format!("http://{}/docs", daemon.address), &Look { width: 400, ..Look::default() });
    browser.says("#calls", "Bodies");
    browser.evaluate("document.querySelectorAll('#calls details').forEach((one) => { one.open = true; })");
    let calls = "document.querySelectorAll('#calls details[id]:not([id^=schema])').length";
    browser.until(&format!("document.querySelectorAll('#calls form').length === {calls}"));
    assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
    assert_eq!(browser.audit(), Vec::<String>::new());
    let import = open_call(&mut browser, "get_status");
    browser.click(&format!("{import} [type=submit]"));
    browser.says(&format!("{import} .output"), "/problems/unauthorized");
    browser.says(&format!("{import} .output"), "www-authenticate: Bearer");
}

#[test]
fn a_client_that_a_generator_made_in_python_works() {
    let daemon = Daemon::with(DEV);
    let all = json!({"user": "tester", "scopes": ["publish", "subscribe", "metrics", "admin"]});
    let key = daemon.key_with(&all);
    let programs = python("tools/openapi-python-client", &["openapi-python-client==0.29.1"]);
    let place = tempfile::tempdir().unwrap();
    let description = place.path().join("openapi.json");
    std::fs::write(&description, document(&daemon).to_string()).unwrap();
    let mut generate = Command::new(programs.join("openapi-python-client"));
    generate.args(["generate", "--output-path", "made", "--path"]).arg(&description).current_dir(&place);
    let made = generate.output().unwrap();
    let said = told(&made);
    assert!(made.status.success() && !said.contains("removal") && !said.contains("Invalid"), "{said}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generated_client.py");
    let mut client = Command::new(programs.join("python"));
    client.arg(script).args([&format!("http://{}", daemon.address), &key.secret]);
    let used = client.env("PYTHONPATH", place.path().join("made")).output().unwrap();
    assert!(used.status.success(), "{}", told(&used));
}

#[test]
fn types_that_a_generator_made_for_typescript_are_those_of_the_api() {
    let daemon = Daemon::with(DEV);
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("openapi.json"), document(&daemon).to_string()).unwrap();
    std::fs::copy(npm().join("generated.ts"), place.path().join("generated.ts")).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let path = npm().join("node_modules/.bin").join(program);
        let output = Command::new(path).args(arguments).current_dir(&place).output().unwrap();
        assert!(output.status.success(), "{program}: {}", told(&output));
    };
    run("openapi-typescript", &["openapi.json", "--output", "generated-api.d.ts"]);
    run("tsc", &["--noEmit", "--strict", "--module", "nodenext", "generated.ts"]);
}

#[test]
fn a_body_that_is_not_of_its_type_is_refused_by_the_field_in_words_of_json() {
    let daemon = Daemon::start();
    for (body, field, words) in [
        (json!({"user": 5}), "user", "must be a string, not integer 5"),
        (json!({"user": "a", "scopes": ["publish", "root"]}), "scopes[1]", "not \"root\""),
        (json!({"user": "a", "topics": ["a b"]}), "topics[0]", "labels"),
        (json!({"user": "a", "expires": 5}), "expires", "is no field here"),
        (json!({"scopes": []}), "user", "is missing"),
        (json!(["alice", ["admin"]]), "body", "must be a JSON object"),
    ] {
        let answer = Request::post("/keys").json(&body).over(&daemon.control());
        assert_eq!((answer.status, &answer.json()["field"]), (422, &json!(field)), "{answer:?}");
        assert!(answer.text().contains(&words.replace('"', "\\\"")), "{answer:?}");
        assert!(!answer.text().contains('`') && !answer.text().contains("variant"), "{answer:?}");
    }
}

#[test]
fn a_key_that_was_rotated_already_is_a_conflict_that_names_its_successor() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let rotate = || Request::post(&format!("/keys/{}/rotate", key.id)).over(&daemon.control());
    let first = rotate();
    let successor = first.json()["key"]["id"].as_str().unwrap().to_owned();
    let second = rotate();
    assert_eq!((first.status, second.status, second.problem().as_str()), (201, 409, "conflict"), "{second:?}");
    assert!(second.json()["detail"].as_str().unwrap().contains(&successor), "{second:?}");
}

#[test]
fn a_call_is_copied_as_a_command_that_does_the_same_without_the_key_in_it() {
    let daemon = Daemon::with(DEV);
    let key = daemon.key("alice");
    let look = Look { permissions: &["clipboard-read", "clipboard-write"], ..Look::default() };
    let mut browser = Browser::open(&format!("http://{}/docs", daemon.address), &look);
    browser.says("#calls", "Bodies");
    browser.fill("#key", &key.secret);
    let publish = open_call(&mut browser, "post_alerts_topic");
    browser.fill(&format!("{publish} [name=topic]"), "ops.db");
    browser.fill(&format!("{publish} textarea"), &json!({"message": "it's $HOME; `id`"}).to_string());
    browser.click(&format!("{publish} .actions button:last-of-type"));
    browser.says(&format!("{publish} .state-line"), "Copied; set KEY to your key first");
    let command = browser.evaluate("navigator.clipboard.readText()");
    let command = command.as_str().unwrap();
    assert!(!command.contains(&key.secret) && command.starts_with("curl -N -X POST "), "{command}");
    let output = Command::new("sh").args(["-c", command]).env("KEY", &key.secret).output().unwrap();
    assert!(told(&output).contains("alert stored"), "{command}: {}", told(&output));
    let history = daemon.send(&Request::get("/alerts/ops.db?since=all").key(&key).header("Accept", "application/json"));
    assert_eq!(history.json()["alerts"][0]["message"], "it's $HOME; `id`");
}
