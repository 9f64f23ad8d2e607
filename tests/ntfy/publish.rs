//! Publishing in ntfy's forms.

use serde_json::{Value, json};

use super::{app, polled};
use crate::harness::{Daemon, Key, Request};

fn newest(daemon: &Daemon, key: &Key) -> Value {
    let newest = Request::get("/alerts?topic=*&limit=1").key(key).header("Accept", "application/json");
    let mut alert = daemon.send(&newest).json()["alerts"][0].take();
    ["id", "received_at"].iter().for_each(|name| drop(alert.as_object_mut().unwrap().remove(*name)));
    alert
}

#[test]
fn each_form_of_a_publish_gives_the_same_alert_and_its_message_as_the_answer() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let all = json!({
        "topic": "ops", "message": "Plätze: 0", "title": "Disk", "priority": 5, "tags": ["warning", "db1"],
        "click": "https://a.test/1", "attach": "https://a.test/log.txt", "icon": null, "delay": null, "actions": [],
    });
    let query =
        "title=Disk&priority=max&tags=warning,db1&click=https%3A%2F%2Fa.test%2F1&attach=https%3A%2F%2Fa.test%2Flog.txt";
    let headers = |request: Request| {
        let request = request.header("X-Title", "Disk").header("Priority", "urgent").header("Ta", "warning,db1");
        request.header("Click", "https://a.test/1").header("Attach", "https://a.test/log.txt")
    };
    let metadata = json!({
        "title": "Disk", "priority": 5, "tags": ["warning", "db1"], "click": "https://a.test/1",
        "attachment": {"name": "log.txt", "url": "https://a.test/log.txt"},
    });
    let alert = json!({"topic": "ops", "message": "Plätze: 0", "level": "error", "metadata": metadata});
    for request in [
        Request::post("/ntfy").json(&all),
        Request::post("/ntfy/").json(&all),
        Request::post("/").json(&all),
        Request::new("PUT", &format!("/ntfy/ops?{query}")).body("Plätze: 0"),
        headers(Request::post("/ntfy/ops")).body("Plätze: 0"),
        Request::get(&format!("/ntfy/ops/publish?message=Pl%C3%A4tze:+0&{query}")),
        Request::get(&format!("/ntfy/ops/send?m=Pl%C3%A4tze:+0&{query}")),
        Request::get(&format!("/ntfy/ops/trigger?message=Pl%C3%A4tze:+0&{query}")),
        headers(Request::post("/ntfy")).json(&json!({"topic": "ops", "message": "Plätze: 0"})),
    ] {
        let answer = daemon.send(&request.clone().key(&key));
        assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
        assert_eq!(newest(&daemon, &key), alert, "{request:?}");
        let message = answer.json();
        let wanted =
            json!({"event": "message", "topic": "ops", "message": "Plätze: 0", "title": "Disk", "priority": 5});
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(&message[name], value, "{request:?}");
        }
        let polled = polled(&daemon, &app(&key, "/ntfy/ops/json?poll=1&since=latest"));
        assert_eq!(polled, [message], "{request:?}");
    }
    let triggered = daemon.send(&Request::get("/ntfy/ops/trigger").key(&key)).json();
    assert_eq!(triggered["message"], "triggered");
}

#[test]
fn what_alertd_does_not_do_and_what_is_wrong_is_refused_in_ntfys_form_and_stores_nothing() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let reader = daemon.key_with(&json!({"user": "r", "scopes": ["subscribe"]}));
    daemon.publish(&key, "ops", "last");
    let post = |path: &str| Request::post(path).key(&key).body("x");
    for (request, status, code) in [
        (post("/ntfy/ops?delay=30m"), 400, 40004),
        (post("/ntfy/ops").header("X-Email", "a@b.test"), 400, 40001),
        (post("/ntfy/ops?call=yes"), 400, 40032),
        (post("/ntfy/ops?filename=a.png"), 400, 40014),
        (post("/ntfy/a%20b"), 400, 40009),
        (Request::post("/ntfy").key(&key).body("{"), 400, 40000),
        (Request::post("/ntfy").key(&key).body("[]"), 400, 40017),
        (Request::post("/").key(&key).body("{\"message\":\"x\"}"), 400, 40009),
        (Request::new("HEAD", "/ntfy/ops/trigger").key(&key), 405, 0),
        (Request::post("/ntfy/ops").body("x"), 401, 40101),
        (Request::post("/ntfy/ops").key(&reader).body("x"), 403, 40301),
        (post("/ntfy/ops").body("x".repeat(70_000)), 413, 41301),
    ] {
        let answer = daemon.send(&request);
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        if code != 0 {
            let error = answer.json();
            assert_eq!((&error["code"], &error["http"]), (&json!(code), &json!(status)), "{request:?}");
            assert!(error["error"].as_str().is_some_and(|text| text.len() > 10), "{error}");
        }
    }
    assert_eq!(newest(&daemon, &key)["message"], "last");
}

#[test]
fn a_publish_that_is_sent_again_with_its_idempotency_key_is_one_message() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let ids = [1, 2].map(|_| {
        let request = Request::new("PUT", "/ntfy/ops").key(&key).header("Idempotency-Key", "k").body("once");
        daemon.send(&request).json()["id"].clone()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(polled(&daemon, &app(&key, "/ntfy/ops/json?poll=1")).len(), 1);
}
