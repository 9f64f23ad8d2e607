//! Reading: streams and polls as the apps ask for them.

use serde_json::{Value, json};

use super::{Messages, app, basic, key_for, polled, publish_lines, texts};
use crate::harness::{Daemon, Manager, Request};

#[test]
fn the_app_is_let_in_by_a_password_and_resumes_by_the_id_of_its_last_message() {
    let daemon = Daemon::with("[http]\nheartbeat = \"1s\"\n");
    let key = key_for(&daemon, &["ops.db", "web"]);
    let check = |topics: &str, request: fn(&str) -> Request| {
        let answer = daemon.send(&request(&format!("/ntfy/{topics}/auth")));
        (answer.status, answer.json())
    };
    // Adding a topic: first without a user, whereupon the app asks for one.
    let (status, error) = check("ops_db", Request::get);
    assert_eq!((status, &error["code"], &error["http"]), (401, &json!(40101), &json!(401)));
    assert_eq!(error.as_object().unwrap().len(), 3, "{error}");
    let allowed = daemon.send(&app(&key, "/ntfy/ops_db,web/auth"));
    assert_eq!((allowed.status, allowed.json()), (200, json!({"success": true})));
    let other = daemon.send(&app(&key, "/ntfy/ops_db,secret/auth"));
    assert_eq!((other.status, other.json()["code"].clone()), (403, json!(40301)));
    // What was there before, then live.
    let first = daemon.publish(&key, "ops.db", "before");
    let mut stream = Messages::open(&daemon, &app(&key, "/ntfy/ops_db,web/json?since=all"));
    let open = stream.event();
    assert_eq!((&open["event"], &open["topic"]), (&json!("open"), &json!("ops_db,web")));
    let message = stream.message();
    assert_eq!(
        (&message["id"], &message["topic"], &message["message"]),
        (&json!(first), &json!("ops_db"), &json!("before"))
    );
    daemon.publish(&key, "web", "live");
    assert_eq!(stream.message()["topic"], "web");
    let keepalive = stream.event();
    assert_eq!(keepalive["event"], "keepalive");
    assert!(keepalive["id"].is_string() && keepalive["time"].is_u64() && keepalive["topic"] == "ops_db,web");
    drop(stream);
    daemon.publish(&key, "ops.db", "meanwhile");
    let mut again = Messages::open(&daemon, &app(&key, &format!("/ntfy/ops_db,web/json?since={first}")));
    assert_eq!(texts(&[again.message(), again.message()]), ["live", "meanwhile"]);
}

#[test]
fn a_poll_has_what_is_asked_for_and_an_end() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let line = |n| {
        let level = if n % 100 == 0 { "error" } else { "info" };
        json!({"message": format!("m{n}"), "level": level, "metadata": {"tags": ["disk", "db"], "title": "T"}})
    };
    publish_lines(&daemon, &key, (1..=1200).map(line));
    let poll = |query: &str| polled(&daemon, &app(&key, &format!("/ntfy/ops/json?poll=1{query}")));
    let all = poll("");
    assert_eq!((all.len(), &all[0]["message"], &all[1199]["message"]), (1200, &json!("m1"), &json!("m1200")));
    assert!(all.iter().all(|message| message["event"] == "message" && message["tags"] == json!(["disk", "db"])));
    let id = all[1197]["id"].as_str().unwrap();
    assert_eq!(texts(&poll(&format!("&since={id}"))), ["m1199", "m1200"]);
    assert_eq!(texts(&poll("&since=latest")), ["m1200"]);
    assert!(poll("&since=none").is_empty());
    assert_eq!(poll("&since=10m").len(), 1200);
    assert_eq!(poll("&since=4000000000").len(), 0);
    assert_eq!(poll("&priority=5,high").len(), 12);
    assert_eq!((poll("&tags=db,disk").len(), poll("&tags=db,x").len()), (1200, 0));
    assert_eq!((poll("&title=T&message=m7").len(), poll("&title=U").len()), (1, 0));
    assert_eq!(texts(&poll(&format!("&id={id}"))), ["m1198"]);
    let raw = daemon.send(&app(&key, "/ntfy/ops/raw?poll=1&since=latest"));
    assert_eq!((raw.text().as_str(), raw.header("content-type")), ("m1200\n", Some("text/plain; charset=utf-8")));
    let sse = daemon.send(&app(&key, "/ntfy/ops/sse?poll=1&since=latest")).text();
    assert!(sse.starts_with(&format!("id: {}\ndata: {{", all[1199]["id"].as_str().unwrap())), "{sse}");
    // A poll is a stream for a moment, and counted as one that is complete.
    daemon.has_streams(0);
    for wrong in ["since=yesterday", "priority=9"] {
        let answer = daemon.send(&app(&key, &format!("/ntfy/ops/json?poll=1&{wrong}")));
        assert_eq!((answer.status, &answer.json()["http"]), (400, &json!(400)), "{wrong}");
    }
}

