//! Publishing and history.

use serde_json::{Value, json};

use crate::harness::{Daemon, Request};

#[test]
fn an_alert_is_answered_as_every_reader_gets_it() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let body = json!({"message": "Deploy completed", "level": "info", "metadata": {"version": "1.2.3"}});
    let answer = daemon.send(&Request::new("PUT", "/alerts").key(&key).json(&body));
    assert_eq!(answer.status, 200);
    assert!(answer.header("x-request-id").is_some());
    let stored = answer.json();
    assert_eq!(stored["status"], "alert stored");
    let alert = &stored["alert"];
    assert_eq!(alert["topic"], "default");
    assert_eq!(alert["metadata"], json!({"version": "1.2.3"}));
    assert_eq!(daemon.stream(&key, "/alerts").alert().as_ref(), Some(alert));
    let history = daemon.send(&Request::get("/alerts").key(&key).header("Accept", "application/json")).json();
    assert_eq!(history, json!({"alerts": [alert], "next": null, "gap": null}));
    let lines = daemon.send(&Request::get("/alerts?since=all").key(&key).header("Accept", "application/json")).json();
    assert_eq!(lines["alerts"], json!([alert]));
}

#[test]
fn a_body_is_taken_as_its_type_says_or_as_it_looks() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let publish = |path: &str, kind: Option<&str>, body: &str| {
        let mut request = Request::post(path).key(&key).body(body);
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        let alert = daemon.send(&request).json()["alert"].clone();
        (alert["message"].as_str().unwrap_or("?").to_owned(), alert["level"].as_str().unwrap_or("?").to_owned())
    };
    let form = Some("application/x-www-form-urlencoded");
    let said = |message: &str, level: &str| (message.to_owned(), level.to_owned());
    assert_eq!(publish("/alerts/a", Some("text/plain"), "{\"message\":1}"), said("{\"message\":1}", "info"));
    assert_eq!(publish("/alerts/a?level=warn", Some("text/plain; charset=utf-8"), "disk"), said("disk", "warn"));
    assert_eq!(publish("/alerts/a", form, "{\"message\":\"x\",\"level\":\"error\"}"), said("x", "error"));
    assert_eq!(publish("/alerts/a", form, "disk full"), said("disk full", "info"));
    assert_eq!(publish("/alerts/a", None, " {\"message\":\"y\"}"), said("y", "info"));
    assert_eq!(publish("/alerts/a?level=error", None, "plain"), said("plain", "error"));
}

#[test]
fn a_repeated_idempotency_key_stores_once() {
    let daemon = Daemon::start();
    let (alice, bob) = (daemon.key("alice"), daemon.key("bob"));
    let other = daemon.key("alice");
    let send = |key, message: &str| {
        daemon
            .send(&Request::post("/alerts").key(key).header("Idempotency-Key", "k1").json(&json!({"message": message})))
    };
    let first = send(&alice, "once").json();
    assert_eq!(send(&alice, "once").json(), first);
    // It belongs to the user, whichever of the user's keys sends it.
    assert_eq!(send(&other, "once").json(), first);
    let conflict = send(&alice, "else");
    assert_eq!((conflict.status, conflict.problem().as_str()), (409, "conflict"));
    assert_ne!(send(&bob, "once").json()["alert"]["id"], first["alert"]["id"]);
    let mut daemon = daemon;
    daemon.stop();
    let daemon = daemon.again();
    let again = daemon
        .send(&Request::post("/alerts").key(&alice).header("Idempotency-Key", "k1").json(&json!({"message": "once"})));
    assert_eq!(again.json(), first);
}

#[test]
fn lines_are_stored_in_order_together_or_not_at_all() {
    let daemon = Daemon::start();
    let alice = daemon.key("alice");
    let send = |path: &str, lines: &[Value]| {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request = Request::post(path).key(&alice).header("Content-Type", "application/x-ndjson");
        daemon.send(&request.body(body))
    };
    let messages = || {
        let all = Request::get("/alerts?topic=*&since=all&limit=1000").key(&alice).header("Accept", "application/json");
        let alerts = daemon.send(&all).json()["alerts"].as_array().unwrap().clone();
        let said =
            |alert: &Value| format!("{}/{}", alert["topic"].as_str().unwrap(), alert["message"].as_str().unwrap());
        alerts.iter().map(said).collect::<Vec<_>>()
    };
    let line =
        |n: usize| json!({"topic": format!("t{}", n % 3), "message": n.to_string(), "idempotency_key": n.to_string()});
    let all: Vec<_> = (0..500).map(line).collect();
    let stored = |answer: crate::harness::Answer| {
        (answer.status, answer.json()["stored"].clone(), answer.json()["repeated"].clone())
    };
    assert_eq!(stored(send("/alerts", &all[..300])), (200, json!(300), json!(0)));
    // Other groups of the same lines are recognised line by line.
    assert_eq!(stored(send("/alerts", &all[200..])), (200, json!(200), json!(100)));
    let expected: Vec<_> = (0..500).map(|n| format!("t{}/{n}", n % 3)).collect();
    assert_eq!(messages(), expected);

    // Nothing of a body is stored if one line is refused, a key was used for another alert, or a topic is not permitted.
    let new = json!({"message": "new"});
    let taken = json!({"message": "other", "idempotency_key": "7"});
    for (path, second, status) in [
        ("/alerts", json!({"message": ""}), 422),
        ("/alerts", json!({"message": "x", "key": "k"}), 422),
        ("/alerts", taken, 409),
        ("/alerts/ops", json!({"message": "x", "topic": "t1"}), 422),
        ("/alerts?level=warn", json!({"message": "x"}), 422),
    ] {
        assert_eq!(send(path, &[new.clone(), second.clone()]).status, status, "{path} {second}");
    }
    let narrow = daemon.key_with(&json!({"user": "bob", "topics": ["ops"]}));
    let request = Request::post("/alerts").key(&narrow).header("Content-Type", "application/x-ndjson");
    let body = "{\"message\":\"new\",\"topic\":\"ops\"}\n{\"message\":\"new\",\"topic\":\"web\"}";
    assert_eq!(daemon.send(&request.body(body)).status, 403);
    assert_eq!(messages(), expected);
    let answer = send("/alerts", &[new.clone(), json!({"message": 5})]);
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("line 2: message: must be a string"), "{answer:?}");
}

