//! Tools that send alerts of their own: their payloads as they document them, and a real Alertmanager.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Alertmanager, Answer, Daemon, Key, Request, fixed_port, raw, signed};

const ALERTMANAGER: &str = include_str!("fixtures/hooks/alertmanager.json");
const GRAFANA: &str = include_str!("fixtures/hooks/grafana.json");
const PUSH: &str = include_str!("fixtures/hooks/github-push.json");
const WORKFLOW_RUN: &str = include_str!("fixtures/hooks/github-workflow_run.json");
const SECRET: &str = "It's a Secret to Everybody";

fn send(daemon: &Daemon, key: &Key, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    daemon.send(&Request::post(path).key(key).header("Content-Type", "application/json").body(body))
}

/// Stored and repeated.
fn counts(answer: &Answer) -> (u64, u64) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["status"], "alerts stored");
    (answer["stored"].as_u64().unwrap(), answer["repeated"].as_u64().unwrap())
}

/// All alerts, oldest first.
fn history(daemon: &Daemon) -> Vec<Value> {
    let request = Request::get("/alerts?topic=*&since=all&limit=1000").header("Accept", "application/json");
    request.over(&daemon.control()).json()["alerts"].as_array().unwrap().clone()
}

/// Why a request was refused: status, kind and words.
fn refused(answer: &Answer) -> (u16, String, String) {
    (answer.status, answer.problem(), answer.json()["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_group_of_alertmanager_arrives_and_its_retry_repeats_nothing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut stream = daemon.stream(&key, "/alerts/ops.db?since=none");
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/ops.db", ALERTMANAGER)), (2, 0));
    let (first, second) = (stream.alert().unwrap(), stream.alert().unwrap());
    assert_eq!((&first["message"], &first["level"]), (&json!("The disk of db1 is 91 % full"), &json!("error")));
    assert_eq!(first["metadata"]["labels"]["instance"], "db1:9100");
    assert_eq!(first["metadata"]["annotations"]["runbook_url"], "https://runbooks.example/disk");
    assert_eq!(second["message"], "resolved: The disk of db2 is 82 % full");
    assert_eq!((&second["level"], &second["metadata"]["endsAt"]), (&json!("info"), &json!("2026-11-23T17:33:00Z")));

    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/ops.db", ALERTMANAGER)), (0, 2));
    // The group as it is sent when something in it changed: other words, one more resolved, one anew.
    let mut group: Value = serde_json::from_str(ALERTMANAGER).unwrap();
    group["alerts"][1]["annotations"]["summary"] = json!("in other words");
    group["alerts"][0]["status"] = json!("resolved");
    let mut third = group["alerts"][0].clone();
    (third["fingerprint"], third["status"]) = (json!("a"), json!("firing"));
    group["alerts"].as_array_mut().unwrap().push(third);
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/ops.db", group.to_string())), (2, 1));
    assert_eq!(stream.message(), "resolved: The disk of db1 is 91 % full");
    assert_eq!(stream.message(), "The disk of db1 is 91 % full");
    // An alert that fires again is not a repeat, even with the same start.
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/ops.db", ALERTMANAGER)), (1, 1));
    // On another topic it is new.
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager?topic=web", ALERTMANAGER)), (2, 0));
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager", ALERTMANAGER)), (2, 0));
    let topics: Vec<_> = history(&daemon).iter().skip(5).map(|alert| alert["topic"].clone()).collect();
    assert_eq!(topics, ["web", "web", "default", "default"]);
}

#[test]
fn a_group_of_grafana_arrives() {
    let daemon = Daemon::start();
    let key = daemon.key_with(&json!({ "user": "grafana", "scopes": ["publish"] }));
    assert_eq!(counts(&send(&daemon, &key, "/hooks/grafana?topic=servers", GRAFANA)), (2, 0));
    let put = Request::new("PUT", "/hooks/grafana?topic=servers").key(&key).body(GRAFANA);
    assert_eq!(counts(&daemon.send(&put)), (0, 2));
    let alerts = history(&daemon);
    assert_eq!((&alerts[0]["message"], &alerts[0]["level"]), (&json!("High memory usage in eu-1"), &json!("warn")));
    assert_eq!(alerts[0]["metadata"]["values"], json!({"B": 91.239_437_375_419_08, "C": 1}));
    assert_eq!(alerts[0]["metadata"]["panelURL"], "https://grafana.example/d/servers?viewPanel=2");
    assert_eq!(alerts[1]["message"], "DatasourceNoData (datasource_uid=p1, rulename=High memory usage)");
}

#[test]
fn a_payload_is_stored_whole_or_not_at_all() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut group: Value = serde_json::from_str(ALERTMANAGER).unwrap();
    group["alerts"][1]["status"] = json!("pending");
    let (status, kind, words) = refused(&send(&daemon, &key, "/hooks/alertmanager", group.to_string()));
    assert_eq!((status, kind.as_str()), (422, "invalid"));
    assert_eq!(words, r#"alerts[1].status: must be "firing" or "resolved", not "pending""#);
    for (body, status, field) in [
        ("{", 400, "the body is not JSON"),
        ("", 400, "the body is not JSON"),
        ("[]", 422, "body: "),
        ("{}", 422, "alerts: is missing"),
        (r#"{"alerts":[{"status":"firing","fingerprint":"a"}]}"#, 422, "alerts[0].startsAt: is missing"),
        (
            r#"{"alerts":[{"status":"firing","fingerprint":"a","startsAt":"s","labels":[1]}]}"#,
            422,
            "alerts[0].labels: ",
        ),
    ] {
        let (got, _, words) = refused(&send(&daemon, &key, "/hooks/grafana", body));
        assert!(got == status && words.starts_with(field), "{body}: {got} {words}");
    }
    let form = Request::post("/hooks/github").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("other=%7B%7D").over(&daemon.control()).status, 415);
    assert_eq!(history(&daemon), Vec::<Value>::new());
}

#[test]
fn a_hook_needs_a_key_that_may_publish_to_its_topic() {
    let daemon = Daemon::start();
    let ops = daemon.key_with(&json!({ "user": "a", "scopes": ["publish"], "topics": ["ops.*"] }));
    let reader = daemon.key_with(&json!({ "user": "b", "scopes": ["subscribe"] }));
    assert_eq!(send(&daemon, &reader, "/hooks/alertmanager/ops.db", ALERTMANAGER).status, 403);
    let (status, _, words) = refused(&send(&daemon, &ops, "/hooks/alertmanager/web", ALERTMANAGER));
    assert!(status == 403 && words.contains("web"), "{words}");
    assert_eq!(daemon.send(&Request::post("/hooks/alertmanager").body(ALERTMANAGER)).status, 401);
    assert_eq!(daemon.send(&Request::get("/hooks/alertmanager").key(&ops)).header("allow"), Some("POST, OPTIONS"));
    for path in ["/hooks/alertmanager/ops.db?topic=ops.db", "/hooks/alertmanager/a%20b", "/hooks/grafana?level=warn"] {
        assert_eq!(send(&daemon, &ops, path, ALERTMANAGER).status, 422, "{path}");
    }
    assert_eq!(history(&daemon), Vec::<Value>::new());
    assert_eq!(counts(&send(&daemon, &ops, "/hooks/alertmanager/ops.db", ALERTMANAGER)), (2, 0));
    let local = Request::post("/hooks/alertmanager/ops.db").body(ALERTMANAGER).over(&daemon.publish_socket());
    // Repeats are recognised per user.
    assert_eq!(counts(&local), (2, 0));
}

#[test]
fn a_hook_has_its_own_body_limit_which_a_reload_changes() {
    let daemon = Daemon::with("[http]\nmax_body = \"1KiB\"\n[hooks]\nmax_body = \"2KiB\"\n");
    let key = daemon.key("alice");
    let mut group: Value = serde_json::from_str(ALERTMANAGER).unwrap();
    group["alerts"][0]["annotations"]["description"] = json!("x".repeat(200_000));
    let large = group.to_string();
    let (status, kind, words) = refused(&send(&daemon, &key, "/hooks/alertmanager", large.clone()));
    assert_eq!((status, kind.as_str()), (413, "too-large"));
    assert!(words.contains("hooks.max_body"), "{words}");
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/a", ALERTMANAGER)), (2, 0));
    daemon.configure("[http]\nmax_body = \"1KiB\"\n");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager/b", large)), (2, 0));
    let alert = history(&daemon).into_iter().find(|alert| alert["topic"] == "b").unwrap();
    let cut = alert["metadata"]["annotations"]["description"].as_str().unwrap().to_owned();
    assert!(cut.len() <= 4096 && cut.ends_with("x…"), "{}", cut.len());
    assert_eq!(send(&daemon, &key, "/alerts", "{\"message\":\"".to_owned() + &"x".repeat(2000) + "\"}").status, 413);
}

#[test]
fn each_alert_counts_for_the_rate_and_what_is_over_it_is_for_later() {
    let daemon = Daemon::with("[limits]\npublish_rate = 1\n");
    let key = daemon.key("alice");
    assert_eq!(counts(&send(&daemon, &key, "/hooks/alertmanager", ALERTMANAGER)), (2, 0));
    let later = send(&daemon, &key, "/hooks/alertmanager", ALERTMANAGER);
    // Alertmanager does not come back after a 429.
    assert_eq!((later.status, later.header("retry-after")), (503, Some("1")));
    assert!(later.json()["detail"].as_str().unwrap().contains("limits.publish_rate"), "{later:?}");
    assert_eq!(send(&daemon, &key, "/alerts", "{\"message\":\"x\"}").status, 429);
}

/// What GitHub sends, signed with this secret.
fn delivery(event: &str, id: &str, secret: &str, body: &str) -> Request {
    Request::post("/hooks/github/github.hello")
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", event)
        .header("X-GitHub-Delivery", id)
        .header("X-Hub-Signature-256", &signed(secret, body))
        .body(body)
}

#[test]
fn github_is_known_by_its_signature() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    fs::write(directory.path().join("github"), format!("{SECRET}\n")).unwrap();
    let configuration = format!("[hooks]\ngithub_secret_file = \"{at}/github\"\ngithub_topics = [\"github.*\"]\n");
    let daemon = Daemon::with(&configuration);
    assert_eq!(
        counts(&daemon.send(&delivery("ping", "p", SECRET, r#"{"zen":"Anything added dilutes everything else."}"#))),
        (0, 0)
    );
    assert_eq!(counts(&daemon.send(&delivery("workflow_run", "d1", SECRET, WORKFLOW_RUN))), (1, 0));
    assert_eq!(counts(&daemon.send(&delivery("push", "d2", SECRET, PUSH))), (1, 0));
    // Redelivered from its page.
    assert_eq!(counts(&daemon.send(&delivery("push", "d2", SECRET, PUSH))), (0, 1));
    let alerts = history(&daemon);
    assert_eq!(alerts.len(), 2);
    assert_eq!(
        (&alerts[0]["message"], &alerts[0]["level"]),
        (&json!("Codertocat/Hello-World: workflow_run completed: CI (failure)"), &json!("error"))
    );
    assert_eq!(alerts[0]["metadata"]["url"], "https://github.com/Codertocat/Hello-World/actions/runs/289782451");
    assert_eq!(
        alerts[1]["message"],
        "Codertocat/Hello-World: Codertocat pushed 1 commit to main: Say hello in more languages"
    );

    let (status, kind, words) = refused(&daemon.send(&delivery("push", "d3", "guess", PUSH)));
    assert_eq!((status, kind.as_str()), (401, "unauthorized"));
    assert!(words.contains("hooks.github_secret_file") && !words.contains(SECRET), "{words}");
    let key = daemon.key("alice");
    assert_eq!(send(&daemon, &key, "/hooks/github/github.hello", PUSH).status, 401);
    let elsewhere = delivery("push", "d3", SECRET, PUSH).bytes(true);
    let elsewhere = String::from_utf8(elsewhere).unwrap().replacen("github.hello", "ops", 1);
    assert_eq!(raw(daemon.address, elsewhere.as_bytes()).status, 403);
    let unnamed = String::from_utf8(delivery("push", "d3", SECRET, PUSH).bytes(true)).unwrap();
    let unnamed = unnamed.replacen("X-GitHub-Delivery", "X-Other", 1);
    let (status, _, words) = refused(&raw(daemon.address, unnamed.as_bytes()));
    assert!(status == 422 && words.starts_with("X-GitHub-Delivery: is missing"), "{words}");
    assert_eq!(history(&daemon).len(), 2);

    // Another secret, which a reload reads; then none.
    fs::write(directory.path().join("github"), "another").unwrap();
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(daemon.send(&delivery("push", "d4", SECRET, PUSH)).status, 401);
    assert_eq!(counts(&daemon.send(&delivery("push", "d4", "another", PUSH))), (1, 0));
    fs::remove_file(directory.path().join("github")).unwrap();
    let reload = daemon.ctl(&["reload"]);
    assert_eq!(reload.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&reload.stderr).contains("hooks.github_secret_file"), "{reload:?}");
    daemon.configure("");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(daemon.send(&delivery("push", "d5", "another", PUSH)).status, 404);
    assert!(!daemon.log().contains(SECRET));
}

#[test]
fn guesses_of_githubs_secret_are_held_back() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("github"), SECRET).unwrap();
    let at = directory.path().display();
    let daemon =
        Daemon::with(&format!("[hooks]\ngithub_secret_file = \"{at}/github\"\n[limits]\nfailed_auth_rate = 2\n"));
    let statuses: Vec<_> =
        (0..3).map(|i| daemon.send(&delivery("push", &format!("d{i}"), "guess", PUSH)).status).collect();
    assert_eq!(statuses, [401, 401, 429]);
}

#[test]
fn ntfys_headers_say_more_of_a_text() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let publish = |headers: &[(&str, &str)], path: &str, body: &str| {
        let request = Request::post(path).key(&key).body(body);
        daemon.send(&headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
    };
    let headers = [("Title", "Sicherung fällt aus"), ("Priority", "urgent"), ("Tags", "warning,skull")];
    let alert = publish(&headers, "/alerts/ops", "disk full").json()["alert"].clone();
    assert_eq!(
        (&alert["message"], &alert["level"], &alert["topic"]),
        (&json!("disk full"), &json!("error"), &json!("ops"))
    );
    assert_eq!(alert["metadata"], json!({"title": "Sicherung fällt aus", "priority": 5, "tags": ["warning", "skull"]}));
    let level = |headers: &[(&str, &str)], path: &str| publish(headers, path, "x").json()["alert"]["level"].clone();
    assert_eq!(level(&[("X-Priority", "4")], "/alerts/ops"), "warn");
    assert_eq!(level(&[("Priority", "high")], "/alerts/ops?level=error"), "error");
    assert_eq!(level(&[("Priority", "u=1, i")], "/alerts/ops"), "info");
    assert_eq!(level(&[("Priority", "6")], "/alerts/ops"), "warn");
    assert_eq!(level(&[("Priority", "critical")], "/alerts/ops"), "error");
    // A JSON body is complete by itself, and browsers send a header of that name.
    let json = publish(&[("Priority", "6"), ("Title", "t")], "/alerts/ops", "{\"message\":\"x\"}").json();
    assert_eq!((&json["alert"]["level"], &json["alert"]["metadata"]), (&json!("info"), &json!({})));
}

#[test]
fn the_real_alertmanager_fires_and_resolves() {
    let daemon = Daemon::start();
    let key = daemon.key_with(&json!({ "user": "alertmanager", "scopes": ["publish"], "topics": ["ops"] }));
    let mut stream = daemon.stream(&daemon.key("alice"), "/alerts/ops?since=none");
    let alertmanager = Alertmanager::start(&daemon, &key);
    alertmanager.tell("db1", "2099-01-01T00:00:00Z");
    let fired = stream.alert().unwrap();
    assert_eq!((&fired["message"], &fired["level"]), (&json!("The disk of db1 is full"), &json!("error")));
    assert_eq!(
        fired["metadata"]["labels"],
        json!({"alertname": "DiskFull", "instance": "db1", "severity": "critical"})
    );
    assert_eq!((&fired["metadata"]["status"], &fired["metadata"]["receiver"]), (&json!("firing"), &json!("alertd")));
    // The group is sent again with one more alert; the earlier ones are not stored again.
    alertmanager.tell("db2", "2099-01-01T00:00:00Z");
    assert_eq!(stream.message(), "The disk of db2 is full");
    alertmanager.tell("db1", "2020-01-01T00:10:00Z");
    let resolved = stream.alert().unwrap();
    assert_eq!(
        (&resolved["message"], &resolved["level"]),
        (&json!("resolved: The disk of db1 is full"), &json!("info"))
    );
    assert_eq!(resolved["metadata"]["fingerprint"], fired["metadata"]["fingerprint"]);
    assert_eq!(resolved["metadata"]["endsAt"], "2020-01-01T00:10:00Z");
}

#[test]
fn the_real_alertmanager_sends_again_what_nobody_took() {
    let port = fixed_port();
    let mut daemon = Daemon::with_environment("", &[("ALERTD_HTTP_LISTEN", &port)]);
    let (publisher, reader) = (daemon.key("alertmanager"), daemon.key("alice"));
    let alertmanager = Alertmanager::start(&daemon, &publisher);
    daemon.kill();
    alertmanager.tell("db1", "2099-01-01T00:00:00Z");
    alertmanager.failed();
    let daemon = daemon.again();
    let mut stream = daemon.stream(&reader, "/alerts/ops?since=all");
    assert_eq!(stream.message(), "The disk of db1 is full");
    alertmanager.tell("db2", "2099-01-01T00:00:00Z");
    assert_eq!(stream.message(), "The disk of db2 is full");
}