#[test]
fn a_name_has_underscores_for_dots_and_the_topics_below_it_on_request() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    for topic in ["ops", "ops.db", "ops_db", "ops.db.disk", "a.b_c.d-e", "a_b_c_d-e", "web"] {
        daemon.publish(&key, topic, topic);
    }
    let poll = |key, path: &str| {
        let messages = polled(&daemon, &app(key, &format!("/ntfy/{path}poll=1")));
        messages
            .iter()
            .map(|message| format!("{}={}", message["topic"].as_str().unwrap(), message["message"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(poll(&key, "ops/json?"), ["ops=ops"]);
    assert_eq!(poll(&key, "ops_db/json?"), ["ops_db=ops.db", "ops_db=ops_db"]);
    assert_eq!(poll(&key, "ops.db/json?"), ["ops.db=ops.db"]);
    assert_eq!(poll(&key, "a_b_c_d-e/json?"), ["a_b_c_d-e=a.b_c.d-e", "a_b_c_d-e=a_b_c_d-e"]);
    assert_eq!(poll(&key, "ops/json?below=1&"), ["ops=ops", "ops=ops.db", "ops=ops.db.disk"]);
    assert_eq!(
        poll(&key, "ops,ops_db/json?below=1&"),
        ["ops=ops", "ops_db=ops.db", "ops_db=ops_db", "ops_db=ops.db.disk"]
    );
    // A key gets what it covers of a name.
    let narrow = key_for(&daemon, &["ops.db.*", "ops.db"]);
    assert_eq!(poll(&narrow, "ops_db/json?"), ["ops_db=ops.db"]);
    assert_eq!(poll(&narrow, "ops/json?below=1&"), ["ops=ops.db", "ops=ops.db.disk"]);
    assert_eq!(daemon.send(&app(&narrow, "/ntfy/ops/json?poll=1")).status, 403);
    daemon.configure("[ntfy]\nbelow = true\n");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(poll(&key, "ops/json?").len(), 3);
}

#[test]
fn a_live_stream_gets_its_names_and_filters_alone() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let mut urgent = Messages::open(&daemon, &app(&key, "/ntfy/ops_db/json?priority=5"));
    let mut titled = Messages::open(&daemon, &app(&key, "/ntfy/ops_db/json?title=Disk"));
    let mut text = Messages::open(&daemon, &app(&key, "/ntfy/ops_db/raw"));
    assert_eq!((urgent.event()["event"].clone(), titled.event()["event"].clone()), (json!("open"), json!("open")));
    assert_eq!(text.line(), "");
    for (topic, level, title) in
        [("ops.db", "info", "Disk"), ("ops", "error", "Disk"), ("ops.db", "error", "Fan"), ("ops.db", "error", "Disk")]
    {
        let message = format!("{topic} {level}\n{title}");
        let body = json!({"message": message, "level": level, "metadata": {"title": title}});
        assert_eq!(daemon.send(&Request::post(&format!("/alerts/{topic}")).key(&key).json(&body)).status, 200);
    }
    assert_eq!(texts(&[urgent.message(), urgent.message()]), ["ops.db error\nFan", "ops.db error\nDisk"]);
    assert_eq!(texts(&[titled.message(), titled.message()]), ["ops.db info\nDisk", "ops.db error\nDisk"]);
    assert_eq!([text.line(), text.line(), text.line()], ["ops.db info Disk", "ops.db error Fan", "ops.db error Disk"]);
    let metrics =
        daemon.send(&Request::get("/metrics").key(&daemon.key_with(&json!({"user": "m", "scopes": ["metrics"]}))));
    assert!(metrics.text().contains("alertd_streams{format=\"ntfy\",transport=\"loop\"} 3"), "{}", metrics.text());
}

#[test]
fn a_revoked_key_and_a_stop_end_the_stream_without_an_event_that_apps_do_not_know() {
    let mut daemon = Daemon::start();
    let (gone, stays) = (daemon.key("gone"), daemon.key("stays"));
    let mut ended = Messages::open(&daemon, &app(&gone, "/ntfy/ops/json"));
    let mut open = Messages::open(&daemon, &app(&stays, "/ntfy/ops/json"));
    assert_eq!((ended.event()["event"].clone(), open.event()["event"].clone()), (json!("open"), json!("open")));
    let revoke = Request::new("DELETE", &format!("/keys/{}", gone.id)).over(&daemon.control());
    assert_eq!(revoke.status, 200);
    ended.ends();
    assert_eq!(String::from_utf8_lossy(&ended.stream.raw[ended.read..]), "");
    daemon.publish(&stays, "ops", "on");
    assert_eq!(open.message()["message"], "on");
    assert!(daemon.stop().success());
    open.ends();
    assert_eq!(String::from_utf8_lossy(&open.stream.raw[open.read..]), "");
}

#[test]
fn a_planned_restart_is_a_pause_for_the_app() {
    let mut manager = Manager::running("[http]\nheartbeat = \"1h\"\n");
    let key = manager.key(&json!({"user": "phone", "topics": ["ops.*"]}));
    let mut stream = Messages::of(manager.stream(&key, "/ntfy/ops_db/json?title=T"));
    assert_eq!(stream.event()["event"], "open");
    let publish = |manager: &Manager, message: &str, title: &str| {
        let body = json!({"message": message, "metadata": {"title": title}});
        assert_eq!(Request::post("/alerts/ops.db").json(&body).over(&manager.control()).status, 200);
    };
    publish(&manager, "before", "T");
    assert_eq!(stream.message()["message"], "before");
    assert!(manager.leave().success());
    manager.start();
    publish(&manager, "other", "U");
    publish(&manager, "after", "T");
    let after = stream.event();
    assert_eq!((&after["message"], &after["topic"]), (&json!("after"), &json!("ops_db")));
}

#[test]
fn what_retention_took_is_told_as_a_message_of_which_the_id_resumes() {
    let daemon = Daemon::with("[alerts]\nretain_count = 10\n");
    let key = daemon.key("alice");
    let first = daemon.publish(&key, "ops", "m0");
    let all: Vec<_> = (1..=100).map(|n| daemon.publish(&key, "ops", &format!("m{n}"))).collect();
    let messages = polled(&daemon, &app(&key, &format!("/ntfy/ops/json?poll=1&since={first}")));
    assert_eq!(messages[0]["title"], "alertd");
    assert!(messages[0]["message"].as_str().unwrap().starts_with("Alerts may be missing: "), "{}", messages[0]);
    let (oldest, number) = (messages[1]["id"].as_str().unwrap(), messages.len());
    assert!(all.iter().any(|id| id == oldest) && number >= 11, "{number}");
    let gap = messages[0]["id"].as_str().unwrap();
    let resumed = polled(&daemon, &app(&key, &format!("/ntfy/ops/json?poll=1&since={gap}")));
    assert_eq!(resumed, messages[1..]);
    // An app that was moved here has ids of its former server.
    let moved = polled(&daemon, &app(&key, "/ntfy/ops/json?poll=1&since=sPs71M8A2Twb"));
    assert!(moved[0]["message"].as_str().unwrap().contains("sPs71M8A2Twb"), "{}", moved[0]);
}

#[test]
fn a_key_in_the_query_counts_where_the_configuration_allows_it() {
    use base64::Engine as _;
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(basic(&key));
    let path = format!("/ntfy/ops/auth?auth={encoded}");
    assert_eq!(daemon.send(&Request::get(&path)).status, 401);
    daemon.configure("[auth]\nquery_token = true\n");
    assert!(daemon.ctl(&["reload"]).status.success());
    assert_eq!(daemon.send(&Request::get(&path)).status, 200);
    let bearer = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("Bearer {}", key.secret));
    assert_eq!(daemon.send(&Request::get(&format!("/ntfy/ops/auth?auth={bearer}"))).status, 200);
    // Elsewhere the parameter has no such meaning.
    assert_eq!(daemon.send(&Request::get(&format!("/health?auth={bearer}"))).status, 401);
}

#[test]
fn clients_are_told_what_there_is() {
    let daemon = Daemon::start();
    let key = daemon.key("alice");
    let health: Value = daemon.send(&Request::get("/ntfy/v1/health")).json();
    assert_eq!(health, json!({"healthy": true}));
    let config = daemon.send(&Request::get("/ntfy/v1/config")).json();
    assert_eq!((&config["enable_login"], &config["enable_signup"]), (&json!(true), &json!(false)));
    assert_eq!(daemon.send(&Request::get("/ntfy/v1/version")).status, 401);
    let version = daemon.send(&Request::get("/ntfy/v1/version").key(&key)).json();
    assert!(["version", "commit", "date"].iter().all(|name| version[*name].is_string()), "{version}");
    assert_eq!(daemon.send(&Request::get("/ntfy/v1/account")).status, 401);
    assert_eq!(daemon.send(&Request::get("/ntfy/v1/account").key(&key)).json()["username"], "alice");
    for path in ["/ntfy/ops", "/ntfy/ops/nothing", "/ntfy/v1/nothing"] {
        let answer = daemon.send(&app(&key, path));
        assert_eq!(answer.json()["http"], answer.status, "{path}");
        assert!([404, 405].contains(&answer.status), "{path}: {answer:?}");
    }
}
