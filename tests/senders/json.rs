//! Tools that can send a webhook and nothing more: any JSON object, list or form is an alert.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Daemon, Key, Request, python, told};

const GITLAB: &str = include_str!("../fixtures/hooks/json/gitlab.json");
const CLOUD_EVENT: &str = include_str!("../fixtures/hooks/json/cloudevents.json");

fn newest(daemon: &Daemon, topic: &str) -> Value {
    let request = Request::get(&format!("/alerts/{topic}?limit=1")).header("Accept", "application/json");
    request.over(&daemon.control()).json()["alerts"][0].clone()
}

/// Sends a body, of which this many alerts are stored and repeated.
fn send(daemon: &Daemon, key: &Key, kind: Option<&str>, body: impl Into<Vec<u8>>, expected: (u64, u64)) {
    let request = Request::post("/hooks/json/t").key(key).body(body);
    let answer = daemon.send(&kind.map_or(request.clone(), |kind| request.header("Content-Type", kind)));
    assert_eq!(answer.status, 200, "{kind:?}: {answer:?}");
    let counted = (answer.json()["stored"].as_u64().unwrap(), answer.json()["repeated"].as_u64().unwrap());
    assert_eq!(counted, expected, "{kind:?}");
}

#[test]
fn what_apprise_sends_as_json_or_as_a_form_has_its_title_and_the_level_of_its_type() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let apprise = python("clients/apprise", &["apprise==2.2.0"]).join("apprise");
    for scheme in ["json", "form"] {
        for (kind, level) in [("info", "info"), ("success", "info"), ("warning", "warn"), ("failure", "error")] {
            // The key is the password of the URL, which Apprise sends as Basic.
            let url = format!("{scheme}://any:{}@{}/hooks/json/home", key.secret, daemon.address);
            let mut command = Command::new(&apprise);
            let output = command.args(["-t", "Gerät", "-b", "Pumpe & Kessel 42 %", "-n", kind, &url]).output().unwrap();
            assert!(output.status.success(), "{scheme}: {}", told(&output));
            let alert = newest(&daemon, "home");
            assert_eq!((&alert["level"], &alert["metadata"]["title"]), (&json!(level), &json!("Gerät")), "{alert}");
            assert!(alert["message"].as_str().unwrap().starts_with("Pumpe & Kessel 42 %"), "{alert}");
        }
    }
}

#[test]
fn a_body_is_read_whatever_its_type_says() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for kind in [None, Some("application/json"), Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        send(&daemon, &key, kind, GITLAB, (1, 0));
        let alert = newest(&daemon, "t");
        assert_eq!((&alert["level"], &alert["message"]), (&json!("error"), &json!("shop/api pipeline main: failed")));
    }
    let form = Some("application/x-www-form-urlencoded");
    send(&daemon, &key, form, "text=Disk+%26+more&severity=critical&host=db1", (1, 0));
    let alert = newest(&daemon, "t");
    assert_eq!((&alert["level"], &alert["message"]), (&json!("error"), &json!("Disk & more")));
    assert_eq!(alert["metadata"], json!({"severity": "critical", "host": "db1"}));
    // As chats took it first.
    send(&daemon, &key, form, "payload=%7B%22text%22%3A%22from+a+form%22%7D", (1, 0));
    assert_eq!(newest(&daemon, "t")["message"], "from a form");
    let parts = "--b\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\nin parts\r\n--b--\r\n";
    send(&daemon, &key, Some("multipart/form-data; boundary=b"), parts, (1, 0));
    assert_eq!(newest(&daemon, "t")["message"], "in parts");
    send(&daemon, &key, None, r#"[{"text":"one"},{"text":"two"}]"#, (2, 0));
    assert_eq!(newest(&daemon, "t")["message"], "two");
}

#[test]
fn a_cloud_event_that_is_sent_again_is_stored_once() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let kind = Some("application/cloudevents+json; charset=UTF-8");
    send(&daemon, &key, kind, CLOUD_EVENT, (1, 0));
    send(&daemon, &key, kind, CLOUD_EVENT, (0, 1));
    send(&daemon, &key, kind, CLOUD_EVENT.replace("b7f1-0042", "b7f1-0043"), (1, 0));
}

#[test]
fn the_key_may_be_the_password_of_a_url_wherever_a_key_is_taken() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let curl = |path: &str, user: &str, more: &[&str]| {
        let url = format!("http://{user}@{}{path}", daemon.address);
        let mut command = Command::new("curl");
        let output = command.args(["-sS", "-m", "5", "-w", "\n%{http_code}", &url]).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
    };
    for user in [format!("alice:{}", key.secret), format!("{}:", key.secret), format!(":{}", key.secret)] {
        assert_eq!(curl("/hooks/json/t", &user, &["-d", r#"{"text":"x"}"#]), "200");
        assert_eq!(curl("/alerts/t", &user, &["-d", "text"]), "200");
        assert_eq!(curl("/alerts/t", &user, &["-H", "Accept: application/json"]), "200");
    }
    assert_eq!(curl("/hooks/json/t", "alice:wrong", &["-d", r#"{"text":"x"}"#]), "401");
    let refused = daemon.send(&Request::post("/hooks/json/t").body("{}"));
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer realm=\"alertd\"")),
        "{refused:?}"
    );
}

#[test]
fn a_payload_without_content_is_refused_with_the_name_of_what_is_missing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for (body, status, words) in [
        ("{}", 422, "message: is missing"),
        (r#"[{"text":"a"},{}]"#, 422, "[1].message: is missing"),
        ("disk full", 400, "neither JSON nor a form"),
    ] {
        let answer = daemon.send(&Request::post("/hooks/json/t").key(&key).body(body));
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{answer:?}");
    }
    let reader = daemon.key_with(&json!({ "user": "reader", "scopes": ["subscribe"] }));
    assert_eq!(daemon.send(&Request::post("/hooks/json/t").key(&reader).body(GITLAB)).status, 403);
}
