//! The ways in which a report of an incident comes in, and who acted on local sockets.

use serde_json::json;

use super::{incident, incidents};
use crate::harness::{Daemon, Request, told};

#[test]
fn json_query_headers_forms_lines_and_ntfy_report_alike() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let body = json!({"message": "m", "level": "warn", "incident": "way", "ttl": "1h"});
    let lines =
        format!("{}\n", json!({"topic": "lines", "message": "m", "level": "warn", "incident": "way", "ttl": "1h"}));
    let text = |path: &str| Request::post(path).body("m");
    for (topic, request) in [
        ("json", Request::post("/alerts/json").json(&body)),
        ("query", text("/alerts/query?level=warn&incident=way&ttl=1h")),
        ("headers", text("/alerts/headers?level=warn").header("Incident", "way").header("Incident-Ttl", "1h")),
        ("form", {
            let form = "message=m&level=warn&incident=way&ttl=1h";
            Request::post("/alerts/form").header("Content-Type", "application/x-www-form-urlencoded").body(form)
        }),
        ("lines", Request::post("/alerts").header("Content-Type", "application/x-ndjson").body(lines)),
        ("ntfy", text("/ntfy/ntfy").header("Priority", "4").header("Incident", "way").header("Incident-Ttl", "1h")),
    ] {
        let answer = daemon.send(&request.key(&key));
        assert_eq!(answer.status, 200, "{topic}: {answer:?}");
        let open = incident(&daemon, &key, &format!("{topic}/way"));
        assert_eq!((&open["state"], &open["level"]), (&json!("open"), &json!("warn")), "{topic}");
        assert!(open["ttl"].is_string(), "{topic}: {open}");
        let end = text(&format!("/alerts/{topic}")).header("Incident", "way").header("Incident-Status", "resolved");
        assert_eq!(daemon.send(&end.key(&key)).status, 200);
    }
    assert_eq!(incidents(&daemon, &key, "").len(), 0);
    // A form without an incident keeps these fields as metadata.
    let form = Request::post("/alerts/form").header("Content-Type", "application/x-www-form-urlencoded");
    let answer = daemon.send(&form.body("message=m&status=up&ttl=5").key(&key)).json();
    assert_eq!(answer["alert"]["metadata"], json!({"status": "up", "ttl": "5"}));
}

#[test]
fn a_local_user_acts_under_their_own_name_on_both_sockets() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let user = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    for (socket, name) in [(daemon.control(), "control"), (daemon.publish_socket(), "publish")] {
        let body = json!({"message": "m", "level": "warn", "incident": name});
        assert_eq!(Request::post("/alerts/ops").json(&body).over(&socket).status, 200);
        let answer = Request::post(&format!("/incidents/ops/{name}/acknowledge")).over(&socket);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(incident(&daemon, &key, &format!("ops/{name}"))["acknowledged_by"], user.trim());
    }
    let log = daemon.said("the incident publish on ops is acknowledged now");
    assert!(log.contains(user.trim()) && log.contains("publish socket"), "{log}");
}

#[test]
fn a_name_is_one_segment_of_a_path_whatever_it_contains() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for name in ["a/b", "50 % of ?#&", "Gerät \u{1f600}", ".."] {
        let body = json!({"message": "m", "level": "warn", "incident": name});
        assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&body)).status, 200);
        let output = daemon.ctl(&["acknowledge", "ops", name, "--json"]);
        assert!(output.status.success(), "{}", told(&output));
        let acknowledged: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&acknowledged["incident"], &acknowledged["state"]), (&json!(name), &json!("acknowledged")));
    }
}