#[test]
fn history_pages_in_both_directions_without_hole_or_repeat() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let ids: Vec<String> =
        (0..25).map(|i| daemon.publish(&key, ["ops.db", "web", "ops.net"][i % 3], &format!("m{i}"))).collect();
    let page = |query: &str| {
        let request = Request::get(&format!("/alerts?{query}")).key(&key).header("Accept", "application/json");
        let answer = daemon.send(&request);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let of = |page: &Value| -> Vec<String> {
        page["alerts"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap().to_owned()).collect()
    };
    let walk = |start: &str, direction: &str, topics: &str| {
        let (mut all, mut at) = (Vec::new(), start.to_owned());
        loop {
            let page = page(&format!("{topics}&limit=4{at}"));
            let mut ids = of(&page);
            if direction == "before" {
                ids.append(&mut all);
                all = ids;
            } else {
                all.append(&mut ids);
            }
            let Some(next) = page["next"].as_str() else { return all };
            at = format!("&{direction}={next}");
        }
    };
    assert_eq!(walk("&since=all", "since", "topic=*"), ids);
    assert_eq!(walk("", "before", "topic=*"), ids);
    let ops: Vec<_> = ids.iter().enumerate().filter(|(i, _)| i % 3 != 1).map(|(_, id)| id.clone()).collect();
    assert_eq!(walk("&since=all", "since", "topic=ops.*"), ops);
    assert_eq!(walk("", "before", "topic=ops.db&topic=ops.net"), ops);
    assert_eq!(of(&page(&format!("topic=*&since={}", ids[20]))), ids[21..]);
    assert_eq!(of(&page("topic=*&since=10m&limit=1000")), ids);
    let gap = page("topic=*&since=5-0");
    assert_eq!((gap["gap"]["requested"].as_str(), of(&gap).len()), (Some("5-0"), 25));
}

#[test]
fn head_options_and_health_are_done_right() {
    let daemon = Daemon::with("[http]\ncors_origins = \"https://dash.example\"\n");
    let key = daemon.key("alice");
    let health = daemon.send(&Request::get("/health").key(&key));
    assert_eq!((health.status, health.text().as_str()), (200, "{\"status\":\"ok\"}\n"));
    let head = daemon.send(&Request::new("HEAD", "/health").key(&key));
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("16")));
    let stream = daemon.send(&Request::new("HEAD", "/alerts").key(&key));
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(stream.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    let options = daemon.send(&Request::new("OPTIONS", "/alerts"));
    assert_eq!(options.status, 204, "{options:?}");
    let allow = options.header("allow").unwrap();
    assert!(["GET", "HEAD", "PUT", "POST", "OPTIONS"].iter().all(|method| allow.contains(method)), "{allow}");
    let preflight = Request::new("OPTIONS", "/alerts")
        .header("Origin", "https://dash.example")
        .header("Access-Control-Request-Method", "GET");
    let preflight = daemon.send(&preflight);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://dash.example"));
    let foreign = daemon.send(&Request::get("/health").key(&key).header("Origin", "https://evil.example"));
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    for path in ["/livez", "/readyz"] {
        assert_eq!(daemon.send(&Request::get(path)).status, 200, "{path}");
    }
}

#[test]
fn local_sockets_need_no_key_and_the_publish_socket_only_publishes() {
    let daemon = Daemon::start();
    let socket = daemon.publish_socket();
    let published = Request::post("/alerts/host").body("from here").over(&socket);
    assert_eq!(published.status, 200, "{published:?}");
    for request in [Request::get("/alerts"), Request::get("/status"), Request::get("/keys"), Request::post("/reload")] {
        let refused = request.over(&socket);
        assert_eq!((refused.status, refused.problem().as_str()), (403, "not-permitted"), "{request:?}");
    }
    let history = Request::get("/alerts?topic=*").header("Accept", "application/json").over(&daemon.control());
    assert_eq!(history.json()["alerts"][0]["message"], "from here");
}
