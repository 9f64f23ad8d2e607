//! Bodies under types that nobody planned for, forms of parts, and what programs write that have nothing to say.

use std::process::Command;

use serde_json::{Value, json};

use super::publish;
use crate::harness::{Daemon, Request, signed, told};

#[test]
fn a_body_that_is_a_text_is_an_alert_whatever_its_type_says() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for kind in [
        "application/yaml",
        "application/xml",
        "application/x-json",
        "application/json, text/plain",
        "application/json charset=utf-8",
        "json",
        "utf-8",
        "*/*",
        "binary/octet-stream",
    ] {
        let text = publish(&daemon, &key, "/alerts/t", Some(kind), "disk: full\n");
        assert_eq!((&text["message"], &text["level"]), (&json!("disk: full\n"), &json!("info")), "{kind}");
        let alert = publish(&daemon, &key, "/alerts/t", Some(kind), r#"{"message":"x","level":"error"}"#);
        assert_eq!((&alert["message"], &alert["level"]), (&json!("x"), &json!("error")), "{kind}");
    }
    for (kind, body) in
        [("application/zip", &b"PK\x03\x04\0"[..]), ("application/yaml", b"a: \xff"), ("image/png", b"x")]
    {
        let answer = daemon.send(&Request::post("/alerts/t").key(&key).header("Content-Type", kind).body(body));
        assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported-media-type"), "{kind}");
        assert!(answer.text().contains(kind), "{}", answer.text());
    }
}

#[test]
fn what_curl_sends_as_a_form_of_parts_is_a_form() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let log = daemon.directory.path().join("out.log");
    std::fs::write(&log, "02:17 started\r\n--\n02:18 Ger\u{e4}t fehlt\n").unwrap();
    let core = daemon.directory.path().join("core");
    std::fs::write(&core, b"\x7fELF\0\xff").unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "-H", &format!("Authorization: Bearer {}", key.secret)]);
    curl.args(["-F", "Message=Water under the boiler: 42 ml & rising", "-F", "severity=critical", "-F", "title=Küche"]);
    curl.arg("-F").arg(format!("log=@{}", log.display())).arg("-F").arg(format!("core=@{}", core.display()));
    let output = curl.arg(format!("http://{}/alerts/home", daemon.address)).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let alert: Value = serde_json::from_slice::<Value>(&output.stdout).unwrap()["alert"].clone();
    assert_eq!(
        (&alert["message"], &alert["level"]),
        (&json!("Water under the boiler: 42 ml & rising"), &json!("error"))
    );
    let metadata = json!({
        "core": "(a file of 6 bytes)", "log": "02:17 started\r\n--\n02:18 Gerät fehlt\n", "severity": "critical", "title": "Küche"
    });
    assert_eq!(alert["metadata"], metadata);
}

#[test]
fn what_a_group_does_not_have_or_has_in_another_type_costs_no_alert() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let alert = |number: usize, change: &Value| {
        let mut alert = json!({
            "status": "firing", "fingerprint": number.to_string(), "startsAt": "s", "labels": {"alertname": "A"},
            "annotations": {"summary": "x"}
        });
        alert.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        alert
    };
    let changes = [
        json!({"labels": null}),
        json!({"annotations": null}),
        json!({"annotations": {"summary": null, "description": 91}}),
        json!({"labels": {"severity": 1, "shard": [1, 2]}}),
        json!({"endsAt": null, "generatorURL": null, "dashboardURL": null, "values": null}),
    ];
    let alerts: Vec<_> = changes.iter().enumerate().map(|(number, change)| alert(number, change)).collect();
    let group = json!({"receiver": null, "externalURL": null, "truncatedAlerts": null, "alerts": alerts});
    for (path, sender) in [("/hooks/alertmanager/a", "alertmanager"), ("/hooks/grafana/g", "grafana")] {
        let answer = daemon.send(&Request::post(path).key(&key).json(&group));
        assert_eq!((answer.status, answer.json()["stored"].as_u64()), (200, Some(5)), "{sender}: {answer:?}");
    }
    let history = Request::get("/alerts/a?since=all").header("Accept", "application/json").over(&daemon.control());
    let alerts = history.json()["alerts"].as_array().unwrap().clone();
    assert_eq!(alerts[2]["message"], "91");
    assert_eq!((&alerts[3]["level"], &alerts[3]["metadata"]["labels"]["shard"]), (&json!("warn"), &json!("[1,2]")));
    assert!(alerts.iter().all(|alert| alert["level"] == "warn"));
}

#[test]
fn a_webhook_of_github_may_send_the_type_that_github_proposes() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("github"), "field-case").unwrap();
    let daemon = Daemon::with(&format!("[hooks]\ngithub_secret_file = \"{}/github\"\n", secrets.path().display()));
    let payload = r#"{"action":"completed","workflow_run":{"name":"CI & more","conclusion":"failure"},"repository":{"full_name":"o/r"}}"#;
    let encoded: String = payload.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let send = |body: &str, delivery: &str| {
        let request = Request::post("/hooks/github/ci").header("Content-Type", "application/x-www-form-urlencoded");
        let request = request.header("X-GitHub-Event", "workflow_run").header("X-GitHub-Delivery", delivery);
        daemon.send(&request.header("X-Hub-Signature-256", &signed("field-case", body)).body(body))
    };
    let answer = send(&format!("payload={encoded}"), "1");
    assert_eq!((answer.status, answer.json()["stored"].as_u64()), (200, Some(1)), "{answer:?}");
    let history = Request::get("/alerts/ci?since=all").header("Accept", "application/json").over(&daemon.control());
    let alert = history.json()["alerts"][0].clone();
    assert_eq!(
        (&alert["level"], &alert["message"]),
        (&json!("error"), &json!("o/r: workflow_run completed: CI & more (failure)"))
    );
    let other = send("a=b", "2");
    assert_eq!((other.status, other.problem().as_str()), (415, "unsupported-media-type"));
    assert!(other.text().contains("payload"), "{}", other.text());
}
